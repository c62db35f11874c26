"""The commands that make a page: about a text, a run or several models."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sunspring.cli import printing
from sunspring.cli.common import JsonOption, ModelOption
from sunspring.cli.console import notify, print_json, say, shown
from sunspring.cli.parameters import refuse
from sunspring.errors import SettingsError
from sunspring.settings import required, setting, settings_of
from sunspring.text.options import FileOptions

if TYPE_CHECKING:
    from sunspring.model import Model

_HELDOUT = 20_000  # tokens of the held-out text to explain
_MOST = 200_000  # characters of another text to explain: each takes kilobytes of memory


@dataclass(frozen=True, kw_only=True)
class PageOption:
    """Where a page goes."""

    out: Path | None = setting(None, "The HTML page to write.", metavar="PAGE")


@dataclass(frozen=True, kw_only=True)
class ExplainOptions(ModelOption, PageOption, JsonOption):
    """What is explained, and how."""

    file: str | None = setting(
        None,
        "The text, named as for train, or - for standard input.",
        argument="FILE",
        shown_default="the model's own held-out text",
    )
    text: str | None = setting(None, "The text itself, instead of a file.")
    label: str | None = setting(
        None, "The label of the text, if the model was trained with labels."
    )
    top: int = setting(
        5, "How many of the most probable characters to show at each place.", at_least=1
    )
    copied: bool = setting(
        False, "Also show which parts of the text are copied from the training text."
    )
    gradients: bool = setting(
        False,
        "Instead train a plain RNN, a GRU and an LSTM on the model's text, and show how far back "
        "the gradient reaches in each.",
    )
    steps: int | None = setting(
        None,
        "How many steps to train each network of --gradients.",
        at_least=1,
        shown_default="400",
    )


def explain(options: ExplainOptions, files: FileOptions) -> None:
    """Make a page that shows how a model reads a text.

    It shows how surprising each character is and what was expected there, units of the network
    that respond to something, the gates, and what the text copies.
    """
    from sunspring.corpus.spelling import describe_unseen
    from sunspring.explanation.explanation import explain
    from sunspring.explanation.page import explanation_page
    from sunspring.model import Model
    from sunspring.pages.html import check_page, write_page

    if options.out is None and not options.as_json:
        raise SettingsError("nowhere to put the explanation: give --out page.html, or --json")
    if options.out is not None:
        check_page(options.out)
    if options.file is None:
        refuse(settings_of(FileOptions), "a text that is not from a file")
    if options.gradients:
        _explain_gradients(options)
        return
    if options.steps is not None:
        raise SettingsError("--steps belongs to --gradients: add --gradients, or leave --steps out")
    model = Model.load(options.model)
    corpus = model.open_text(notify()) if options.copied else None
    text = _text_to_explain(model, options.file, files, options.text)
    explanation = explain(model, text, options.label, options.top, corpus, notify())
    if explanation.unseen:
        number = sum(map(explanation.trace.text.count, explanation.unseen))
        say(describe_unseen(dict.fromkeys(explanation.unseen), number))
    if options.out is not None:
        write_page(options.out, explanation_page(explanation))
        say(f"saved in {options.out}")
    if options.as_json:
        print_json(explanation.to_json())


def _explain_gradients(options: ExplainOptions) -> None:
    """Do what `explain --gradients` does."""
    from sunspring.explanation.gradient_flow import STEPS, gradient_flow
    from sunspring.explanation.gradients_page import gradients_page
    from sunspring.model import Model
    from sunspring.pages.html import write_page

    beside = "--gradients, which trains networks of its own"
    refuse(("file", "text", "top", "copied", "label"), beside)
    corpus = Model.load(options.model).open_text(notify())
    flow = gradient_flow(corpus, notify(), STEPS if options.steps is None else options.steps)
    if options.out is not None:
        write_page(options.out, gradients_page(flow))
        say(f"saved in {options.out}")
    if options.as_json:
        print_json(flow.to_json())


def _text_to_explain(model: Model, file: str | None, files: FileOptions, text: str | None) -> str:
    """Return the text that was named, or the beginning of the model's own held-out text."""
    if file is not None and text is not None:
        raise SettingsError("give a FILE or --text, not both")
    if file is not None:
        text = _beginning(model, file, files)
    if text is None:
        corpus = model.open_text(notify())
        say(f"explaining the first {_HELDOUT:,} tokens of the held-out text")
        return corpus.vocabulary.decode(corpus.heldout.tokens[:_HELDOUT])
    if len(text) > _MOST:
        say(f"explaining the first {_MOST:,} characters of the text")
    return text[:_MOST]


def _beginning(model: Model, file: str, files: FileOptions) -> str:
    """Read a source, but little more than will be explained."""
    text = ""
    for piece in model.arriving_text(file, files, notify()):
        text += piece
        if len(text) > _MOST:
            break
    return text.removesuffix("\n")


@dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """Which run is reported, and where the page goes."""

    run: Path = required("Folder of a run.", argument="RUN")
    out: Path | None = setting(
        None, "The page to write.", metavar="PAGE", shown_default="report.html in the run"
    )


def report(options: ReportOptions) -> None:
    """Make a page that shows how a training went.

    It shows learning curves, samples, mistakes, memory and copies, and says what to try next.
    """
    from sunspring.pages.html import check_page
    from sunspring.reports.page import NAME, write_report

    page = options.out or options.run / NAME
    check_page(page)
    write_report(options.run, page, notify())
    say(f"saved in {page}")


@dataclass(frozen=True, kw_only=True)
class CompareOptions(PageOption, JsonOption):
    """What is compared."""

    runs: tuple[Path, ...] = required("Folders of runs or models.", argument="RUN")
    text: tuple[str, ...] = setting(
        (),
        "A text that none of them has seen, instead of their held-out text; may be repeated.",
    )
    prompt: str = setting("", "The prompt of their samples.")


def compare(options: CompareOptions, files: FileOptions) -> None:
    """Compare several models on the same text."""
    from sunspring.pages.html import check_page, write_page
    from sunspring.reports import compare as comparing
    from sunspring.reports.compare_page import comparison_page

    if options.out is not None:
        check_page(options.out)
    if not options.text:
        refuse(settings_of(FileOptions), "their held-out text, read as it was for training")
    comparison = comparing.compare(options.runs, options.text, options.prompt, notify(), files)
    if options.as_json:
        print_json(comparison.to_json())
    else:
        print(shown(printing.describe_comparison(comparison)))
    if options.out is not None:
        write_page(options.out, comparison_page(comparison))
        say(f"saved in {options.out}")
