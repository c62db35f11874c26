"""Train a plain RNN, a GRU and an LSTM in the same way, and compare them on unseen text.

    python examples/gates_compared.py [SOURCE] [--steps 400] [--hidden-size 256]

Text, sizes, batches, optimiser, seed and number of steps are the same; only the layers differ. The
last column is bits per character of the held-out tenth; lower is better. The last row is the best
n-gram model, which only counts what followed the last few characters.
"""

import argparse
import math

import sunspring


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", nargs="?", help="a text; default: one in every Python")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--hidden-size", type=int, default=256, help="units of each layer")
    wanted = parser.parse_args()

    print(f"{'layers':<8} {'parameters':>10} {'seconds':>8} {'bpc':>7}")
    for preset in ("rnn", "gru", "article"):
        model = sunspring.train(
            wanted.source or (),
            preset=preset,
            steps=wanted.steps,
            settings={"hidden_size": wanted.hidden_size},
            progress=None,
        )
        how = model.training
        print(
            f"{model.config.cell:<8} {how.parameters:>10,} {how.seconds:>8.1f} "
            f"{how.heldout.bpc:>7.3f}"
        )
    _, baselines = model.evaluate()
    name = min(baselines, key=baselines.get)
    print(f"{name:<8} {'':>10} {'':>8} {baselines[name] / math.log(2):>7.3f}")


if __name__ == "__main__":
    main()
