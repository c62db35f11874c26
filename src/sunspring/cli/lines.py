"""The commands that read lines: `score` rates each one, `encode` turns each into a vector."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sunspring.cli import printing
from sunspring.cli.common import EngineOption, JsonOption, ModelOption
from sunspring.cli.console import lines_progress, notify, print_json, print_lines, say
from sunspring.notices import Work, counted
from sunspring.settings import setting
from sunspring.text.options import FileOptions


@dataclass(frozen=True, kw_only=True)
class LineOptions(ModelOption, EngineOption):
    """Which lines are read."""

    file: str = setting(
        "-",
        "The lines, named as for train, or - for standard input.",
        argument="FILE",
        shown_default="standard input",
    )
    label: str | None = setting(
        None, "The label of the lines, if the model was trained with labels."
    )


@dataclass(frozen=True, kw_only=True)
class ScoreOptions(LineOptions, JsonOption):
    """What is shown of each line."""

    threshold: float | None = setting(
        None,
        "Show only lines that cost more bits per character than this percentage of the held-out "
        "lines do.",
        metavar="PERCENTILE",
        at_least=0,
        at_most=100,
    )
    top: int = setting(
        0, "Show with each line this many of its most surprising characters.", at_least=0
    )


def score(options: ScoreOptions, files: FileOptions) -> None:
    """Score each line of a file by its surprise.

    Each line is printed after its bits, in total and per character. Lines that are unlike the
    training text cost the most.
    """
    from sunspring.explanation.line_scores import heldout_threshold, score_lines
    from sunspring.model import Model

    model, top = Model.load(options.model, options.device, options.engine), options.top
    least = None
    if options.threshold is not None:
        text = model.open_text(notify())
        work = Work(notify(), "scoring the held-out lines")
        least = heldout_threshold(model, text, options.threshold, options.label, work)
        say(
            f"{options.threshold:g} % of the held-out lines cost at most {least:.3f} bits per "
            "character"
        )
    listed, progress = [], lines_progress("scoring")
    for number, lines in model.arriving_lines(options.file, files, notify()):
        scored = score_lines(model, lines, options.label, progress(number, lines))
        scores = enumerate(scored, start=number)
        kept = [each for each in scores if least is None or each[1].bits_per_character > least]
        if options.as_json:
            for place, each in kept:
                top_of_it = {"top": each.surprises(model.vocabulary, top)} if top else {}
                listed.append({"line": place, **each.to_json(), **top_of_it})
        else:
            print_lines(printing.describe_line(each, model.vocabulary, top) for _, each in kept)
    if options.as_json:
        print_json({"lines": listed, "threshold": least, "engine": model.engine})


@dataclass(frozen=True, kw_only=True)
class EncodeOptions(LineOptions):
    """Where vectors go."""

    out: Path | None = setting(
        None, "File for the vectors, .npy or .csv.", shown_default="CSV on standard output"
    )


def encode(options: EncodeOptions, files: FileOptions) -> None:
    """Turn each line of a file into a vector.

    The vector is the model's state after the line. Similar lines have similar vectors.
    """
    from sunspring.cli.vectors import vector_rows, write_vectors
    from sunspring.model import Model

    model = Model.load(options.model, options.device, options.engine)
    progress = lines_progress("encoding")
    batches = (
        model.encode(lines, options.label, progress(number, lines))
        for number, lines in model.arriving_lines(options.file, files, notify())
    )
    if options.out is None:
        for vectors in batches:
            print_lines(vector_rows(vectors))
    else:
        written = write_vectors(options.out, batches, model.vector_size)
        say(f"{counted(written, 'vector')} in {options.out}")
