"""Encoding: seconds for 100 MB of text, and peak memory for a corpus of any size.

    python bench/corpus/corpus.py [--megabytes 100] [--steps 100] [--documents none|lines]

Makes a text of the given size, encodes it and trains a few steps on it in a child process; prints
the child's peak resident memory, and for comparison that of training on a small text.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

_CHILD = """
import json, resource, sys, time
from pathlib import Path
from sunspring.corpus.corpus import build_corpus
from sunspring.corpus.settings import TokenSettings
from sunspring.runs.request import TrainingRequest
from sunspring.runs.train import train
from sunspring.text.files import find_sources
from sunspring.text.options import ReadingOptions
source, out, steps, documents = sys.argv[1:]
began = time.perf_counter()
found = find_sources([source], ReadingOptions(documents=documents))
build_corpus(found, TokenSettings(), Path(out) / "corpora")
seconds = time.perf_counter() - began
train(TrainingRequest(source, out=Path(out) / "run", steps=int(steps), preset="tiny",
                      documents=documents))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"seconds": seconds, "peak_mb": peak / 1024}))
"""


def measure(source: Path, steps: int, documents: str) -> dict[str, float]:
    """Encode a text and train on it, in a child process with its own cache."""
    with tempfile.TemporaryDirectory(dir=source.parent) as folder:
        environment = {**os.environ, "SUNSPRING_CACHE": str(Path(folder) / "cache")}
        command = [sys.executable, "-c", _CHILD, str(source), folder, str(steps), documents]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def make_text(path: Path, size: int) -> None:
    """Write lines of invented words, about `size` bytes."""
    draw = random.Random(0)
    words = ["".join(draw.choices("etaoinshrdlu", k=draw.randint(2, 9))) for _ in range(5000)]
    block = "".join(" ".join(draw.choices(words, k=7)) + "\n" for _ in range(20_000))
    with path.open("w") as file:
        for _ in range(max(1, size // len(block))):
            file.write(block)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--documents", default="none")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        small, large = Path(folder) / "small.txt", Path(folder) / "large.txt"
        make_text(small, 1_000_000)
        make_text(large, arguments.megabytes * 1_000_000)
        baseline = measure(small, arguments.steps, arguments.documents)
        measured = measure(large, arguments.steps, arguments.documents)
    print(
        f"{arguments.megabytes} MB read, encoded and split in {measured['seconds']:.1f} s; "
        f"peak memory with training {measured['peak_mb']:.0f} MB, "
        f"on a small text {baseline['peak_mb']:.0f} MB"
    )


if __name__ == "__main__":
    main()
