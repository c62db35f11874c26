import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from files import write

from sunspring.errors import SettingsError, SourceError
from sunspring.text.embedded import EMBEDDED_VERSION
from sunspring.text.files import find_sources
from sunspring.text.options import ReadingOptions
from sunspring.text.sources import read_passages

PLAIN = ReadingOptions()
LINES = ReadingOptions(documents="lines")


def signature_of(names: list[str], options: ReadingOptions = PLAIN, **more: Any) -> Any:
    return find_sources(names, options, **more).signature()


class TestSignature:
    def test_holds_for_the_same_files_and_changes_with_them(self) -> None:
        names = [write("f/a.txt", "one"), write("b.txt", "two")]
        first = signature_of(["f", "b.txt"])
        assert first is not None
        assert first == signature_of(["f", "b.txt"])
        assert json.loads(json.dumps(first)) == first
        status = Path(names[0]).stat()
        assert first[0][:3] == [str(Path("f/a.txt").absolute()), 3, status.st_mtime_ns]
        os.utime(names[0], ns=(status.st_atime_ns, status.st_mtime_ns + 1))
        assert signature_of(["f", "b.txt"]) != first

    def test_tells_columns_and_orders_apart(self) -> None:
        write("t.csv", "a,b\n1,2\n")
        signatures = [
            signature_of(names)
            for names in (["t.csv"], ["t.csv:a"], ["t.csv:b"], ["t.csv:a", "t.csv:b"])
        ]
        assert all(signatures.count(signature) == 1 for signature in signatures)

    def test_of_standard_input_is_none_and_of_the_embedded_text_python(self) -> None:
        assert signature_of(["-"]) is None
        assert signature_of([]) == [["embedded text", EMBEDDED_VERSION, sys.version]]

    @pytest.mark.parametrize("names", [["-", "a.txt"], ["a.txt", "pipe"]], ids=str)
    def test_is_none_where_one_of_several_can_be_read_only_once(self, names: list[str]) -> None:
        write("a.txt", "one")
        os.mkfifo("pipe")
        assert signature_of(names) is None

    def test_changes_with_the_labels_that_folders_give(self) -> None:
        write("f/horror/a.txt", "boo")
        labelled = ReadingOptions(documents="files", label_folders=True)
        assert signature_of(["f"], labelled) != signature_of(["f"])

    def test_changes_where_bytes_are_read_that_are_no_text(self) -> None:
        write("f/a.txt", "one")
        assert signature_of(["f"], as_bytes=True) == signature_of(["f"])
        write("f/b.png", b"\0")
        assert signature_of(["f"], as_bytes=True) != signature_of(["f"])

    def test_does_not_change_with_the_folder_that_a_user_stands_in(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write("f/a.txt", "one")
        first = signature_of(["f/a.txt"])
        monkeypatch.chdir("f")
        assert signature_of(["a.txt"]) == first


class TestFindSources:
    def test_remembers_the_names_the_options_and_the_files_in_their_order(self) -> None:
        names = [write("b.txt", "two"), write("a.txt", "one")]
        sources = find_sources(names, LINES, as_bytes=True)
        assert sources.names == ("b.txt", "a.txt")
        assert [file.name for file in sources.files] == ["b.txt", "a.txt"]
        assert (sources.options, sources.as_bytes) == (LINES, True)

    def test_finds_files_once_so_that_later_ones_are_not_read(self) -> None:
        write("f/a.txt", "one")
        sources = find_sources(["f"], PLAIN)
        write("f/b.txt", "two")
        assert "".join(passage.text for passage in read_passages(sources)) == "one"

    def test_may_be_read_again(self) -> None:
        sources = find_sources([write("a.txt", "one\ntwo")], LINES)
        assert list(read_passages(sources)) == list(read_passages(sources))

    def test_reads_nothing_of_a_file_that_is_named(self) -> None:
        name = write("a.txt", b"\xff")
        sources = find_sources([name], PLAIN)
        with pytest.raises(SourceError, match=r"a.txt is not valid utf-8 at byte 0"):
            list(read_passages(sources))

    def test_refuses_an_encoding_of_bytes(self) -> None:
        name = write("a.txt", "one")
        with pytest.raises(SettingsError) as caught:
            find_sources([name], ReadingOptions(encoding="utf-8"), as_bytes=True)
        assert str(caught.value) == (
            "bytes are read without decoding: leave out --encoding or --tokens bytes"
        )
