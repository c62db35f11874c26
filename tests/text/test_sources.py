import codecs
import csv
import gzip
import io
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from files import write
from hypothesis import given
from hypothesis import strategies as st

from sunspring.errors import SettingsError, SourceError
from sunspring.text.embedded import embedded_text
from sunspring.text.files import find_sources
from sunspring.text.options import ReadingOptions
from sunspring.text.sources import Passage, read_passages

PLAIN = ReadingOptions()
LINES = ReadingOptions(documents="lines")
FILES = ReadingOptions(documents="files")
MESSY = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)
LINE_ENDS = st.lists(st.sampled_from(["a", "é", "🙂", "\r", "\n", "\r\n", "\n\r"]), min_size=1)
texts = st.one_of(MESSY, LINE_ENDS.map("".join)).filter(lambda text: not text.isspace())
chunk_sizes = st.integers(1, 9)


def passages_of(
    names: str | list[str], options: ReadingOptions, as_bytes: bool = False, **more: Any
) -> Iterator[Passage]:
    names = [names] if isinstance(names, str) else names
    return read_passages(find_sources(names, options, as_bytes=as_bytes), **more)


def text_of(names: str | list[str], options: ReadingOptions = PLAIN, **more: Any) -> str:
    return "".join(passage.text for passage in passages_of(names, options, **more))


def documents_of(
    names: str | list[str], options: ReadingOptions, **more: Any
) -> list[tuple[str, str | None]]:
    documents, begun = [], ""
    for text, ends_document, label in passages_of(names, options, **more):
        begun += text
        if ends_document:
            documents.append((begun, label))
            begun = ""
    assert begun == ""
    return documents


def error_of(names: str | list[str], options: ReadingOptions = PLAIN) -> str:
    with pytest.raises(SourceError) as caught:
        text_of(names, options)
    message = str(caught.value)
    assert "\n" not in message
    return message


def normalised(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


PACKED = re.compile(
    rb"\x1f\x8b|BZh[1-9](?:1AY&SY|\x17rE8P\x90)|\xfd7zXZ\0|\(\xb5/\xfd"
)  # gzip, bzip2, xz and Zstandard begin so


class TestText:
    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
    @pytest.mark.parametrize("is_packed", [False, True])
    @given(text=texts.filter(lambda text: text[0] != "\ufeff"), chunk_size=chunk_sizes)
    def test_is_read_back_as_it_was_written(
        self, encoding: str, is_packed: bool, text: str, chunk_size: int
    ) -> None:
        content = text.encode(encoding)
        name = write("a.txt", gzip.compress(content) if is_packed else content)
        assert text_of(name, chunk_size=chunk_size) == normalised(text)
        assert text_of(name, ReadingOptions(keep_newlines=True), chunk_size=chunk_size) == text

    @pytest.mark.parametrize(
        ("mark", "encoding"),
        [(codecs.BOM_UTF16_BE, "utf-16-be"), (codecs.BOM_UTF32_BE, "utf-32-be")],
    )
    def test_is_read_in_either_byte_order(self, mark: bytes, encoding: str) -> None:
        assert text_of(write("a.txt", mark + "naïve".encode(encoding))) == "naïve"

    @pytest.mark.parametrize("encoding", ["latin-1", "utf-16-le", "shift_jis", "gb18030"])
    def test_is_read_in_an_encoding_that_is_named(self, encoding: str) -> None:
        text = "ab\ncé" if encoding == "latin-1" else "ab\nこんにちは"
        options = ReadingOptions(encoding=encoding)
        assert text_of(write("a.txt", text.encode(encoding)), options, chunk_size=1) == text

    def test_has_a_byte_order_mark_that_beats_the_named_encoding(self) -> None:
        name = write("a.txt", "é".encode("utf-8-sig"))
        assert text_of(name, ReadingOptions(encoding="latin-1")) == "é"

    @pytest.mark.parametrize(
        ("errors", "expected"), [("replace", "a\ufffdb"), ("ignore", "ab"), ("strict", None)]
    )
    def test_is_mended_as_asked_where_it_cannot_be_decoded(
        self, errors: Any, expected: str | None
    ) -> None:
        name = write("a.txt", b"a\xffb")
        if expected is None:
            assert error_of(name).startswith("a.txt is not valid utf-8 at byte 1")
        else:
            assert text_of(name, ReadingOptions(errors=errors)) == expected

    @pytest.mark.parametrize("chunk_size", [1, 2, 3, 5, 1 << 20])
    @pytest.mark.parametrize(
        ("content", "at"),
        [
            (b"0123456789\xff", 10),
            (b"0123456789\xe2\x82", 10),
            (b"\xef\xbb\xbf0123\xe2\x82x", 7),
            ("é".encode() * 9 + b"\x80", 18),
            (codecs.BOM_UTF16_LE + "abc".encode("utf-16-le") + b"\x00\xdcab", 8),
        ],
    )
    def test_that_cannot_be_decoded_names_the_byte_and_the_remedy(
        self, content: bytes, at: int, chunk_size: int
    ) -> None:
        name = write("a.txt", content)
        with pytest.raises(SourceError, match=f"at byte {at}: .*--encoding .*--errors replace"):
            text_of(name, chunk_size=chunk_size)

    @pytest.mark.parametrize(
        ("content", "likely"),
        [
            ("caf\xe9".encode("latin-1"), "latin-1"),
            ("caf\xe9, he said: it\u2019s".encode("cp1252"), "cp1252"),
            (b"\x93" + "caf\xe9 \u2019".encode(), "cp1252"),
            ("\u201d".encode() + b"\xe9", "latin-1"),  # bytes below 0xa0, but in a character
            (b"\x92\x81", "latin-1"),  # cp1252 lacks the second
        ],
    )
    def test_that_cannot_be_decoded_brings_the_encoding_it_looks_like(
        self, content: bytes, likely: str
    ) -> None:
        assert f"give its encoding, as in --encoding {likely}, " in error_of(write("a", content))

    @pytest.mark.parametrize("chunk_size", [1, 7, 1 << 20])
    def test_with_a_zero_is_binary_and_the_byte_is_named(self, chunk_size: int) -> None:
        name = write("a.png", b"some text, then \0 and more")
        with pytest.raises(SourceError, match=r"a.png is binary, with a zero byte at 16: .*bytes"):
            text_of(name, chunk_size=chunk_size)

    @pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
    def test_in_utf_16_without_a_mark_is_told_apart_from_other_binary(self, encoding: str) -> None:
        name = write("a.txt", "To be, or not to be".encode(encoding))
        assert f"--encoding {encoding}" in error_of(name)

    @given(content=st.binary(min_size=1).filter(lambda b: b.strip(b"\t\n\v\f\r\x1c\x1d\x1e\x1f ")))
    def test_in_bytes_mode_is_any_bytes(self, content: bytes) -> None:
        if PACKED.match(content):
            return
        text = text_of(write("a.bin", content), as_bytes=True, chunk_size=3)
        assert text.encode("utf-8", "surrogateescape") == content

    def test_from_standard_input_may_be_packed(self) -> None:
        program = (
            "from sunspring.text.files import find_sources\n"
            "from sunspring.text.options import ReadingOptions\n"
            "from sunspring.text.sources import Passage, read_passages\n"
            "sources = find_sources(['-'], ReadingOptions())\n"
            "print([*read_passages(sources)], sources.signature())"
        )
        for content in ("né\r\n".encode(), gzip.compress("né\r\n".encode())):
            done = subprocess.run(
                [sys.executable, "-X", "utf8", "-c", program],
                input=content,
                capture_output=True,
                check=True,
            )
            expected = [Passage("né\n", False), Passage("", False), Passage("", True)]
            shown = done.stdout.decode().strip()
            assert shown == f"{[p for p in expected if p.text or p.ends_document]} None"

    def test_larger_than_a_chunk_is_read_in_pieces(self) -> None:
        name = write("a.txt", "abcdefg\n" * 1000)
        pieces = [passage.text for passage in passages_of(name, PLAIN, chunk_size=1000)]
        assert max(map(len, pieces)) <= 1000
        assert "".join(pieces) == "abcdefg\n" * 1000

    def test_in_one_endless_line_is_still_read_in_pieces(self) -> None:
        name = write("a.txt", "x" * 10_000)
        assert max(len(p.text) for p in passages_of(name, LINES, chunk_size=1000)) <= 1000
        assert documents_of(name, LINES, chunk_size=1000) == [("x" * 10_000, None)]

    @pytest.mark.parametrize("is_packed", [False, True])
    def test_reports_progress_in_bytes_of_the_files(self, is_packed: bool) -> None:
        content = os.urandom(5000).hex().encode()
        content = gzip.compress(content) if is_packed else content
        names = [write("a.txt", content), write("b.txt", content)]
        reports: list[tuple[int, int | None]] = []
        text_of(
            names, on_progress=lambda done, total: reports.append((done, total)), chunk_size=999
        )
        assert reports == sorted(reports)
        assert len(reports) > 10
        assert reports[-1] == (2 * len(content), 2 * len(content))


class TestNames:
    def test_files_follow_one_another_each_on_a_new_line(self) -> None:
        names = [write("a", "one\n"), write("b", "two"), write("c", "three\n\n"), write("d", "4")]
        assert text_of(names) == "one\ntwo\nthree\n\n4"

    def test_a_folder_is_read_in_the_order_of_its_paths_without_what_is_hidden(self) -> None:
        for name in ("f/b/z.txt", "f/b.txt", "f/a.txt", "f/.hidden", "f/.git/x", "f/Z.txt"):
            write(name, f"{name}\n")
        assert text_of("f").split() == ["f/Z.txt", "f/a.txt", "f/b.txt", "f/b/z.txt"]

    def test_folders_behind_links_are_read_once(self) -> None:
        write("elsewhere/c.txt", "c\n")
        write("f/b/b.txt", "b\n")
        for link, target in (
            ("f/a", "b"),  # the folder itself comes first, whatever the order of names
            ("f/b/up", ".."),
            ("f/b/round", "."),
            ("f/here", "../elsewhere"),
            ("f/there", "../elsewhere"),
        ):
            Path(link).symlink_to(target)
        names = [file.name for file in find_sources(["f"], PLAIN).files]
        assert names == ["f/b/b.txt", "f/here/c.txt"]
        labels = ReadingOptions(documents="files", label_folders=True)
        assert documents_of("f", labels) == [("b\n", "b"), ("c\n", "here")]

    def test_a_pattern_reads_a_file_behind_links_to_folders_once(self) -> None:
        write("f/b/b.txt", "b\n")
        Path("f/b/up").symlink_to("..")
        assert [file.name for file in find_sources(["f/**/*.txt"], PLAIN).files] == ["f/b/b.txt"]

    def test_what_is_no_file_in_a_folder_is_said_to_be_skipped(self) -> None:
        write("f/a.txt", "text")
        Path("f/broken").symlink_to("nowhere")
        os.mkfifo("f/pipe")
        notices: list[str] = []
        find_sources(["f"], PLAIN, notify=notices.append)
        assert notices == ["skipped what is no file: 2 (f/broken, f/pipe)"]

    def test_binary_files_in_a_folder_are_skipped_and_said_to_be(self) -> None:
        write("f/a.txt", "text")
        write("f/b.txt", "wide".encode("utf-16"))
        write("f/c.txt.gz", gzip.compress(b"packed"))
        write("f/d.tar.gz", gzip.compress(b"a\0b"))
        write("f/e.png", b"\x89PNG\0")
        notices: list[str] = []
        assert text_of("f", notify=notices.append).split() == ["text", "wide", "packed"]
        assert notices == ["skipped binary files: 2 (f/d.tar.gz, f/e.png)"]

    def test_a_folder_of_unmarked_utf_16_is_text_when_the_encoding_is_named(self) -> None:
        write("f/a.txt", "wide".encode("utf-16-be"))
        assert text_of("f", ReadingOptions(encoding="UTF-16BE")) == "wide"

    def test_no_file_in_a_folder_is_skipped_in_bytes_mode(self) -> None:
        write("f/a", b"\0x")
        assert text_of("f", as_bytes=True) == "\0x"

    def test_a_pattern_is_read_in_order_and_through_folders(self) -> None:
        for name in ("f/b.txt", "f/a.txt", "f/x/c.txt", "f/x/y/d.txt", "f/e.md"):
            write(name, f"{Path(name).name}\n")
        assert text_of("f/*.txt").split() == ["a.txt", "b.txt"]
        assert text_of("f/**/*.txt").split() == ["a.txt", "b.txt", "c.txt", "d.txt"]
        assert text_of("f/[ab].tx?").split() == ["a.txt", "b.txt"]

    @pytest.mark.parametrize("name", ["a:b.txt", "t.csv:text", "gutenberg:1", "what?.txt", "[x]"])
    def test_a_file_that_is_there_comes_before_any_other_meaning(self, name: str) -> None:
        write("t.csv", "text\nwrong\n")
        assert text_of(write(name, "right")) == "right"

    def test_a_pipe_is_read_but_has_no_signature(self) -> None:
        os.mkfifo("pipe")
        assert find_sources(["pipe"], PLAIN).signature() is None
        with subprocess.Popen(["/bin/sh", "-c", "printf 'from a pipe' > pipe"]):
            assert text_of("pipe") == "from a pipe"

    def test_none_is_the_embedded_text(self) -> None:
        assert text_of([]) == embedded_text()
        assert len(documents_of([], LINES)) > 10_000


class TestDocuments:
    def test_lines_are_what_stands_between_line_ends(self) -> None:
        name = write("a.txt", "one\r\n\n two \rthree\x0b\u2028four\n\n")
        for keep_newlines in (False, True):
            options = ReadingOptions(documents="lines", keep_newlines=keep_newlines)
            found = documents_of(name, options, chunk_size=2)
            assert found == [("one", None), (" two ", None), ("three\x0b\u2028four", None)]

    @given(text=texts, chunk_size=chunk_sizes)
    def test_lines_do_not_depend_on_where_chunks_end(self, text: str, chunk_size: int) -> None:
        lines = [(line, None) for line in normalised(text).split("\n") if line.strip()]
        if text[0] != "\ufeff":
            assert documents_of(write("a.txt", text), LINES, chunk_size=chunk_size) == lines

    def test_lines_of_two_files_are_never_joined(self) -> None:
        names = [write("a", "one"), write("b", "two")]
        assert documents_of(names, LINES) == [("one", None), ("two", None)]

    def test_bytes_of_lines_keep_their_carriage_returns(self) -> None:
        found = documents_of(write("a", b"x\r\n\xff\n"), LINES, as_bytes=True)
        assert found == [("x\r", None), ("\udcff", None)]

    def test_each_file_is_one_and_empty_ones_are_skipped(self) -> None:
        names = [write("f/a", "one\nmore"), write("f/b", ""), write("f/c", "two\n")]
        expected = [("one\nmore", None), ("two\n", None)]
        assert documents_of("f", FILES, chunk_size=3) == expected
        notices: list[str] = []
        assert documents_of(names, FILES, notify=notices.append) == expected
        assert notices == ["f/b is empty: skipping it"]

    @pytest.mark.parametrize("chunk_size", [1, 3, 1 << 20])
    def test_of_white_space_alone_are_left_out_and_counted(self, chunk_size: int) -> None:
        notices: list[str] = []
        how: dict[str, Any] = {"notify": notices.append, "chunk_size": chunk_size}
        lines = write("a.txt", " \t \n  one\n\n\u3000\n \n two \n ")
        assert documents_of(lines, LINES, **how) == [("  one", None), (" two ", None)]
        write("t.csv", 'text\n"   "\none\n" "\n')
        assert documents_of("t.csv:text", LINES, **how) == [("one", None)]
        write("f/a.txt", " \n\n")
        write("f/b.txt", "\n b")
        assert documents_of("f", FILES, **how) == [("\n b", None)]
        assert notices == [
            f"left out documents of white space alone: {count}" for count in (4, 2, 1)
        ]

    def test_all_is_one_unless_asked_otherwise(self) -> None:
        passages = list(passages_of([write("a", "one"), write("b", "two")], PLAIN))
        assert [passage.ends_document for passage in passages[:-1]] == [False] * (len(passages) - 1)
        assert passages[-1].ends_document


def as_csv(rows: list[list[str]], delimiter: str = ",") -> str:
    file = io.StringIO(newline="")
    csv.writer(file, delimiter=delimiter).writerows(rows)
    return file.getvalue()


class TestTables:
    @given(
        cells=st.lists(texts, min_size=1), chunk_size=chunk_sizes, delimiter=st.sampled_from(",\t")
    )
    def test_a_column_is_read_cell_by_cell(
        self, cells: list[str], chunk_size: int, delimiter: str
    ) -> None:
        rows = [["id", "text"], *([str(index), cell] for index, cell in enumerate(cells))]
        name = write("t.csv" if delimiter == "," else "t.tsv", as_csv(rows, delimiter))
        found = documents_of(f"{name}:text", LINES, chunk_size=chunk_size)
        assert found == [(normalised(cell), None) for cell in cells]
        kept = ReadingOptions(documents="lines", keep_newlines=True)
        found = documents_of(f"{name}:text", kept, chunk_size=chunk_size)
        assert found == [(cell, None) for cell in cells]

    @given(values=st.lists(texts, min_size=1), chunk_size=chunk_sizes, escapes=st.booleans())
    def test_a_field_is_read_line_by_line(
        self, values: list[str], chunk_size: int, escapes: bool
    ) -> None:
        lines = (json.dumps({"text": value}, ensure_ascii=escapes) for value in values)
        name = write("t.jsonl", "\r\n".join(lines))
        found = documents_of(f"{name}:text", LINES, chunk_size=chunk_size)
        assert found == [(normalised(value), None) for value in values]

    @pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "ndjson", "CSV"])
    def test_may_be_packed_and_found_by_a_pattern(self, ending: str) -> None:
        content = (
            '{"text": "one"}\n' if ending.endswith("json") or "jsonl" in ending else "text\none\n"
        )
        name = write(f"a.{ending}.gz", gzip.compress(content.encode()))
        assert text_of(f"{name}:text") == "one"
        assert text_of(f"*.{ending}.gz:text") == "one"

    @pytest.mark.parametrize("options", [PLAIN, FILES])
    def test_rows_are_joined_by_newlines_where_they_are_no_documents(
        self, options: ReadingOptions
    ) -> None:
        name = write("t.csv", "text\none\n\ntwo\n")
        assert documents_of(f"{name}:text", options) == [("one\ntwo", None)]

    def test_empty_cells_are_skipped(self) -> None:
        csv_name = write("t.csv", "a,text\n1,\n2\n3,x\n")
        json_name = write("t.jsonl", '{"text": null}\n\n{"text": ""}\n{"text": "x"}\n')
        assert documents_of(f"{csv_name}:text", LINES) == [("x", None)]
        assert documents_of(f"{json_name}:text", LINES) == [("x", None)]

    def test_numbers_are_written_out(self) -> None:
        name = write("t.jsonl", '{"n": 1}\n{"n": 2.50}\n{"n": true}\n')
        assert [text for text, _ in documents_of(f"{name}:n", LINES)] == ["1", "2.5", "true"]

    def test_a_cell_may_be_long(self) -> None:
        name = write("t.csv", "text\n" + "x" * 300_000)
        assert text_of(f"{name}:text") == "x" * 300_000

    def test_a_missing_column_is_an_error_that_lists_the_others(self) -> None:
        name = write("t.csv", "id,text\n1,x\n")
        assert error_of(f"{name}:txt") == (
            "t.csv has no column txt: its columns are id, text, if commas stand between them; "
            "otherwise give --delimiter"
        )
        name = write("t.jsonl", '{"id": 1, "text": "x"}\n{"id": 2, "body": "y"}\n')
        assert error_of(f"{name}:txt").startswith("line 1 of t.jsonl has no field txt: ")
        assert error_of(f"{name}:text").endswith(
            "line 2 of t.jsonl has no field text: its fields are id, body"
        )

    @pytest.mark.parametrize("line", ["{", "[1]", '"x"', '{"text": [1]}', '{"text": {}}'])
    def test_a_bad_line_is_named(self, line: str) -> None:
        name = write("t.jsonl", f'{{"text": "x"}}\n{line}\n')
        assert "line 2 of t.jsonl" in error_of(f"{name}:text")

    def test_without_text_in_the_column_is_an_error(self) -> None:
        name = write("t.csv", "id,text\n1,\n")
        assert "t.csv has no text in text" in error_of(f"{name}:text")
        assert "t.csv has no text in text" in error_of(f"{write('t.csv', '')}:text")


class TestLabels:
    def test_come_from_a_column(self) -> None:
        options = ReadingOptions(documents="lines", label_column="genre")
        csv_name = write("t.csv", "genre,text\nhorror,boo\npoem,ah\n")
        json_name = write(
            "t.jsonl", '{"text": "boo", "genre": "horror"}\n{"text":"ah","genre":7}\n'
        )
        assert documents_of(f"{csv_name}:text", options) == [("boo", "horror"), ("ah", "poem")]
        assert documents_of(f"{json_name}:text", options) == [("boo", "horror"), ("ah", "7")]

    def test_are_missed_at_the_line_that_has_none(self) -> None:
        options = ReadingOptions(documents="lines", label_column="genre")
        name = write("t.csv", "genre,text\nhorror,boo\n,ah\n")
        assert error_of(f"{name}:text", options).startswith("line 3 of t.csv has no label in genre")
        name = write("t.csv", "kind,text\nhorror,boo\n")
        assert "its columns are kind, text" in error_of(f"{name}:text", options)

    def test_from_a_column_need_a_table(self) -> None:
        options = ReadingOptions(documents="lines", label_column="genre")
        with pytest.raises(SettingsError, match=r"a.txt has no column"):
            text_of(write("a.txt", "x"), options)

    def test_come_from_the_first_subfolder(self) -> None:
        write("f/horror/a.txt", "boo\nbrr")
        write("f/poem/deep/b.txt", "ah")
        write("f/logo.png", b"\0")
        files = ReadingOptions(documents="files", label_folders=True)
        lines = ReadingOptions(documents="lines", label_folders=True)
        assert documents_of("f", files) == [("boo\nbrr", "horror"), ("ah", "poem")]
        assert documents_of("f/", lines, chunk_size=2) == [
            ("boo", "horror"),
            ("brr", "horror"),
            ("ah", "poem"),
        ]

    def test_from_folders_need_subfolders(self) -> None:
        write("f/horror/a.txt", "boo")
        write("f/b.txt", "ah")
        options = ReadingOptions(documents="files", label_folders=True)
        for name in ("f", "f/b.txt", "f/*/*.txt"):
            assert "subfolder for each label" in error_of(name, options)
        with pytest.raises(SettingsError, match="no labels"):
            text_of([], options)


@pytest.mark.parametrize(
    "wrong",
    [
        {"documents": "pages"},
        {"errors": "xmlcharrefreplace"},
        {"errors": "never heard of"},
        {"encoding": "klingon"},
        {"encoding": "hex"},
        {"label_folders": True},
        {"label_column": "x"},
        {"label_column": "x", "documents": "files"},
        {"label_column": "x", "label_folders": True, "documents": "lines"},
    ],
    ids=str,
)
def test_options_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingsError):
        ReadingOptions(**wrong)


@contextmanager
def another_user(folder: Path) -> Iterator[None]:
    """Become a user whom permissions hold for, and who owns the folder; root may read all."""
    is_root = os.geteuid() == 0
    if is_root:
        os.chown(folder, 65534, 65534)
        os.seteuid(65534)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)


class TestErrors:
    def test_a_missing_file_brings_names_like_it(self) -> None:
        write("f/hamlet.txt", "x")
        assert error_of("f/hamlt.txt") == "f/hamlt.txt does not exist: did you mean f/hamlet.txt?"
        assert error_of("f/zzz") == "f/zzz does not exist: check the path"

    def test_that_are_links_to_nowhere_say_so(self) -> None:
        Path("loop").symlink_to("loop")
        Path("broken").symlink_to("nowhere")
        for name in ("loop", "broken"):
            assert error_of(name).startswith(f"{name} is a link that leads nowhere")
        assert "nor does its folder" in error_of("g/hamlet.txt")

    @pytest.mark.parametrize("name", ["", "To be, or\nnot to be. " * 300, "a\0b"])
    def test_a_text_given_as_a_name_is_a_missing_file(self, name: str) -> None:
        assert "does not exist" in error_of(name)

    def test_a_pattern_that_matches_nothing(self) -> None:
        assert "matches no file" in error_of("*.txt")

    def test_a_folder_without_text(self) -> None:
        Path("f").mkdir()
        assert "the folder f has no text files" in error_of("f")
        write("f/a.png", b"\0")
        assert "the folder f has no text files" in error_of("f")

    @pytest.mark.parametrize("options", [PLAIN, LINES])
    def test_an_empty_file(self, options: ReadingOptions) -> None:
        names = [write("a.txt", "x"), write("empty.txt", "")]
        assert "empty.txt is empty" in error_of(names, options)
        assert "packed is empty" in error_of(write("packed", gzip.compress(b"")), options)

    @pytest.mark.parametrize("options", [PLAIN, LINES, FILES])
    def test_nothing_but_blanks(self, options: ReadingOptions) -> None:
        assert "no text in blank.txt" in error_of(write("blank.txt", "\n \r\n\t"), options)
        write("f/empty.txt", "")
        assert "no text in f" in error_of("f", options)

    @pytest.mark.parametrize("damage", ["cut", "changed", "junk"])
    def test_damaged_gzip(self, damage: str) -> None:
        packed = bytearray(gzip.compress(os.urandom(1000).hex().encode()))
        if damage == "cut":
            del packed[-30:]
        elif damage == "changed":
            packed[-6] ^= 1
        else:
            packed[10:100] = b"\xff" * 90
        assert "damaged or truncated" in error_of(write("a.gz", bytes(packed)))

    def test_a_device(self) -> None:
        assert "/dev/null is a device" in error_of("/dev/null")

    def test_a_file_that_may_not_be_read(self) -> None:
        with tempfile.TemporaryDirectory() as folder, another_user(Path(folder)):
            path = Path(write(f"{folder}/secret.txt", "x"))
            path.chmod(0)
            expected = f"{path} cannot be read (Permission denied): check its permissions"
            assert error_of(str(path)) == expected
            assert error_of(folder) == expected
            (Path(folder) / "closed").mkdir(mode=0)
            assert "closed" in error_of(str(Path(folder) / "closed"))
