"""Reading long texts is interrupted at once, and says how far it is."""

import signal
import time
from pathlib import Path

import numpy as np
import pytest
from commands import Command, wait_for
from engines import read_texts

from sunspring import load
from sunspring.network.native import load_native

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


def test_one_long_text_takes_less_than_twice_the_work_of_its_lines() -> None:
    model = load("shakespeare")
    lines = [SENTENCE] * 600
    seconds = []
    for texts in (lines, ["".join(lines)]):
        ids, counts = model.vocabulary.encode_batch(texts)
        rounds = []
        for _ in range(3):
            began = time.process_time()  # not that of a machine with other work
            read_texts(load_native(model.files), ids.astype(np.int64), counts)
            rounds.append(time.process_time() - began)
        seconds.append(min(rounds))
    assert seconds[1] < 2 * seconds[0]


@pytest.mark.parametrize("command", ["score", "encode"])
@pytest.mark.parametrize("end", ["", "\n"], ids=["one line", "many lines"])
def test_ctrl_c_ends_reading_at_once(command: str, end: str, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text((SENTENCE + end) * 75_000)  # five million characters
    running = Command(command, "shakespeare", text)
    wait_for(lambda: running.is_over or f"{command[:4]}" in running.err, "progress")
    began = time.monotonic()
    running.send(signal.SIGINT)
    wait_for(lambda: "interrupted" in running.err, "the end")
    assert time.monotonic() - began < 0.3  # 100 ms, and what a busy machine takes
    done = running.wait()
    assert (done.code, done.err.endswith("\nsunspring: interrupted\n")) == (130, True)
