"""New names from a list: the time for a hundred thousand, and whether all are new.

    python bench/writing/names.py names.txt [--count 100000] [--minutes 1]

Trains on the list (one name per line), lets the command line write names that differ from one
another and from the list, and checks that they do.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def sunspring(*arguments: object) -> str:
    command = [sys.executable, "-m", "sunspring", *map(str, arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", type=Path)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--minutes", type=float, default=1)
    arguments = parser.parse_args()
    known = {line.strip() for line in arguments.names.read_text(encoding="utf-8").splitlines()}
    with tempfile.TemporaryDirectory() as folder:
        whole, small = Path(folder) / "names", Path(folder) / "small"
        learning = ("--documents", "lines", "--minutes", arguments.minutes)
        sunspring("train", arguments.names, *learning, "--out", whole)
        sunspring("quantize", whole, "--out", small)
        for name, model in (("fp32", whole), ("int8", small)):
            wanted = ("--count", arguments.count, "--unique", "--novel", "--length", 40)
            began = time.perf_counter()
            written = sunspring("write", model, *wanted, "--temperature", 1).splitlines()
            seconds = time.perf_counter() - began
            assert len(set(written)) == arguments.count
            assert not known.intersection(written)
            print(f"{name}: {arguments.count:,} new names in {seconds:.1f} s, e.g. {written[:5]}")


if __name__ == "__main__":
    main()
