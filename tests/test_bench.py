"""The benchmark of quality and its peer, as a user starts them, for seconds instead of minutes."""

import json
import math
import pydoc_data.topics
from importlib import import_module
from pathlib import Path

import pytest
import torch
from commands import fresh
from torch import Tensor, nn

from sunspring.network.predictor import Predictor

BENCH = Path(__file__).parents[1] / "bench"
MINUTES = "0.05"


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text("".join(pydoc_data.topics.topics.values())[:60_000], encoding="utf-8")
    return path


def run(script: str, *arguments: str) -> str:
    done = fresh(BENCH / script, *arguments, "--minutes", MINUTES)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.long
def test_the_plain_lstm_is_trained_and_scored(text: Path) -> None:
    figures = json.loads(run("training/plain_lstm.py", str(text), "--json"))
    uniform = math.log(len(set(text.read_text(encoding="utf-8"))))
    assert figures["seconds"] == pytest.approx(60 * float(MINUTES), abs=1.5)
    for name in ("stream", "windows of 256", "windows of 64"):
        assert 1 < figures[name] < uniform


@pytest.mark.long
def test_the_peer_stands_in_the_table_beside_sunspring(text: Path) -> None:
    table = run("training/quality.py", str(text), "--seeds", "0", "--article")
    rows = [line.split(" | ") for line in table.splitlines() if line.startswith("| ")]
    header, means = rows[0], {row[0].strip("| "): row for row in rows[-2:]}
    column = header.index("stream")
    assert {*means} == {"Sunspring, auto", "plain LSTM, Adam"}
    assert all(1 < float(row[column]) < 6 for row in means.values())


def test_a_peer_that_carries_no_state_is_scored_by_the_same_code(
    text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(BENCH / "training"))
    peers, nanogpt = import_module("peers"), import_module("nanogpt")

    class Uniform(nn.Module):
        def forward(self, tokens: Tensor, targets: Tensor) -> tuple[Tensor, None]:
            return torch.zeros(*tokens.shape, size), None

    corpus = peers.read_text(str(text))
    size = corpus.vocabulary.size
    peer = nanogpt.NanoGPTPeer(Uniform(), size)
    assert isinstance(peer, Predictor)
    assert (peer.vocabulary_size, peer.labels) == (size, ())
    assert peers.windows_nats(peer, corpus, 64) == pytest.approx(math.log(size))
    assert peers.stream_nats(peer, corpus) == pytest.approx(math.log(size))


def test_copies_are_found_in_a_text_that_is_far_larger(text: Path) -> None:
    options = ("--megabytes", "0.3", "--written", "0.02", "--threads", "1", "2")
    done = fresh(BENCH / "explanation/copying.py", str(text), *options)
    assert done.returncode == 0, done.stderr
    planted = 9960
    first, *rows = done.stdout.splitlines()
    assert first == f"20,000 bytes written, {planted:,} of them copied from 300,000"
    assert len(rows) == 2
    for row in rows:
        assert planted <= int(row.split()[-2]) < 1.01 * planted
