"""Build fuzz_model.cpp with clang's libFuzzer and sanitizers, and run it on small models' files.

python tests/native/fuzz.py [--seconds 60] [--corpus FOLDER]
"""

import argparse
import json
import subprocess
import tempfile
from collections import ChainMap
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from sunspring.corpus.vocabulary import ByteVocabulary, CharacterVocabulary, Vocabulary
from sunspring.network.config import ModelConfig
from sunspring.network.counts import encode_counts, encode_level
from sunspring.network.network import RecurrentModel
from sunspring.network.ngrams import growing_ngrams
from sunspring.network.weights import encode_weights, model_weights

HERE = Path(__file__).parent
SOURCES = HERE.parents[1] / "src" / "native"
SANITIZERS = "-fsanitize=fuzzer,address,undefined,float-cast-overflow"


def build(program: Path) -> None:
    kernels = [
        "-DSUNSPRING_INSTRUCTION_SETS=scalar",
        '-DSUNSPRING_VECTORS="vectors/scalar.h"',
        "-DSUNSPRING_KERNELS=scalar",
    ]
    command = ["clang++", "-std=c++17", "-g", "-O1", SANITIZERS, "-fno-sanitize-recover=all"]
    sources = [HERE / "fuzz_model.cpp", *SOURCES.glob("engine/*.cpp")]
    command += [f"-I{SOURCES}", *kernels, *map(str, sources), "-o", str(program)]
    subprocess.run(command, check=True)


def count_something(vocabulary: Vocabulary, orders: int) -> bytes:
    """Count a random text of the first three tokens."""
    text, ends = np.random.default_rng(0).integers(3, size=60), np.array([0, 20, 60])
    growing = growing_ngrams(text, ends, vocabulary.size, vocabulary.start_id, len(text))
    levels = [encode_level(ngrams) for ngrams in islice(growing, orders)]
    return encode_counts(dict(ChainMap(*levels)), np.ones((2 * orders, 1 + orders)))


def write_corpus(folder: Path) -> None:
    """Write the files of a small model of every kind, some with counts."""
    letters = CharacterVocabulary("ab\n", end=True, unknown=True)
    plain = ModelConfig(letters.size, layers=1, hidden_size=2, embedding_size=2)
    variants = [
        (
            replace(plain, cell=cell, skip=skip, attention=skip, pointer=2 * skip, pointer_size=2),
            letters,
        )
        for cell in ("rnn", "gru", "lstm")
        for skip in (False, True)
    ]
    variants += [(replace(plain, tied=True, embedding_activation="tanh"), letters)]
    variants += [(replace(plain, labels=("a",), layers=2), letters)]
    octets = ByteVocabulary(end=False)
    variants += [(replace(plain, vocabulary_size=octets.size), octets)]
    torch.manual_seed(0)
    for index, (config, vocabulary) in enumerate(variants):
        weights = model_weights(RecurrentModel(config))
        counts = count_something(vocabulary, index) if index else b""
        parts = config.to_json().encode(), json.dumps(vocabulary.to_json()).encode(), counts
        lengths = b"".join(len(part).to_bytes(2, "little") for part in parts)
        for quantized in (False, True):
            data = encode_weights(weights, config.cell, quantized)
            (folder / f"{index}-{quantized}").write_bytes(lengths + b"".join(parts) + data)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--corpus", type=Path, help="where to keep what is found")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        seeds, program = Path(temporary) / "seeds", Path(temporary) / "fuzz_model"
        seeds.mkdir()
        write_corpus(seeds)
        build(program)
        found = arguments.corpus or Path(temporary) / "found"
        found.mkdir(parents=True, exist_ok=True)
        limits = [f"-max_total_time={arguments.seconds}", "-rss_limit_mb=1024", "-max_len=30000"]
        subprocess.run([program, *limits, found, seeds], check=True)


if __name__ == "__main__":
    main()
