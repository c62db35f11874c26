import contextlib
import gzip
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import SMALL, error_of, run, succeed
from files import write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

FEW = ("--steps", "5", *SMALL)
TEXT = "To be, or not to be: that is the question.\n" * 100


class TestSources:
    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (None, "text.txt does not exist: check the path"),
            ("", "text.txt is empty"),
            ("\n \n", "there is no text in text.txt"),
            ("a", "one window needs 17: give more text, or set a smaller window"),
            ("ab" * 8, "one window needs 17"),
            (b"To be\0or not", "text.txt is binary, with a zero byte at 5"),
            (b"caf\xe9 and more", "text.txt is not valid utf-8 at byte 3: give its encoding"),
            (
                gzip.compress(TEXT.encode(), mtime=0)[:-9],
                "text.txt is a damaged or truncated gzip file",
            ),
        ],
    )
    def test_that_are_bad_are_named(self, content: str | bytes | None, message: str) -> None:
        if content is not None:
            write("text.txt", content)
        assert message in error_of("train", "text.txt", "--out", "run", *FEW)
        assert not Path("run").exists()

    def test_in_folders_and_patterns_without_text(self) -> None:
        Path("f").mkdir()
        assert "the folder f has no text files" in error_of("train", "f", *FEW)
        assert "*.md matches no file" in error_of("train", "*.md", *FEW)

    def test_in_tables_without_the_column(self) -> None:
        write("t.csv", "id,text\n1,x\n")
        assert "its columns are id, text" in error_of("train", "t.csv:body", *FEW)

    def test_at_an_address_where_nobody_answers(self) -> None:
        message = error_of("train", "http://127.0.0.1:9/text.txt", *FEW)
        assert message.startswith("http://127.0.0.1:9/text.txt cannot be downloaded")

    def test_from_standard_input_that_is_empty(self) -> None:
        assert "is empty" in error_of("train", "-", *FEW)

    @pytest.mark.parametrize("text", ["one line alone\n", "one\ntwo\n", "a\nb\nc\nd\ne\n"])
    def test_of_few_lines_are_trained_on_or_refused_in_a_line(self, text: str) -> None:
        done = run("train", write("a.txt", text), "--documents", "lines", *FEW, "--json")
        assert "Traceback" not in done.err
        if done.code == 1:
            assert done.err.count("\n") == 1
        else:
            assert done.json["heldout"]["characters"] > 0

    @given(content=st.binary(max_size=60), documents=st.sampled_from(["none", "lines", "files"]))
    @settings(
        max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    def test_of_any_bytes_never_end_in_a_traceback(self, content: bytes, documents: str) -> None:
        shutil.rmtree("run", ignore_errors=True)
        options = ("--documents", documents, "--set", "window=4", "--out", "run")
        done = run("train", write("a.txt", content), *FEW, *options)
        assert done.code in (0, 1), done.err
        assert "Traceback" not in done.err

    def test_that_may_not_be_read(self) -> None:
        write("text.txt", TEXT)
        Path("text.txt").chmod(0)
        command: list[str | Path] = [sys.executable, "-m", "sunspring", "train", "text.txt"]
        if os.geteuid() == 0:  # who may read all unless that power is given up
            if not (setpriv := shutil.which("setpriv")):
                pytest.skip("root may read all here")
            powers = "-dac_override,-dac_read_search"
            command = [setpriv, f"--bounding-set={powers}", f"--inh-caps={powers}", *command]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 1
        assert done.stderr == (
            "sunspring: text.txt cannot be read (Permission denied): check its permissions\n"
        )


class TestSettings:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--preset", "huge"], "there is no preset 'huge': choose auto, article"),
            (["--set", "hidden"], "--set hidden has no value: write it as key=value"),
            (["--set", "hiden_size=3"], "there is no setting 'hiden_size': choose from"),
            (["--set", "hidden_size=x"], "hidden_size is 'x': it must be a whole number"),
            (["--set", "hidden_size=0"], "hidden_size is 0"),
            (["--set", "window=0"], "window is 0: it must be at least 1"),
            (["--set", "dropout=1"], "embedding_dropout is 1.0: it must be at least 0 and below 1"),
            (["--set", "cell=lstn"], "cell is 'lstn': choose rnn, gru or lstm"),
            (["--set", "hidden_size=100000000"], "GB of memory and this cpu has"),
            (["--set", "hidden_size=" + "9" * 30], "GB of memory and this cpu has"),
            (["--set", "layers=1000000000"], "GB of memory and this cpu has"),
            (["--set", "embedding_size=10000000000"], "GB of memory and this cpu has"),
            (["--set", "batch_size=100000000"], "GB of memory and this cpu has"),
            (["--set", "window=1000000000"], "one window needs 1000000001"),
            (["--encoding", "klingon"], "Python does not know the text encoding 'klingon'"),
            (["--seed", "-1"], "seed is -1: it must be at least 0"),
            (["--minutes", "1"], "minutes, epochs or steps: give only one"),
            (["--label-folders"], "--documents files or lines"),
            (["--label-column", "x", "--documents", "lines"], "a.txt has no column"),
            (["--minimum-count", "0"], "minimum_count is 0: it must be at least 1"),
            (["--minimum-count", "99999"], "minimum"),
            (["--subword-vocabulary", "3"], "subword_vocabulary is 3: it must be at least 257"),
            (["--init-from", "nowhere"], "there is no model folder nowhere"),
            (["--heldout", "nothing.txt"], "nothing.txt does not exist"),
        ],
        ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
    )
    def test_that_are_bad_are_named(self, options: list[str], message: str) -> None:
        write("a.txt", TEXT)
        assert message in error_of("train", "a.txt", "--out", "run", *FEW, *options)
        assert not Path("run").exists()

    @pytest.mark.parametrize(
        ("options", "advised"),
        [
            (["layers=1", "hidden_size=100000000"], "lower hidden_size"),
            (["layers=1000000000"], "lower layers"),
            (["batch_size=100000000"], "lower batch_size"),
            (["layers=1", "batch_size=100000000", "hidden_size=100000000", "embedding_size=1"],
             "lower batch_size, window or hidden_size"),
        ],
    )  # fmt: skip
    def test_that_take_too_much_memory_are_named_if_lowering_them_helps(
        self, options: list[str], advised: str
    ) -> None:
        given = [word for option in options for word in ("--set", option)]
        message = error_of("train", write("a.txt", TEXT), "--out", "run", *FEW, *given)
        assert message.rpartition(": ")[2] == advised

    @pytest.mark.parametrize(
        ("budget", "message"),
        [
            ("--steps=0", "steps is 0: it must be above 0"),
            ("--minutes=-1", "minutes is -1.0: it must be above 0"),
            ("--epochs=nan", "epochs is nan: it must be a number, above 0"),
        ],
    )
    def test_of_the_budget_must_be_above_0(self, budget: str, message: str) -> None:
        assert error_of("train", write("a.txt", TEXT), budget) == message

    def test_of_a_device_that_is_not_there(self) -> None:
        import torch

        if torch.cuda.is_available():
            pytest.skip("there is a GPU")
        message = error_of("train", write("a.txt", TEXT), *FEW, "--device", "cuda")
        assert message.startswith("there is no CUDA GPU that PyTorch can use")


class TestOut:
    def test_that_is_a_file(self) -> None:
        write("run", "mine")
        message = error_of("train", write("a.txt", TEXT), "--out", "run", *FEW)
        assert message == "run is a file: name a new or empty folder with --out"
        assert Path("run").read_text() == "mine"

    @pytest.mark.parametrize("out", ["/dev/null/run", "/proc/run", "a.txt/run"])
    def test_that_cannot_be_made(self, out: str) -> None:
        done = run("train", write("a.txt", TEXT), "--out", out, *FEW)
        assert done.code == 1
        assert done.err.splitlines()[-1].startswith(f"sunspring: {out} cannot be written (")

    def test_on_a_disk_that_is_full_leaves_the_last_checkpoint_whole(self) -> None:
        with small_disk("disk", 300) as disk:
            out = disk / "run"
            done = run("train", write("a.txt", TEXT), "--out", out, *FEW)
            fill(disk)
            again = run("train", "--out", out, "--resume", "--steps", "10")
            assert (done.code, again.code) == (0, 1)
            last = again.err.splitlines()[-1]
            assert last.startswith(f"sunspring: {out}")
            assert "No space left on device" in last
            (disk / "filling").unlink()
            succeed("train", "--out", out, "--resume", "--steps", "10")
            assert not list(out.glob("**/.*"))

    def test_with_a_cache_on_a_disk_that_is_full(self) -> None:
        with small_disk("disk", 100) as disk:
            environment = {"SUNSPRING_CACHE": str(disk)}
            write("a.txt", TEXT * 100)
            message = error_of("train", "a.txt", "--out", "run", *FEW, environment=environment)
            assert message.startswith(
                f"{disk}/corpora has 0 MB free, and the text and its ids take"
            )
            assert "SUNSPRING_CACHE" in message
            assert list(disk.glob("corpora/*")) == []
        assert not Path("run").exists()


@contextlib.contextmanager
def small_disk(name: str, kilobytes: int) -> Iterator[Path]:
    """Mount a file system of its own, where that may be done."""
    folder = Path(name).absolute()
    folder.mkdir()
    size = f"size={kilobytes}k"
    mount = ["mount", "-t", "tmpfs", "-o", size, "none", str(folder)]
    if sys.platform != "linux" or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("file systems may not be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def fill(folder: Path) -> None:
    with contextlib.suppress(OSError), (folder / "filling").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


class TestDamagedModels:
    @pytest.mark.parametrize(
        "name", ["config.json", "tokenizer.json", "model.safetensors", "card.json", "run.json"]
    )
    @pytest.mark.parametrize("command", ["write", "evaluate"])
    def test_name_the_file(self, trained: Path, name: str, command: str) -> None:
        shutil.copytree(trained, "run")
        content = Path("run", name).read_bytes()
        for damage in (b"", b"{}", content[: len(content) // 2], b"\xff" * 100):
            Path("run", name).write_bytes(damage)
            if name == "card.json" and damage == b"{}":
                continue
            if (name, command, damage) == ("run.json", "write", b"{}"):
                continue  # not needed to write
            assert name in error_of(command, "run")

    @pytest.mark.parametrize("key", ["hidden_size", "layers", "embedding_size"])
    def test_whose_parts_do_not_fit_say_so(self, trained: Path, key: str) -> None:
        shutil.copytree(trained, "run")
        path = Path("run/config.json")
        for value in (3, 100_000_000):
            path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
            assert "that config.json asks for" in error_of("write", "run")
            assert "do not fit" in error_of("write", "run", "--engine", "torch")

    def test_that_are_files_are_no_folders(self, trained: Path) -> None:
        path = str(trained / "model.safetensors")
        assert error_of("write", path).startswith(f"there is no model folder {path}")
