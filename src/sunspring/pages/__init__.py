"""Charts and HTML pages; knows nothing of what they show."""
