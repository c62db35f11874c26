"""The course of a training, read back from its log.jsonl.

What callbacks.py wrote. Stands right behind model_files.py: it needs nothing of a model.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sunspring.errors import ModelError

Event = Mapping[str, Any]


@dataclass(frozen=True)
class RunLog:
    """What was logged, without the steps that a resumed run took again.

    Args:
        events: in their order, each with its `event` and, in all but the first, its `step`.
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
                    event = json.loads(line)
                    if event["event"] == "start":  # what came after its checkpoint was lost
                        kept = [each for each in kept if each["step"] <= event["step"]]
                    kept.append(event)
        except (FileNotFoundError, NotADirectoryError):
            raise ModelError(
                f"{folder} has no log.jsonl, so it is no run: name the folder that train --out "
                "made (explain shows a model without its training)"
            ) from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelError(
                f"{path} is damaged ({error!r}): restore it from a copy, or train again"
            ) from None
        return cls(kept)

    def of(self, kind: str) -> list[Event]:
        """Give the events of a kind: `step`, `evaluation`, `sample`, …"""
        return [event for event in self.events if event["event"] == kind]

    def curve(self, kind: str, figure: str) -> list[tuple[float, float]]:
        """Give the seconds of training and a figure, wherever that is known."""
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
        """How long training took; 0 of a run that never came so far."""
        return max((event.get("seconds", 0.0) for event in self.events), default=0.0)
