import gzip
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from commands import SMALL, error_of, run, succeed
from files import write

SENTENCES = "To be, or not to be: that is the question.\n"
TEXT = SENTENCES * 100
FEW = ("--steps", "5", *SMALL, "--json")


def train(*arguments: str, **streams: Any) -> dict[str, Any]:
    """Train a little; returns the object on stdout."""
    result = succeed("train", *arguments, *FEW, **streams).json
    assert isinstance(result, dict)
    return result


def tokens_of(run: str) -> list[str]:
    vocabulary = json.loads(Path(run, "tokenizer.json").read_text())["model"]["vocab"]
    return sorted(vocabulary, key=vocabulary.__getitem__)


class TestFromTextToText:
    def test_each_step_is_one_command(self, english: Path) -> None:
        trained = succeed("train", english, "--out", "run", *FEW)
        assert set(trained.json) == {
            *("run", "preset", "parameters", "corpus", "seconds", "characters_per_second"),
            *("epochs", "heldout", "device", "precision", "seed"),
        }
        assert set(trained.json["corpus"]) == {
            *("characters", "tokens", "vocabulary", "fingerprint"),
        }
        assert set(trained.json["heldout"]) == {
            *("nats", "bpc", "characters", "protocol", "overlap"),
        }
        assert trained.json["run"] == "run"
        assert trained.json["corpus"]["characters"] == 40_000
        assert trained.json["heldout"]["characters"] == 4000
        assert trained.err.endswith(
            "saved in run; write with: sunspring write run\n"
            "report of what it learned and what it copied: run/report.html\n"
        )
        assert "100%" in trained.err

        assert len(succeed("write", "run", "--length", "30").out) == 30

        evaluated = succeed("evaluate", "run", "--json").json
        assert set(evaluated) >= {
            *("nats_per_token", "nats_per_character", "bpc", "perplexity", "characters"),
            *("protocol", "baselines"),
        }
        assert evaluated["bpc"] == pytest.approx(trained.json["heldout"]["bpc"], rel=1e-6)

    def test_without_json_stdout_is_empty(self, english: Path) -> None:
        assert succeed("train", english, "--out", "run", *FEW[:-1]).out == ""

    def test_the_default_text_is_said_to_be_so(self) -> None:
        done = succeed("train", *FEW)
        assert done.err.startswith("no source was given: training on the English text")
        assert done.json["corpus"]["characters"] > 1_000_000
        assert done.json["run"] == "runs/python-help"

    def test_the_run_is_described_without_naming_places(self, tmp_path: Path) -> None:
        train(write("text.txt", TEXT), "--out", "run")
        assert str(tmp_path) in Path("run/run.json").read_text()
        for name in ("card.json", "config.json", "tokenizer.json", "log.jsonl"):
            assert "text.txt" not in Path("run", name).read_text()


class TestOut:
    def test_is_a_new_folder_under_runs_by_default(self) -> None:
        write("texts/hamlet.v2.txt", TEXT)
        assert train("texts/hamlet.v2.txt")["run"] == "runs/hamlet"
        assert train("texts/hamlet.v2.txt")["run"] == "runs/hamlet-2"
        assert train("texts/")["run"] == "runs/texts"
        assert train("texts/*.txt")["run"] == "runs/text"

    def test_of_a_long_name_is_shortened(self) -> None:
        assert train(write("a b" * 70, TEXT))["run"] == "runs/" + "a-b" * 20

    def test_of_a_name_that_is_no_text_works(self) -> None:
        name = os.fsdecode(b"caf\xe9.txt")
        write(name, TEXT)
        train(name, "--out", "run")
        train("--out", os.fsdecode(b"r\xfcn"), name)
        evaluated = succeed("evaluate", "run", "--json").json
        assert evaluated["characters"] == len(TEXT) // 10

    def test_that_is_an_empty_folder_is_taken(self) -> None:
        Path("run").mkdir()
        train(write("a.txt", TEXT), "--out", "run")

    def test_that_holds_a_run_is_left_as_it_is(self) -> None:
        train(write("a.txt", TEXT), "--out", "run")
        before = {path: path.read_bytes() for path in Path("run").iterdir() if path.is_file()}
        message = error_of("train", "a.txt", "--out", "run", *FEW)
        assert (
            message == "run already holds a run: continue it with --resume, or name another --out"
        )
        assert all(path.read_bytes() == content for path, content in before.items())


class TestSources:
    def test_of_all_kinds_are_read_together(self) -> None:
        write("f/a.txt", TEXT)
        write("b.txt.gz", gzip.compress(TEXT.encode()))
        write("t.csv", "id,text\n" + f'1,"{SENTENCES}"\n' * 10)
        write("t.jsonl", json.dumps({"text": SENTENCES}) + "\n")
        sources = ("f", "*.gz", "t.csv:text", "t.jsonl:text", "-")
        result = train(*sources, "--out", "run", stdin=TEXT)
        size = result["corpus"]["characters"]
        assert abs(size - 3 * len(TEXT) - 11 * len(SENTENCES)) < 20
        assert evaluate("run")["characters"] == pytest.approx(size / 10, abs=1)

    def test_may_be_in_another_encoding(self) -> None:
        write("a.txt", ("é" + SENTENCES).encode("latin-1") * 100)
        train("a.txt", "--out", "run", "--encoding", "latin-1")
        assert "é" in tokens_of("run")
        train("a.txt", "--out", "mended", "--errors", "replace")
        assert "\ufffd" in tokens_of("mended")

    @pytest.mark.parametrize("keeps", [False, True])
    def test_keep_their_newlines_only_when_asked(self, keeps: bool) -> None:
        write("a.txt", TEXT.replace("\n", "\r\n"))
        train("a.txt", "--out", "run", *(["--keep-newlines"] if keeps else []))
        assert ("\r" in tokens_of("run")) == keeps

    def test_of_heldout_text_are_all_that_is_held_out(self) -> None:
        write("a.txt", TEXT)
        write("b.txt", SENTENCES * 7)
        write("c.txt", SENTENCES * 2)
        result = train("a.txt", "--heldout", "b.txt", "--heldout", "c.txt", "--out", "run")
        assert result["heldout"]["characters"] == 9 * len(SENTENCES)
        assert evaluate("run")["characters"] == 9 * len(SENTENCES)


def evaluate(run: str) -> dict[str, Any]:
    figures = succeed("evaluate", run, "--json").json
    assert isinstance(figures, dict)
    return figures


class TestTokens:
    def test_may_be_bytes_of_anything(self) -> None:
        write("a.bin", bytes(range(256)) * 20)
        assert train("a.bin", "--tokens", "bytes", "--out", "run")["corpus"]["vocabulary"] == 256
        succeed("write", "run", "--length", "20")

    def test_may_be_subwords(self, english: Path) -> None:
        options = ("--tokens", "subwords", "--subword-vocabulary", "300", "--out", "run")
        result = train(str(english), *options)
        assert result["corpus"]["vocabulary"] == 300
        assert result["corpus"]["tokens"] < result["corpus"]["characters"]
        assert len(succeed("write", "run", "--length", "20").out) == 20

    def test_leave_out_rare_characters_when_asked(self) -> None:
        write("a.txt", TEXT + "ß")
        train("a.txt", "--minimum-count", "2", "--out", "run")
        assert "ß" not in tokens_of("run")
        done = succeed("write", "run", "--prompt", "Straße", "--length", "5")
        assert "'ß' is" in done.err


class TestDocuments:
    def test_of_lines_and_files_end_by_themselves(self) -> None:
        write("f/a.txt", TEXT)
        write("f/b.txt", TEXT)
        lines = train("f", "--documents", "lines", "--out", "lines")
        assert lines["corpus"]["vocabulary"] == len({*TEXT})  # an end in place of the newline
        files = train("f", "--documents", "files", "--out", "files")
        assert files["corpus"]["vocabulary"] == len({*TEXT}) + 1

    def test_have_labels_from_a_column(self) -> None:
        rows = [f"{'horror' if n % 2 else 'poem'},line {n} of the text\n" for n in range(200)]
        write("t.csv", "genre,text\n" + "".join(rows))
        options = ("--documents", "lines", "--label-column", "genre")
        done = succeed("train", "t.csv:text", *options, "--out", "run", *FEW)
        assert "labels poem, horror" in done.err
        check_labels("run")
        assert evaluate("run")["characters"] > 0

    def test_have_labels_from_folders(self) -> None:
        for label in ("horror", "poem"):
            for number in range(5):
                write(f"f/{label}/{number}.txt", SENTENCES * 10)
        train("f", "--documents", "files", "--label-folders", "--out", "run")
        check_labels("run")
        succeed("evaluate", "run", "f", "--label-folders", "--documents", "files", "--json")
        assert "labels" in error_of("evaluate", "run", "f/horror/1.txt")


def check_labels(run: str) -> None:
    assert len(succeed("write", run, "--label", "horror", "--length", "5").out) <= 5
    for options in ([], ["--label", "romance"], ["--count", "2"]):
        message = error_of("write", run, *options)
        assert "horror" in message
        assert "poem" in message


class TestSettings:
    def test_may_be_set_one_by_one(self) -> None:
        result = train(
            write("a.txt", TEXT), "--set", "layers=3", "--set", " cell = gru ", "--out", "r"
        )
        config = json.loads(Path("r/config.json").read_text())
        assert (config["layers"], config["cell"], config["hidden_size"]) == (3, "gru", 16)
        assert result["precision"] == "fp32"

    def test_end_training_by_epochs_or_minutes(self) -> None:
        write("a.txt", TEXT)
        options = (*SMALL, "--json")
        epochs = succeed("train", "a.txt", "--epochs", "1.5", *options).json
        assert 1.5 <= epochs["epochs"] < 1.7
        minutes = succeed("train", "a.txt", "--minutes", "0.01", *options).json
        assert 0.3 <= minutes["seconds"] < 10

    def test_end_minutes_early_for_a_text_that_was_read_often_enough(self) -> None:
        write("a.txt", TEXT)
        enough = (*SMALL, "--minutes", "5", "--set", "most_epochs=1.5", "--out", "run")
        result = succeed("train", "a.txt", *enough, "--json").json
        assert 1.5 <= result["epochs"] < 1.7
        assert result["heldout"]
        more = succeed("train", "--resume", "--out", "run", "--minutes", "10")
        assert "read 1.5 times, which is enough" in more.err
        assert "--epochs" in more.err

    def test_may_ask_for_tensorboard(self) -> None:
        pytest.importorskip("tensorboard")
        train(write("a.txt", TEXT), "--tensorboard", "--out", "run")
        assert list(Path("run/tensorboard").glob("events.*"))

    @pytest.mark.skipif(sys.platform != "linux", reason="needs a path of its own for imports")
    def test_without_tensorboard_say_so_before_anything_is_made(self, tmp_path: Path) -> None:
        from commands import fresh

        write("a.txt", TEXT)
        hide = (
            "import sys; sys.modules['tensorboard'] = None; from sunspring.cli.main import main; "
        )
        call = "sys.argv[1:] = ['train', 'a.txt', '--tensorboard', '--out', 'run']; main()"
        done = fresh("-c", hide + call)
        assert done.returncode == 1
        assert done.stderr.endswith("pip install 'sunspring[tensorboard]'\n")
        assert not Path("run").exists()


@pytest.fixture(scope="module")
def whole_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    (folder / "a.txt").write_text(TEXT)
    options = ("--out", folder / "base", "--steps", "100", *SMALL, "--json")
    assert succeed("train", folder / "a.txt", *options).json["heldout"]["nats"] < 3
    return folder / "base"


class TestFineTuning:
    @pytest.fixture
    def base(self, whole_base: Path) -> str:
        shutil.copytree(whole_base, "base")
        write("a.txt", TEXT)
        return "base"

    def test_keeps_the_ids_and_adds_new_characters(self, base: str) -> None:
        other = write("b.txt", SENTENCES.replace("question", "überraschung") * 100)
        train(other, "--init-from", base, "--out", "run")
        old, new = tokens_of(base), tokens_of("run")
        assert new[: len(old)] == old
        assert set(new) - set(old) == {"ü", "g", "c"} - set(old)

    def test_starts_lower_than_from_scratch(self, base: str) -> None:
        other = write("b.txt", SENTENCES.replace("question", "überraschung") * 100)
        tuned = train(other, "--init-from", base, "--out", "tuned")
        scratch = train(other, "--out", "scratch")
        assert tuned["heldout"]["nats"] < scratch["heldout"]["nats"] - 0.5

    def test_goes_on_when_its_base_is_gone(self, base: str) -> None:
        train("a.txt", "--init-from", base, "--out", "run")
        Path(base, "model.safetensors").unlink()
        resumed = succeed("train", "--out", "run", "--resume", "--steps", "10")
        assert "using the training text" not in resumed.err  # which needs no weights
        evaluated = succeed("evaluate", "run", "--json")
        assert "model.safetensors" not in evaluated.err

    @pytest.mark.parametrize(
        ("setting", "kept"),
        [("hidden_size=32", "16"), ("layers=2", "1"), ("cell=gru", "lstm"), ("skip=false", "True")],
    )
    def test_with_another_architecture_is_an_error(
        self, base: str, setting: str, kept: str
    ) -> None:
        name, asked = setting.split("=")
        message = error_of("train", "a.txt", "--init-from", base, "--set", setting)
        assert message.startswith(f"{name} is {kept} in the model of --init-from")
        assert f"do not fit {asked}".lower() in message.lower()

    def test_may_change_the_dropout_and_the_recipe(self, base: str) -> None:
        train("a.txt", "--init-from", base, "--set", "dropout=0.4", "--set", "window=8")

    def test_with_other_tokens_is_an_error(self, base: str) -> None:
        message = error_of("train", "a.txt", "--init-from", base, "--tokens", "bytes")
        assert message == "base reads chars, not bytes: leave out --tokens"


def test_usage_is_shown_where_it_is_not_understood() -> None:
    for arguments in (
        ["train", "--colour"],
        ["paint"],
        ["train", "--device", "tpu"],
        ["train", "--errors", "never"],
        ["write"],
        ["compare"],
        ["quantize", "model"],
    ):
        done = run(*arguments)
        assert (done.code, done.out) == (2, "")
        assert "Usage: " in done.err
