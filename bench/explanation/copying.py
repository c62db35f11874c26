"""Copies: seconds and memory to compare a written text with a far larger training text.

    python bench/explanation/copying.py TEXT [--megabytes 1000] [--written 1] [--threads 1 2]
                                        [--peer 100]

Makes a training text of the given size: the lines of TEXT again and again, each time in another
order and with one character in fifty replaced at random. Half of the written text is invented, half
are stretches of the training text. Each measurement runs in its own process. `--peer` sorts the
suffixes of the given number of megabytes with pydivsufsort (pip install pydivsufsort), the first
step of a search with a suffix array.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

_STRETCH = 60  # characters that are invented or copied in one go
_FINDER = """
import json, resource, sys, time
import numpy as np
from pathlib import Path
from sunspring.corpus.corpus import Corpus
from sunspring.corpus.splits import Split
from sunspring.corpus.vocabulary import CharacterVocabulary
from sunspring.explanation.copies import find_copies
folder, threads = Path(sys.argv[1]), int(sys.argv[2])
characters = (folder / "characters.txt").read_bytes().decode()
vocabulary = CharacterVocabulary(characters, end=False, unknown=False)
text = (folder / "written.txt").read_bytes().decode()
file = (folder / "tokens.bin").open("rb")
blocks = (np.frombuffer(block, np.uint8) for block in iter(lambda: file.read(1 << 20), b""))
def read(tokens):
    split = Split(tokens, np.array([0, len(tokens)]), None, len(tokens))
    corpus = Corpus(folder, "", vocabulary, "none", (), False, split, split, split)
    return filter(None, corpus.training_bytes())
pieces = (piece for block in blocks for piece in read(block))
began = time.perf_counter()
[copies] = find_copies([text], pieces, threads)
seconds = time.perf_counter() - began
copied = int(copies.is_copied(20).sum())
"""
_PEER = """
import json, resource, sys, time
import numpy as np
from pydivsufsort import divsufsort
tokens = np.fromfile(sys.argv[1] + "/tokens.bin", np.uint8, int(sys.argv[2]) * 1_000_000)
began = time.perf_counter()
divsufsort(tokens)
seconds, copied = time.perf_counter() - began, None
"""
_FIGURES = """
used = resource.getrusage(resource.RUSAGE_SELF)
cpu, peak = used.ru_utime + used.ru_stime, used.ru_maxrss / 1024
print(json.dumps({"seconds": seconds, "cpu_seconds": cpu, "copied": copied, "peak_mb": peak}))
"""


def measure(code: str, *arguments: str | int) -> dict[str, float]:
    """Run a measurement in a child process."""
    command = [sys.executable, "-c", code + _FIGURES, *map(str, arguments)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def make_texts(source: Path, folder: Path, size: int, written: int) -> int:
    """Write a training text as tokens, its characters, and a text that copies from it.

    Returns:
        How many characters of the latter are copied.
    """
    random = np.random.default_rng(0)
    text = source.read_text(encoding="utf-8")
    characters = sorted({*text} | {*"qxzj"})
    ids = {ord(character): chr(place) for place, character in enumerate(characters)}
    lines = [line.translate(ids).encode("latin-1") for line in text.splitlines(keepends=True)]
    copies: list[bytes] = []
    wanted = written // (2 * _STRETCH)
    with (folder / "tokens.bin").open("wb") as file:
        while file.tell() < size:
            block = np.frombuffer(
                b"".join(lines[i] for i in random.permutation(len(lines))), np.uint8
            )
            block = block[: size - file.tell()].copy()
            places = random.integers(0, len(block), len(block) // 50)
            block[places] = random.integers(0, len(characters), len(places))
            begins = random.integers(0, len(block) - _STRETCH, 1 + wanted * len(block) // size)
            copies += [block[begin : begin + _STRETCH].tobytes() for begin in begins]
            file.write(block.tobytes())
    parts = []
    for copy in copies[:wanted]:
        parts.append("".join(random.choice([*"qxzj"], _STRETCH)))
        parts.append("".join(characters[token] for token in copy))
    (folder / "characters.txt").write_bytes("".join(characters).encode())
    (folder / "written.txt").write_bytes("".join(parts).encode())
    return _STRETCH * len(copies[:wanted])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("text", type=Path)
    parser.add_argument("--megabytes", type=float, default=1000)
    parser.add_argument("--written", type=float, default=1, help="megabytes")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--peer", type=int, help="megabytes that pydivsufsort sorts")
    arguments = parser.parse_args()
    size, written = (int(1e6 * each) for each in (arguments.megabytes, arguments.written))
    with tempfile.TemporaryDirectory() as folder:
        copied = make_texts(arguments.text, Path(folder), size, written)
        print(f"{written:,} bytes written, {copied:,} of them copied from {size:,}")
        rows = {
            f"sunspring, {threads} threads": measure(_FINDER, folder, threads)
            for threads in arguments.threads
        }
        if arguments.peer:
            name = f"pydivsufsort, the suffixes of {arguments.peer} MB sorted"
            rows[name] = measure(_PEER, folder, arguments.peer)
    for name, row in rows.items():
        print(
            f"{name}: {row['seconds']:.1f} s ({row['cpu_seconds']:.1f} s of CPU time), "
            f"{row['peak_mb']:,.0f} MB of memory, found {row['copied']} characters"
        )


if __name__ == "__main__":
    main()
