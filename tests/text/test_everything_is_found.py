"""Random trees of files: every character is found again in the passages, or counted as left out."""

import csv
import gzip
import io
import json
import re
import shutil
from collections import Counter

from files import write
from hypothesis import given, settings
from hypothesis import strategies as st

from sunspring.text.files import find_sources
from sunspring.text.options import ReadingOptions
from sunspring.text.sources import read_passages

# what latin-1 has too; no zero, which is binary, and no mark of another encoding
characters = st.sampled_from("abcé\u00fc,;|\t\"' \u00a0")
lines = st.lists(st.text(characters, max_size=12), max_size=6)
folders = st.sampled_from(["", "verse/", "prose/", "prose/deep/"])
encodings = st.sampled_from(["latin-1", "utf-8-sig", "utf-16", "utf-32"])
files = st.tuples(folders, lines, encodings, st.sampled_from(["\n", "\r\n", "\r"]), st.booleans())
LATIN = {"encoding": "latin-1"}  # for what has no mark


@settings(max_examples=60)
@given(tree=st.lists(files, min_size=1, max_size=6), chunk_size=st.integers(1, 40))
def test_in_a_folder_line_by_line_with_its_label(
    tree: list[tuple[str, list[str], str, str, bool]], chunk_size: int
) -> None:
    shutil.rmtree("f", ignore_errors=True)
    expected: list[tuple[str, str]] = [("begin", "all")]
    write("f/all/begin.txt", "begin")
    for number, (folder, content, encoding, end, is_packed) in enumerate(tree):
        folder = folder or "rest/"
        data = end.join(content).encode(encoding)
        write(f"f/{folder}{number}", gzip.compress(data) if is_packed else data)
        expected += [(line, folder.split("/")[0]) for line in content if line]
    options = ReadingOptions(documents="lines", label_folders=True, **LATIN)
    notices: list[str] = []
    found: list[tuple[str, str | None]] = []
    begun = ""
    sources = find_sources(["f"], options)
    for text, ends, label in read_passages(sources, notify=notices.append, chunk_size=chunk_size):
        begun += text
        if ends:
            found.append((begun, label))
            begun = ""
    assert Counter(found) == Counter(each for each in expected if not each[0].isspace())
    blank = sum(text.isspace() for text, _ in expected)
    said = [f"left out documents of white space alone: {blank}"] if blank else []
    assert notices == said


cells = st.text(st.one_of(characters, st.sampled_from("\n")), max_size=8)
table_rows = st.lists(st.tuples(cells, cells, st.sampled_from([-1, 0, 0, 0, 0, 1])), max_size=8)


@settings(max_examples=60)
@given(
    rows=table_rows,
    encoding=encodings,
    kind=st.sampled_from([",", ";", "|", "\t", "json"]),
    chunk_size=st.integers(1, 40),
)
def test_in_a_table_row_by_row(
    rows: list[tuple[str, str, int]], encoding: str, kind: str, chunk_size: int
) -> None:
    rows = [*rows, ("begin", "1", 0)]
    if kind == "json":
        rows = [(text, number, 0) for text, number, _ in rows]
        content = "\n".join(json.dumps({"text": text, "n": n}) for text, n, _ in rows)
    else:
        target = io.StringIO(newline="")
        table = csv.writer(target, delimiter=kind, quoting=csv.QUOTE_ALL)
        table.writerow(["text", "n"])
        for text, number, more in rows:
            table.writerow([text, number, "more"][: 2 + more])
        content = target.getvalue()
    name = write("t.jsonl" if kind == "json" else "t.csv", content.encode(encoding))
    options = ReadingOptions(documents="lines", **LATIN)
    notices: list[str] = []
    passages = read_passages(
        find_sources([f"{name}:text"], options), notify=notices.append, chunk_size=chunk_size
    )
    fitting = [text for text, _, more in rows if not more and text]
    assert [passage.text for passage in passages] == [
        text for text in fitting if not text.isspace()
    ]
    said = " ".join(notices)
    for fault, least in (("too many", 1), ("too few", -1)):
        count = sum(more == least for _, _, more in rows)
        assert count == counted(said, fault)
    blank = sum(text.isspace() for text in fitting)
    assert (f"white space alone: {blank}" in said) == (blank > 0)


def counted(said: str, fault: str) -> int:
    """How many rows a notice says to have a fault."""
    match = re.search(
        rf"(?:that at line|those at lines) ([^a-z]*(?:and [^a-z]+(?:more )?)?)have {fault}", said
    )
    if not match:
        return 0
    numbers = re.findall(r"\d+", match[1])
    return len(numbers) - 1 + int(numbers[-1]) if "more" in match[1] else len(numbers)
