"""From the names of sources to documents: find, download, decode, and cut into documents."""
