"""Train the bundled model again.

    python tools/train_bundled.py shared/data/shakespeare [--minutes 30]
                                [--out src/sunspring/network/models]

It follows the planner's recipe for the complete works of Shakespeare, but with two layers of 248
units, so that its files stay below a megabyte in 8 bits. The text itself is not in the package. The
held-out tenth is not trained on. The figures of the model are in its card.json.
"""

import argparse
import tempfile
from pathlib import Path

import sunspring

NAME = "shakespeare"


def main() -> None:
    """Train, quantize and save the model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", help="the works of Shakespeare, a file or a folder")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--out", type=Path, default=Path("src/sunspring/network/models"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        run = Path(temporary) / "run"
        model = sunspring.train(
            arguments.source, out=run, minutes=arguments.minutes, settings={"hidden_size": 248}
        )
        model.quantize(notify=print).save(arguments.out / NAME)
    (arguments.out / NAME / "run.json").unlink()  # it names folders of this machine


if __name__ == "__main__":
    main()
