"""Learn from a list of names, then invent new ones: no duplicates, none from the list.

    python examples/names.py [names.txt] [--minutes 1] [--count 20] [--pattern '[A-Z][a-z]{3,8}']

Without a list it makes one up.
"""

import argparse
import random
import tempfile
from pathlib import Path

import sunspring


def made_up_names(count: int) -> list[str]:
    """Return invented names."""
    draw = random.Random(1)
    begins = ["Ka", "Mi", "Tor", "Vel", "An", "Bri", "Sel", "Dor", "Hal", "Is", "Lo", "Ner"]
    middles = ["ra", "li", "no", "the", "ma", "si", "lan", "dre", "vi", "mo"]
    ends = ["n", "s", "th", "ra", "lis", "dor", "wen", "mar", "ia", "os"]
    names = (draw.choice(begins) + draw.choice(middles) + draw.choice(ends) for _ in range(count))
    return sorted(set(names))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="?", help="a file with one name per line")
    parser.add_argument("--minutes", type=float, default=1)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--pattern", help="a regular expression for the whole name")
    wanted = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        path = Path(wanted.names or Path(folder) / "names.txt")
        if wanted.names is None:
            path.write_text("\n".join(made_up_names(1000)), encoding="utf-8")
        model = sunspring.train(path, documents="lines", minutes=wanted.minutes)
        found = model.write_many(
            wanted.count, length=20, unique=True, novel=True, regex=wanted.pattern
        )
    for name in found:
        print(name.text)


if __name__ == "__main__":
    main()
