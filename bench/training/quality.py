"""Held-out quality after a few minutes of training: Sunspring and peers on the same text.

    python bench/training/quality.py TEXT [--minutes 3] [--seeds 0,1,2] [--presets auto,article]
                            [--documents none|files] [--beyond] [--article]
                            [--nanogpt CHECKOUT]

TEXT is a file, or a folder whose files are joined in name order. For each seed, it runs these one
after another, each in its own process: `sunspring train`, as a user would start it, then `sunspring
evaluate` by both protocols; and the peers that were asked for. `--article` is the article's plain
LSTM with Adam (plain_lstm.py, which also searches its settings), `--nanogpt` is nanoGPT at its CPU
setting (nanogpt.py). `--beyond` adds columns for the mixture with n-grams, dynamic evaluation, and
both, by `stream`. Prints a markdown table of all runs, then one of their means with the standard
deviation over the seeds. Figures are nats per character; compare only within a column.

Held-out text (the last tenth of a single text) is not trained on by anyone and steers no choice.
With peers, everything runs on the CPU. Nothing else should run at the same time.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from sunspring.api import load
from sunspring.evaluation.protocols import evaluate_windows
from sunspring.machine import describe_machine
from sunspring.runs.corpus import open_run_corpus
from sunspring.storage import read_json

# Sunspring's own columns, and the arguments of `sunspring evaluate` for each.
EVALUATIONS: dict[str, Sequence[str]] = {
    "stream": (),
    "windows of 256": ("--protocol", "windows"),
}
BEYOND = {"mixture": "mixture", "dynamic": "dynamic", "both": "dynamic_mixture"}
NANOGPT_BLOCK = 64  # it can only be compared by windows of its block
COST_FORMATS = {"seconds": ".0f", "epochs": ".1f", "characters_per_second": ",.0f"}
BENCH = Path(__file__).parent

Figures = dict[str, float]
Contestant = Callable[[str], Figures]
"""Trains with a seed, and returns its figures."""


def json_of(*command: str, threads: int | None = None) -> dict[str, Any]:
    """Run a Python command that prints JSON, with a fixed number of threads if one is given."""
    environment = None if threads is None else {**os.environ, "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(
        [sys.executable, *command, "--json"], capture_output=True, text=True, env=environment
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def run_sunspring(
    training: Sequence[str], windows: Sequence[int], device: str, has_beyond: bool, seed: str
) -> Figures:
    """Train and evaluate.

    Args:
        training: arguments of `sunspring train`.
        windows: further window lengths to measure; the command only has 256.
        device: value of `--device`.
        has_beyond: whether to measure the mixture and dynamic evaluation too.
        seed: seed of the training.
    """
    sunspring = ("-m", "sunspring")
    with tempfile.TemporaryDirectory() as folder:
        out = str(Path(folder) / "run")
        chosen = ("--device", device)
        figures = json_of(*sunspring, "train", *training, "--seed", seed, "--out", out, *chosen)
        for column, arguments in EVALUATIONS.items():
            evaluated = json_of(*sunspring, "evaluate", out, *arguments, *chosen)
            figures[column] = evaluated["nats_per_character"]
            figures["best n-gram"] = min(evaluated["baselines"].values())
        if has_beyond:
            evaluated = json_of(*sunspring, "evaluate", out, "--mixture", "--dynamic", *chosen)
            for column, key in BEYOND.items():
                figures[column] = evaluated[key]["nats_per_character"]
        for window in windows:
            corpus = open_run_corpus(read_json(Path(out) / "run.json"), print)
            start_id = corpus.vocabulary.start_id
            evaluation = evaluate_windows(load(out).network, corpus.heldout, start_id, window)
            figures[f"windows of {window}"] = evaluation.nats_per_character
    return figures


def run_peer(script: str, arguments: Sequence[str], seed: str) -> Figures:
    """Train and score a peer."""
    return json_of(str(BENCH / script), *arguments, "--seed", seed)


def row(cells: Sequence[str]) -> str:
    """Return a row of a markdown table."""
    return f"| {' | '.join(cells)} |"


def cells(runs: Sequence[Figures], columns: Sequence[str]) -> Iterator[str]:
    """Yield the mean of each figure over some runs, with its deviation if there are several."""
    for column in columns:
        values = [run[column] for run in runs if column in run]
        form = COST_FORMATS.get(column, ".4f")
        if not values:
            yield "–"
        elif len(values) == 1:
            yield format(values[0], form)
        else:
            yield f"{statistics.fmean(values):{form}} ± {statistics.stdev(values):{form}}"


def print_header(columns: Sequence[str]) -> None:
    names = [column.replace("_per_", "/") for column in columns]
    print(row(["", "seed", *names]), row(["---"] * (len(columns) + 2)), sep="\n", flush=True)


def measure(
    contestants: dict[str, Contestant], seeds: Sequence[str], columns: Sequence[str]
) -> None:
    """Run all contestants, seed by seed, and print both tables."""
    results: dict[str, list[Figures]] = {name: [] for name in contestants}
    print_header(columns)
    for seed in seeds:
        for name, run in contestants.items():
            figures = run(seed)
            results[name].append(figures)
            print(row([name, seed, *cells([figures], columns)]), flush=True)
    print(f"\nMean ± standard deviation over {len(seeds)} seed{'s' * (len(seeds) > 1)}:\n")
    print_header(columns)
    for name, runs in results.items():
        print(row([name, ", ".join(seeds), *cells(runs, columns)]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("text")
    parser.add_argument("--minutes", default="3")
    parser.add_argument("--presets", default="auto")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--documents", default="none")
    parser.add_argument("--beyond", action="store_true")
    parser.add_argument("--article", action="store_true")
    parser.add_argument("--nanogpt", metavar="CHECKOUT")
    arguments = parser.parse_args()
    has_peers = arguments.article or arguments.nanogpt
    if has_peers and arguments.documents != "none":
        parser.error("the peers read one text: leave out --documents")
    if arguments.nanogpt and not Path(arguments.nanogpt, "train.py").exists():
        parser.error(f"{arguments.nanogpt} has no train.py: name a checkout of nanoGPT")
    budget = (arguments.text, "--minutes", arguments.minutes)
    windows = [NANOGPT_BLOCK] if arguments.nanogpt else []
    device = "cpu" if has_peers else "auto"
    contestants: dict[str, Contestant] = {}
    for preset in arguments.presets.split(","):
        training = (*budget, "--preset", preset, "--documents", arguments.documents)
        contestants[f"Sunspring, {preset}"] = partial(
            run_sunspring, training, windows, device, arguments.beyond
        )
    if arguments.article:
        contestants["plain LSTM, Adam"] = partial(run_peer, "plain_lstm.py", budget)
    if arguments.nanogpt:
        checkout = ("--checkout", arguments.nanogpt)
        contestants["nanoGPT, CPU setting"] = partial(run_peer, "nanogpt.py", (*budget, *checkout))
    machine = describe_machine(Path())
    print(
        f"{arguments.minutes} minutes on {machine['cores']} cores of {machine['processor']}, "
        f"PyTorch {machine['versions']['torch']}: {arguments.text}\n"
    )
    columns = [*COST_FORMATS, *EVALUATIONS]
    columns += [f"windows of {window}" for window in windows]
    columns += [*(BEYOND if arguments.beyond else ()), "best n-gram"]
    measure(contestants, arguments.seeds.split(","), columns)


if __name__ == "__main__":
    main()
