"""A peer in quality.py: nanoGPT at its documented CPU setting, from your own checkout.

    git clone https://github.com/karpathy/nanoGPT
    python bench/training/nanogpt.py TEXT --checkout nanoGPT [--minutes 3] [--seed 0] [--json]

Runs the checkout's own train.py with the command of its README for a CPU (4 layers, 4 heads, 128
wide, batches of 12 windows of 64, no dropout), in fp32 as there, and changes nothing in the
checkout. Only the number of iterations, and with it the decay of the learning rate, is ours: as
many as fit in the minutes, including its own evaluations, by a short timing beforehand. A run that
takes less than its minutes is repeated with a corrected number; one that takes more is kept. Seed 0
is nanoGPT's own, 1337; seed 1 is 1338, and so on.

Its train.bin and val.bin are Sunspring's training and validation parts, so the weights that it
keeps (the best ones on val.bin, as documented) are not chosen on held-out text. It is scored by
`windows` of its block, 64: it cannot read further back.
"""

import argparse
import contextlib
import importlib.util
import math
import os
import pickle
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from peers import StatelessPeer, add_common_arguments, print_figures, read_text, windows_nats
from torch import Tensor

from sunspring.corpus.corpus import Corpus
from sunspring.network.predictor import State

BLOCK, BATCH = 64, 12
EVALUATE_EVERY = 250  # iterations, about; config/train_shakespeare_char.py
SETTING = (
    "config/train_shakespeare_char.py --device=cpu --compile=False --eval_iters=20 "
    f"--log_interval=1 --block_size={BLOCK} --batch_size={BATCH} --n_layer=4 --n_head=4 "
    "--n_embd=128 --dropout=0.0"
).split()
SETTLED = 20  # iterations to warm up before the timing
LEAST_ITERATIONS = 120  # its learning rate rises over the first hundred
ENOUGH = 0.98  # share of the minutes that a run must take
ATTEMPTS = 3

# train.py has a fixed seed, and no setting for it.
_RUN_WITH_SEED = """
import runpy, sys, torch
seed, plain = int(sys.argv.pop(1)), torch.manual_seed
torch.manual_seed = lambda fixed: plain(fixed + seed)
sys.argv[0] = "train.py"
runpy.run_path("train.py", run_name="__main__")
"""


class NanoGPTPeer(StatelessPeer):
    """nanoGPT as `sunspring.evaluation.protocols` reads it."""

    def forward(
        self, tokens: Tensor, state: State, labels: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Read windows of at most one block."""
        tokens = tokens.contiguous()
        logits, _ = self.network(tokens, tokens)  # without targets it returns only the last place
        return logits, state


@dataclass(frozen=True)
class Timing:
    """The observed times of a training.

    Args:
        seconds: of the whole loop, with its evaluations.
        iterations: seconds of each iteration, with its evaluation if there was one.
    """

    seconds: float
    iterations: list[float]


def write_data(corpus: Corpus, folder: Path) -> None:
    """Write train.bin, val.bin and meta.pkl as data/shakespeare_char/prepare.py does."""
    vocabulary = corpus.vocabulary
    corpus.train.tokens.astype(np.uint16).tofile(folder / "train.bin")
    corpus.validation.tokens.astype(np.uint16).tofile(folder / "val.bin")
    characters = {token: vocabulary.decode([token]) for token in range(vocabulary.size)}
    meta = {
        "vocab_size": vocabulary.size,
        "itos": characters,
        "stoi": {character: token for token, character in characters.items()},
    }
    (folder / "meta.pkl").write_bytes(pickle.dumps(meta))


@contextlib.contextmanager
def running(
    checkout: Path, folder: Path, seed: int, iterations: int, evaluate_every: int
) -> Iterator[subprocess.Popen[str]]:
    """Run train.py on the data in a folder; it is killed at the end of the block."""
    command = [
        *(sys.executable, "-u", "-c", _RUN_WITH_SEED, str(seed), *SETTING),
        *(f"--max_iters={iterations}", f"--lr_decay_iters={iterations}"),
        *(f"--eval_interval={evaluate_every}", f"--dataset={folder}", f"--out_dir={folder}"),
    ]
    with (
        (folder / "errors.txt").open("w+") as errors,
        subprocess.Popen(
            command,
            cwd=checkout,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},  # write nothing into the checkout
        ) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


def follow(process: subprocess.Popen[str], most_seconds: float = math.inf) -> Timing:
    """Watch a training until it ends, or for at most some seconds."""
    began, times = math.nan, list[float]()
    for line in cast(Any, process.stdout):
        if line.startswith("using fused AdamW"):  # the last line before the loop
            began = time.perf_counter()
        elif matched := re.match(r"iter \d+: .*time ([\d.]+)ms", line):
            times.append(float(matched[1]) / 1000)
            if time.perf_counter() - began > most_seconds and len(times) > 2 * SETTLED:
                break
    seconds = time.perf_counter() - began
    return Timing(seconds, times)


def plan(timing: Timing, seconds: float) -> tuple[int, int]:
    """Return how many iterations fit, as a multiple of the iterations per evaluation, and these."""
    iteration = statistics.fmean(timing.iterations[SETTLED:])
    evaluation = max(0.0, timing.iterations[0] - iteration)
    fitting = (seconds - evaluation) / (iteration + evaluation / EVALUATE_EVERY)
    evaluations = max(1, round(fitting / EVALUATE_EVERY))
    every = int(fitting / evaluations)
    return evaluations * every, every


def train(
    checkout: Path, corpus: Corpus, minutes: float, seed: int, folder: Path
) -> dict[str, float]:
    """Train for some minutes; leaves ckpt.pt in the folder."""
    write_data(corpus, folder)
    budget = 60 * minutes
    with running(checkout, folder, seed, 10**6, 10**6) as process:
        timing = follow(process, max(5.0, min(20.0, budget / 10)))
    _check(timing, folder)
    iterations, every = plan(timing, budget)
    for _ in range(ATTEMPTS):
        if iterations < LEAST_ITERATIONS:
            raise SystemExit(f"nanoGPT fits in only {iterations} iterations: give it more minutes")
        print(f"nanoGPT: {iterations} iterations for {budget:.0f} s", file=sys.stderr, flush=True)
        with running(checkout, folder, seed, iterations, every) as process:
            timing = follow(process)
        _check(timing, folder)
        if timing.seconds >= ENOUGH * budget:
            break
        evaluations = iterations // every
        every = math.ceil(every * budget / timing.seconds)
        iterations = evaluations * every
    characters = len(timing.iterations) * BATCH * BLOCK
    return {
        "seconds": timing.seconds,
        "epochs": characters / len(corpus.train.tokens),
        "characters_per_second": characters / timing.seconds,
        "iterations": iterations,
    }


def _check(timing: Timing, folder: Path) -> None:
    if not timing.iterations:
        errors = (folder / "errors.txt").read_text()
        raise SystemExit(f"nanoGPT did not train:\n{errors[-2000:]}")


def load(checkout: Path, checkpoint_path: Path) -> NanoGPTPeer:
    """Load a checkpoint into the checkout's own model."""
    sys.dont_write_bytecode = True
    spec = importlib.util.spec_from_file_location("nanogpt_model", checkout / "model.py")
    if spec is None or spec.loader is None:
        raise SystemExit(f"{checkout} has no model.py: name a checkout of nanoGPT")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    checkpoint = torch.load(checkpoint_path, map_location="cpu", weights_only=True)
    with contextlib.redirect_stdout(sys.stderr):  # it prints its size
        network = module.GPT(module.GPTConfig(**checkpoint["model_args"]))
    network.load_state_dict(checkpoint["model"])
    return NanoGPTPeer(network, checkpoint["model_args"]["vocab_size"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_common_arguments(parser)
    parser.add_argument("--checkout", type=Path, required=True)
    arguments = parser.parse_args()
    checkout = arguments.checkout.resolve()
    if not (checkout / "train.py").exists():
        raise SystemExit(f"{checkout} has no train.py: name a checkout of nanoGPT")
    corpus = read_text(arguments.text)
    with tempfile.TemporaryDirectory(prefix="nanogpt-") as temporary:
        folder = Path(temporary)
        figures = train(checkout, corpus, arguments.minutes, arguments.seed, folder)
        peer = load(checkout, folder / "ckpt.pt")
    figures[f"windows of {BLOCK}"] = windows_nats(peer, corpus, BLOCK)
    print_figures(figures, arguments.json)


if __name__ == "__main__":
    main()
