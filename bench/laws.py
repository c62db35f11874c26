"""The measured runs behind the planner's laws (docs/planner.md), and the laws fitted to them.

    python bench/laws.py measure [--shakespeare FOLDER] [--runs docs/planner/runs.csv]
    python bench/laws.py fit [--runs docs/planner/runs.csv]

`measure` trains models of several sizes and dropouts on parts of three texts for so many steps that
the machine's speed has no say, and adds a row a run to the table; runs that are in it are not made
again. The texts are the source code of Python's standard library, the English of its help, and
Shakespeare's plays (`--shakespeare ../shared/data/shakespeare`, left out without it; only the first
nine tenths are read). Of each, 100,000 characters from the middle are kept for scoring. `fit`
prints the constants that stand in `src/sunspring/laws.py`.
"""

import argparse
import csv
import itertools
import sysconfig
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch

from sunspring.corpus import Split
from sunspring.evaluation import evaluate_stream
from sunspring.model import ModelConfig, RecurrentModel
from sunspring.optim import Optimizers
from sunspring.pace import Pace
from sunspring.plan import PRESETS, Budget
from sunspring.sources import embedded_text
from sunspring.training import QuickSets, Trainer, make_batches

SCORED = 100_000
SIZES = (20_000, 100_000, 500_000, 2_500_000)
READ = {  # characters read in training: hidden sizes to try
    500_000: (64, 128, 192, 256),
    2_000_000: (128, 192, 256, 384),
    8_000_000: (256, 384),
}
LARGEST_READ_ONCE_A_TEXT = 2_000_000


@dataclass(frozen=True)
class Run:
    """One row of the table; `nats` is None before it is made.

    Args:
        text: `python`, `english` or `shakespeare`.
        characters: of training text.
        vocabulary: its distinct characters and those of the scored text.
        read: characters read in training.
        hidden_size: of both layers.
        dropout: of the recurrent weights.
        batch_size: lanes.
        nats: a character, on the scored text by `stream`.
        training_nats: the mean over the last steps.
    """

    text: str
    characters: int
    vocabulary: int
    read: int
    hidden_size: int
    dropout: float
    batch_size: int
    nats: float | None = None
    training_nats: float | None = None


def load_texts(shakespeare: Path | None) -> dict[str, str]:
    """Give the three texts by name."""
    library = Path(sysconfig.get_path("stdlib"))
    sources = sorted(each for each in library.rglob("*.py") if "site-packages" not in each.parts)
    code = "".join(each.read_text("utf-8", "ignore") for each in sources)
    texts = {"python": code[: 10 * SIZES[-1]], "english": embedded_text()}
    if shakespeare is not None:
        plays = "".join(each.read_text("utf-8") for each in sorted(shakespeare.glob("*.txt")))
        texts["shakespeare"] = plays[: len(plays) * 9 // 10]
    return texts


def plan_runs(text: str, length: int, vocabulary: int) -> Iterator[Run]:
    """List what to measure on one text, of so many characters."""
    for size, (read, hidden_sizes) in itertools.product(SIZES, READ.items()):
        epochs = read / size
        if size > length - SCORED or (read > LARGEST_READ_ONCE_A_TEXT and text != "python"):
            continue
        if read > LARGEST_READ_ONCE_A_TEXT and size < 500_000:
            continue
        dropouts = (0.0,) if epochs <= 1.5 else (0.0, 0.2) if epochs <= 6 else (0.2, 0.4)
        for hidden_size, dropout in itertools.product(hidden_sizes, dropouts):
            yield Run(text, size, vocabulary, read, hidden_size, dropout, 32)


def make_run(run: Run, ids: np.ndarray) -> Run:
    """Train and score one model on ids (characters of the whole text,)."""
    middle = (len(ids) - SCORED) // 2
    scored = ids[middle : middle + SCORED]
    before = min(run.characters, middle)
    train = np.concatenate((ids[middle - before : middle], ids[middle + SCORED :]))[
        : run.characters
    ]
    recipe = replace(PRESETS["small"].recipe, batch_size=run.batch_size)
    torch.manual_seed(0)
    model = RecurrentModel(
        ModelConfig(
            run.vocabulary,
            hidden_size=run.hidden_size,
            embedding_size=64,
            skip=True,
            recurrent_dropout=run.dropout,
        )
    )
    batches = make_batches(split_of(train), 0, recipe, seed=0)
    steps = max(1, run.read // (batches.batch_size * recipe.window))
    trainer = Trainer(
        model,
        batches,
        Optimizers(model, recipe.optimization),
        pace=Pace(Budget("steps", steps)),
        warmup_steps=recipe.optimization.warmup_steps,
        precision="bf16",
        objective=recipe.objective,
        quick=QuickSets([], []),
    )
    report = trainer.run()
    nats = evaluate_stream(model, split_of(scored), 0).nats_per_character
    return replace(run, nats=round(nats, 5), training_nats=round(report.loss, 5))


def split_of(ids: np.ndarray) -> Split:
    return Split(ids, np.array([0, len(ids)]), None, len(ids))


def read_runs(path: Path) -> list[Run]:
    """Read the table; none where there is none yet."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [
            Run(
                row["text"],
                *(int(row[name]) for name in ("characters", "vocabulary", "read", "hidden_size")),
                float(row["dropout"]),
                int(row["batch_size"]),
                *(float(row[name]) for name in ("nats", "training_nats")),
            )
            for row in csv.DictReader(file)
        ]


def measure(path: Path, shakespeare: Path | None) -> None:
    """Make the runs that the table lacks, the short ones first."""
    made = {replace(run, nats=None, training_nats=None) for run in read_runs(path)}
    texts = load_texts(shakespeare)
    characters = {name: sorted(set(text)) for name, text in texts.items()}
    wanted = [
        run
        for name, text in texts.items()
        for run in plan_runs(name, len(text), len(characters[name]))
        if run not in made
    ]
    ids = {
        name: np.searchsorted(characters[name], list(text)).astype(np.uint16)
        for name, text in texts.items()
    }
    for number, run in enumerate(sorted(wanted, key=lambda each: each.read), start=1):
        done = make_run(run, ids[run.text])
        is_new = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.DictWriter(file, [field.name for field in fields(Run)])
            if is_new:
                writer.writeheader()
            writer.writerow(asdict(done))
        print(f"{number} of {len(wanted)}: {done}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", choices=["measure"])
    parser.add_argument("--runs", type=Path, default=Path("docs/planner/runs.csv"))
    parser.add_argument("--shakespeare", type=Path)
    arguments = parser.parse_args()
    measure(arguments.runs, arguments.shakespeare)


if __name__ == "__main__":
    main()
