"""Reading long texts is interrupted at once, and says how far it is."""

import signal
import time
from pathlib import Path

import pytest
from commands import Command, wait_for

from sunspring import load

SENTENCE = "To be, or not to be, that is the question, and the rest is silence. "


def test_the_engine_tells_how_far_it_is() -> None:
    model = load("shakespeare")
    ids, counts = model.vocabulary.encode_batch([SENTENCE * 100, *[SENTENCE] * 100])
    for done in ("score_tokens", "encode"):
        told: list[tuple[int, int | None]] = []

        def tell(read: int, total: int | None, told: list[tuple[int, int | None]] = told) -> None:
            told.append((read, total))

        if done == "encode":
            model.encode([SENTENCE * 100, *[SENTENCE] * 100], None, tell)
        else:
            model.score_tokens(ids, counts, None, tell)
        assert told[-1] == (len(ids), len(ids))
        assert [read for read, _ in told] == sorted(read for read, _ in told)


@pytest.mark.parametrize("command", ["score", "encode"])
@pytest.mark.parametrize("end", ["", "\n"], ids=["one line", "many lines"])
def test_ctrl_c_ends_reading_at_once(command: str, end: str, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text((SENTENCE + end) * 75_000)  # five million characters
    running = Command(command, "shakespeare", text)
    wait_for(lambda: running.is_over or f"{command[:4]}" in running.err, "progress")
    began = time.monotonic()
    running.send(signal.SIGINT)
    done = running.wait()
    assert time.monotonic() - began < 0.5  # 100 ms, and the time that a busy machine takes
    assert (done.code, done.err.endswith("\nsunspring: interrupted\n")) == (130, True)
