"""Vectors of lines as files: an array of numpy's, or CSV."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sunspring.errors import SettingsError
from sunspring.storage import write_atomically, writing


def vector_rows(vectors: NDArray[np.float32]) -> Iterator[str]:
    """Give vectors (lines, size) as rows of CSV, with all of their digits."""
    for vector in vectors:
        yield ",".join(map(str, vector))


def write_vectors(path: Path, batches: Iterable[NDArray[np.float32]]) -> int:
    """Write vectors into a file, whole or not at all; gives how many they were.

    Args:
        path: ends with `.npy` or `.csv`, which says what is written.
        batches: each (lines, size).

    Raises:
        SettingsError: the file's name has another ending.
        ModelError: the file cannot be written.
    """
    if path.suffix not in (".npy", ".csv"):
        raise SettingsError(f"{path} is neither .npy nor .csv: name a file that ends like one")
    kept = list(batches)
    vectors = np.concatenate(kept) if kept else np.zeros((0, 0), np.float32)
    with writing(path):
        write_atomically(path, _as_npy(vectors) if path.suffix == ".npy" else _as_csv(vectors))
    return len(vectors)


def _as_npy(vectors: NDArray[np.float32]) -> bytes:
    file = io.BytesIO()
    np.save(file, vectors, allow_pickle=False)
    return file.getvalue()


def _as_csv(vectors: NDArray[np.float32]) -> bytes:
    return "".join(f"{row}\n" for row in vector_rows(vectors)).encode()
