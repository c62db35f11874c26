"""Files of vectors: numpy arrays, or CSV."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sunspring.errors import SettingsError
from sunspring.storage import check_replaceable, write_atomically, writing


def vector_rows(vectors: NDArray[np.float32]) -> Iterator[str]:
    """Yield vectors (lines, size) as rows of CSV, with all their digits."""
    for vector in vectors:
        yield ",".join(map(str, vector))


def write_vectors(path: Path, batches: Iterable[NDArray[np.float32]], size: int) -> int:
    """Write vectors to a file, whole or not at all, and return their number.

    Args:
        path: its ending, `.npy` or `.csv`, is the format.
        batches: arrays, each (lines, size).
        size: numbers in a vector.

    Raises:
        SettingsError: the file name has another ending.
        ModelError: the file cannot be written, or holds something else.
    """
    if path.suffix not in (".npy", ".csv"):
        raise SettingsError(f"{path} is neither .npy nor .csv: choose one of these endings")
    check_replaceable(path, _is_npy if path.suffix == ".npy" else _is_csv, "vectors")
    vectors = np.concatenate([np.zeros((0, size), np.float32), *batches])
    with writing(path):
        write_atomically(path, _as_npy(vectors) if path.suffix == ".npy" else _as_csv(vectors))
    return len(vectors)


def _is_npy(head: bytes) -> bool:
    return head.startswith(b"\x93NUMPY")


def _is_csv(head: bytes) -> bool:
    try:
        float(head.partition(b",")[0])
    except ValueError:
        return False
    return True


def _as_npy(vectors: NDArray[np.float32]) -> bytes:
    file = io.BytesIO()
    np.save(file, vectors, allow_pickle=False)
    return file.getvalue()


def _as_csv(vectors: NDArray[np.float32]) -> bytes:
    return "".join(f"{row}\n" for row in vector_rows(vectors)).encode()
