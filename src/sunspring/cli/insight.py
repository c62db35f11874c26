"""The commands that look at texts through a model: thin, like those of cli.py, which adds them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from sunspring.cli import options, printing
from sunspring.cli.checks import refuse
from sunspring.cli.console import arriving_lines, print_json, print_lines, say
from sunspring.cli.options import Device, EngineName
from sunspring.errors import SettingsError

if TYPE_CHECKING:
    from sunspring.api import Model

app = typer.Typer()

_HELDOUT = 20_000  # tokens of the held-out text that are explained
_MOST = 200_000  # characters of another text: what is kept of each takes kilobytes


@app.command()
def encode(
    model: options.ModelFolder,
    file: options.LinesFile = Path("-"),
    out: options.VectorsOut = None,
    label: options.Label = None,
    device: options.DeviceChoice = Device.auto,
    engine: options.EngineChoice = EngineName.auto,
) -> None:
    """Give each line of FILE as a vector: the state in which it leaves the model."""
    from sunspring.api import load
    from sunspring.cli.vectors import vector_rows, write_vectors

    loaded = load(model, device.value, engine.value)
    batches = (loaded.encode(lines, label) for _, lines in arriving_lines(file))
    if out is None:
        for vectors in batches:
            print_lines(vector_rows(vectors))
    else:
        written = write_vectors(out, batches)
        say(f"{written:,} vectors in {out}")


@app.command()
def explain(
    context: typer.Context,
    model: options.ModelFolder,
    file: options.ExplainedFile = None,
    text: options.ExplainedText = None,
    out: options.PageOut = None,
    top: options.Alternatives = 5,
    copied: options.Copied = False,
    label: options.Label = None,
    gradients: options.Gradients = False,
    steps: options.GradientSteps = None,
    as_json: options.Json = False,
) -> None:
    """Show what the model makes of a text: surprisal, readable units, gates, copies."""
    from sunspring.api import load
    from sunspring.explanation.explanation import explain, explanation_json
    from sunspring.pages.html import explanation_page, write_page

    if out is None and not as_json:
        raise SettingsError("an explanation is a page or JSON: give --out page.html, or --json")
    if gradients:
        _explain_gradients(context, model, out, steps, as_json)
        return
    if steps is not None:
        raise SettingsError("--steps are those of --gradients: give that too, or leave it out")
    if top < 1:
        raise SettingsError(f"--top is {top}: it must be 1 or more")
    loaded = load(model)
    corpus = loaded.open_text(say) if copied else None
    explanation = explain(loaded, _text_to_explain(loaded, file, text), label, top, corpus)
    if out is not None:
        write_page(out, explanation_page(explanation))
        say(f"saved in {out}")
    if as_json:
        print_json(explanation_json(explanation))


def _explain_gradients(
    context: typer.Context, model: Path, out: Path | None, steps: int | None, as_json: bool
) -> None:
    """Show how far back the gradient reaches in networks that learn from a model's text."""
    from sunspring.api import load
    from sunspring.explanation.gradient_curves import gradients_json, gradients_page
    from sunspring.explanation.gradient_flow import STEPS, gradient_flow
    from sunspring.pages.html import write_page

    beside = "--gradients, which looks at networks of its own"
    refuse(context, ("file", "text", "top", "copied", "label"), beside)
    flow = gradient_flow(load(model).open_text(say), say, STEPS if steps is None else steps)
    if out is not None:
        write_page(out, gradients_page(flow))
        say(f"saved in {out}")
    if as_json:
        print_json(gradients_json(flow))


def _text_to_explain(model: Model, file: Path | None, text: str | None) -> str:
    """Give the text that is named, or the beginning of the model's own held-out text."""
    if file is not None and text is not None:
        raise SettingsError("give a FILE or --text, not both")
    if file is not None:
        text = _beginning(file)
    if text is None:
        corpus = model.open_text(say)
        say(f"the first {_HELDOUT:,} tokens of the held-out text")
        return corpus.vocabulary.decode(corpus.heldout.tokens[:_HELDOUT])
    if len(text) > _MOST:
        say(f"the first {_MOST:,} characters of the text")
    return text[:_MOST]


def _beginning(file: Path) -> str:
    """Read a file, but not much more of it than will be explained."""
    lines: list[str] = []
    characters = 0
    for _, arrived in arriving_lines(file):
        lines += arrived
        characters += sum(map(len, arrived)) + len(arrived)
        if characters > _MOST:
            break
    return "\n".join(lines)


@app.command()
def report(run: options.ReportedRun, out: options.ReportOut = None) -> None:
    """Show on a page how a training went: curves, samples, mistakes, memory, copies, a verdict."""
    from sunspring.reports.page import NAME, write_report

    page = out or run / NAME
    write_report(run, page, say)
    say(f"saved in {page}")


@app.command()
def compare(
    runs: options.ComparedRuns,
    text: options.ComparedText = None,
    prompt: options.ComparedPrompt = "",
    out: options.PageOut = None,
    as_json: options.Json = False,
) -> None:
    """Measure several models on the same text, and set them beside one another."""
    from sunspring.pages.html import write_page
    from sunspring.reports import compare as comparing

    compared = comparing.compare(runs, text or (), prompt, say)
    if as_json:
        print_json(comparing.comparison_json(compared))
    else:
        print(comparing.describe_comparison(compared))
    if out is not None:
        write_page(out, comparing.comparison_page(compared))
        say(f"saved in {out}")


@app.command()
def score(
    model: options.ModelFolder,
    file: options.LinesFile = Path("-"),
    threshold: options.Threshold = None,
    top: options.Top = 0,
    label: options.Label = None,
    device: options.DeviceChoice = Device.auto,
    engine: options.EngineChoice = EngineName.auto,
    as_json: options.Json = False,
) -> None:
    """Say for each line of FILE how many bits it costs the model, in all and a character."""
    from sunspring.api import load
    from sunspring.explanation.line_scores import heldout_threshold, score_lines

    if top < 0:
        raise SettingsError(f"--top is {top}: it must be 0 or more")
    loaded = load(model, device.value, engine.value)
    least = None
    if threshold is not None:
        least = heldout_threshold(loaded, loaded.open_text(say), threshold, label)
        say(f"{threshold:g} % of the held-out lines cost up to {least:.3f} bits per character")
    listed = []
    for number, lines in arriving_lines(file):
        scores = score_lines(loaded, lines, label)
        numbered = [
            (number + index, each)
            for index, each in enumerate(scores)
            if least is None or each.bits_per_character > least
        ]
        if as_json:
            listed += [printing.line_json(*each, loaded.vocabulary, top) for each in numbered]
        else:
            print_lines(
                printing.describe_line(each, loaded.vocabulary, top) for _, each in numbered
            )
    if as_json:
        print_json({"lines": listed, "threshold": least, "engine": loaded.engine})
