import io
import json
import math
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from listeners import LETTERS, TEXT, UNITS, make_trainer, tell

from sunspring.corpus.vocabulary import train_subwords
from sunspring.errors import MissingExtraError, ModelError
from sunspring.notices import Screen
from sunspring.runs.log import JsonLog, RunLog, TensorBoardLog, Units
from sunspring.runs.progress import ScreenProgress
from sunspring.runs.samples import SampleWriter
from sunspring.training.trainer import EvaluationReport, StepReport


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
        tell(JsonLog(tmp_path / "log.jsonl", units), ScreenProgress(Screen(stream), units))
        _, step, evaluation, *_ = events_of(tmp_path / "log.jsonl")
        assert step["training_bpc"] == 0.25
        assert step["characters_per_second"] == 8000
        assert (evaluation["validation_bpc"], evaluation["heldout_bpc"]) == (0.5, 0.75)
        assert "8,000 characters/s" in stream.getvalue()
        assert "training 0.250 bpc" in stream.getvalue()
        assert "held-out 0.750 bpc" in stream.getvalue()


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

    @pytest.mark.parametrize("cut", [1, 2, 20])
    def test_goes_on_after_a_line_that_a_full_disk_cut_short(
        self, tmp_path: Path, cut: int
    ) -> None:
        path = tmp_path / "log.jsonl"
        tell(JsonLog(path, UNITS))
        os.truncate(path, path.stat().st_size - cut)
        *whole, _ = ("start", "step", "evaluation", "sample", "end")
        assert [event["event"] for event in RunLog.read(tmp_path).events] == whole
        tell(JsonLog(path, UNITS))
        assert [event["event"] for event in events_of(path)] == [
            *whole,
            *("start", "step", "evaluation", "sample", "end"),
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


class TestRunLog:
    def write(self, *events: dict[str, Any]) -> RunLog:
        lines = [json.dumps({"event": "step", **event}) for event in events]
        Path("log.jsonl").write_text("\n".join(lines) + "\n")
        return RunLog.read(Path())

    def test_has_all_that_was_logged(self) -> None:
        tell(JsonLog(Path("log.jsonl"), UNITS))
        log = RunLog.read(Path())
        assert list(log.events) == events_of(Path("log.jsonl"))
        assert log.curve("step", "training_bpc") == [(30.0, 1.0)]
        assert log.best == log.of("evaluation")[0]
        assert log.seconds == 120.0

    def test_leaves_out_what_a_resumed_run_took_again(self) -> None:
        begun: list[dict[str, Any]] = [{"event": "start", "step": 0}]
        begun += ({"step": n, "loss": 1} for n in (1, 2, 3))
        log = self.write(*begun, {"event": "start", "step": 1}, {"step": 2, "loss": 2})
        assert [(event["step"], event["loss"]) for event in log.of("step")] == [(1, 1), (2, 2)]

    @given(parts=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=6))
    def test_never_goes_back_however_often_a_run_was_resumed(
        self, parts: list[tuple[int, int]]
    ) -> None:
        events: list[dict[str, Any]] = []
        reached = 0
        for lost, taken in parts:
            begin = max(0, reached - lost)  # of the checkpoint
            reached = begin + taken
            events.append({"event": "start", "step": begin})
            events += ({"step": step} for step in range(begin + 1, reached + 1))
        steps = [event["step"] for event in self.write(*events).of("step")]
        assert steps == list(range(1, reached + 1))

    def test_knows_the_best_moment_and_the_curves(self) -> None:
        log = self.write(
            {"event": "start", "step": 0},
            {"step": 1, "seconds": 1.0, "bpc": 3.0},
            {"event": "evaluation", "step": 2, "seconds": 2.0, "bpc": 2.5, "best": True},
            {"event": "evaluation", "step": 3, "seconds": 3.0, "bpc": None, "best": False},
        )
        assert log.best is not None
        assert log.best["step"] == 2
        assert log.curve("evaluation", "bpc") == [(2.0, 2.5)]
        assert log.seconds == 3.0

    def test_of_a_run_that_never_came_so_far_has_no_best_moment_and_no_seconds(self) -> None:
        log = self.write({"event": "start", "step": 0})
        assert (log.best, log.seconds) == (None, 0.0)

    @pytest.mark.parametrize("content", ["{\n", "[]\n", '{"step": 1}\n', "\x00\n"])
    def test_that_is_damaged_is_one_line(self, content: str) -> None:
        Path("log.jsonl").write_text(content)
        with pytest.raises(ModelError, match=r"log\.jsonl is damaged") as caught:
            RunLog.read(Path())
        assert "\n" not in str(caught.value)

    def test_that_is_not_there_says_that_it_is_no_run(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        for folder in (tmp_path, tmp_path / "none", tmp_path / "file"):
            with pytest.raises(ModelError, match=r"is not a run, as it has no log\.jsonl: name"):
                RunLog.read(folder)
