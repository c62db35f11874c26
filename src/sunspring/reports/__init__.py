"""Reports on a run, on several models, and on this machine."""
