"""Speed of a training step: Sunspring compared with a plain bf16 loop of `nn.LSTM`, in pairs.

    python bench/training/step.py [--steps 100] [--pairs 5] [--size 256] [--batch 32] [--window 64]
                         [--device cpu]

Measures characters per second with two layers, by default of 256 units. The plain loop is
`nn.Embedding`, `nn.LSTM(64, size, 2, batch_first=True)` and `nn.Linear` under bf16 autocast, with
carried state, clipped gradients, `torch.optim.AdamW(fused=True)`, and its text on the device.
Sunspring's step is that of `sunspring train` in bf16, including the batch: with the same plain
architecture and AdamW, with Muon for the matrices of the layers, and with the architecture and
objective of the preset (skip connections, a pointer, a penalty). All read random text of 65
characters and take turns in one process, so that a drift of the machine affects them all.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sunspring.corpus.batches import Lanes
from sunspring.corpus.splits import Split
from sunspring.machine import choose_device, keep_freed_memory, processor_name
from sunspring.network.config import ModelConfig
from sunspring.network.loops import find_loops, loops_at_work
from sunspring.network.network import RecurrentModel
from sunspring.training.gradients import gradients_of
from sunspring.training.objective import to_device
from sunspring.training.optimizers import Optimizers
from sunspring.training.plan import PRESETS
from sunspring.training.recipe import Recipe
from sunspring.training.speeds import synchronise

VOCABULARY_SIZE = 65
EMBEDDING_SIZE = 64
CHARACTERS = 1_000_000
PLAIN = "plain nn.LSTM loop"

Contestant = Callable[[int], None]
"""Takes the given number of steps."""


class PlainLoop:
    """The usual training loop.

    Args:
        tokens: (characters,) the text, on the device.
        size: units of each layer.
        batch: rows of a batch.
        window: targets of a row in one step.
        bf16: whether to compute matrix products in bfloat16.
    """

    def __init__(self, tokens: Tensor, size: int, batch: int, window: int, bf16: bool) -> None:
        self.device, self.bf16 = tokens.device, bf16
        self.embedding = nn.Embedding(VOCABULARY_SIZE, EMBEDDING_SIZE)
        self.lstm = nn.LSTM(EMBEDDING_SIZE, size, 2, batch_first=True)
        self.head = nn.Linear(size, VOCABULARY_SIZE)
        modules = nn.ModuleList((self.embedding, self.lstm, self.head)).to(self.device)
        self.parameters = list(modules.parameters())
        self.optimizer = torch.optim.AdamW(self.parameters, lr=3e-3, fused=True)
        self.lanes = tokens[: len(tokens) // batch * batch].view(batch, -1)
        self.window, self.place = window, 0
        h, c = tokens.new_zeros(2, 2, batch, size, dtype=torch.float32)
        self.state = (h, c)

    def run(self, steps: int) -> None:
        """Take the given number of steps."""
        for _ in range(steps):
            if self.place + self.window + 1 > self.lanes.shape[1]:
                self.place = 0
            piece = self.lanes[:, self.place : self.place + self.window + 1]
            self.place += self.window
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
                outputs, (h, c) = self.lstm(self.embedding(piece[:, :-1]), self.state)
                logits = self.head(outputs)
            self.state = h.detach().float(), c.detach().float()
            loss = F.cross_entropy(logits.float().flatten(0, 1), piece[:, 1:].flatten())
            torch.autograd.backward(loss)
            nn.utils.clip_grad_norm_(self.parameters, 1.0)
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)


def sunspring(
    tokens: Tensor, config: ModelConfig, recipe: Recipe, batch: int, window: int, bf16: bool
) -> Contestant:
    """Return a contestant that takes the steps of `sunspring train`."""
    ids = tokens.cpu().numpy().astype(np.uint8)
    split = Split(ids, np.array([0, len(ids)]), None, len(ids))
    model = RecurrentModel(config).to(tokens.device).train()
    optimizers = Optimizers(model, recipe.optimization)
    lanes = Lanes(split, 0, batch_size=batch, window=window, seed=0)
    gradients = gradients_of(model, recipe.objective, bf16)
    state = model.initial_state(batch)

    def run(steps: int) -> None:
        nonlocal state
        with loops_at_work(model):
            for _ in range(steps):
                _, state = gradients(to_device(lanes.next(), model.device), state)
                optimizers.step(1.0)

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--window", type=int, default=64)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="bf16")
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    shape = (arguments.batch, arguments.window, arguments.precision == "bf16")
    device = choose_device(arguments.device)
    keep_freed_memory()  # as `sunspring train` does; the plain loop gains from it too
    torch.manual_seed(0)
    tokens = torch.randint(VOCABULARY_SIZE, (CHARACTERS,)).to(device)
    model = {**PRESETS["small"].model, "hidden_size": arguments.size}
    config = ModelConfig(vocabulary_size=VOCABULARY_SIZE, **model)
    same = replace(config, skip=False, pointer=0, embedding_size=EMBEDDING_SIZE)
    preset = PRESETS["small"].recipe
    muon = Recipe(optimization=preset.optimization)
    adamw = Recipe(optimization=replace(preset.optimization, optimizer="adamw"))
    contestants: dict[str, Contestant] = {
        PLAIN: PlainLoop(tokens, arguments.size, *shape).run,
        "Sunspring, the same model, AdamW": sunspring(tokens, same, adamw, *shape),
        "the same model, Muon": sunspring(tokens, same, muon, *shape),
        "preset small": sunspring(tokens, config, preset, *shape),
    }
    machine = f"{torch.get_num_threads()} threads of {processor_name()}"
    if device.type == "cuda":
        machine = torch.cuda.get_device_name(device)
    elif find_loops(torch.bfloat16) is None:
        machine += ", without Sunspring's fused loop for bf16"
    print(
        f"PyTorch {torch.__version__}, {machine}: two layers of {arguments.size}, "
        f"{arguments.batch} rows of {arguments.window}.\n"
        "Characters per second; in brackets, the ratio to the plain loop of the same pair:\n"
    )
    print(f"| pair | {' | '.join(contestants)} |\n|{'---|' * (len(contestants) + 1)}")
    speeds: dict[str, list[float]] = {name: [] for name in contestants}
    for run in contestants.values():
        run(max(5, arguments.steps // 10))  # to warm up
    for pair in range(arguments.pairs):
        for name, run in contestants.items():
            synchronise(device)
            began = time.perf_counter()
            run(arguments.steps)
            synchronise(device)
            seconds = time.perf_counter() - began
            speeds[name].append(arguments.steps * arguments.batch * arguments.window / seconds)
        shown = [
            f"{values[-1]:,.0f} ({values[-1] / speeds[PLAIN][-1]:.2f})"
            for values in speeds.values()
        ]
        print(f"| {pair + 1} | {' | '.join(shown)} |", flush=True)
    medians = []
    for values in speeds.values():
        ratios = [value / plain for value, plain in zip(values, speeds[PLAIN], strict=True)]
        medians.append(f"{statistics.median(values):,.0f} ({statistics.median(ratios):.2f})")
    print(f"| median | {' | '.join(medians)} |")


if __name__ == "__main__":
    main()
