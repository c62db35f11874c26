"""Models of bytes that are no text: what they write comes out as the bytes that it is."""

import random
import subprocess
import sys
from pathlib import Path

import pytest
from commands import SMALL, error_of, run, succeed

import sunspring
from sunspring.errors import SettingsError

RECORD = bytes([0xFF, 0xFE, 0x00, 0x80, 0xC3, 0x28, 0x0A, 0x41])


@pytest.fixture(scope="module")
def trained_on_bytes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run on records of bytes, and what was said during it."""
    folder = tmp_path_factory.mktemp("binary")
    draw = random.Random(0)
    (folder / "data.bin").write_bytes(
        b"".join(RECORD * draw.randrange(1, 4) + b"\x90\x91" for _ in range(1500))
    )
    options = ("--tokens", "bytes", "--steps", "80", "--preset", "tiny", "--out", folder / "run")
    return folder / "run", succeed("train", folder / "data.bin", *options).err


def test_training_says_how_bytes_are_kept(trained_on_bytes: tuple[Path, str]) -> None:
    assert "of the bytes are no UTF-8 text" in trained_on_bytes[1]
    assert "--raw" in trained_on_bytes[1]


@pytest.mark.parametrize("engine", ["native", "torch"])
def test_bytes_come_out_as_they_are(trained_on_bytes: tuple[Path, str], engine: str) -> None:
    model = sunspring.load(trained_on_bytes[0], engine=engine)  # type: ignore[arg-type]
    written = model.write_bytes(length=400, seed=1, temperature=0.3)
    assert len(written) == 400
    assert b"\xef\xbf\xbd" not in written
    assert RECORD in written
    prompt = RECORD[:3].decode("utf-8", "surrogateescape")
    assert model.write_bytes(prompt, length=0) == RECORD[:3]
    stopped = model.write_bytes(prompt, length=400, seed=1, stop="A")
    assert b"A" not in stopped
    same = model.write_bytes(length=400, seed=1, temperature=0.3)
    assert same == written


def test_text_is_the_same_either_way(english: Path) -> None:
    folder = Path("run")
    succeed("train", english, "--tokens", "bytes", "--steps", "20", "--out", folder, *SMALL)
    model = sunspring.load(folder)
    text = model.write("The é", length=60, seed=2, temperature=0.1)
    raw = model.write_bytes("The é", length=60, seed=2, temperature=0.1)
    assert text.startswith(raw.decode("utf-8", "replace").rstrip("\ufffd"))


def test_the_command_gives_the_same(trained_on_bytes: tuple[Path, str]) -> None:
    model = sunspring.load(trained_on_bytes[0])
    Path("prompt.bin").write_bytes(RECORD)
    options = ("--seed", "1", "--length", "100", "--prompt-file", "prompt.bin", "--raw")
    command = [sys.executable, "-m", "sunspring", "write", trained_on_bytes[0], *options]
    done = subprocess.run(command, capture_output=True, check=True)
    prompt = RECORD.decode("utf-8", "surrogateescape")
    assert done.stdout == model.write_bytes(prompt, length=100, seed=1)


def test_what_does_not_go_together_is_one_line(trained_on_bytes: tuple[Path, str]) -> None:
    assert "which are always text: leave out raw" in error_of("write", "shakespeare", "--raw")
    assert "--json does not go with --raw" in error_of(
        "write", trained_on_bytes[0], "--raw", "--json"
    )
    model = sunspring.load(trained_on_bytes[0])
    with pytest.raises(SettingsError, match="leave these out, or raw"):
        model.write_bytes(no_copies_over=20)
    assert run("write", trained_on_bytes[0], "--raw", "--mixture").code == 1
