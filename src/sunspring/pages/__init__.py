"""Charts and HTML pages, whatever they show."""
