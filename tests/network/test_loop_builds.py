"""The loops of training built in other ways: for NEON, emulated, and with sanitizers.

Each needs a compiler that is not everywhere: Debian's g++-aarch64-linux-gnu with qemu-user.
"""

import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from processors import needs

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "src" / "native"
pytestmark = pytest.mark.long


def run(
    folder: Path, compiler: Sequence[str], name: str, emulator: Sequence[str] = ()
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Build native/loops.cpp for one instruction set, and return what it prints."""
    program = folder / name
    command = [*compiler, "-std=c++17", "-ffp-contract=off", "-pthread", f"-I{SOURCES}"]
    command += [f'-DSUNSPRING_VECTORS="vectors/{name}.h"']
    command += ['-DSUNSPRING_NUMBERS="vectors/float32.h"', f"-DSUNSPRING_LOOPS={name}"]
    sources = [ROOT / "tests" / "native" / "loops.cpp", *SOURCES.glob("training/*.cpp")]
    subprocess.run([*command, *map(str, sources), "-o", str(program)], check=True)
    done = subprocess.run(
        [*emulator, str(program)], capture_output=True, text=True, check=True, timeout=300
    )
    said, *lines = done.stdout.splitlines()
    assert said == name
    return np.array(lines, float)


@needs("g++", "aarch64-linux-gnu-g++", "qemu-aarch64")
def test_neon_computes_the_same(tmp_path: Path) -> None:
    expected = run(tmp_path, ["g++", "-O2"], "scalar")
    compiler = ["aarch64-linux-gnu-g++", "-O2", "-static", "-march=armv8.2-a+dotprod"]
    found = run(tmp_path, compiler, "neon", ["qemu-aarch64"])
    assert len(expected) > 10_000 and np.isfinite(expected).all()
    np.testing.assert_allclose(found, expected, atol=1e-4, rtol=1e-4)


@needs("g++")
def test_sanitizers_find_nothing(tmp_path: Path) -> None:
    compiler = ["g++", "-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    assert np.isfinite(run(tmp_path, compiler, "scalar")).all()
    flags = Path("/proc/cpuinfo")
    if flags.exists() and "avx2" in flags.read_text():
        assert np.isfinite(run(tmp_path, [*compiler, "-mavx2", "-mfma"], "avx2")).all()
