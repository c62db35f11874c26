from pathlib import Path

import pytest

from sunspring.errors import ModelError
from sunspring.storage import cache_folder, read_json, write_atomically


def test_the_cache_is_where_the_environment_or_the_system_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SUNSPRING_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("SUNSPRING_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert "sunspring" in str(cache_folder())


@pytest.mark.parametrize("content", ["", "{", "[]", "3", "\x00", "[" * 100_000])
def test_json_that_is_no_object_is_one_clear_line(content: str, tmp_path: Path) -> None:
    (tmp_path / "card.json").write_text(content)
    with pytest.raises(ModelError, match=r"card\.json is damaged"):
        read_json(tmp_path / "card.json")


def test_file_is_replaced_whole_and_nothing_is_left_behind(tmp_path: Path) -> None:
    write_atomically(tmp_path / "file", b"old")
    write_atomically(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
