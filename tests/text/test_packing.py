"""Packed files and archives as sources: their members are read like the files of a folder."""

import bz2
import gzip
import io
import lzma
import os
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from files import small_files, write

from sunspring.errors import SourceError
from sunspring.text.files import find_sources
from sunspring.text.options import ReadingOptions
from sunspring.text.packing import check_size
from sunspring.text.sources import read_passages

PLAIN = ReadingOptions()
FILES = ReadingOptions(documents="files")
TREE = {"b/two.txt": "two\n", "a/one.txt": "one\n", "a/.hidden": "no", "a/x.png": b"\x89\0"}


def zstandard(content: bytes) -> bytes:
    return pytest.importorskip("backports.zstd").compress(content)  # type: ignore[no-any-return]


PACK: Mapping[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": zstandard,
}
ARCHIVES = ["zip", "tar", *(f"tar.{ending}" for ending in PACK), "tgz", "TAR"]


def packed(ending: str, files: Mapping[str, str | bytes]) -> bytes:
    """An archive of some files."""
    target = io.BytesIO()
    contents = {
        name: content.encode() if isinstance(content, str) else content
        for name, content in files.items()
    }
    if ending == "zip":
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in contents.items():
                archive.writestr(name, content)
        return target.getvalue()
    with tarfile.open(fileobj=target, mode="w") as tar:
        for name, content in contents.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    pack = PACK.get("gz" if ending == "tgz" else ending.rpartition(".")[2])
    return pack(target.getvalue()) if pack else target.getvalue()


def read(name: str, options: ReadingOptions = PLAIN, **more: Any) -> list[Any]:
    """The documents of a source, each with its label."""
    documents, begun = [], ""
    for text, ends_document, label in read_passages(find_sources([name], options), **more):
        begun += text
        if ends_document:
            documents.append((begun, label))
            begun = ""
    return documents


def error_of(name: str) -> str:
    with pytest.raises(SourceError) as caught:
        read(name)
    return str(caught.value)


class TestStreams:
    @pytest.mark.parametrize("ending", PACK)
    def test_are_unpacked_whatever_their_name(self, ending: str) -> None:
        content = PACK[ending]("caf\u00e9\n".encode() * 1000)
        for name in (f"a.txt.{ending}", "a"):
            assert read(write(name, content), chunk_size=7) == [("caf\u00e9\n" * 1000, None)]

    @pytest.mark.parametrize("ending", PACK)
    def test_of_tables_are_read_by_column(self, ending: str) -> None:
        name = write(f"t.csv.{ending}", PACK[ending](b"id,text\n1,one\n"))
        assert read(f"{name}:text") == [("one", None)]

    @pytest.mark.parametrize("ending", PACK)
    @pytest.mark.parametrize("damage", ["cut", "junk"])
    def test_that_are_damaged_are_named(self, ending: str, damage: str) -> None:
        content = bytearray(PACK[ending](os.urandom(1000).hex().encode()))
        content[100:] = content[100:-30] if damage == "cut" else b"\xff" * 200
        assert "a.txt is a damaged or truncated " in error_of(write("a.txt", bytes(content)))

    @pytest.mark.parametrize("ending", PACK)
    def test_that_are_bombs_are_refused(self, ending: str) -> None:
        message = error_of(write("a", PACK[ending](bytes(80 << 20).replace(b"\0", b"a"))))
        assert message.startswith("a unpacks to more than 200 times its size")


class TestArchives:
    @pytest.mark.parametrize("ending", ARCHIVES)
    def test_are_read_as_a_folder_of_their_files(self, ending: str) -> None:
        notices: list[str] = []
        name = write(f"all.{ending}", packed(ending, TREE))
        assert read(name, FILES, notify=notices.append) == [("one\n", None), ("two\n", None)]
        assert notices == [f"skipped binary files: 1 ({name}/a/x.png)"]

    @pytest.mark.parametrize("ending", ["zip", "tar", "tar.gz"])
    def test_give_labels_by_their_folders(self, ending: str) -> None:
        labels = ReadingOptions(documents="files", label_folders=True)
        expected = [("one\n", "a"), ("two\n", "b")]
        assert read(write(f"all.{ending}", packed(ending, TREE)), labels) == expected
        below = {f"all/{name}": content for name, content in TREE.items()}
        assert read(write(f"all.{ending}", packed(ending, below)), labels) == expected

    def test_in_a_folder_stand_for_folders(self) -> None:
        write("f/verse.zip", packed("zip", {"one.txt": "one"}))
        write("f/prose/more.tar.gz", packed("tar.gz", {"deep/two.txt": "two"}))
        write("f/prose/three.txt.bz2", bz2.compress(b"three"))
        labels = ReadingOptions(documents="files", label_folders=True)
        assert read("f", labels) == [("two", "prose"), ("three", "prose"), ("one", "verse")]
        assert read("f/*.zip") == [("one", None)]

    def test_hold_packed_files(self) -> None:
        name = write("all.zip", packed("zip", {"a.txt.gz": gzip.compress(b"one")}))
        assert read(name) == [("one", None)]

    @pytest.mark.parametrize("ending", ["zip", "tar"])
    def test_never_reach_outside(self, ending: str, tmp_path: Path) -> None:
        files = {"../outside.txt": "bad", "a/../../b.txt": "bad", "/rooted.txt": "fine"}
        name = write("all." + ending, packed(ending, files))
        before = sorted(tmp_path.parent.iterdir())
        assert read(name) == [("fine", None)]
        assert sorted(tmp_path.parent.iterdir()) == before
        assert [*Path().iterdir()] == [Path(name)]

    @pytest.mark.parametrize("ending", ["zip", "tar", "tar.gz", "tar.zst"])
    def test_that_are_damaged_are_named(self, ending: str) -> None:
        content = packed(ending, {"a.txt": os.urandom(8000).hex()})
        name = write(f"all.{ending}", content[: len(content) // 2])
        assert f"{name} is a damaged or truncated " in error_of(name)

    def test_with_a_damaged_member_name_it(self) -> None:
        content = packed("zip", {"a.txt": "fine", "b.txt": os.urandom(2000).hex()})
        content = content.replace(content[700:710], b"0123456789")
        assert "all.zip/b.txt is a damaged" in error_of(write("all.zip", content))

    def test_that_are_encrypted_are_refused(self) -> None:
        content = bytearray(packed("zip", {"a.txt": "secret"}))
        content[content.index(b"PK\1\2") + 8] |= 1
        assert "all.zip is encrypted" in error_of(write("all.zip", bytes(content)))

    def test_that_are_bombs_are_refused(self) -> None:
        files = {f"{number}.txt": bytes(40 << 20) for number in range(2)}
        assert "200 times its size" in error_of(write("all.zip", packed("zip", files)))
        assert "200 times its size" in error_of(write("all.tar.xz", packed("tar.xz", files)))

    @pytest.mark.parametrize("ending", ["zip", "tar"])
    def test_of_too_many_members_are_refused(self, ending: str) -> None:
        content = packed(ending, {str(number): b"" for number in range(100_001)})
        assert "has more than 100,000 members" in error_of(write(f"all.{ending}", content))

    @pytest.mark.parametrize("name", ["\xff.txt", "a.txt"], ids=["name", "place"])
    def test_that_contradict_themselves_are_named(self, name: str) -> None:
        content = bytearray(packed("zip", {name: "text"}))
        listed, end = content.index(b"PK\1\2"), content.index(b"PK\5\6")
        entry, rest = content[listed:end], content[end:]
        if name == "a.txt":  # as if the member began 2^64 bytes from here
            entry[42:46], entry[30:32] = b"\xff" * 4, b"\x0c\0"
            entry += b"\1\0\x08\0" + b"\xff" * 8
            rest[12:16] = len(entry).to_bytes(4, "little")
        else:  # not the UTF-8 that it says
            entry[46:48] = b"\xff\xff"
        message = error_of(write("all.zip", bytes(content[:listed] + entry + rest)))
        assert "is a damaged or truncated zip file" in message

    def test_are_not_called_damaged_where_the_disk_is_full(self) -> None:
        name = write("all.tar.gz", packed("tar.gz", {"a.txt": os.urandom(9 << 20).hex()}))
        with small_files():
            message = error_of(name)
        assert "all.tar.gz cannot be stored in " in message
        assert message.endswith("the environment variable SUNSPRING_CACHE to another folder")

    def test_of_too_many_bytes_are_refused(self) -> None:
        check_size("a.zip", 1 << 35, 1 << 36)
        with pytest.raises(SourceError, match=r"a.zip unpacks to more than 64 GB: give its text"):
            check_size("a.zip", 1 << 35, (1 << 36) + 1)

    def test_report_progress_in_bytes_of_their_members(self) -> None:
        name = write("all.zip", packed("zip", {"a.txt": "a" * 3000, "b.txt": "b" * 2000}))
        reports: list[Any] = []
        read(name, on_progress=lambda *done: reports.append(done), chunk_size=500)
        assert reports == sorted(reports)
        assert reports[-1] == (5000, 5000)

    def test_have_members_in_their_signature(self) -> None:
        name = write("all.zip", packed("zip", TREE))
        signature = find_sources([name], ReadingOptions()).signature()
        assert signature is not None
        assert len({str(each) for each in signature}) == 3
