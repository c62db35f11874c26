"""The log of a training, as JSON lines or for TensorBoard: written during training, read later."""

from __future__ import annotations

import html
import json
import math
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sunspring.errors import MissingExtraError, ModelError
from sunspring.training.pace import Revision
from sunspring.training.race import Outcome
from sunspring.training.trainer import Callback, EvaluationReport, StepReport, Trainer

Event = Mapping[str, Any]


class Units:
    """Turns the trainer's figures per token into figures per character.

    Args:
        tokens_per_character: in the training text.
    """

    def __init__(self, tokens_per_character: float) -> None:
        self._tokens_per_character = tokens_per_character

    def bpc(self, nats_per_token: float) -> float:
        """Bits per character."""
        return nats_per_token * self._tokens_per_character / math.log(2)

    def characters(self, tokens: float) -> float:
        """Characters in so many tokens."""
        return tokens / self._tokens_per_character


class JsonLog(Callback):
    """Appends JSON objects to a file, one per line.

    Args:
        path: the log file.
        units: for the figures per character.
    """

    def __init__(self, path: Path, units: Units) -> None:
        self._path = path
        self._units = units
        self._last = 0.0

    def _write(self, event: str, **values: Any) -> None:
        line = {"event": event, **{name: _rounded(value) for name, value in values.items()}}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")

    def on_race(self, outcome: Outcome) -> None:
        """Log what was tried before the run."""
        tries = [
            {
                "name": each.name,
                "seconds": _rounded(each.seconds),
                "characters_per_second": _rounded(self._units.characters(each.tokens_per_second)),
                "validation_bpc": _rounded(self._units.bpc(each.nats)),
                "lead_bpc": _rounded(self._units.bpc(each.lead)),
                "diverged": each.diverged,
            }
            for each in outcome.tries
        ]
        self._write("race", step=outcome.step, chosen=outcome.chosen, tries=tries)

    def on_start(self, trainer: Trainer) -> None:
        """Log where training starts, or resumes."""
        _drop_unfinished(self._path)
        self._write("start", step=trainer.step, precision=trainer.precision, time=time.time())

    def on_step(self, report: StepReport) -> None:
        """Log the training loss about once a second."""
        if report.seconds - self._last >= 1:
            self._last = report.seconds
            self._write("step", **self._figures(report))

    def on_plan(self, revision: Revision) -> None:
        """Log how many steps the minutes amount to."""
        self._write("plan", **asdict(revision))

    def on_evaluation(self, report: EvaluationReport) -> None:
        """Log a quick evaluation."""
        self._write(
            "evaluation",
            **self._figures(report.report),
            validation_bpc=self._units.bpc(report.validation),
            heldout_bpc=self._units.bpc(report.heldout),
            best=report.best,
        )

    def on_sample(self, step: int, temperature: float, text: str) -> None:
        """Log a sample."""
        self._write("sample", step=step, temperature=temperature, text=text)

    def on_notice(self, step: int, line: str) -> None:
        """Log what people should know."""
        self._write("notice", step=step, text=line)

    def on_end(self, report: StepReport) -> None:
        """Log the end."""
        self._write("end", **self._figures(report))

    def _figures(self, report: StepReport) -> dict[str, Any]:
        return {
            "step": report.step,
            "seconds": report.seconds,
            "epochs": report.epochs,
            "training_bpc": self._units.bpc(report.loss),
            "characters_per_second": self._units.characters(report.tokens_per_second),
        }


class TensorBoardLog(Callback):
    """Writes the same figures as TensorBoard events.

    Args:
        folder: for the event files.
        units: for the figures per character.

    Raises:
        MissingExtraError: the `tensorboard` package is not installed.
    """

    def __init__(self, folder: Path, units: Units) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise MissingExtraError("TensorBoard logging", "tensorboard") from None
        self._events: Any = SummaryWriter(str(folder))
        self._units = units

    def on_step(self, report: StepReport) -> None:
        """Write the training figures."""
        self._events.add_scalar("bpc/training", self._units.bpc(report.loss), report.step)
        speed = self._units.characters(report.tokens_per_second)
        self._events.add_scalar("characters_per_second", speed, report.step)

    def on_evaluation(self, report: EvaluationReport) -> None:
        """Write the evaluation's figures."""
        step = report.report.step
        self._events.add_scalar("bpc/validation", self._units.bpc(report.validation), step)
        self._events.add_scalar("bpc/heldout", self._units.bpc(report.heldout), step)

    def on_sample(self, step: int, temperature: float, text: str) -> None:
        """Write a sample."""
        shown = f"<pre>{html.escape(text)}</pre>"
        self._events.add_text(f"sample at {temperature:g}", shown, step)

    def on_end(self, report: StepReport) -> None:
        """Finish the event file."""
        self._events.close()


def _drop_unfinished(path: Path) -> None:
    """Take away a last line that a full disk or the end of a process cut short."""
    if not path.exists():
        return
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(path, whole)


def _rounded(value: Any) -> Any:
    """Shorten floats for the log; JSON has no NaN and no infinity."""
    if isinstance(value, float):
        return round(value, 5) if math.isfinite(value) else None
    return value


@dataclass(frozen=True)
class RunLog:
    """What was logged, without the steps that a resumed run took again.

    Args:
        events: in order, each with its `event` and, in all but the first, its `step`.
    """

    events: Sequence[Event]

    @classmethod
    def read(cls, folder: Path) -> RunLog:
        """Read the log of a run.

        Raises:
            ModelError: there is none, or it is damaged.
        """
        path = folder / "log.jsonl"
        kept: list[Event] = []
        try:
            with path.open(encoding="utf-8") as file:
                for line in file:
                    if not line.endswith("\n"):  # it was cut short; see `_drop_unfinished`
                        break
                    event = json.loads(line)
                    if event["event"] == "start":  # steps after its checkpoint were lost
                        kept = [each for each in kept if each["step"] <= event["step"]]
                    kept.append(event)
        except (FileNotFoundError, NotADirectoryError):
            raise ModelError(
                f"{folder} is not a run, as it has no log.jsonl: name the folder that train --out "
                "made (explain shows a model without its training)"
            ) from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelError(
                f"{path} is damaged ({error!r}): restore it from a copy, or train again"
            ) from None
        return cls(kept)

    def of(self, kind: str) -> list[Event]:
        """Return the events of a kind: `step`, `evaluation`, `sample`, …"""
        return [event for event in self.events if event["event"] == kind]

    def curve(self, kind: str, figure: str) -> list[tuple[float, float]]:
        """Return pairs of the seconds of training and a figure, wherever that is known."""
        return [
            (event["seconds"], event[figure])
            for event in self.of(kind)
            if event.get(figure) is not None
        ]

    @property
    def best(self) -> Event | None:
        """The quick evaluation whose weights were kept, if there was one."""
        return next((each for each in reversed(self.of("evaluation")) if each["best"]), None)

    @property
    def seconds(self) -> float:
        """How long training took; 0 if the run never got that far."""
        return max((event.get("seconds", 0.0) for event in self.events), default=0.0)
