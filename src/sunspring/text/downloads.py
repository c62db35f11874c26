"""Download texts from the web once into a cache, and check the copy at every use.

Also cuts Project Gutenberg's licence off its books.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from datetime import UTC, datetime
from pathlib import Path

from sunspring.errors import SourceError
from sunspring.notices import Notify, Progress, ignore, unnoticed
from sunspring.storage import cache_folder, caching

_GUTENBERG = "https://www.gutenberg.org/cache/epub"
_CHUNK = 1 << 16

_BLANK_LINES = re.compile(r"(?:[ \t]*\r?\n)+")
_LINE_END = re.compile(r"[ \t]*(?:\r?\n)?")
# The title in the marker may run over several lines, but not over a blank one.
_START = re.compile(
    r"^[ \t]*\*\*\*[ \t]*START OF TH(?:E|IS) PROJECT GUTENBERG E(?:BOOK|TEXT)"
    r"(?:(?:(?!\n[ \t]*\r?\n).){0,500}?\*\*\*)?[^\n]*\n?",
    re.IGNORECASE | re.MULTILINE | re.DOTALL,
)
_OLD_START = re.compile(r"^[ \t]*\**END.?THE SMALL PRINT![^\n]*\n?", re.IGNORECASE | re.MULTILINE)
_LAST_WORDS = r"^[ \t]*(?:This is the )?End of (?:the |this )?Project Gutenberg"
# The marker, and the closing paragraph that older books have before it.
_END = re.compile(
    rf"(?:{_LAST_WORDS}[^\n]*\n(?:[^\n]*\S[^\n]*\n){{0,4}}?\s*)?"
    r"^[ \t]*\*\*\*[ \t]*END OF TH(?:E|IS) PROJECT GUTENBERG E(?:BOOK|TEXT)",
    re.IGNORECASE | re.MULTILINE,
)
_OLD_END = re.compile(_LAST_WORDS, re.IGNORECASE | re.MULTILINE)


def gutenberg_url(book: str) -> str:
    """Return the address of a Project Gutenberg book's plain text.

    The environment variable `SUNSPRING_GUTENBERG` names a mirror of
    `https://www.gutenberg.org/cache/epub`.

    Raises:
        SourceError: `book` is not a number.
    """
    if not re.fullmatch(r"[0-9]+", book):
        raise SourceError(f"gutenberg:{book} is not a book: give its number, as in gutenberg:100")
    base = os.environ.get("SUNSPRING_GUTENBERG") or _GUTENBERG
    return f"{base.rstrip('/')}/{book}/pg{book}.txt"


def strip_licence(text: str) -> tuple[str, tuple[str, ...]]:
    """Cut off Project Gutenberg's text before and after a book, and the blank lines there.

    Returns:
        The book, and which of its markers, `START` and `END`, are missing; nothing is cut off at
        an end without its marker.
    """
    missing = []
    begin, end = 0, len(text)
    if start_marker := _START.search(text) or _OLD_START.search(text):
        begin = start_marker.end()
    else:
        missing.append("START")
    # The last one: a collection may hold whole books with markers of their own.
    end_markers = list(_END.finditer(text, begin)) or list(_OLD_END.finditer(text, begin))
    if end_markers:
        end = end_markers[-1].start()
    else:
        missing.append("END")
    if start_marker and (blank := _BLANK_LINES.match(text, begin, end)):
        begin = blank.end()
    if end_markers:
        last_line_end = _LINE_END.match(text, begin + len(text[begin:end].rstrip()), end)
        end = last_line_end.end() if last_line_end else end
    return text[begin:end], tuple(missing)


def fetch(
    url: str,
    folder: Path | None = None,
    on_progress: Progress = unnoticed,
    notify: Notify = ignore,
) -> Path:
    """Download a file, or use the cached copy if its checksum still matches.

    A JSON file beside the copy records its address, download time, size and SHA-256.

    Args:
        url: an http(s) address.
        folder: where copies are kept; by default `downloads` in the cache folder.
        on_progress: called with the bytes read so far and the total, if the server gives it.
        notify: called with a message when a copy is damaged.

    Raises:
        SourceError: the file cannot be downloaded or stored.
    """
    folder = folder or cache_folder() / "downloads"
    path = folder / _file_name(url)
    record = path.with_name(path.name + ".json")
    with caching(url, folder):
        if path.exists():
            if _is_whole(path, record):
                return path
            notify(f"the cached copy of {url} is damaged: downloading it again")
            path.unlink()
        _download(url, path, on_progress)
        facts = {
            "url": url,
            "sha256": _sha256(path),
            "bytes": path.stat().st_size,
            "fetched": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        record.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    return path


class _ProgressBar:
    """The part of tqdm's interface that pooch calls."""

    def __init__(self, report: Progress) -> None:
        self.total = 0
        self._done = 0
        self._report = report

    def update(self, size: int) -> None:
        if size == 0:  # how pooch fills a bar of unknown length
            return
        self._done += size
        # pooch counts whole chunks, and compressed data at its full size
        self._report(min(self._done, self.total or self._done), self.total or None)

    def reset(self) -> None:
        self._done = 0

    def close(self) -> None:
        pass


def _download(url: str, path: Path, on_progress: Progress) -> None:
    """Download a file under a temporary name, and rename it when it is complete."""
    import pooch
    from requests import RequestException

    pooch.get_logger().setLevel("WARNING")  # it announces each step on stderr
    downloader = pooch.HTTPDownloader(progressbar=_ProgressBar(on_progress), chunk_size=_CHUNK)
    try:
        pooch.retrieve(
            url, known_hash=None, fname=path.name, path=path.parent, downloader=downloader
        )
    except (RequestException, ValueError) as error:
        raise SourceError(
            f"{url} cannot be downloaded ({_reason(error)}): check the address and the connection"
        ) from None


def _reason(error: Exception) -> str:
    from requests import ConnectionError as NoConnectionError
    from requests import HTTPError, Timeout
    from requests.exceptions import ChunkedEncodingError, SSLError

    if isinstance(error, HTTPError) and error.response is not None:
        return f"the server says {error.response.status_code} {error.response.reason}"
    if isinstance(error, Timeout):
        return "the server did not answer in time"
    if isinstance(error, ChunkedEncodingError):
        return "the connection was lost"
    if isinstance(error, SSLError):
        return "the server's certificate is not trusted"
    if isinstance(error, NoConnectionError):
        return "no connection to the server"
    return " ".join(str(error).split()) or type(error).__name__


def _is_whole(path: Path, record: Path) -> bool:
    try:
        return bool(json.loads(record.read_text(encoding="utf-8"))["sha256"] == _sha256(path))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return False


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _file_name(url: str) -> str:
    """Make a unique file name from an address, ending in the address's own file name if any."""
    own = re.sub(r"[^A-Za-z0-9._-]", "_", url.partition("?")[0].rpartition("/")[2])[-60:]
    return f"{hashlib.sha256(url.encode()).hexdigest()[:16]}-{own or 'text'}"
