"""Dynamic evaluation of validation text: how fast should a model learn while it reads?

    python bench/evaluation/dynamic.py RUN… [--rates 0.0001,0.0003,0.001]
                            [--decays 0.001,0.003,0.01] [--segments 64]

Each RUN is a folder made by `sunspring train`. All figures are nats per character of its validation
part by `stream`; held-out text is not used. This is how the defaults of `LearningSettings` were
chosen.
"""

import argparse
from pathlib import Path

from sunspring.evaluation.dynamic import evaluate_dynamic
from sunspring.evaluation.protocols import evaluate_stream
from sunspring.evaluation.settings import LearningSettings
from sunspring.network.model_folder import ModelFiles
from sunspring.network.weights import build_network
from sunspring.runs.corpus import open_run_corpus
from sunspring.storage import read_json


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--rates", default="0.0001,0.0003,0.001")
    parser.add_argument("--decays", default="0.001,0.003,0.01")
    parser.add_argument("--segments", default="64")
    arguments = parser.parse_args()
    for run in arguments.runs:
        files = ModelFiles.read(run)
        network, start_id = build_network(files), files.vocabulary.start_id
        validation = open_run_corpus(read_json(run / "run.json"), print).validation
        static = evaluate_stream(network, validation, start_id)
        print(f"{run}: {static.nats_per_character:.4f} without learning")
        for segment in map(int, arguments.segments.split(",")):
            for rate in map(float, arguments.rates.split(",")):
                for decay in map(float, arguments.decays.split(",")):
                    settings = LearningSettings(rate, decay, segment)
                    figures = evaluate_dynamic(network, validation, start_id, settings)
                    nats = figures["dynamic"].nats_per_character
                    print(
                        f"  rate {rate:g}  decay {decay:g}  segment {segment}: {nats:.4f}",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
