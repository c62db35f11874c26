"""The Python interface: `train`, `load` and the `Model` that both give.

The command line is thin above it. Stands last in the street but for the command line; the package
itself exports what is public here.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TextIO

from sunspring.corpus.corpus import CorpusSettings, TokenKind
from sunspring.network.model_folder import ModelFiles
from sunspring.network.native import Engine
from sunspring.runs.request import TrainingRequest
from sunspring.storage import read_json
from sunspring.text.decoding import ReadingOptions
from sunspring.trained import Model, source_names
from sunspring.training.budget import choose_budget

__all__ = ["Model", "load", "train"]


def train(
    sources: str | Path | Sequence[str | Path] = (),
    *,
    out: str | Path | None = None,
    minutes: float | None = None,
    epochs: float | None = None,
    steps: int | None = None,
    preset: str = "auto",
    tokens: TokenKind = "chars",
    documents: Literal["none", "lines", "files"] = "none",
    heldout: str | Path | Sequence[str | Path] = (),
    device: str = "auto",
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
    init_from: str | Path | None = None,
    progress: TextIO | bool | None = True,
) -> Model:
    """Teach a network to write like a text.

    Args:
        sources: files, folders, patterns, addresses, `gutenberg:ID` …; none is the embedded text.
        out: the run folder to make; by default the run is kept in memory alone.
        minutes: when to stop, 3 if nothing else is given.
        epochs: when to stop.
        steps: when to stop.
        preset: `auto`, `article`, `deepmoji`, `tiny`, `small`, `large`, `rnn` or `gru`.
        tokens: `chars`, `bytes` or `subwords`.
        documents: `none`, `lines` or `files`: what starts from a fresh state and has an end.
        heldout: sources of the held-out text, if it shall not be cut from the others.
        device: `auto`, `cpu` or `cuda`.
        seed: of everything that is drawn.
        settings: single settings by name, as `--set` takes them, e.g. `{"hidden_size": 384}`.
        init_from: a model folder to go on from.
        progress: where progress and samples go; True is the standard error, None for silence.

    Returns:
        The model; with its `training` it says how it went.

    Raises:
        SunspringError: something that the user can mend.
    """
    from sunspring.reports.page import report_training
    from sunspring.runs import train as runs

    with tempfile.TemporaryDirectory(prefix="sunspring-") as temporary:
        folder = Path(out) if out is not None else Path(temporary) / "run"
        request = TrainingRequest(
            sources=source_names(sources),
            out=folder,
            budget=choose_budget(minutes, epochs, steps),
            preset=preset,
            device=device,
            seed=seed,
            reading=ReadingOptions(documents),
            encoding=CorpusSettings(tokens),
            heldout=source_names(heldout),
            overrides={key: str(value) for key, value in (settings or {}).items()},
            init_from=None if init_from is None else Path(init_from),
        )
        stream = sys.stderr if progress is True else progress or None
        result = runs.train(request, stream)
        if out is not None:
            report_training(result, runs.speaker(stream))
        model = load(folder)
        model.training = result
        return model


def load(folder: str | Path, device: str = "cpu", engine: Engine = "auto") -> Model:
    """Load a model folder, or the model of a run.

    Args:
        folder: what `train` or `Model.save` wrote, on this machine or another.
        device: `auto`, `cpu` or `cuda`; where it was trained does not matter.
        engine: what writes and scores: `native`, which needs no PyTorch, or `torch`; `auto` takes
            the native one wherever it can.

    Raises:
        ModelError: the folder is missing, incomplete or damaged.
        SettingsError: the engine cannot be had, or not on this device.
    """
    files, record_path = ModelFiles.read(Path(folder)), Path(folder) / "run.json"
    record = read_json(record_path) if record_path.exists() else None
    return Model(files, record, device, engine)
