"""Overhead of the training loop over a bare PyTorch loop of the same model, batch and optimisers.

    python bench/training/overhead.py [--steps 1000] [--pairs 3]

The bare loop reads its lanes from a tensor, uses the optimisers of torch.optim, and has no progress
line, log, samples, evaluation or checkpoints; ours is `sunspring train` with all of them, its
progress line drawn to an invisible terminal. They take turns in one process, on the demo text.
"""

import argparse
import io
import statistics
import tempfile
import time
from pathlib import Path

import torch
import torch.nn.functional as F

from sunspring.api import load
from sunspring.network.network import RecurrentModel, detach
from sunspring.runs.corpus import open_run_corpus
from sunspring.runs.request import TrainingRequest
from sunspring.runs.train import train
from sunspring.storage import read_json
from sunspring.training.optimizers import parameter_groups


class UnseenTerminal(io.StringIO):
    """The stream that the progress line goes to."""

    def isatty(self) -> bool:
        """Claim to be a terminal, so that the line is drawn live."""
        return True


def bare_seconds(folder: Path, steps: int) -> float:
    """Train the model of a run again in a bare loop, and return the seconds."""
    record = read_json(folder / "run.json")
    recipe = record["plan"]["recipe"]
    rates = recipe["optimization"]
    batch, window = recipe["batch_size"], recipe["window"]
    is_bf16 = record["precision"] == "bf16"
    corpus = open_run_corpus(record, print)
    tokens = torch.from_numpy(corpus.train.tokens.astype("int64"))
    lanes = tokens[: len(tokens) // batch * batch].view(batch, -1)
    model = RecurrentModel(load(folder).config)
    matrices, rest = parameter_groups(model)
    optimizers = [
        torch.optim.AdamW(rest, lr=rates["learning_rate"], weight_decay=rates["weight_decay"]),
        torch.optim.Muon(
            matrices, lr=rates["muon_learning_rate"], weight_decay=rates["weight_decay"]
        ),
    ]
    state, place = model.initial_state(batch), 0
    began = time.perf_counter()
    for _ in range(steps):
        if place + window + 1 > lanes.shape[1]:
            state, place = model.initial_state(batch), 0
        inputs, targets = lanes[:, place : place + window], lanes[:, place + 1 :][:, :window]
        place += window
        with torch.autocast("cpu", torch.bfloat16, enabled=is_bf16):
            logits, state = model(inputs, state)
        loss = F.cross_entropy(logits.float().flatten(0, 1), targets.flatten())
        state = detach(state)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), rates["clip_norm"])
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--pairs", type=int, default=3)
    arguments = parser.parse_args()
    ratios, all_ours, all_bare = [], [], []
    with tempfile.TemporaryDirectory() as temporary:
        for pair in range(arguments.pairs):
            folder = Path(temporary) / str(pair)
            request = TrainingRequest(out=folder, steps=arguments.steps)
            ours = train(request, UnseenTerminal()).seconds
            bare = bare_seconds(folder, arguments.steps)
            ratios.append(ours / bare)
            all_ours.append(ours)
            all_bare.append(bare)
            print(f"ours {ours:.1f} s, bare {bare:.1f} s, ratio {ratios[-1]:.3f}", flush=True)
    print(
        f"median ratio over {arguments.pairs} pairs: {statistics.median(ratios):.3f}; "
        f"ratio of the fastest runs: {min(all_ours) / min(all_bare):.3f}"
    )


if __name__ == "__main__":
    main()
