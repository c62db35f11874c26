"""Speed of writing: the native engine compared with PyTorch and ONNX Runtime.

    python bench/writing/writing.py [--rounds 5] [--characters 20000] [--score-megabytes 5]

Measures characters per second of plain models with two LSTM layers of 256 and 512 units, an
embedding of 64 and 65 characters, sampled at temperature 0.8 from random weights (the values do not
affect the speed). The peers are the fastest loop in PyTorch that we could write (gates by hand with
`mv`), a plain `nn.LSTM` loop, and ONNX Runtime in dynamic 8 bits, looped from Python. Each runs
with one thread and with two, and the faster counts. In each round all write once; the output shows
medians, and ratios within the rounds. Needs: pip install onnx onnxruntime.

Then it measures 64 texts at once, compared with the peak of products of bytes on this processor
(int8_peak.cpp, compiled here); how soon they can be cancelled; how far fp32 differs from PyTorch;
and scoring a text as 64 stretches, compared with PyTorch in bf16.
"""

import argparse
import json
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from sunspring.corpus.vocabulary import CharacterVocabulary
from sunspring.machine import processor_name, usable_cores
from sunspring.network import engine
from sunspring.network.config import ModelConfig
from sunspring.network.native import load_native
from sunspring.network.network import RecurrentModel
from sunspring.network.weights import pack_model
from sunspring.training.plan import PRESETS
from sunspring.writing.native_writer import NativeWriter
from sunspring.writing.settings import WritingSettings
from sunspring.writing.torch_writer import TorchWriter

VOCABULARY = CharacterVocabulary(map(chr, range(32, 97)), end=False, unknown=False)
EMBEDDING, LAYERS, TEMPERATURE = 64, 2, 0.8
THREADS = (1, 2)
LANES = 64

Contestant = Callable[[int], None]
"""Writes the given number of characters."""


def make_model(size: int) -> RecurrentModel:
    torch.manual_seed(0)
    config = ModelConfig(VOCABULARY.size, hidden_size=size, embedding_size=EMBEDDING)
    return RecurrentModel(config).eval().requires_grad_(False)


def load_engine(model: RecurrentModel, quantized: bool) -> engine.Model:
    return load_native(pack_model(model, VOCABULARY, quantized=quantized))


def native(model: RecurrentModel, quantized: bool, threads: int, texts: int = 1) -> Contestant:
    """Return a contestant that writes `texts` texts at once, which share the characters."""
    loaded = load_engine(model, quantized)
    writer = NativeWriter(loaded, model.config, VOCABULARY, threads=threads)

    def write(characters: int) -> None:
        wanted = WritingSettings(length=characters // texts, temperature=TEMPERATURE, seed=0)
        writer.write(writer.begin(wanted), texts)

    return write


def with_threads(threads: int, write: Contestant) -> Contestant:
    def run(characters: int) -> None:
        torch.set_num_threads(threads)
        with torch.inference_mode():
            write(characters)

    return run


def by_hand(model: RecurrentModel) -> Contestant:
    """Return the fastest loop in PyTorch: one matrix product per layer, explicit gates."""
    layers = [
        (torch.cat((each.weight_ih_l0, each.weight_hh_l0), 1), each.bias_ih_l0 + each.bias_hh_l0)
        for each in model.layers
    ]
    embedding, head, size = model.embedding.weight, model.head, model.config.hidden_size

    def write(characters: int) -> None:
        token = torch.zeros((), dtype=torch.long)
        hidden = [torch.zeros(size) for _ in layers]
        cells = [torch.zeros(size) for _ in layers]
        for _ in range(characters):
            x: Tensor = embedding[token]
            for i, (weight, bias) in enumerate(layers):
                gates = torch.mv(weight, torch.cat((x, hidden[i]))).add_(bias).chunk(4)
                cells[i] = torch.sigmoid(gates[1]) * cells[i] + torch.sigmoid(
                    gates[0]
                ) * torch.tanh(gates[2])
                x = hidden[i] = torch.sigmoid(gates[3]) * torch.tanh(cells[i])
            logits = torch.addmv(head.bias, head.weight, x)
            token = torch.multinomial(torch.softmax(logits / TEMPERATURE, -1), 1)[0]

    return write


class PlainModel(nn.Module):
    """The model of the article's loop, which calls `nn.LSTM` once per character."""

    def __init__(self, model: RecurrentModel) -> None:
        super().__init__()
        self.embedding, self.head = model.embedding, model.head
        size = model.config.hidden_size
        self.lstm = nn.LSTM(EMBEDDING, size, LAYERS, batch_first=True)
        for index, layer in enumerate(model.layers):
            for name, parameter in layer.named_parameters():
                self.lstm.get_parameter(name.replace("_l0", f"_l{index}")).data.copy_(parameter)

    def forward(self, tokens: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the logits of the next token, and the state."""
        outputs, (h, c) = self.lstm(self.embedding(tokens), (h, c))
        return self.head(outputs[:, -1]), h, c


def plain(model: PlainModel) -> Contestant:
    def write(characters: int) -> None:
        tokens = torch.zeros(1, 1, dtype=torch.long)
        h = c = torch.zeros(LAYERS, 1, model.lstm.hidden_size)
        for _ in range(characters):
            logits, h, c = model(tokens, h, c)
            tokens = torch.multinomial(torch.softmax(logits / TEMPERATURE, -1), 1)

    return write


def onnx_int8(model: PlainModel, folder: Path, threads: int) -> Contestant:
    """Return a Python loop over ONNX Runtime with 8-bit weights and dynamic activations."""
    import onnxruntime
    from onnxruntime.quantization import QuantType, quantize_dynamic

    size = model.lstm.hidden_size
    plain_file, file = folder / f"{size}.onnx", folder / f"{size}-int8.onnx"
    if not file.exists():
        state = torch.zeros(LAYERS, 1, size)
        with redirect_stdout(StringIO()):
            torch.onnx.export(
                model,
                (torch.zeros(1, 1, dtype=torch.long), state, state),
                str(plain_file),
                input_names=["x", "h", "c"],
                output_names=["z", "h2", "c2"],
                dynamo=False,
            )
        quantize_dynamic(plain_file, file, weight_type=QuantType.QInt8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    random = np.random.default_rng(0)

    def write(characters: int) -> None:
        x = np.zeros((1, 1), np.int64)
        h = c = np.zeros((LAYERS, 1, size), np.float32)
        for _ in range(characters):
            z, h, c = session.run(None, {"x": x, "h": h, "c": c})
            scores = z[0] / TEMPERATURE
            cumulative = np.exp(scores - scores.max()).cumsum()
            x[0, 0] = np.searchsorted(cumulative, random.random() * cumulative[-1])

    return write


def measure(
    contestants: dict[str, Contestant], characters: int, rounds: int
) -> dict[str, list[float]]:
    """Let all write once per round, each about as long; return their characters per second."""
    amounts = {}
    for name, write in contestants.items():
        write(50)
        began = time.perf_counter()
        write(200)
        speed = 200 / (time.perf_counter() - began)
        amounts[name] = max(200, min(characters, int(speed)))
    speeds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, write in contestants.items():
            began = time.perf_counter()
            write(amounts[name])
            speeds[name].append(amounts[name] / (time.perf_counter() - began))
    return speeds


def print_speeds(title: str, speeds: dict[str, list[float]], base: str) -> None:
    print(f"\n{title}\n\n| | characters/s | relative to {base} |\n|---|---|---|")
    for name, values in speeds.items():
        ratio = statistics.median(a / b for a, b in zip(values, speeds[base], strict=True))
        print(f"| {name} | {statistics.median(values):,.0f} | {ratio:.2f} |", flush=True)


def best(speeds: dict[str, list[float]], prefix: str) -> list[float]:
    """Return the speeds of a peer with its better number of threads."""
    return max(
        (values for name, values in speeds.items() if name.startswith(prefix)),
        key=statistics.median,
    )


def one_text(size: int, characters: int, rounds: int) -> None:
    model = make_model(size)
    plain_model = PlainModel(model).eval().requires_grad_(False)
    with tempfile.TemporaryDirectory() as folder:
        contestants: dict[str, Contestant] = {
            f"native int8, threads {threads}": native(model, True, threads) for threads in THREADS
        }
        contestants |= {
            f"native fp32, threads {threads}": native(model, False, threads) for threads in THREADS
        }
        for threads in THREADS:
            contestants |= {
                f"ONNX Runtime int8, threads {threads}": onnx_int8(
                    plain_model, Path(folder), threads
                ),
                f"PyTorch by hand, threads {threads}": with_threads(threads, by_hand(model)),
                f"nn.LSTM, threads {threads}": with_threads(threads, plain(plain_model)),
            }
        speeds = measure(contestants, characters, rounds)
    first = "native int8, threads 1"
    print_speeds(f"One text, 2 x {size}", speeds, first)
    for peer in ("ONNX Runtime int8", "PyTorch by hand"):
        ratios = [a / b for a, b in zip(speeds[first], best(speeds, peer), strict=True)]
        print(f"{first} is {statistics.median(ratios):.1f} times {peer} at its best")


def many_texts(size: int, characters: int, rounds: int) -> None:
    model, threads = make_model(size), min(2, usable_cores())
    contestants = {
        f"{LANES} texts, int8, threads {threads}": native(model, True, threads, LANES),
        f"{LANES} texts, fp32, threads {threads}": native(model, False, threads, LANES),
    }
    speeds = measure(contestants, LANES * characters, rounds)
    print_speeds(f"{LANES} texts at once, 2 x {size}", speeds, next(iter(contestants)))
    peak = int8_peak(threads)
    products = 4 * size * 3 * size + VOCABULARY.size * size  # per character
    used = statistics.median(next(iter(speeds.values()))) * products
    print(f"peak of products of bytes: {peak / 1e9:,.0f} billion/s; share used: {used / peak:.0%}")


def int8_peak(threads: int) -> float:
    """Return how many products of bytes this processor can do per second."""
    source = Path(__file__).with_name("int8_peak.cpp")
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "int8_peak"
        subprocess.run(
            ["c++", "-std=c++17", "-O3", "-march=native", "-pthread", source, "-o", program],
            check=True,
        )
        done = subprocess.run([program, str(threads)], check=True, capture_output=True, text=True)
    return float(done.stdout)


def scoring(size: int, characters: int) -> None:
    """Score a text as 64 stretches: the engine in both formats, and PyTorch in bf16."""
    model, threads = make_model(size), min(2, usable_cores())
    tokens = np.random.default_rng(0).integers(VOCABULARY.size, size=(LANES, characters // LANES))
    lengths = np.full(LANES, tokens.shape[1])

    def native_scoring(quantized: bool) -> Contestant:
        loaded = load_engine(model, quantized)

        def score(count: int) -> None:
            part = tokens[:, : count // LANES].ravel()
            counts = np.minimum(lengths, count // LANES)
            none = np.zeros(0, np.int64)
            reading = engine.Reading(loaded, part, counts, none, outputs=False, threads=threads)
            while not reading.is_over:
                reading.run(1.0)

        return score

    plain_model = PlainModel(model).eval()

    def torch_scoring(count: int) -> None:
        rows = torch.from_numpy(tokens[:, : count // LANES])
        h = c = torch.zeros(LAYERS, LANES, size)
        for part in rows.split(256, dim=1):
            with torch.autocast("cpu", torch.bfloat16):
                outputs, (h, c) = plain_model.lstm(plain_model.embedding(part), (h, c))
                logits = plain_model.head(outputs)
            nn.functional.cross_entropy(logits.float()[:, :-1].transpose(1, 2), part[:, 1:])
            h, c = h.float(), c.float()

    contestants: dict[str, Contestant] = {
        "native int8": native_scoring(True),
        "native fp32": native_scoring(False),
        "PyTorch bf16": with_threads(threads, torch_scoring),
    }
    speeds: dict[str, list[float]] = {name: [] for name in contestants}
    for write in contestants.values():
        write(LANES * 256)
    for name, write in contestants.items():
        began = time.perf_counter()
        write(characters)
        speeds[name].append(characters / (time.perf_counter() - began))
    print_speeds(
        f"Scoring {characters:,} characters as {LANES} stretches, 2 x {size}",
        speeds,
        "PyTorch bf16",
    )


def cancelling(size: int, trials: int = 50) -> None:
    """Cancel 64 texts while another thread writes them, in fp32, whose steps take longest."""
    model, threads = load_engine(make_model(size), False), min(2, usable_cores())
    reader = engine.Reader(model)
    reader.read(np.zeros(1, np.int64))
    waited = []
    for _ in range(trials):
        session = engine.Session(model, blend=[], lanes=LANES, threads=threads)
        session.add(
            [reader],
            recent=np.zeros(0, np.int64),
            seed=0,
            texts=LANES,
            length=1 << 40,
            stops=[],
            temperature=TEMPERATURE,
            top_k=0,
            top_p=1.0,
            min_p=0.0,
            repetition_penalty=1.0,
            pattern=None,
        )
        thread = threading.Thread(target=session.run, args=(60.0,))
        thread.start()
        time.sleep(0.05)
        began = time.perf_counter()
        session.cancel()
        thread.join()
        waited.append(1000 * (time.perf_counter() - began))
    print(
        f"\n{LANES} texts in fp32, 2 x {size}, cancelled: the run ended after "
        f"{statistics.median(waited):.2f} ms (median), {max(waited):.2f} ms at most"
    )


def exactness(characters: int) -> None:
    """Compare the engine in fp32 with PyTorch in float64, for every preset and cell."""
    print(
        f"\nfp32 compared with PyTorch in float64, {characters:,} characters, random weights\n\n"
        "| preset | largest difference in log-probability, on random text "
        "| places with another most probable character | greedy text |\n|---|---|---|---|"
    )
    greedy = WritingSettings("A", characters, temperature=0)
    tokens = np.random.default_rng(0).integers(VOCABULARY.size, size=characters)
    for name, preset in PRESETS.items():
        config = ModelConfig(VOCABULARY.size, **preset.model)
        torch.manual_seed(0)
        model = RecurrentModel(config).eval().requires_grad_(False)
        for parameter in model.parameters():
            parameter.normal_(std=config.hidden_size**-0.5)
        loaded = load_engine(model, False)
        writers = (
            NativeWriter(loaded, config, VOCABULARY),
            TorchWriter(model, config, VOCABULARY),
        )
        same = len({writer.write(writer.begin(greedy))[0].text for writer in writers}) == 1
        readers = [writer.fresh_reader(None) for writer in writers]
        difference, others = 0.0, 0
        for token in tokens:
            ours, theirs = (
                torch.from_numpy(reader.read(np.array([token]))).double().log_softmax(-1)
                for reader in readers
            )
            difference = max(difference, float((ours - theirs).abs().max()))
            others += int(ours.argmax() != theirs.argmax())
        print(
            f"| {name} | {difference:.1e} | {others} | {'the same' if same else 'different'} |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--characters", type=int, default=20_000, help="characters per text, at most"
    )
    parser.add_argument("--score-megabytes", type=float, default=5, help="megabytes to score")
    parser.add_argument("--exact", type=int, default=10_000, help="characters to compare")
    arguments = parser.parse_args()
    chosen = json.dumps(engine.instruction_sets())
    print(f"{processor_name()}, {usable_cores()} cores, instruction sets {chosen}")
    for size in (256, 512):
        one_text(size, arguments.characters, arguments.rounds)
    many_texts(512, arguments.characters, arguments.rounds)
    cancelling(512)
    exactness(arguments.exact)
    scoring(512, int(arguments.score_megabytes * 1e6))


if __name__ == "__main__":
    main()
