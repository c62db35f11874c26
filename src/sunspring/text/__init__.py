"""Names become documents: sources are found, fetched, decoded and taken apart."""
