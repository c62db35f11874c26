"""A prompt becomes text: sampling, patterns, copy guard, and the writers of both engines."""
