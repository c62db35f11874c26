"""The `write` command."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from sunspring.cli import printing
from sunspring.cli.common import EngineOption, JsonOption, ModelOption, RateOption
from sunspring.cli.console import (
    ask,
    can_mark,
    clear,
    marked,
    notify,
    print_bytes,
    print_json,
    print_stream,
    say,
    show,
    shown,
)
from sunspring.cli.parameters import refuse
from sunspring.errors import SettingsError, SunspringError
from sunspring.settings import part_of, setting, settings_of
from sunspring.text.options import FileOptions
from sunspring.writing.settings import ConstraintSettings, ProposalSettings, WritingSettings

if TYPE_CHECKING:
    from sunspring.corpus.corpus import Corpus
    from sunspring.explanation.copies import CopyReport
    from sunspring.model import Model
    from sunspring.writing.stretches import KnownStretches
    from sunspring.writing.writer import Writing

_NUMBER = re.compile(r"[+-]?\d+")
_NOT_INTERACTIVE = ("length", "count", "stop", "seed", "unique", "novel", "copied", "as_json")
_NOT_RAW = (
    *("count", "copied", "as_json", "interactive", "unique", "novel", "no_copies_over"),
    *("mixture", "adapt", "blend"),
)


@dataclass(frozen=True, kw_only=True)
class WriteOptions(ModelOption, EngineOption, RateOption, JsonOption):
    """What the command line adds to the writing settings."""

    prompt_file: str | None = setting(
        None, "A file with the prompt, or - for standard input.", metavar="FILE"
    )
    count: int = setting(1, "How many texts to write.", at_least=1, below=1 << 63)
    copied: bool = setting(
        False, "Underline what is copied from the training text, and say how much it is."
    )
    interactive: bool = setting(
        False, "Write together with the model: pick its proposals, type, take back."
    )
    mixture: bool = setting(False, "Mix the model with n-grams of its training text.")
    adapt: str | None = setting(
        None,
        "Read and learn from these pages first, and continue where they end.",
        metavar="FILE",
    )
    raw: bool = setting(
        False,
        "Write the bytes of a model of bytes as they are, also where they are no text; --length "
        "counts bytes.",
    )
    blend: tuple[str, ...] = setting(
        (),
        "Blend in another model's predictions, as in poems:0.3; may be repeated.",
        metavar="MODEL:SHARE",
    )


def write(settings: WritingSettings, options: WriteOptions, files: FileOptions) -> None:
    """Write with a trained model.

    The text continues the prompt, and is shown as it is written.
    """
    if options.interactive:
        refuse(_NOT_INTERACTIVE, "--interactive, where you choose what is written")
    if options.raw:
        refuse(_NOT_RAW, "--raw, which writes bytes and not texts")
    options.check_rate(options.adapt is not None, "--adapt")
    if options.prompt_file is None and options.adapt is None:
        refuse(settings_of(FileOptions), "a prompt that is not from a file")
    model = _load(settings.label, options, files)
    prompt = _read_prompt(model, settings.prompt, options.prompt_file, files)
    settings = replace(settings, prompt=prompt)
    if options.raw:
        print_bytes(model.raw_pieces(settings, notify()))
        return
    _say_what_is_replaced(model, settings.prompt)
    if options.interactive:
        _write_together(model, settings)
        return
    corpus = model.open_text(notify()) if options.copied else None
    known = _known_if_marked(model) if options.copied else None
    if options.as_json:
        _print_object(model, settings, options.count, corpus)
        return
    writings: list[Writing] = []
    if settings.unique or settings.novel or options.count > 1:
        each = model.each_writing(settings, options.count, notify())
        writings = _print_each(each, known, keep=corpus is not None)
    else:
        pieces = model.pieces(settings, notify())
        prompt = next(pieces)
        print_stream(chain([shown(prompt)], _marked(_keep(pieces, writings), known)))
    if copied := _look_for_copies(writings, corpus):
        say(printing.describe_copies(copied))
    _check_all_are_met(writings)


def _print_object(
    model: Model, settings: WritingSettings, count: int, corpus: Corpus | None
) -> None:
    """Print all texts as one JSON object, or those found if there are no more."""
    began = time.perf_counter()
    found: list[Writing] = []
    each = model.each_writing(settings, count, notify())
    try:
        found.extend(each)
    finally:
        seconds = time.perf_counter() - began
        copied = _look_for_copies(found, corpus)
        print_json(printing.writings_json(settings.prompt, found, seconds, model.engine, copied))
    _check_all_are_met(found)


def _print_each(
    writings: Iterable[Writing], known: KnownStretches | None, *, keep: bool
) -> list[Writing]:
    """Print texts as they come; returns those that ended too early, or all if they are to keep."""
    kept: list[Writing] = []
    for writing in writings:
        clear()
        print(shown(writing.prompt), *_marked([writing.continuation], known), sep="", flush=True)
        if keep or writing.unmet:
            kept.append(writing)
    return kept


def _check_all_are_met(writings: Sequence[Writing]) -> None:
    """Check that no text ended before it had what it must have.

    Raises:
        SunspringError: one did.
    """
    early = [writing for writing in writings if writing.unmet]
    if not early:
        return
    first = f"the text of seed {early[0].seed} ends"
    if len(early) > 1:
        first = f"{len(early):,} texts end early, that of seed {early[0].seed}"
    raise SunspringError(
        f"{first} before it {early[0].unmet}: everything that could follow would copy more than "
        "--no-copies-over allows; allow more, or take another --seed"
    )


def expand_write(arguments: list[str]) -> list[str]:
    """Replace `--novel N`, an old name, by `--no-copies-over N`, and say so."""
    words = [part for word in arguments for part in _split_novel(word)]
    expanded: list[str] = []
    for word, following in pairwise([*words, ""]):
        if word == "--novel" and _NUMBER.fullmatch(following):
            say(f"--novel {following} is now called --no-copies-over {following}")
            word = "--no-copies-over"
        expanded.append(word)
    return expanded


def _split_novel(word: str) -> Sequence[str]:
    """Split `--novel=N` into two words; leave all others whole."""
    name, _, number = word.partition("=")
    return (name, number) if name == "--novel" and _NUMBER.fullmatch(number) else (word,)


def _load(label: str | None, options: WriteOptions, files: FileOptions) -> Model:
    """Load the model, adapted, mixed and blended as the options say."""
    from sunspring.model import Model

    model = Model.load(options.model, options.device, options.engine)
    if options.adapt is not None:
        model = model.adapted(options.adapt, label, options.learning, notify(), files)
    if options.mixture:
        model = model.mixed(notify())
    for folder, share in map(_parse_share, options.blend):
        model = model.blended(Model.load(folder, options.device, options.engine), share)
    return model


def _say_what_is_replaced(model: Model, prompt: str) -> None:
    """Report characters of the prompt that the model does not know."""
    if replaced := model.read_prompt(prompt).replaced:
        from sunspring.corpus.spelling import describe_unseen

        say(describe_unseen(replaced, sum(map(prompt.count, replaced)), " of the prompt"))


def _write_together(model: Model, settings: WritingSettings) -> None:
    from sunspring.cli.interactive import write_together

    signal.signal(signal.SIGINT, signal.default_int_handler)  # ends it, keeps the text
    proposed = ProposalSettings(**vars(part_of(settings, ConstraintSettings)))
    print(shown(write_together(model, settings.prompt, proposed, ask, show)))


def _known_if_marked(model: Model) -> KnownStretches | None:
    """Return what is needed to mark copies, if the output can show marks."""
    from sunspring.explanation.copies import LEAST_COPIED

    return model.known_stretches(LEAST_COPIED, notify()) if can_mark() else None


def _look_for_copies(writings: Sequence[Writing], corpus: Corpus | None) -> CopyReport | None:
    if corpus is None:
        return None
    from sunspring.explanation.copies import report_copies

    return report_copies([writing.continuation for writing in writings], corpus, notify())


def _keep(pieces: Generator[str, None, Writing], kept: list[Writing]) -> Iterator[str]:
    """Pass on the pieces of a text, and keep the whole text."""
    kept.append((yield from pieces))


def _marked(pieces: Iterable[str], known: KnownStretches | None) -> Iterable[str]:
    """Mark copied pieces for the terminal, if the known stretches are given."""
    if known is None:
        return map(shown, pieces)
    from sunspring.writing.copy_marks import mark_copies

    return (
        marked(text) if is_copied else shown(text) for text, is_copied in mark_copies(pieces, known)
    )


def _parse_share(blend: str) -> tuple[Path, float]:
    folder, _, share = blend.rpartition(":")
    try:
        return Path(folder), float(share)
    except ValueError:
        raise SettingsError(f"--blend {blend} has no share: write it as MODEL:0.3") from None


def _read_prompt(model: Model, prompt: str, file: str | None, files: FileOptions) -> str:
    if file is None:
        return prompt
    if prompt:
        raise SettingsError("the prompt is given twice: use --prompt or --prompt-file, not both")
    return "".join(model.arriving_text(file, files, notify()))
