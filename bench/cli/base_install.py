"""The package without extras: its size, and the time and memory that writing takes.

    python bench/cli/base_install.py [--runs 9]

Builds a wheel, installs it with its dependencies into a fresh environment, adds up the file sizes,
and writes 200 characters with the bundled model several times, each time in a new process. For
comparison it times an empty Python process, and one that imports numpy.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
WRITE = ["-m", "sunspring", "write", "shakespeare", "--prompt", "ROMEO:", "--length", "200"]


def install(folder: Path) -> Path:
    """Make an environment with only the base package, and return its interpreter."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "env"], check=True)
    pip = [sys.executable, "-m", "pip", "--quiet"]
    subprocess.run([*pip, "wheel", "--no-deps", "-w", folder, ROOT], check=True)
    (wheel,) = folder.glob("*.whl")
    python = folder / "env" / "bin" / "python"
    constraints = ["-c", str(ROOT / "constraints.txt")]
    subprocess.run([*pip, "--python", python, "install", *constraints, wheel], check=True)
    return python


def megabytes(python: Path) -> dict[str, float]:
    """Return the size of each package, the largest first, with compiled files."""
    sizes: dict[str, float] = {}
    (packages,) = python.parents[1].glob("lib/python*/site-packages")
    for path in packages.rglob("*"):
        if path.is_file():
            name = path.relative_to(packages).parts[0].partition(".")[0].partition("-")[0]
            sizes[name] = sizes.get(name, 0) + path.stat().st_size / 1e6
    return dict(sorted(sizes.items(), key=lambda item: -item[1]))


def run(command: list[str]) -> tuple[float, float]:
    """Run a command; return its seconds from start to end, and its peak resident megabytes."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{command} failed")
    return time.perf_counter() - began, usage.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=9)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as folder:
        python = install(Path(folder))
        commands = {
            "python -c ''": [str(python), "-c", ""],
            "python -c 'import numpy'": [str(python), "-c", "import numpy"],
            "sunspring write shakespeare --length 200": [str(python), *WRITE],
        }
        first = run(commands["sunspring write shakespeare --length 200"])[0]
        measured: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        for _ in range(runs):
            for name, command in commands.items():
                measured[name].append(run(command))
        sizes = megabytes(python)
    print(f"installed without extras: {sum(sizes.values()):.1f} MB")
    for name, size in list(sizes.items())[:8]:
        print(f"  {name:<20} {size:5.1f} MB")
    print(f"the first run, in which Python compiles the modules: {first:.2f} s")
    for name, values in measured.items():
        seconds = [value[0] for value in values]
        print(
            f"{name:<42} median {statistics.median(seconds):.3f} s, worst {max(seconds):.3f} s, "
            f"{max(value[1] for value in values):.0f} MB"
        )


if __name__ == "__main__":
    main()
