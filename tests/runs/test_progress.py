import io
import itertools
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
import torch
from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from nbclient import NotebookClient

from sunspring.runs.progress import (
    JsonLog,
    NotebookProgress,
    PlainProgress,
    TensorBoardLog,
    TerminalProgress,
    Units,
    choose_progress,
)
from sunspring.corpus.splits import Split
from sunspring.corpus.vocabulary import CharacterVocabulary, Vocabulary, train_subwords
from sunspring.errors import MissingExtraError
from sunspring.network.config import ModelConfig
from sunspring.network.network import RecurrentModel
from sunspring.runs.samples import SampleWriter
from sunspring.training.budget import Budget
from sunspring.training.recipe import ObjectiveSettings
from sunspring.training.optimizers import Optimizers
from sunspring.training.recipe import OptimizerSettings
from sunspring.training.pace import Pace
from sunspring.training.recipe import Recipe
from sunspring.training.trainer import (
    Callback,
    EvaluationReport,
    QuickSets,
    StepReport,
    Trainer,
    make_batches,
    quick_batches,
)

TEXT = "to be, or not to be: that is the question.\n" * 40
LETTERS = CharacterVocabulary(TEXT, end=False, unknown=False)
UNITS = Units(1.0)
STEP = StepReport(20, 30.0, 0.25, 90.0, 1.5, 2000.0, math.log(2))
EVALUATION = EvaluationReport(STEP, 2 * math.log(2), 3 * math.log(2), True)
END = StepReport(80, 120.0, 1.0, 0.0, 6.0, 2000.0, math.log(2))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def on_an_ordinary_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")


def make_trainer(
    callbacks: Sequence[Callback],
    vocabulary: Vocabulary = LETTERS,
    steps: int = 60,
    labels: tuple[str, ...] = (),
    has_quick_sets: bool = True,
) -> Trainer:
    tokens = vocabulary.encode(TEXT).astype(np.uint16)
    of_documents = np.zeros(1, dtype=np.uint16) if labels else None
    split = Split(tokens, np.array([0, len(tokens)]), of_documents, len(TEXT))
    torch.manual_seed(0)
    config = ModelConfig(
        vocabulary.size, hidden_size=12, embedding_size=8, output_dropout=0.3, labels=labels
    )
    model = RecurrentModel(config)
    quick = quick_batches(split, vocabulary.start_id) if has_quick_sets else []
    return Trainer(
        model,
        make_batches(split, vocabulary.start_id, Recipe("windows", batch_size=4, window=16), 0),
        Optimizers(model, OptimizerSettings()),
        pace=Pace(Budget("steps", steps)),
        warmup_steps=2,
        precision="fp32",
        objective=ObjectiveSettings(),
        quick=QuickSets(quick[:1], quick[:1]),
        callbacks=callbacks,
        clock=itertools.count(0, 0.25).__next__,
    )


def tell(*callbacks: Callback) -> None:
    """A training as the callbacks see it; nothing needs a network here."""
    trainer = make_trainer([])
    for callback in callbacks:
        callback.on_start(trainer)
        callback.on_step(STEP)
        callback.on_evaluation(EVALUATION)
        if isinstance(callback, JsonLog | TensorBoardLog | PlainProgress | TerminalProgress):
            callback.on_sample(20, 0.5, "To be\n[bold]or <not>")
        callback.on_end(END)


def events_of(path: Path) -> list[dict[str, Any]]:
    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not JSON")

    content = path.read_text(encoding="utf-8")
    assert content.endswith("\n")
    return [json.loads(line, parse_constant=refuse) for line in content[:-1].split("\n")]


class TestUnits:
    def test_of_characters_only_change_nats_to_bits(self) -> None:
        assert Units(1.0).bpc(math.log(2)) == pytest.approx(1)
        assert Units(1.0).characters(500) == 500

    def test_of_subwords_share_a_token_s_bits_among_its_characters(self) -> None:
        vocabulary = train_subwords(iter([TEXT]), 300, end=False)
        tokens = len(vocabulary.encode(TEXT))
        assert tokens < len(TEXT) / 1.5
        units = Units(tokens / len(TEXT))
        # The whole text costs the same bits however it is cut.
        assert units.bpc(1.0) * len(TEXT) == pytest.approx(tokens / math.log(2))
        assert units.characters(tokens) == pytest.approx(len(TEXT))

    def test_are_those_of_every_figure_that_is_logged_and_shown(self, tmp_path: Path) -> None:
        units, stream = Units(0.25), io.StringIO()
        tell(JsonLog(tmp_path / "log.jsonl", units), PlainProgress(stream, units))
        _, step, evaluation, *_ = events_of(tmp_path / "log.jsonl")
        assert step["training_bpc"] == 0.25
        assert step["characters_per_second"] == 8000
        assert (evaluation["validation_bpc"], evaluation["heldout_bpc"]) == (0.5, 0.75)
        assert "8,000 characters/s" in stream.getvalue()
        assert "training 0.250 bpc" in stream.getvalue()
        assert "held-out 0.750 bpc" in stream.getvalue()


class TestSamples:
    def samples(self, **settings: Any) -> list[tuple[int, float, str]]:
        found: list[tuple[int, float, str]] = []
        listener = lambda *sample: found.append(sample)  # noqa: E731
        label = settings.get("labels", (None,))[0]
        writer = SampleWriter(
            settings.get("vocabulary", LETTERS), label, [listener], settings.pop("samples", 6)
        )
        make_trainer([writer], **settings).run()
        return found

    def test_come_now_and_then_at_two_temperatures(self) -> None:
        samples = self.samples()
        assert 5 <= len({step for step, _, _ in samples}) <= 7
        assert [temperature for _, temperature, _ in samples] == [0.5, 0.8, 1.0] * (
            len(samples) // 3
        )
        assert {len(text) for _, _, text in samples} == {160}
        assert len({text for _, _, text in samples}) == len(samples)

    def test_are_the_same_in_every_run(self) -> None:
        assert self.samples() == self.samples()

    def test_there_are_none_where_none_are_asked_for(self) -> None:
        assert self.samples(samples=0) == []

    def test_are_written_under_a_label_where_the_model_has_labels(self) -> None:
        assert self.samples(labels=("horror",))

    def test_are_written_though_nothing_is_evaluated(self) -> None:
        assert self.samples(has_quick_sets=False)

    def test_leave_what_is_learned_and_all_that_is_random_as_they_are(self) -> None:
        results = []
        for callbacks in ([], [SampleWriter(LETTERS, None, [lambda *_: None], 6)]):
            trainer = make_trainer(callbacks)
            trainer.run()
            results.append((trainer.model.state_dict(), torch.get_rng_state()))
        (plain, plain_random), (sampled, sampled_random) = results
        assert torch.equal(plain_random, sampled_random)
        for name, tensor in plain.items():
            assert torch.equal(tensor, sampled[name])


class TestJsonLog:
    def test_has_every_event_of_a_training(self, tmp_path: Path) -> None:
        log = JsonLog(tmp_path / "log.jsonl", UNITS)
        trainer = make_trainer([SampleWriter(LETTERS, None, [log.on_sample], 6), log])
        trainer.run()
        events = events_of(tmp_path / "log.jsonl")
        assert events[0].items() >= {"event": "start", "step": 0, "precision": "fp32"}.items()
        assert events[-1].items() >= {"event": "end", "step": 60}.items()
        assert {event["event"] for event in events[1:-1]} == {"step", "evaluation", "sample"}
        assert [event["step"] for event in events] == sorted(event["step"] for event in events)
        figures = {"event", "step", "seconds", "epochs", "training_bpc", "characters_per_second"}
        for event in events:
            if event["event"] in ("step", "end"):
                assert event.keys() == figures
            if event["event"] == "evaluation":
                assert event.keys() == figures | {"validation_bpc", "heldout_bpc", "best"}

    def test_has_the_training_loss_about_once_a_second(self, tmp_path: Path) -> None:
        log = JsonLog(tmp_path / "log.jsonl", UNITS)
        for step in range(100):
            log.on_step(StepReport(step, step / 10, 0.5, 9.0, 1.0, 1.0, 1.0))
        assert len(events_of(tmp_path / "log.jsonl")) == 9

    @pytest.mark.parametrize("missing", [math.nan, math.inf, -math.inf])
    def test_is_json_though_a_figure_is_missing(self, tmp_path: Path, missing: float) -> None:
        log = JsonLog(tmp_path / "log.jsonl", UNITS)
        report = StepReport(1, 2.0, 0.5, 2.0, 1.0, 1.0, missing)
        log.on_step(report)
        log.on_evaluation(EvaluationReport(report, missing, missing, True))
        step, evaluation = events_of(tmp_path / "log.jsonl")
        assert step["training_bpc"] is None
        assert evaluation["validation_bpc"] is None

    def test_goes_on_where_an_earlier_part_of_the_run_ended(self, tmp_path: Path) -> None:
        for _ in range(2):
            tell(JsonLog(tmp_path / "log.jsonl", UNITS))
        assert [event["event"] for event in events_of(tmp_path / "log.jsonl")] == [
            *("start", "step", "evaluation", "sample", "end") * 2
        ]

    def test_keeps_a_sample_to_one_line(self, tmp_path: Path) -> None:
        log = JsonLog(tmp_path / "log.jsonl", UNITS)
        log.on_sample(7, 0.5, 'a\nb\r"\x1b\u2028é🙂\ufffd')
        assert events_of(tmp_path / "log.jsonl") == [
            {"event": "sample", "step": 7, "temperature": 0.5, "text": 'a\nb\r"\x1b\u2028é🙂\ufffd'}
        ]


class TestTensorBoardLog:
    def test_is_read_by_tensorboard(self, tmp_path: Path) -> None:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        tell(TensorBoardLog(tmp_path, UNITS))
        events = EventAccumulator(str(tmp_path))
        events.Reload()
        for tag, value in {
            "bpc/training": 1,
            "bpc/validation": 2,
            "bpc/heldout": 3,
            "characters_per_second": 2000,
        }.items():
            assert [(e.step, e.value) for e in events.Scalars(tag)] == [(20, pytest.approx(value))]
        (sample,) = events.Tensors("sample at 0.5/text_summary")
        assert sample.step == 20
        text = sample.tensor_proto.string_val[0].decode()
        assert text == "<pre>To be\n[bold]or &lt;not&gt;</pre>"

    def test_needs_an_extra_that_is_named(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "tensorboard", None)
        monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
        with pytest.raises(MissingExtraError, match=r"pip install 'sunspring\[tensorboard\]'"):
            TensorBoardLog(tmp_path, UNITS)
        assert not [*tmp_path.iterdir()]


class TestPlainProgress:
    def test_is_plain_lines(self) -> None:
        stream = io.StringIO()
        tell(PlainProgress(stream, UNITS))
        assert stream.getvalue() == (
            " 25%  1:30 left  training 1.000 bpc  epoch 1.5  2,000 characters/s\n"
            "  at temperature 0.5:\n    To be\n    [bold]or <not>\n"
            "100%  0:00 left  training 1.000 bpc  held-out 3.000 bpc  epoch 6.0"
            "  2,000 characters/s\n"
        )

    def test_is_a_line_every_ten_seconds(self) -> None:
        stream = io.StringIO()
        progress = PlainProgress(stream, UNITS)
        for second in range(95):
            progress.on_step(StepReport(second, float(second), 0.5, 9.0, 1.0, 1.0, 1.0))
        assert len(stream.getvalue().splitlines()) == 10

    def test_leaves_out_figures_that_there_are_not_yet(self) -> None:
        stream = io.StringIO()
        progress = PlainProgress(stream, UNITS)
        progress.on_step(StepReport(0, 0.0, 0.0, math.inf, 0.0, 0.0, math.nan))
        progress.on_evaluation(EvaluationReport(STEP, math.nan, math.nan, True))
        progress.on_end(StepReport(5, 7300.0, 0.5, 7300.0, 0.5, 10.0, math.nan))
        assert stream.getvalue().splitlines() == [
            "  0%  ? left  epoch 0.0  0 characters/s",
            " 50%  2:01:40 left  epoch 0.5  10 characters/s",
        ]

    def test_shows_no_control_characters_of_a_sample(self) -> None:
        stream = io.StringIO()
        PlainProgress(stream, UNITS).on_sample(1, 1.0, "a\x1b[31mb\tc\x07\x85é🙂\ufffd\n\nd")
        assert stream.getvalue() == (
            "  at temperature 1:\n    a\ufffd[31mb\tc\ufffd\ufffdé🙂\ufffd\n    \n    d\n"
        )


class TestTerminalProgress:
    def test_is_a_bar_whose_last_figures_are_left_standing(self) -> None:
        stream = Terminal()
        tell(TerminalProgress(stream, UNITS))
        shown = stream.getvalue()
        assert "━" in shown
        assert "\x1b[?25l" in shown
        assert shown.index("\x1b[?25h") > shown.index("100%  0:00 left")
        assert "held-out 3.000 bpc" in shown.split("100%")[-1]

    def test_scrolls_samples_above_the_bar_as_they_are(self) -> None:
        stream = Terminal()
        tell(TerminalProgress(stream, UNITS))
        assert "    [bold]or <not>" in stream.getvalue()

    def test_shows_what_was_learned_on_a_narrow_terminal(self) -> None:
        stream = Terminal()
        progress = TerminalProgress(stream, UNITS)
        tell(progress)
        assert "training 1.000 bpc  held-out 3.000 bpc" in stream.getvalue()

    def test_takes_one_line_and_leaves_no_thread_after_a_training(self) -> None:
        stream = Terminal()
        make_trainer([TerminalProgress(stream, UNITS)]).run()
        assert stream.getvalue().count("\n") == 1

    def test_gives_the_terminal_back_when_training_fails(self) -> None:
        class Failing(Callback):
            def on_step(self, report: StepReport) -> None:
                raise OSError("no space left")

        stream, stdout = Terminal(), sys.stdout
        with pytest.raises(OSError, match="no space"):
            make_trainer([TerminalProgress(stream, UNITS), Failing()]).run()
        assert stream.getvalue().rindex("\x1b[?25h") > stream.getvalue().rindex("\x1b[?25l")
        assert sys.stdout is stdout


@pytest.fixture
def shell() -> Any:
    yield InteractiveShell.instance()
    InteractiveShell.clear_instance()


class TestNotebookProgress:
    def test_is_one_output_that_is_updated(self, shell: Any) -> None:
        published = shell.display_pub = CapturingDisplayPublisher()
        progress = NotebookProgress(UNITS)
        progress.on_step(STEP)
        progress.on_sample(20, 0.5, "<first>")
        progress.on_sample(20, 1.0, "wild")
        progress.on_sample(40, 0.5, "<second>")
        progress.on_end(END)
        assert len({output["transient"]["display_id"] for output in published.outputs}) == 1
        assert [output["update"] for output in published.outputs] == [False] + 5 * [True]
        last = published.outputs[-1]["data"]["text/html"]
        assert '<progress value="1.0000" max="1">' in last
        assert "training 1.000 bpc" in last
        assert "&lt;second&gt;" in last
        assert "wild" in last
        assert "first" not in last

    def test_is_chosen_in_a_notebook(self) -> None:
        code = (
            "import sys\n"
            "from sunspring.runs.progress import Units, choose_progress\n"
            "from sunspring.training.trainer import StepReport\n"
            "progress = choose_progress(sys.stderr, Units(1.0))\n"
            "progress.on_end(StepReport(80, 120.0, 1.0, 0.0, 6.0, 2000.0, 1.0))\n"
        )
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
        NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
        (output,) = notebook.cells[0].outputs
        assert "100%  0:00 left" in output["data"]["text/html"]


class TestChoice:
    def test_is_plain_where_it_is_no_terminal(self) -> None:
        assert isinstance(choose_progress(io.StringIO(), UNITS), PlainProgress)

    def test_is_a_bar_on_a_terminal(self) -> None:
        assert isinstance(choose_progress(Terminal(), UNITS), TerminalProgress)

    def test_is_the_same_in_ipython_without_a_notebook(self, shell: Any) -> None:
        assert isinstance(choose_progress(io.StringIO(), UNITS), PlainProgress)
