"""Learn from a text, then continue it where it ends.

    python examples/continue_a_text.py [FILE] [--minutes 3] [--length 600] [--temperature 0.7]

Without a file it takes the English text that comes with every Python. The continuation goes to
standard output, progress to standard error.
"""

import argparse
from pathlib import Path

import sunspring
from sunspring.text.sources import embedded_text

LAST = 300  # characters that the model reads before it writes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", nargs="?", help="a text file, in UTF-8")
    parser.add_argument("--minutes", type=float, default=3)
    parser.add_argument("--length", type=int, default=600)
    parser.add_argument("--temperature", type=float, default=0.7)
    wanted = parser.parse_args()

    text = Path(wanted.file).read_text(encoding="utf-8") if wanted.file else embedded_text()
    model = sunspring.train(wanted.file or (), minutes=wanted.minutes)

    pieces = model.stream(text[-LAST:], length=wanted.length, temperature=wanted.temperature)
    for piece in pieces:
        print(piece, end="", flush=True)
    print()


if __name__ == "__main__":
    main()
