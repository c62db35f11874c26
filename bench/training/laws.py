"""The measured runs behind the planner's laws (docs/planner.md), and the laws fitted to them.

    python bench/training/laws.py measure [--at-once 2] [--runs bench/training/laws.csv]
    python bench/training/laws.py fit [--runs bench/training/laws.csv]

`measure` trains models of several sizes and dropouts on parts of two texts and adds a row per run
to the table; runs that are already in it are not repeated. Budgets are in steps, so that the speed
of the machine does not matter. The texts are the source code of Python's standard library and the
English of its help; 100,000 characters from the middle of each are reserved for scoring. `fit`
prints the constants in `src/sunspring/training/laws.py`.
"""

import argparse
import csv
import functools
import itertools
import math
import multiprocessing
import operator
import sysconfig
from collections.abc import Iterator
from dataclasses import asdict, astuple, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sunspring.corpus.splits import Split
from sunspring.evaluation.protocols import evaluate_stream
from sunspring.machine import keep_freed_memory, usable_cores
from sunspring.network.config import ModelConfig
from sunspring.network.network import RecurrentModel
from sunspring.text.sources import embedded_text
from sunspring.training.budget import Budget
from sunspring.training.optimizers import Optimizers
from sunspring.training.pace import Pace
from sunspring.training.plan import PRESETS
from sunspring.training.trainer import QuickSets, Trainer, make_batches

SCORED = 100_000
WHOLE = ("characters", "vocabulary", "read", "layers", "hidden_size")
MEASURED = ("nats", "training_nats")
REAL = ("recurrent_dropout", "output_dropout", *MEASURED)
FEW_EPOCHS = 3.5
CODE = 3_000_000  # characters of source code


@dataclass(frozen=True)
class Cell:
    """Runs that differ only in the model.

    Args:
        characters: length of the training text.
        read: characters read in training.
        shapes: pairs of layers and hidden size.
        dropouts: pairs of recurrent dropout and output dropout; layer dropout is half the latter.
    """

    characters: int
    read: int
    shapes: tuple[tuple[int, int], ...]
    dropouts: tuple[tuple[float, float], ...]


NONE, LITTLE, SOME, MUCH = (0.0, 0.0), (0.1, 0.0), (0.3, 0.0), (0.5, 0.0)
BOTH, MUCH_OF_BOTH = (0.2, 0.2), (0.3, 0.4)
SMALL, USUAL, DEEP, LARGE = (2, 128), (2, 256), (3, 192), (3, 256)
CELLS = (
    Cell(20_000, 500_000, ((2, 64), SMALL, (3, 128), USUAL), (SOME, MUCH)),
    Cell(20_000, 500_000, (SMALL, USUAL), (LITTLE,)),
    Cell(20_000, 1_000_000, (SMALL,), (MUCH_OF_BOTH,)),
    Cell(20_000, 2_000_000, ((2, 64), SMALL, (3, 128)), (SOME, MUCH)),
    Cell(100_000, 500_000, (SMALL, (3, 128), USUAL, DEEP), (LITTLE, SOME)),
    Cell(100_000, 1_000_000, (USUAL,), (LITTLE, BOTH)),
    Cell(100_000, 2_000_000, (SMALL, USUAL), (LITTLE,)),
    Cell(100_000, 2_000_000, (USUAL,), (BOTH, MUCH_OF_BOTH)),
    Cell(100_000, 4_000_000, (SMALL,), (BOTH,)),
    Cell(500_000, 500_000, (SMALL, (3, 128), USUAL, DEEP, LARGE), (NONE,)),
    Cell(500_000, 2_000_000, (SMALL, USUAL, DEEP, LARGE), (NONE,)),
    Cell(500_000, 2_000_000, (USUAL,), (LITTLE,)),
    Cell(500_000, 4_000_000, (USUAL,), (BOTH,)),
    Cell(500_000, 8_000_000, (USUAL,), (BOTH,)),
    Cell(2_500_000, 500_000, (SMALL, USUAL, DEEP), (NONE,)),
    Cell(2_500_000, 2_000_000, (SMALL, USUAL, LARGE), (NONE,)),
    Cell(2_500_000, 8_000_000, (USUAL, LARGE), (NONE,)),
)


@dataclass(frozen=True)
class Run:
    """One row of the table.

    Args:
        text: `python` or `english`.
        characters: length of the training text.
        vocabulary: distinct characters of the whole text.
        read: characters read in training.
        layers: number of layers.
        hidden_size: units of each layer.
        recurrent_dropout: dropout of the recurrent weights.
        output_dropout: dropout of the outputs; layer dropout is half of it.
        nats: nats per character of the scored text by `stream`; NaN before the run.
        training_nats: mean training loss over the last steps.
    """

    text: str
    characters: int
    vocabulary: int
    read: int
    layers: int
    hidden_size: int
    recurrent_dropout: float
    output_dropout: float
    nats: float = math.nan
    training_nats: float = math.nan


@functools.cache  # each worker makes many runs
def load_texts() -> dict[str, NDArray[np.uint16]]:
    """Return the two texts by name, as ids (characters,)."""
    library = Path(sysconfig.get_path("stdlib"))
    sources = sorted(each for each in library.rglob("*.py") if "site-packages" not in each.parts)
    code = "".join(each.read_text("utf-8", "ignore") for each in sources)
    texts = {"python": code[:CODE], "english": embedded_text()}
    return {
        name: np.searchsorted(sorted(set(text)), list(text)).astype(np.uint16)
        for name, text in texts.items()
    }


def plan_runs(text: str, ids: NDArray[np.uint16]) -> Iterator[Run]:
    """List the runs to make on one text, given as ids (characters,)."""
    for cell in CELLS:
        if cell.characters + SCORED <= len(ids):
            for shape, dropouts in itertools.product(cell.shapes, cell.dropouts):
                vocabulary = int(ids.max()) + 1
                yield Run(text, cell.characters, vocabulary, cell.read, *shape, *dropouts)


def make_run(run: Run) -> Run:
    """Train and score one model."""
    ids = load_texts()[run.text]
    middle = (len(ids) - SCORED) // 2
    before = max(0, middle - run.characters)
    after = middle + SCORED
    train = np.concatenate((ids[before:middle], ids[after:]))[: run.characters]
    preset = PRESETS["small"]
    architecture = {
        **preset.model,
        "layers": run.layers,
        "hidden_size": run.hidden_size,
        "recurrent_dropout": run.recurrent_dropout,
        "layer_dropout": run.output_dropout / 2,
        "output_dropout": run.output_dropout,
    }
    torch.manual_seed(0)
    model = RecurrentModel(ModelConfig(run.vocabulary, **architecture))
    recipe = preset.recipe
    steps = max(1, run.read // (recipe.batch_size * recipe.window))
    trainer = Trainer(
        model,
        make_batches(split_of(train), 0, recipe, seed=0),
        Optimizers(model, recipe.optimization),
        pace=Pace(Budget("steps", steps)),
        warmup_steps=recipe.optimization.warmup_steps,
        precision="bf16",
        objective=recipe.objective,
        quick=QuickSets([], []),
    )
    report = trainer.run()
    nats = evaluate_stream(model, split_of(ids[middle:after]), 0).nats_per_character
    return replace(run, nats=round(nats, 5), training_nats=round(report.loss, 5))


def split_of(ids: NDArray[np.uint16]) -> Split:
    return Split(ids, np.array([0, len(ids)]), None, len(ids))


def read_runs(path: Path) -> list[Run]:
    """Read the table; no runs if it does not exist yet."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [
            Run(
                row["text"],
                *(int(row[name]) for name in WHOLE),
                *(float(row[name]) for name in REAL),
            )
            for row in csv.DictReader(file)
        ]


def measure(path: Path, at_once: int) -> None:
    """Make the runs that are missing from the table, the short ones first."""
    made = {setting(run) for run in read_runs(path)}
    planned = itertools.chain(*(plan_runs(name, ids) for name, ids in load_texts().items()))
    wanted = [run for run in dict.fromkeys(planned) if setting(run) not in made]
    wanted.sort(key=lambda run: (run.read, run.characters))
    threads = max(1, usable_cores() // at_once)
    spawn = multiprocessing.get_context("spawn")
    with spawn.Pool(at_once, prepare_worker, (threads,)) as pool:
        for number, run in enumerate(pool.imap_unordered(make_run, wanted), start=1):
            append_run(path, run)
            print(f"{number} of {len(wanted)}: {run}", flush=True)


def setting(run: Run) -> tuple[Any, ...]:
    """Return the fields that identify a run, without those measured."""
    return astuple(run)[: -len(MEASURED)]


def prepare_worker(threads: int) -> None:
    torch.set_num_threads(threads)
    keep_freed_memory()


def append_run(path: Path, run: Run) -> None:
    """Add a row to the table; a new table begins with a header."""
    is_new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Run)])
        if is_new:
            writer.writeheader()
        writer.writerow(asdict(run))


def fit(runs: list[Run]) -> None:
    """Print the laws fitted to the runs."""
    plain = [
        run
        for run in runs
        if run.read <= FEW_EPOCHS * run.characters
        and (run.recurrent_dropout, run.output_dropout) in (NONE, LITTLE)
    ]
    of_weights, power, of_reading, power_of_reading, error = fit_size(plain)
    print(
        f"avoidable nats, from {len(plain)} runs of at most {FEW_EPOCHS} epochs: "
        f"{of_weights:.3g} / weights^{power:.3f} + {of_reading:.3g} / read^{power_of_reading:.3f}, "
        f"with an error of {error:.4f} nats (root mean square)\n"
    )
    print("the best dropout of each model that was trained with several:")
    for _, same in grouped(runs, "text", "characters", "read", "layers", "hidden_size"):
        if len(same) > 1:
            best = min(same, key=lambda run: run.nats)
            tried = ", ".join(
                f"{run.recurrent_dropout:g}/{run.output_dropout:g} {run.nats:.3f}" for run in same
            )
            print(f"  {describe(best)} ({tried})")
    print("\nthe best of each text and length:")
    for _, same in grouped(runs, "text", "characters"):
        print(f"  {describe(min(same, key=lambda run: run.nats))}")


def fit_size(runs: list[Run]) -> tuple[float, float, float, float, float]:
    """Fit `laws.avoidable_nats`, plus a constant for each text and length, by least squares.

    Returns:
        Factor and power of the weights, those of the characters read, and the root mean square
        error.
    """
    weights = torch.tensor([8.0 * run.layers * run.hidden_size**2 for run in runs]).double()
    read = torch.tensor([float(run.read) for run in runs]).double()
    nats = torch.tensor([run.nats for run in runs]).double()
    places = sorted({(run.text, run.characters) for run in runs})
    place = torch.tensor([places.index((run.text, run.characters)) for run in runs])
    in_place = torch.nn.functional.one_hot(place).double()
    # logarithms, at the mean run: loss due to size, its power; loss due to reading, its power
    middle = torch.stack((weights.log().mean(), read.log().mean()))
    unknown = torch.tensor([-2.0, -0.7, -2.0, -0.7], dtype=torch.double, requires_grad=True)
    optimizer = torch.optim.LBFGS([unknown], max_iter=500, line_search_fn="strong_wolfe")

    def residuals() -> torch.Tensor:
        loss, power = unknown[[0, 2]].exp(), unknown[[1, 3]].exp()
        logs = torch.stack((weights.log(), read.log()), dim=1) - middle
        left = nats - (loss * (-power * logs).exp()).sum(dim=1)
        return left - in_place @ ((in_place.T @ left) / in_place.sum(dim=0))

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        error = residuals().square().mean()
        torch.autograd.backward(error)
        return error

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    unknown.requires_grad_(False)
    powers = unknown[[1, 3]].exp()
    factors = (unknown[[0, 2]] + powers * middle).exp()
    error = float(residuals().square().mean().sqrt())
    return float(factors[0]), float(powers[0]), float(factors[1]), float(powers[1]), error


def grouped(runs: list[Run], *names: str) -> Iterator[tuple[Any, list[Run]]]:
    """Group the runs that agree in some fields."""
    key = operator.attrgetter(*names)
    for value, same in itertools.groupby(sorted(runs, key=key), key):
        yield value, list(same)


def describe(run: Run) -> str:
    return (
        f"{run.text}, {run.characters:,} characters {run.read / run.characters:.3g} times, "
        f"{run.layers} layers of {run.hidden_size}: "
        f"{run.recurrent_dropout:g}/{run.output_dropout:g} {run.nats:.3f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", choices=["measure", "fit"])
    parser.add_argument("--runs", type=Path, default=Path(__file__).with_suffix(".csv"))
    parser.add_argument("--at-once", type=int, default=1, help="models trained side by side")
    arguments = parser.parse_args()
    if arguments.task == "measure":
        measure(arguments.runs, arguments.at_once)
    else:
        fit(read_runs(arguments.runs))


if __name__ == "__main__":
    main()
