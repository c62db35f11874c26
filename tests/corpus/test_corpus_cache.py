import io
import os
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest
from corpora import FILES, LINES, build, every_token
from files import write

from sunspring.corpus.corpus import Corpus, open_corpus
from sunspring.corpus.vocabulary import CharacterVocabulary
from sunspring.errors import ModelError, SourceError
from sunspring.text.options import ReadingOptions


def arrays_of(corpus: Corpus) -> list[Any]:
    return [
        array.tolist()
        for split in (corpus.train, corpus.validation, corpus.heldout)
        for array in (split.tokens, split.starts)
    ]


def read_stdin(monkeypatch: pytest.MonkeyPatch, text: str, **more: Any) -> Corpus:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    return build("-", **more)


class TestFingerprint:
    def test_is_the_same_for_the_same_text_under_another_name(self) -> None:
        one, other = build(write("a", "some text")), build(write("b", "some text"))
        assert one.fingerprint == other.fingerprint
        assert one.folder != other.folder

    @pytest.mark.parametrize(
        "change",
        [
            {"tokens": "bytes"},
            {"minimum_count": 2},
            {"seed": 1},
            {"reading": ReadingOptions(documents="files")},
            {"reading": ReadingOptions(keep_newlines=True)},
            {"base": CharacterVocabulary("some tx", end=False, unknown=False)},
            {"base_labels": ("x",)},
            {"heldout": ["a"]},
        ],
        ids=lambda change: str(*change),
    )
    def test_changes_with_every_setting(self, change: dict[str, Any]) -> None:
        name = write("a", "some text, some text")
        changed = build(name, **change)
        assert build(name).fingerprint != changed.fingerprint
        assert build(name).folder != changed.folder

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            (["abc", "d"], ["abc", "e"]),
            (["abc", "d"], ["ab", "cd"]),
            (["abc", "d"], ["abcd"]),
            (["abc", "d"], ["d", "abc"]),
        ],
    )
    def test_changes_with_the_text_and_its_documents(
        self, one: list[str], other: list[str]
    ) -> None:
        names = [write("a", "\n".join(one)), write("b", "\n".join(other))]
        assert build(names[0], LINES).fingerprint != build(names[1], LINES).fingerprint

    def test_changes_with_the_labels(self) -> None:
        reading = ReadingOptions(documents="lines", label_column="label")
        names = [
            write(
                f"{labels}.csv", f"label,text\n{labels[0]},one\n{labels[1]},two\n{labels[2]},three"
            )
            for labels in ("xyx", "xyy", "xzx")
        ]
        fingerprints = {build(f"{name}:text", reading).fingerprint for name in names}
        assert len(fingerprints) == 3

    def test_changes_with_what_is_held_out(self) -> None:
        for name in "abc":
            write(name, name)
        fingerprints = {
            build(["a", "b", "c"], FILES).fingerprint,
            build(["a", "b"], FILES, heldout=["c"]).fingerprint,
            build(["a"], FILES, heldout=["b", "c"]).fingerprint,
        }
        assert len(fingerprints) == 3


class TestCache:
    def spoil(self, name: str) -> None:
        """Change a file's content, but nothing that shows without reading it."""
        path = Path(name)
        status = path.stat()
        path.write_bytes(b"\0" * status.st_size)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    @every_token
    def test_is_opened_without_reading_the_sources_again(self, tokens: str) -> None:
        name = write("a", "some text, some text\n" * 9)
        first = build(name, LINES, tokens=tokens)
        expected = arrays_of(first)
        self.spoil(name)
        again = build(name, LINES, tokens=tokens)
        assert (again.folder, again.fingerprint) == (first.folder, first.fingerprint)
        assert arrays_of(again) == expected
        assert again.characters == first.characters

    def test_is_not_used_when_a_file_changes(self) -> None:
        name = write("a", "some text")
        status = Path(name).stat()
        first = build(name)
        write(name, "same text")
        os.utime(name, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
        assert build(name).fingerprint != first.fingerprint
        assert "".join(build(name).lines()) == "same text"

    @pytest.mark.parametrize(
        "damage",
        [
            *("train.tokens", "train.starts", "train.labels", "heldout.tokens"),
            *("corpus.json", "tokenizer.json"),
        ],
    )
    @pytest.mark.parametrize("how", ["gone", "cut", "empty", "junk"])
    def test_that_is_damaged_is_told_apart_and_made_anew(self, damage: str, how: str) -> None:
        rows = "\n".join(f"{number % 2},text {number}" for number in range(300))
        name = write("t.csv", f"label,text\n{rows}") + ":text"
        reading = ReadingOptions(documents="lines", label_column="label")
        first = build(name, reading)
        expected = arrays_of(first)
        path = first.folder / damage
        content = path.read_bytes()
        path.unlink()
        if how == "junk":
            path.write_bytes(b"[]")
        elif how != "gone":
            path.write_bytes(content[: len(content) // 2 + 1 if how == "cut" else 0])
        if not (damage.endswith("labels") and how == "empty"):
            with pytest.raises(SourceError, match="is missing or damaged") as caught:
                open_corpus(first.folder)
            assert str(first.folder) in str(caught.value)
            assert "\n" not in str(caught.value)
        assert arrays_of(build(name, reading)) == expected

    def test_holds_nothing_but_whole_corpora(self) -> None:
        write("a", "some text")
        corpus = build("a")
        with pytest.raises(SourceError):
            build(write("b", b"\xff"))
        assert [path.name for path in Path("cache").iterdir()] == [corpus.folder.name]
        assert "spool.txt" not in {path.name for path in corpus.folder.iterdir()}

    def test_of_standard_input_is_kept_under_its_fingerprint(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = read_stdin(monkeypatch, "some text")
        assert first.folder.name == first.fingerprint
        again = read_stdin(monkeypatch, "some text")
        assert again.folder == first.folder
        assert "".join(first.lines()) == "some text"
        other = read_stdin(monkeypatch, "same text")
        assert other.folder != first.folder
        assert "".join(other.lines()) == "same text"

    def test_that_was_moved_opens_where_it_is(self) -> None:
        first = build(write("a", "some text"))
        expected = arrays_of(first)
        moved = first.folder.rename("elsewhere")
        opened = open_corpus(moved)
        assert opened.fingerprint == first.fingerprint
        assert arrays_of(opened) == expected


def test_room_is_wanted_for_what_is_read_and_not_for_a_whole_archive_with_each_member(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with zipfile.ZipFile("all.zip", "w") as archive:
        for place in range(20):
            archive.writestr(f"{place}.txt", "some text\n" * 20)
        archive.writestr("picture.png", b"\x89\0" * 50_000)
    usage = shutil.disk_usage(".")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=8000))
    assert build("all.zip").characters == 4000
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=7999))
    with pytest.raises(ModelError, match="the text and its ids take 0 MB: make room"):
        build("all.zip", seed=1)
