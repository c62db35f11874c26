"""From a request to a finished run folder."""
