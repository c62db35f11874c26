"""Tables as people have them: other delimiters, stray quotes, rows that do not fit the header."""

import csv
import io
from typing import Any

import pytest
from files import write
from hypothesis import given
from hypothesis import strategies as st

from sunspring.errors import SettingsError, SourceError
from sunspring.text.files import find_sources
from sunspring.text.options import ReadingOptions
from sunspring.text.sources import read_passages


def read(name: str, **options: Any) -> tuple[list[str], list[str]]:
    """The documents of a table, and what was said about it."""
    notices: list[str] = []
    sources = find_sources([name], ReadingOptions(**{"documents": "lines", **options}))
    texts = [passage.text for passage in read_passages(sources, notify=notices.append)]
    return texts, notices


def error_of(name: str, **options: Any) -> str:
    with pytest.raises(SourceError) as caught:
        read(name, **options)
    return str(caught.value)


class TestRowsThatDoNotFit:
    def test_are_left_out_and_the_first_of_them_are_named(self) -> None:
        rows = ["1,one", "2,two, too", "3", "4,four", *["5,five,5"] * 5, "6,six,,"]
        name = write("t.csv", "id,text\n" + "\n".join(rows))
        texts, notices = read(f"{name}:text")
        assert texts == ["one", "four", "six"]
        assert notices == [
            "left out rows of t.csv: those at lines 3, 6, 7 and 3 more have too many cells, "
            "that at line 4 have too few cells"
        ]

    def test_never_shift_into_labels(self) -> None:
        name = write("t.csv", "text,mood\nslow, and blue,calm\nfast,loud\n")
        sources = find_sources(
            [f"{name}:text"], ReadingOptions(documents="lines", label_column="mood")
        )
        assert [(text, label) for text, _, label in read_passages(sources)] == [("fast", "loud")]

    def test_are_an_error_if_no_row_fits(self) -> None:
        write("t.csv", "text,mood\na, b,calm\nc, d,calm\n")
        message = error_of("t.csv:text")
        assert message.startswith("no row of t.csv fits its header (text, mood): those at lines 2 ")
        assert "put quotes around cells that hold commas" in message

    def test_have_a_quote_inside_a_cell_in_quotes(self) -> None:
        name = write("t.csv", 'text\n"She said "no" and left"\n"yes"\n"a ""b"""\n5" wide\n')
        texts, notices = read(f"{name}:text")
        assert texts == ["yes", 'a "b"', '5" wide']
        assert notices == ["left out rows of t.csv: that at line 2 have quotes in the wrong place"]


class TestAQuote:
    def test_that_is_never_closed_is_an_error_at_the_line_where_it_opens(self) -> None:
        rows = [f"{number},word" for number in range(40)]
        rows[12] = '12,"word'
        write("t.csv", "\n".join(["id,text", *rows]))
        assert "opens a cell at line 14 of t.csv" in error_of("t.csv:text")

    def test_that_another_stray_one_closes_is_an_error_too(self) -> None:
        rows = [f"{number},word" for number in range(40)]
        rows[12], rows[30] = '12,"word', '30,"word'
        write("t.csv", "\n".join(["id,text", *rows]))
        assert "opens a cell at line 14 of t.csv" in error_of("t.csv:text")

    def test_alone_in_tsv_is_a_character(self) -> None:
        rows = [f"{number}\tword" for number in range(40)]
        rows[12], rows[30] = '12\t"word', '30\t"so" it is'
        write("t.tsv", "\n".join(["id\ttext", *rows]))
        texts, notices = read("t.tsv:text")
        assert len(texts) == 40
        assert (texts[12], texts[30], notices) == ('"word', '"so" it is', [])

    def test_in_tsv_around_a_whole_cell_is_not_text(self) -> None:
        name = write("t.tsv", 'id\ttext\n1\t"a ""b"" c"\n2\t"two\r\nlines"\n3\t"x\ty"\r\n')
        assert read(f"{name}:text")[0] == ['a "b" c', "two\nlines", "x\ty"]


class TestTheDelimiter:
    @pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
    @pytest.mark.parametrize("ending", ["csv", "tsv"])
    def test_is_found_in_the_header(self, delimiter: str, ending: str) -> None:
        rows = [["id", "text", "mood"], ["1", "one", "calm"], ["2", "two", "loud"]]
        name = write(f"t.{ending}", "\n".join(delimiter.join(row) for row in rows))
        assert read(f"{name}:text", label_column="mood")[0] == ["one", "two"]

    @pytest.mark.parametrize(
        ("given", "between"), [("~", "~"), (";", ";"), ("tab", "\t"), ("\t", "\t")]
    )
    def test_may_be_given(self, given: str, between: str) -> None:
        name = write("t.csv", f"a,b{between}text\n1{between}one\n")
        assert read(f"{name}:text", delimiter=given)[0] == ["one"]

    @pytest.mark.parametrize("wrong", ["", "ab", '"', "\n", "comma"])
    def test_is_refused_if_it_cannot_be_one(self, wrong: str) -> None:
        with pytest.raises(SettingsError, match="delimiter is"):
            ReadingOptions(delimiter=wrong)

    def test_is_named_where_a_column_is_missing(self) -> None:
        name = write("t.csv", "id;text;mood\n1;one;calm\n")
        assert error_of(f"{name}:body") == (
            "t.csv has no column body: its columns are id, text, mood, if semicolons stand between "
            "them; otherwise give --delimiter"
        )

    def test_is_looked_for_in_a_header_of_several_lines(self) -> None:
        name = write("t.csv", '"the\nid";text\n1;one\n2;"two"\n3\n')
        texts, notices = read(f"{name}:text")
        assert texts == ["one", "two"]
        assert "that at line 5 have too few cells" in notices[0]


cells = st.text(st.sampled_from('ab",;|\t\n '), max_size=6)


@given(
    rows=st.lists(st.tuples(cells, cells), min_size=1, max_size=8),
    delimiter=st.sampled_from(",;|"),
    chunk_size=st.integers(1, 9),
)
def test_a_well_formed_table_is_read_as_the_csv_module_reads_it(
    rows: list[tuple[str, str]], delimiter: str, chunk_size: int
) -> None:
    file = io.StringIO(newline="")
    csv.writer(file, delimiter=delimiter).writerows([("id", "text"), *rows, ("", "end")])
    name = write("t.csv", file.getvalue())
    sources = find_sources([f"{name}:text"], ReadingOptions())
    text = "".join(passage.text for passage in read_passages(sources, chunk_size=chunk_size))
    assert text == "\n".join([text for _, text in rows if text] + ["end"])
