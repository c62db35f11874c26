"""From a prompt to text: sampling, patterns, copy guard, and the writers of both engines."""
