"""What the command line prints about results."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sunspring.notices import command, counted

if TYPE_CHECKING:
    from sunspring.corpus.vocabulary import Vocabulary
    from sunspring.evaluation.protocols import Evaluation
    from sunspring.explanation.copies import CopyReport
    from sunspring.explanation.line_scores import LineScore
    from sunspring.privacy.canaries import CanaryReport, Exposures
    from sunspring.reports.compare import Comparison
    from sunspring.runs.result import TrainingResult
    from sunspring.writing.writer import Writing

_NO_TRAINING = "none: PyTorch is missing, pip install 'sunspring[train]' installs it"


def describe_evaluation(evaluation: Evaluation, baselines: Mapping[str, float]) -> str:
    """Format figures as a table: the network alone, what is added to it, n-gram models."""
    rows = {"this model": evaluation.nats_per_character}
    rows |= {
        name.replace("_", " "): each.nats_per_character for name, each in evaluation.beyond.items()
    }
    lines = [f"{counted(evaluation.characters, 'character')} by {evaluation.protocol}"]
    lines += _overlap_lines(evaluation)
    lines += [
        f"{name:<16} {nats:.4f} nats per character  {nats / math.log(2):.4f} bpc"
        for name, nats in {**rows, **baselines}.items()
    ]
    return "\n".join(lines)


def describe_canaries(report: CanaryReport) -> str:
    """Format exposures as a table, one row per number of repetitions, with a verdict."""
    lines = [
        f"canaries: lines of {report.length} random letters; the inserted ones make the training "
        f"text {report.hidden_share:.1%} longer ({counted(report.hidden_characters, 'character')})",
        "in the text    canaries  mean exposure  largest  at maximum",
    ]
    for each in (report.control, *report.hidden):
        times = _times(each.repetitions)
        lines.append(
            f"{times:<12} {len(each.bits):>10,} {each.mean:>14.2f} {each.bits.max():>8.2f}"
            f" {each.share_at(report.most):>11.0%}"
        )
    lines += [
        f"exposure is in bits: {report.expected:.2f} ± {report.control.chance_error:.2f} is what "
        f"lines that were never in the text should have, {report.most:.2f} is the maximum",
        _verdict(report.hidden),
    ]
    return "\n".join(lines)


def _verdict(hidden: Sequence[Exposures]) -> str:
    exposed = [each.repetitions for each in hidden if each.stands_out]
    line = "a line that was in the training text"
    if not exposed:
        times = _times(hidden[-1].repetitions)
        return f"{line} {times} cannot be distinguished from one that never was"
    verdict = f"{line} {_times(exposed[0])} can be distinguished from one that never was"
    less = [each.repetitions for each in hidden if each.repetitions < exposed[0]]
    return f"{verdict},\none that was in it {_times(less[-1])} cannot" if less else verdict


def _times(count: int) -> str:
    return {0: "never", 1: "once"}.get(count, f"{count} times")


def writings_json(
    prompt: str,
    writings: Sequence[Writing],
    seconds: float,
    engine: str,
    copied: CopyReport | None = None,
) -> dict[str, Any]:
    """Return the object that `write --json` prints.

    Args:
        prompt: the prompt as it was given.
        writings: the texts that were written.
        seconds: how long writing took.
        engine: name of the engine.
        copied: what the texts, without the prompt, copied from the training text, if known.
    """
    texts = [writing.to_json() for writing in writings]
    if copied:
        for place, (text, writing) in enumerate(zip(texts, writings, strict=True)):
            text["copied"] = copied.to_json(place, len(writing.prompt))
    return {
        "prompt": prompt,
        "texts": texts,
        "characters_per_second": sum(len(each.continuation) for each in writings) / seconds,
        "engine": engine,
    }


def describe_copies(report: CopyReport) -> str:
    """Say in one line how much of some texts is copied."""
    from sunspring.explanation.copies import LEAST_COPIED, LEAST_LINE

    characters = sum(len(each.text) for each in report.copies)
    lines = len({line for each in report.lines for line in each})
    return (
        f"copied: {report.characters:,} of {counted(characters, 'character')}, in stretches of "
        f"{LEAST_COPIED} or more (the longest has {report.longest:,}); "
        f"{counted(lines, 'whole line')} of the training text, of {LEAST_LINE} characters or more"
    )


def describe_line(score: LineScore, vocabulary: Vocabulary, top: int) -> str:
    """Format a line for `score`: bits, bits per character, text, most surprising characters."""
    shown = f"{score.bits:.2f}\t{score.bits_per_character:.3f}\t{score.line}"
    if not top:
        return shown
    surprises = (
        f"{each['text'] or 'end'!r} {each['bits']:.1f}" for each in score.surprises(vocabulary, top)
    )
    return f"{shown}\t{', '.join(surprises)}"


def describe_result(result: TrainingResult) -> str:
    """Say how a training ended, and what to do next."""
    if result.heldout is None:
        return (
            f"interrupted, and saved in {result.run}; "
            f"continue with: {command('train', '--out', result.run, '--resume')}"
        )
    lines = [
        f"held-out text: {result.heldout.nats_per_character:.4f} nats per character, "
        f"{result.heldout.bpc:.4f} bpc ({counted(result.heldout.characters, 'character')}, stream)",
        *_overlap_lines(result.heldout),
        f"saved in {result.run}; write with: {command('write', result.run)}",
    ]
    return "\n".join(lines)


def _overlap_lines(heldout: Evaluation) -> list[str]:
    """Say how much of a text is not new, if that is worth a line."""
    from sunspring.corpus.overlap import describe_overlap

    return [*filter(None, [describe_overlap(heldout.overlap)])]


def describe_quantization(figures: Mapping[str, Any]) -> str:
    """Say what 8 bits save and cost, from the figures of `quantize --json`."""
    sizes = f"{figures['bytes']:,} bytes instead of {figures['bytes_fp32']:,}"
    saved = f"saved in {figures['out']}: {sizes}"
    loss = figures["loss"]
    if loss is None:
        return f"{saved}; name a text after the model to measure the loss of quality"
    return (
        f"{saved}\n"
        f"loss of quality: {loss['nats']:+.5f} nats per character, from {loss['nats_fp32']:.4f} to "
        f"{loss['nats_int8']:.4f} ({counted(loss['characters'], 'character')}, {loss['protocol']})"
    )


def describe_comparison(comparison: Comparison) -> str:
    """Format models as a table, the best first."""
    width = max(len(each.name) for each in comparison.models)
    lines = [f"{counted(comparison.characters, 'character')} by {comparison.protocol}"]
    lines += [
        f"{each.name:<{width}}  {each.evaluation.nats_per_character:.4f} nats  "
        f"{each.evaluation.bpc:.4f} bpc  {each.parameters:>11,} parameters  "
        f"{each.bytes / 1e6:>6.2f} MB  writes {each.speed.together:>9,.0f} characters/s"
        for each in comparison.models
    ]
    lines += [f"{each.name}: {each.overlap}" for each in comparison.models if each.overlap]
    return "\n".join(lines)


def describe_machine(report: dict[str, Any]) -> str:
    """Say what `doctor` found, one fact per line."""
    from sunspring.reports.doctor import MEASURED_MODEL

    facts = {
        "processor": f"{report['processor']}, {report['cores']} cores",
        "busy": _describe_load(report["busy"], report["cores"]),
        "writing": f"about {report['speeds']['writing']:,.0f} characters/s with the model "
        f"{MEASURED_MODEL}, {_describe_engine(report)}",
        **(_describe_training(report) if "bf16" in report else {"training": _NO_TRAINING}),
        "free disk": f"{report['free_disk_gb']['here']} GB here, "
        f"{report['free_disk_gb']['cache']} GB for the cache in {report['cache']}",
        "versions": ", ".join(f"{name} {number}" for name, number in report["versions"].items()),
    }
    return "\n".join(f"{name:<10} {fact}" for name, fact in facts.items())


def _describe_load(busy: dict[str, Any], cores: int) -> str:
    if busy["is_busy"] is None:
        return "not known: this system does not tell"
    used = f"other programs use {busy['other_cores']:.1f} of the {cores} cores"
    if not busy["is_busy"]:
        return f"no, {used}"
    left = busy["speed_left"]
    speed = f"about {left:.0%} of their usual speed" if left > 0.3 else "less than half their speed"
    return f"yes, {used}: training and writing have {speed}, which is what is measured here"


def _describe_training(report: dict[str, Any]) -> dict[str, str]:
    bf16, choice = report["bf16"], report["train_would_choose"]
    model, recipe = choice["model"], choice["recipe"]
    gain = (
        f"{bf16['bf16'] / bf16['fp32']:.2f} times fp32's speed"
        if bf16["supported"]
        else "not supported"
    )
    return {
        "training": f"about {report['speeds']['training']:,.0f} characters/s, "
        + _describe_loops(report["loops"][bf16["choice"]]),
        "threads": str(report["threads"]),
        "gpu": report["gpu"] or "none that PyTorch can use",
        "device": report["device"],
        "bf16": f"{gain}; training uses {bf16['choice']}",
        "train": f"for {choice['for']}: preset {choice['preset']}, {model['layers']} × "
        f"{model['hidden_size']} {model['cell']}, batch {recipe['batch_size']}, "
        f"window {recipe['window']}, {recipe['optimization']['optimizer']}",
    }


def _describe_loops(instruction_set: str | None) -> str:
    return f"own loops with {instruction_set}" if instruction_set else "layers of PyTorch"


def _describe_engine(report: dict[str, Any]) -> str:
    if report["engine"] == "torch":
        return "engine torch: the native one was not built, for lack of a C++ compiler"
    first, *rest = report["instruction_sets"]
    others = f"; also available: {', '.join(rest)}" if rest else ""
    return f"engine native with {first}{others}"
