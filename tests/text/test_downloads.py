import gzip
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from sunspring.errors import SourceError
from sunspring.notices import Notify, ignore
from sunspring.storage import cache_folder
from sunspring.text.downloads import fetch, gutenberg_url, strip_licence
from sunspring.text.files import find_sources
from sunspring.text.options import ReadingOptions
from sunspring.text.sources import read_passages

PLAIN = ReadingOptions()
BOOK = "CHAPTER 1\n\n  Call me Ishmael.\n"
EBOOK = (
    "\ufeffThe Project Gutenberg eBook of Moby Dick\r\n\r\nLicence, licence.\r\n\r\n"
    "*** START OF THE PROJECT GUTENBERG EBOOK MOBY DICK ***\r\n\r\n\r\n"
    + BOOK.replace("\n", "\r\n")
    + "\r\n\r\n*** END OF THE PROJECT GUTENBERG EBOOK MOBY DICK ***\r\nMore licence.\r\n"
)


class Site:
    """A web server on this machine, with the files it has and the requests it got."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.breaks_off = False
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.requests.append(self.path)
                if self.path not in site.files:
                    self.send_error(404)
                    return
                content = site.files[self.path]
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content[: len(content) // 2] if site.breaks_off else content)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("SUNSPRING_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    site = Site()
    monkeypatch.setenv("SUNSPRING_GUTENBERG", f"{site.address}/epub/")
    thread = threading.Thread(target=site.server.serve_forever, args=(0.01,))
    thread.start()
    yield site
    site.server.shutdown()
    thread.join()
    site.server.server_close()


def text_of(name: str, options: ReadingOptions = PLAIN, notify: Notify = ignore) -> str:
    sources = find_sources([name], options, notify=notify)
    return "".join(passage.text for passage in read_passages(sources, notify=notify))


class TestFetch:
    def test_keeps_a_copy_with_its_checksum(self, site: Site, tmp_path: Path) -> None:
        site.files["/poems.txt"] = b"roses"
        path = fetch(f"{site.address}/poems.txt")
        assert path.read_bytes() == b"roses"
        assert path.parent == tmp_path / "cache" / "downloads"
        record = json.loads(Path(f"{path}.json").read_text())
        assert record.pop("fetched").endswith("+00:00")
        assert record == {
            "url": f"{site.address}/poems.txt",
            "sha256": hashlib.sha256(b"roses").hexdigest(),
            "bytes": 5,
        }

    def test_goes_to_the_network_once(self, site: Site) -> None:
        site.files["/a"] = b"x"
        assert fetch(f"{site.address}/a") == fetch(f"{site.address}/a")
        assert site.requests == ["/a"]

    def test_keeps_addresses_apart_that_end_alike(self, site: Site, tmp_path: Path) -> None:
        site.files = {"/a?x=1": b"1", "/a?x=2": b"2", "/b/a": b"3", "/": b"4"}
        paths = [fetch(site.address + name, tmp_path / "here") for name in site.files]
        assert [path.read_bytes() for path in paths] == [b"1", b"2", b"3", b"4"]
        assert {path.parent for path in paths} == {tmp_path / "here"}

    @pytest.mark.parametrize("damage", ["file", "record", "no record"])
    def test_fetches_a_damaged_copy_again_and_says_so(self, site: Site, damage: str) -> None:
        site.files["/a"] = b"whole"
        path = fetch(f"{site.address}/a")
        record = Path(f"{path}.json")
        if damage == "file":
            path.write_bytes(b"who")
        elif damage == "record":
            record.write_text("[")
        else:
            record.unlink()
        notices: list[str] = []
        assert fetch(f"{site.address}/a", notify=notices.append).read_bytes() == b"whole"
        assert notices == [f"the cached copy of {site.address}/a is damaged: downloading it again"]
        assert len(site.requests) == 2
        fetch(f"{site.address}/a", notify=notices.append)
        assert len(notices) == 1

    def test_leaves_nothing_of_a_download_that_breaks_off(self, site: Site) -> None:
        site.files["/a"] = b"x" * 100_000
        site.breaks_off = True
        with pytest.raises(SourceError, match="the connection was lost"):
            fetch(f"{site.address}/a")
        assert list((cache_folder() / "downloads").iterdir()) == []
        site.breaks_off = False
        assert fetch(f"{site.address}/a").read_bytes() == site.files["/a"]

    def test_leaves_nothing_of_a_download_that_is_interrupted(self, site: Site) -> None:
        site.files["/a"] = b"x" * 1_000_000

        def interrupt(done: int, total: int | None) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            fetch(f"{site.address}/a", on_progress=interrupt)
        assert list((cache_folder() / "downloads").iterdir()) == []

    def test_reports_progress(self, site: Site) -> None:
        site.files["/a"] = b"x" * 1_000_000
        reports: list[tuple[int, int | None]] = []
        fetch(f"{site.address}/a", on_progress=lambda done, total: reports.append((done, total)))
        assert len(reports) > 5
        assert reports == sorted(reports)
        assert reports[-1] == (1_000_000, 1_000_000)

    def test_says_in_one_line_what_went_wrong(self, site: Site) -> None:
        for url, reason in [
            (f"{site.address}/none", "the server says 404 Not Found"),
            ("http://127.0.0.1:1/", "no connection to the server"),
            ("http://[", "("),
            ("http://", "("),
        ]:
            with pytest.raises(SourceError) as caught:
                fetch(url)
            assert str(caught.value).startswith(f"{url} cannot be downloaded (")
            assert reason in str(caught.value)
            assert "\n" not in str(caught.value)

    def test_says_where_copies_could_not_be_kept(self, site: Site, tmp_path: Path) -> None:
        site.files["/a"] = b"x"
        (tmp_path / "taken").write_text("a file")
        with pytest.raises(SourceError, match=r"cannot be stored in .*taken.*SUNSPRING_CACHE"):
            fetch(f"{site.address}/a", tmp_path / "taken")

    def test_prints_nothing(self, site: Site, capfd: pytest.CaptureFixture[str]) -> None:
        site.files["/a"] = b"x"
        fetch(f"{site.address}/a", on_progress=lambda done, total: None)
        assert capfd.readouterr() == ("", "")


class TestSources:
    def test_an_address_is_read_like_a_file(self, site: Site) -> None:
        site.files["/a.txt.gz"] = gzip.compress("né\r\n".encode("utf-16"))
        site.files["/t.csv"] = b"id,text\n1,one\n"
        assert text_of(f"{site.address}/a.txt.gz") == "né\n"
        assert text_of(f"{site.address}/t.csv:text") == "one"

    def test_a_book_is_read_without_its_licence(self, site: Site) -> None:
        site.files["/epub/2701/pg2701.txt"] = EBOOK.encode()
        assert text_of("gutenberg:2701") == BOOK
        kept = ReadingOptions(keep_newlines=True)
        assert text_of("gutenberg:2701", kept) == BOOK.replace("\n", "\r\n")
        assert site.requests == ["/epub/2701/pg2701.txt"]

    def test_a_book_without_markers_is_kept_with_a_notice(self, site: Site) -> None:
        site.files["/epub/1/pg1.txt"] = b"\n\nJust a text.\n"
        notices: list[str] = []
        assert text_of("gutenberg:1", notify=notices.append) == "\n\nJust a text.\n"
        assert notices == ["gutenberg:1 has no START and no END marker: nothing is removed there"]

    def test_errors_name_the_source_and_not_the_copy(self, site: Site) -> None:
        site.files["/epub/1/pg1.txt"] = b"\xff"
        with pytest.raises(SourceError, match=r"^gutenberg:1 is not valid utf-8 at byte 0"):
            text_of("gutenberg:1")

    def test_the_signature_is_that_of_the_copy(self, site: Site) -> None:
        site.files["/a.txt"] = b"one"
        name = f"{site.address}/a.txt"
        first = find_sources([name], PLAIN).signature()
        assert first == find_sources([name], PLAIN).signature()
        assert first is not None
        path = Path(first[0][0])
        assert path.read_bytes() == b"one"
        path.unlink()
        site.files["/a.txt"] = b"three"
        assert find_sources([name], PLAIN).signature() != first


class TestGutenberg:
    def test_addresses_are_those_of_the_site_or_of_a_mirror(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("SUNSPRING_GUTENBERG", raising=False)
        assert gutenberg_url("100") == "https://www.gutenberg.org/cache/epub/100/pg100.txt"
        monkeypatch.setenv("SUNSPRING_GUTENBERG", "http://mirror/x/")
        assert gutenberg_url("100") == "http://mirror/x/100/pg100.txt"

    @pytest.mark.parametrize("book", ["", "moby", "-1", "1/2", "²"])
    def test_books_have_numbers(self, book: str) -> None:
        with pytest.raises(SourceError, match="give its number"):
            gutenberg_url(book)

    @pytest.mark.parametrize("line_end", ["\n", "\r\n"])
    @pytest.mark.parametrize(
        ("start", "end"),
        [
            (
                "*** START OF THE PROJECT GUTENBERG EBOOK MOBY DICK ***\n",
                "*** END OF THE PROJECT GUTENBERG EBOOK MOBY DICK ***\n",
            ),
            (
                "*** START OF THIS PROJECT GUTENBERG EBOOK MOBY DICK;\nOR, THE WHALE ***\n",
                "End of Project Gutenberg's Moby Dick; or The Whale,\nby Herman Melville\n\n"
                "*** END OF THIS PROJECT GUTENBERG EBOOK MOBY DICK;\nOR, THE WHALE ***\n",
            ),
            (
                "***START OF THE PROJECT GUTENBERG EBOOK MOBY DICK***\n",
                "***END OF THE PROJECT GUTENBERG EBOOK MOBY DICK***\n",
            ),
            (
                "*** START OF THE PROJECT GUTENBERG EBOOK, MOBY DICK\n",
                "End of the Project Gutenberg EBook of Moby Dick, by Herman Melville\n",
            ),
            (
                "*END*THE SMALL PRINT! FOR PUBLIC DOMAIN ETEXTS*Ver.04.29.93*END*\n",
                "End of The Project Gutenberg Etext of Moby Dick\n",
            ),
        ],
    )
    def test_books_are_cut_out_of_what_stood_around_them_over_the_years(
        self, start: str, end: str, line_end: str
    ) -> None:
        book = "CHAPTER 1\n\n  Call me Ishmael.\n\n* * *\n\n*** The End ***\n"
        whole = f"Title\n\n{start}\n \n\n{book}\n\t\n{end}Licence\n".replace("\n", line_end)
        assert strip_licence(whole) == (book.replace("\n", line_end), ())

    def test_collections_end_at_the_last_marker(self) -> None:
        inner = "one\n\nEnd of Project Gutenberg's One\n\ntwo"
        text = (
            f"*** START OF THE PROJECT GUTENBERG EBOOK A ***\n{inner}\n"
            "*** END OF THE PROJECT GUTENBERG EBOOK A ***\n"
        )
        assert strip_licence(text) == (inner + "\n", ())

    def test_a_missing_marker_is_named_and_its_end_kept(self) -> None:
        start = "head\n*** START OF THE PROJECT GUTENBERG EBOOK A ***\n\ntext\n\n"
        assert strip_licence(start) == ("text\n\n", ("END",))
        end = "\n\ntext\n\n*** END OF THE PROJECT GUTENBERG EBOOK A ***\n"
        assert strip_licence(end) == ("\n\ntext\n", ("START",))

    def test_a_long_text_without_markers_takes_no_time_to_search(self) -> None:
        text = "End of the line, \n\n *** and more of it\n" * 50_000
        assert strip_licence(text) == (text, ("START", "END"))
