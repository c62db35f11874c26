"""The command that writes: thin, like those of cli.py, which adds it."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from sunspring.cli import options, printing
from sunspring.cli.checks import check_rate, learning, refuse
from sunspring.cli.console import ask, can_mark, marked, print_json, print_stream, say
from sunspring.cli.options import WHOLE_LINES, Device, EngineName
from sunspring.errors import SettingsError, SourceError

if TYPE_CHECKING:
    from sunspring.api import Model
    from sunspring.writing.stretches import KnownStretches


def write(
    context: typer.Context,
    model: options.ModelFolder,
    prompt: options.Prompt = "",
    prompt_file: options.PromptFile = None,
    length: options.Length = 500,
    count: options.Count = 1,
    temperature: options.Temperature = 0.8,
    top_k: options.TopK = 0,
    top_p: options.TopP = 1.0,
    min_p: options.MinP = 0.0,
    repetition_penalty: options.RepetitionPenalty = 1.0,
    stop: options.Stop = None,
    regex: options.Regex = None,
    seed: options.WritingSeed = None,
    unique: options.Unique = False,
    novel: options.Novel = None,
    copied: options.CopiedMarked = False,
    label: options.Label = None,
    interactive: options.Interactive = False,
    mixture: options.MixtureWritten = False,
    adapt: options.Adapt = None,
    blend: options.Blend = None,
    rate: options.Rate = None,
    device: options.DeviceChoice = Device.auto,
    engine: options.EngineChoice = EngineName.auto,
    as_json: options.Json = False,
) -> None:
    """Write with a trained model, on from a prompt."""
    from sunspring.api import load
    from sunspring.cli.interactive import write_together
    from sunspring.explanation.copies import LEAST_COPIED, report_copies

    if interactive:
        _check_interactive(context)
    check_rate(rate, adapt is not None, "--adapt")
    text = _read_prompt(prompt, prompt_file)
    loaded = load(model, device.value, engine.value)
    if adapt is not None:
        loaded = loaded.adapted(adapt, label, learning(rate), say)
    if mixture:
        loaded = loaded.mixed()
    for other, share in map(_parse_share, blend or []):
        loaded = loaded.blended(load(other, device.value, engine.value), share)
    read = _read_as_model(loaded, text)
    settings: dict[str, Any] = {
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "min_p": min_p,
        "repetition_penalty": repetition_penalty,
        "label": label,
    }
    if interactive:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # ends it, and keeps the text
        print(write_together(loaded, text, settings, ask, say))
        return
    settings |= {"length": length, "stop": stop or (), "regex": regex, "seed": seed}
    settings["longest_copy"] = novel or None
    corpus = loaded.open_text(say) if copied else None
    known = loaded.known_stretches(LEAST_COPIED) if copied and can_mark() else None
    if as_json or unique or count > 1 or novel == WHOLE_LINES:
        began = time.perf_counter()
        writings = loaded.write_many(
            count, text, unique=unique, novel=novel == WHOLE_LINES, **settings
        )
        seconds = time.perf_counter() - began
        written = [writing.text[len(read) :] for writing in writings]
        report = report_copies(written, corpus) if corpus else None
        if as_json:
            print_json(printing.writings_json(text, read, writings, seconds, loaded.engine, report))
            return
        for writing, new in zip(writings, written, strict=True):
            print(writing.text[: len(read)], *_marked([new], known), sep="")
    else:
        pieces = loaded.stream(text, **settings)
        beginning, kept = next(pieces), list[str]()
        print_stream(chain([beginning], _marked(_keep(pieces, kept), known)))
        report = report_copies(["".join(kept)], corpus) if corpus else None
    if report:
        say(printing.describe_copies(report))


def _keep(pieces: Iterable[str], kept: list[str]) -> Iterator[str]:
    """Hand on pieces of a text, and keep them."""
    for piece in pieces:
        kept.append(piece)
        yield piece


def _marked(pieces: Iterable[str], known: KnownStretches | None) -> Iterable[str]:
    """Mark what is copied for the terminal, if there is something that knows it."""
    if known is None:
        return pieces
    from sunspring.writing.copy_marks import mark_copies

    return (marked(text) if is_copied else text for text, is_copied in mark_copies(pieces, known))


def _check_interactive(context: typer.Context) -> None:
    """Make sure that nothing is asked of writing together that it does not do."""
    names = ("length", "count", "stop", "regex", "seed", "unique", "novel", "copied", "as_json")
    refuse(context, names, "--interactive, where you choose")


def _parse_share(blend: str) -> tuple[Path, float]:
    folder, _, share = blend.rpartition(":")
    try:
        return Path(folder), float(share)
    except ValueError:
        raise SettingsError(f"--blend {blend} has no share: write it as MODEL:0.3") from None


def _read_prompt(prompt: str, path: Path | None) -> str:
    if path is None:
        return prompt
    if prompt:
        raise SettingsError("give the prompt by --prompt or by --prompt-file, not both")
    shown = "standard input" if str(path) == "-" else path
    try:
        content = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        at = f"byte {error.start}"
        raise SourceError(f"{shown} is not utf-8 at {at}: convert the prompt to it") from None
    except OSError as error:
        raise SourceError(f"{shown} cannot be read ({error.strerror}): check the path") from None


def _read_as_model(model: Model, prompt: str) -> str:
    """Read a prompt as the model does, and say what became of characters that it does not know."""
    read, replaced = model.adapt(prompt)
    if replaced:
        changes = ", ".join(
            f"{old!r} is read as {new!r}" if new else f"{old!r} is left out"
            for old, new in sorted(replaced.items())
        )
        say(f"characters of the prompt that the model has never seen: {changes}")
    return read
