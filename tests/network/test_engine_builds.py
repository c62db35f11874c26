"""The engine built in other ways: for NEON, emulated, WebAssembly, sanitizers and a fuzzer.

Each needs a compiler that is not everywhere: Debian's g++-aarch64-linux-gnu with qemu-user, clang.
"""

import os
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from chains import random_model
from counted import count_texts
from engines import add_texts
from processors import needs

from sunspring.corpus.vocabulary import CharacterVocabulary
from sunspring.network import engine
from sunspring.network.config import ModelConfig
from sunspring.network.native import load_native
from sunspring.network.weights import pack_model

ROOT = Path(__file__).parents[2]
NATIVE = ROOT / "tests" / "native"
SOURCES = ROOT / "src" / "native"
LETTERS = CharacterVocabulary("abcdefghijklmnopqrs\n", end=False, unknown=False)
PLAIN = ModelConfig(LETTERS.size, layers=2, hidden_size=40, embedding_size=20)
CONFIGS = [
    replace(PLAIN, cell=cell, skip=skip, attention=skip, pointer=pointer, pointer_size=24)
    for cell, skip, pointer in product(("rnn", "gru", "lstm"), (False, True), (0, 9))
] + [replace(PLAIN, embedding_activation="tanh", labels=("a",), skip=True, hidden_size=33)]
TOKENS = np.random.default_rng(0).integers(LETTERS.size, size=30)
COUNTS = count_texts([TOKENS[5:], TOKENS[:20]], LETTERS.size, LETTERS.start_id, 4)


def build(
    program: Path, compiler: Sequence[str], instruction_set: str, *others: str | Path
) -> Path:
    """Build native/core.cpp with one instruction set."""
    sources = [NATIVE / "core.cpp", *SOURCES.glob("engine/*.cpp"), *others]
    command = [*compiler, "-std=c++17", "-ffp-contract=off", f"-I{SOURCES}"]
    command += [f'-DSUNSPRING_VECTORS="vectors/{instruction_set}.h"']
    command += [f"-DSUNSPRING_KERNELS={instruction_set}"]
    command += [f"-DSUNSPRING_INSTRUCTION_SETS={instruction_set}"]
    subprocess.run([*command, *map(str, sources), "-o", str(program)], check=True)
    return program


def write(reader: engine.Reader, model: engine.Model) -> list[str]:
    """Write what core.cpp does."""
    session = engine.Session(model, blend=[], lanes=1, threads=1)
    add_texts(session, [reader], length=40, temperature=1.0)
    return [text for _, _, text, _, _ in session.run(60.0)]


def check_core(command: Sequence[str], folder: Path, instruction_set: str) -> None:
    """Compare what a program computes with this process's engine, for every kind of model."""
    for index, (config, quantized) in enumerate(product(CONFIGS, (False, True))):
        files = pack_model(random_model(config, std=0.15), LETTERS, quantized=quantized)
        files = replace(files, counts=COUNTS if config.skip else None)
        folder_of_model = folder / str(index)
        files.write(folder_of_model)
        done = subprocess.run(
            [*command, str(folder_of_model), *map(str, TOKENS)],
            capture_output=True,
            text=True,
            check=True,
        )
        name, *lines = done.stdout.splitlines()
        assert name == instruction_set
        logits, written = lines[: len(TOKENS)], lines[len(TOKENS) :]
        found = np.array([np.frombuffer(bytes.fromhex(line), ">f4") for line in logits])
        texts = [bytes.fromhex(line).decode() for line in written]
        model = load_native(files)
        reader = engine.Reader(model)
        wanted = np.stack([reader.read(TOKENS[i : i + 1]) for i in range(len(TOKENS))])
        if quantized:
            assert found.astype(np.float32).tobytes() == wanted.tobytes(), config
            assert texts == write(reader, model), config
        else:
            np.testing.assert_allclose(found, wanted, atol=1e-4)
            assert [len(text) for text in texts] == [40] * 3


@pytest.mark.long
@needs("aarch64-linux-gnu-g++", "qemu-aarch64")
def test_neon_computes_the_same(tmp_path: Path) -> None:
    compiler = ["aarch64-linux-gnu-g++", "-O2", "-static", "-march=armv8.2-a+dotprod"]
    program = build(tmp_path / "core", [*compiler, "-pthread"], "neon")
    check_core(["qemu-aarch64", str(program)], tmp_path, "neon")


@pytest.mark.long
@needs("g++")
def test_sanitizers_find_nothing(tmp_path: Path) -> None:
    sanitizers = "-fsanitize=address,undefined,float-cast-overflow"
    compiler = ["g++", "-O1", "-g", sanitizers, "-fno-sanitize-recover=all"]
    program = build(tmp_path / "core", [*compiler, "-pthread"], "scalar")
    check_core([str(program)], tmp_path, "scalar")


WASM = ["clang++", "--target=wasm32-wasi", "-msimd128", "-std=c++17", "-O2"]
NO_PROGRAM = ["-nostartfiles", "-Wl,--no-entry", "-Wl,--export=digest", f"-I{SOURCES}"]
RUN_WASM = """
const module = new WebAssembly.Module(require('fs').readFileSync(process.argv[1]));
const nothing = () => 0;
const imports = {};
for (const {module: from, name} of WebAssembly.Module.imports(module)) {
  imports[from] = {...imports[from], [name]: nothing};
}
console.log(new WebAssembly.Instance(module, imports).exports.digest() >>> 0);
"""
RUN_WASI = """
const {WASI} = require('wasi');
const wasi = new WASI({version: 'preview1', args: process.argv.slice(1), preopens: {'/': '/'}});
const module = new WebAssembly.Module(require('fs').readFileSync(process.argv[1]));
wasi.start(new WebAssembly.Instance(module, {wasi_snapshot_preview1: wasi.wasiImport}));
"""
needs_wasm = pytest.mark.skipif(
    not list(Path("/usr/lib").glob("llvm-*/**/libclang_rt.builtins-wasm32.a")),
    reason="needs Debian's libc++-dev-wasm32 and libclang-rt-dev-wasm32",
)


def kernels_of(instruction_set: str) -> list[str]:
    return [
        f'-DSUNSPRING_VECTORS="vectors/{instruction_set}.h"',
        f"-DSUNSPRING_KERNELS={instruction_set}",
        *map(str, (NATIVE / "digest.cpp", SOURCES / "engine" / "kernels.cpp")),
    ]


@needs("clang++", "wasm-ld", "node", "g++")
@needs_wasm
def test_webassembly_computes_the_same(tmp_path: Path) -> None:
    plain = ["g++", "-std=c++17", "-ffp-contract=off", f"-I{SOURCES}", *kernels_of("scalar")]
    subprocess.run([*plain, "-o", tmp_path / "digest"], check=True)
    wasm = [*WASM, *NO_PROGRAM, *kernels_of("wasm")]
    subprocess.run([*wasm, "-o", tmp_path / "digest.wasm"], check=True)
    commands = [tmp_path / "digest"], ["node", "-e", RUN_WASM, tmp_path / "digest.wasm"]
    printed = [
        subprocess.run(command, capture_output=True, text=True, check=True).stdout
        for command in commands
    ]
    assert printed[0] == printed[1]


@pytest.mark.long
@needs("clang++", "wasm-ld", "node")
@needs_wasm
def test_webassembly_reads_and_writes_without_python(tmp_path: Path) -> None:
    program = build(tmp_path / "core.wasm", WASM, "wasm", NATIVE / "no_exceptions.cpp")
    check_core(["node", "--no-warnings", "-e", RUN_WASI, str(program)], tmp_path, "wasm")


def test_without_a_compiler_the_package_is_built_of_python_alone(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", tmp_path, ROOT]
    nothing = {**os.environ, "CC": "/nonexistent", "CXX": "/nonexistent"}
    subprocess.run(command, env=nothing, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name.endswith("-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert "sunspring/network/models/shakespeare/model.safetensors" in names
    assert not [name for name in names if name.endswith(".so")]


@pytest.mark.long
@needs("clang++")
def test_fuzzer_finds_nothing_in_a_moment(tmp_path: Path) -> None:
    command = [sys.executable, NATIVE / "fuzz.py", "--seconds", "10", "--corpus", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "cov: " in done.stderr  # so it did run
