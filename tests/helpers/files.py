"""Small files for the tests."""

from pathlib import Path


def write(name: str, content: str | bytes) -> str:
    """Write a file, and the folders above it; returns its name."""
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return name
