"""Signals that let a training end after its current step, to be resumed."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

from sunspring.machine import ENDING_SIGNALS, HANG_UP, leave_terminal
from sunspring.training.trainer import Trainer


@contextlib.contextmanager
def stop_on_signals(trainer: Trainer) -> Iterator[None]:
    """Let a signal end training after the current step, and a second one at once.

    The signals are those of Ctrl-C, of systems that shut down, and of terminals that are closed;
    one that is ignored, as under nohup, stays so.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    before = {number: signal.getsignal(number) for number in ENDING_SIGNALS}
    before = {number: each for number, each in before.items() if each != signal.SIG_IGN}

    def stop(number: int, frame: Any) -> None:
        if number == HANG_UP:
            leave_terminal()
        trainer.request_stop()
        signal.signal(number, before[signal.Signals(number)])

    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
