"""Held-out quality after so many minutes: `sunspring train`, then `evaluate` by both protocols.

    python bench/quality.py TEXT [--minutes 3] [--presets auto,article] [--seeds 0,1]
                            [--documents none|files]

Each run is a process of its own, as a user starts it; nothing else should run beside it. Held-out
is what `train` never sees (the last tenth of a single text); no choice is made on it.
"""

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
from pathlib import Path


def sunspring(*arguments: str) -> dict[str, object]:
    """Run a command of Sunspring and give its JSON."""
    command = [sys.executable, "-m", "sunspring", *arguments, "--json"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    result: dict[str, object] = json.loads(done.stdout)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("text")
    parser.add_argument("--minutes", default="3")
    parser.add_argument("--presets", default="auto,article")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--documents", default="none")
    arguments = parser.parse_args()
    print("preset     seed  epochs  characters/s  stream  windows of 256  best n-gram  (nats)")
    runs = itertools.product(arguments.presets.split(","), arguments.seeds.split(","))
    with tempfile.TemporaryDirectory() as folder:
        for preset, seed in runs:
            out = str(Path(folder) / f"{preset}-{seed}")
            chosen = ["--preset", preset, "--seed", seed, "--documents", arguments.documents]
            trained = sunspring(
                "train", arguments.text, "--out", out, "--minutes", arguments.minutes, *chosen
            )
            stream = sunspring("evaluate", out)
            windows = sunspring("evaluate", out, "--protocol", "windows")
            print(
                f"{preset:<10} {seed:>4}  {trained['epochs']:6.1f}  "
                f"{trained['characters_per_second']:12,.0f}  {stream['nats_per_character']:.4f}  "
                f"{windows['nats_per_character']:14.4f}  {min(stream['baselines'].values()):.4f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
