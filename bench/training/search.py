"""The planner compared with a random search over settings, a minute per run.

    python bench/training/search.py TEXT [TEXT ...] [--minutes 1] [--runs 30] [--at-once 1]
                                    [--seed 0]

For each text: `sunspring train` once with the planner's settings, then `--runs` times with size,
layers, pointer, dropout, lanes, window, penalty and rates drawn from what a person would try. With
`--at-once 2` two runs share the machine (the planner's too), each with half of its cores. Prints
every run, and at the end how far the planner is behind the best of them on the held-out text. The
best run is chosen on the very text that it is compared on, which favours the search over the
planner.
"""

import argparse
import random
import tempfile
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from quality import json_of

from sunspring.machine import usable_cores

SUNSPRING = ("-m", "sunspring")

TRIED: dict[str, tuple[float, ...]] = {
    "hidden_size": (64, 128, 192, 256, 320, 384, 512),
    "layers": (1, 2, 2, 3),
    "pointer": (0, 256, 1024, 1024),
    "recurrent_dropout": (0, 0, 0.1, 0.2, 0.3, 0.5),
    "output_dropout": (0, 0, 0, 0.1, 0.2),
    "batch_size": (8, 16, 32, 64),
    "window": (32, 64, 128),
    "activation_penalty": (0, 0.2, 0.5, 1),
    "learning_rate": (1.5e-3, 3e-3, 6e-3),
    "head_rate_factor": (1, 2, 4),
    "muon_learning_rate": (0.01, 0.014, 0.02, 0.03),
}


def train(text: str, minutes: str, settings: dict[str, float], threads: int) -> float:
    """Train once, and return the nats per character of the whole held-out text."""
    chosen = [part for name in settings for part in ("--set", f"{name}={settings[name]:g}")]
    with tempfile.TemporaryDirectory() as folder:
        run = str(Path(folder) / "run")
        training = ("train", text, "--minutes", minutes, "--out", run, *chosen)
        json_of(*SUNSPRING, *training, threads=threads)
        evaluated = json_of(*SUNSPRING, "evaluate", run, threads=threads)
        return float(evaluated["nats_per_character"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("texts", nargs="+")
    parser.add_argument("--minutes", default="1")
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--at-once", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    threads = max(1, usable_cores() // arguments.at_once)
    for text in arguments.texts:
        print(text, flush=True)
        draw = random.Random(arguments.seed)
        tried = [
            {name: draw.choice(values) for name, values in TRIED.items()}
            for _ in range(arguments.runs)
        ]
        found: list[float] = []
        with ThreadPoolExecutor(arguments.at_once) as pool:
            planner = pool.submit(train, text, arguments.minutes, {}, threads)
            search = {
                pool.submit(train, text, arguments.minutes, settings, threads): settings
                for settings in tried
            }
            for done in as_completed(search):
                found.append(done.result())
                shown = ", ".join(f"{name}={value:g}" for name, value in search[done].items())
                print(f"{found[-1]:.4f}  {shown}", flush=True)
        planned = planner.result()
        print(
            f"the planner: {planned:.4f}, best of {len(found)}: {min(found):.4f}, "
            f"difference: {planned - min(found):+.4f}\n",
            flush=True,
        )


if __name__ == "__main__":
    main()
