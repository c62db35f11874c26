"""Small files for the tests."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sunspring.text.sources import embedded_text


def write(name: str, content: str | bytes) -> str:
    """Write a file, and the folders above it; returns its name."""
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return name


def write_english(folder: Path, characters: int) -> Path:
    """Write the beginning of the English text that comes with every Python."""
    path = folder / "english.txt"
    path.write_text(embedded_text()[:characters])
    return path


@contextmanager
def small_files() -> Iterator[None]:
    """Let the system refuse to write more than a megabyte to a file, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
