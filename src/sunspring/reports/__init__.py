"""What there is to say of a run, of several models, and of this machine."""
