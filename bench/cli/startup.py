"""Start-up: `sunspring --help`, and `sunspring train` to its first step on the demo text.

    python bench/cli/startup.py [--runs 5]

For comparison it times an empty Python process, and `import torch`.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def seconds(command: list[str]) -> float:
    """Time a command from start to end."""
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began


def seconds_to_first_step(folder: Path) -> float:
    """Return the seconds until a training logs its first step; it is then killed."""
    log = folder / "log.jsonl"
    command = [sys.executable, "-m", "sunspring", "train", "--out", str(folder), "--minutes", "1"]
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and not (log.exists() and '"step"' in log.read_text()):
            time.sleep(0.01)
        passed = time.perf_counter() - began
        process.kill()
    return passed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    runs = range(parser.parse_args().runs)
    python = sys.executable
    with tempfile.TemporaryDirectory() as folder:
        first_steps = [seconds_to_first_step(Path(folder) / str(run)) for run in runs]
    figures = {
        "python -c ''": [seconds([python, "-c", ""]) for _ in runs],
        "python -c 'import torch'": [seconds([python, "-c", "import torch"]) for _ in runs],
        "sunspring --help": [seconds([python, "-m", "sunspring", "--help"]) for _ in runs],
        "sunspring train, to its first step": first_steps,
    }
    for name, values in figures.items():
        print(f"{name:<36} median {statistics.median(values):.3f} s, worst {max(values):.3f} s")


if __name__ == "__main__":
    main()
