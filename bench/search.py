"""The planner against a hand search: many settings drawn at random, a minute each.

    python bench/search.py TEXT [TEXT ...] [--minutes 1] [--runs 30] [--seed 0] [--documents none]

For each text: `sunspring train` once as the planner has it, then so many times with size, layers,
dropout, lanes, window, penalty and rates drawn from what a person would try. Prints every run, and
at the end how far the planner is behind the best of them on the held-out text. The best of many is
picked by the figure that it is compared by, which flatters the search and not the planner.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path

TRIED: dict[str, tuple[float, ...]] = {
    "hidden_size": (64, 128, 192, 256, 320, 384, 512),
    "layers": (1, 2, 2, 3),
    "recurrent_dropout": (0, 0, 0.1, 0.2, 0.3, 0.5),
    "output_dropout": (0, 0, 0, 0.1, 0.2),
    "batch_size": (8, 16, 32, 64),
    "window": (32, 64, 128),
    "activation_penalty": (0, 0.1, 0.2, 0.5),
    "learning_rate": (1.5e-3, 3e-3, 6e-3),
    "muon_learning_rate": (0.01, 0.014, 0.02, 0.03),
}


def train(text: str, minutes: str, documents: str, settings: dict[str, float]) -> float:
    """Train once and give the held-out nats per character."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "sunspring", "train", text, "--minutes", minutes, "--json"]
        command += ["--documents", documents, "--out", str(Path(folder) / "run")]
        for name, value in settings.items():
            command += ["--set", f"{name}={value:g}"]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return float(json.loads(done.stdout)["heldout"]["nats"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("texts", nargs="+")
    parser.add_argument("--minutes", default="1")
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--documents", default="none")
    arguments = parser.parse_args()
    for text in arguments.texts:
        draw = random.Random(arguments.seed)
        planned = train(text, arguments.minutes, arguments.documents, {})
        print(f"{text}\n{planned:.4f}  the planner", flush=True)
        best = float("inf")
        for _ in range(arguments.runs):
            settings = {name: draw.choice(values) for name, values in TRIED.items()}
            nats = train(text, arguments.minutes, arguments.documents, settings)
            best = min(best, nats)
            shown = ", ".join(f"{name}={value:g}" for name, value in settings.items())
            print(f"{nats:.4f}  {shown}", flush=True)
        print(f"best of {arguments.runs}: {best:.4f}; the planner: {planned - best:+.4f}\n")


if __name__ == "__main__":
    main()
