"""What the command line says of results, in words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sunspring.corpus.vocabulary import Vocabulary
    from sunspring.evaluation.protocols import Evaluation
    from sunspring.explanation.copies import CopyReport
    from sunspring.explanation.line_scores import LineScore
    from sunspring.privacy.canaries import CanaryReport, Exposures
    from sunspring.reports.compare import Comparison
    from sunspring.runs.result import TrainingResult
    from sunspring.writing.writer import Writing

_NO_TRAINING = "none: pip install 'sunspring[train]' brings PyTorch"


def describe_evaluation(evaluation: Evaluation, baselines: Mapping[str, float]) -> str:
    """Show figures as a table: the network alone first, what goes beyond it, n-gram models."""
    rows = {"this model": evaluation.nats_per_character}
    rows |= {
        name.replace("_", " "): each.nats_per_character for name, each in evaluation.beyond.items()
    }
    lines = [f"{evaluation.characters:,} characters by {evaluation.protocol}"]
    lines += [
        f"{name:<16} {nats:.4f} nats per character  {nats / math.log(2):.4f} bpc"
        for name, nats in {**rows, **baselines}.items()
    ]
    return "\n".join(lines)


def describe_canaries(report: CanaryReport) -> str:
    """Show exposures as a table, a row for each number of repetitions, and say what it means."""
    lines = [
        f"canaries: lines of {report.length} random letters; those in the training text added "
        f"{report.hidden_share:.1%} to it ({report.hidden_characters:,} characters)",
        "in the text    canaries  mean exposure  largest  at the most",
    ]
    for each in (report.control, *report.hidden):
        times = _times(each.repetitions)
        lines.append(
            f"{times:<12} {len(each.bits):>10,} {each.mean:>14.2f} {each.bits.max():>8.2f}"
            f" {each.share_at(report.most):>12.0%}"
        )
    lines += [
        f"exposure is in bits: {report.expected:.2f} ± {report.control.chance_error:.2f} is "
        f"expected of lines that never stood there, {report.most:.2f} is the most that can be seen",
        _verdict(report.hidden),
    ]
    return "\n".join(lines)


def _verdict(hidden: Sequence[Exposures]) -> str:
    told = [each.repetitions for each in hidden if each.stands_out]
    line, never = "a line that stood in the training text", "one that never did"
    if not told:
        return f"{line} {_times(hidden[-1].repetitions)} is not told from {never}"
    verdict = f"{line} {_times(told[0])} is told from {never}"
    less = [each.repetitions for each in hidden if each.repetitions < told[0]]
    return f"{verdict},\none that stood there {_times(less[-1])} is not" if less else verdict


def _times(count: int) -> str:
    return {0: "never", 1: "once"}.get(count, f"{count} times")


def writings_json(
    prompt: str,
    writings: Sequence[Writing],
    seconds: float,
    engine: str,
    copied: CopyReport | None = None,
) -> dict[str, Any]:
    """Give the object that `write --json` prints.

    Args:
        prompt: as it was given.
        writings: what came of it.
        seconds: that it took.
        engine: that wrote.
        copied: what of them, without the prompt, stands in the training text, if that was asked.
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
    """Say in a line what of texts is copied."""
    from sunspring.explanation.copies import LEAST_COPIED, LEAST_LINE

    characters = sum(len(each.text) for each in report.copies)
    lines = len({line for each in report.lines for line in each})
    return (
        f"copied: {report.characters:,} of {characters:,} characters, in stretches of "
        f"{LEAST_COPIED} or more, the longest of {report.longest:,}; {lines:,} whole "
        f"{'line' if lines == 1 else 'lines'} of the training text, of {LEAST_LINE} characters or "
        "more"
    )


def describe_line(score: LineScore, vocabulary: Vocabulary, top: int) -> str:
    """Give a line of `score`: its bits, bits a character, the line, and what surprised most."""
    shown = f"{score.bits:.2f}\t{score.bits_per_character:.3f}\t{score.line}"
    if not top:
        return shown
    surprises = (
        f"{each['text'] or 'end'!r} {each['bits']:.1f}" for each in score.surprises(vocabulary, top)
    )
    return f"{shown}\t{', '.join(surprises)}"


def describe_result(result: TrainingResult) -> str:
    """Say how a training ended, and what can be done next."""
    if result.heldout is None:
        return (
            f"interrupted, and saved in {result.run}; "
            f"go on with: sunspring train --out {result.run} --resume"
        )
    return (
        f"held-out text: {result.heldout.nats_per_character:.4f} nats per character, "
        f"{result.heldout.bpc:.4f} bpc ({result.heldout.characters:,} characters, stream)\n"
        f"saved in {result.run}; write with: sunspring write {result.run}"
    )


def describe_quantization(figures: Mapping[str, Any]) -> str:
    """Say what 8 bits save and cost, from the figures of `quantize --json`."""
    sizes = f"{figures['bytes']:,} bytes instead of {figures['bytes_fp32']:,}"
    saved = f"saved in {figures['out']}: {sizes}"
    loss = figures["loss"]
    if loss is None:
        return f"{saved}; name a text after MODEL to measure the loss"
    return (
        f"{saved}\n"
        f"loss: {loss['nats']:+.5f} nats per character, from {loss['nats_fp32']:.4f} to "
        f"{loss['nats_int8']:.4f} ({loss['characters']:,} characters, {loss['protocol']})"
    )


def describe_comparison(comparison: Comparison) -> str:
    """Show models as a table, the best first."""
    width = max(len(each.name) for each in comparison.models)
    lines = [f"{comparison.characters:,} characters by {comparison.protocol}"]
    lines += [
        f"{each.name:<{width}}  {each.evaluation.nats_per_character:.4f} nats  "
        f"{each.evaluation.bpc:.4f} bpc  {each.parameters:>11,} parameters  "
        f"{each.bytes / 1e6:>6.2f} MB  writes {each.speed.together:>9,.0f} characters/s"
        for each in comparison.models
    ]
    return "\n".join(lines)


def describe_machine(report: dict[str, Any]) -> str:
    """Say what `doctor` found, a line a fact."""
    from sunspring.reports.doctor import MEASURED_MODEL

    facts = {
        "processor": f"{report['processor']}, {report['cores']} cores",
        "writing": f"about {report['speeds']['writing']:,.0f} characters/s with the model "
        f"{MEASURED_MODEL}, {_describe_engine(report)}",
        **(_describe_training(report) if "bf16" in report else {"training": _NO_TRAINING}),
        "free disk": f"{report['free_disk_gb']['here']} GB here, "
        f"{report['free_disk_gb']['cache']} GB for the cache in {report['cache']}",
        "versions": ", ".join(f"{name} {number}" for name, number in report["versions"].items()),
    }
    return "\n".join(f"{name:<10} {fact}" for name, fact in facts.items())


def _describe_training(report: dict[str, Any]) -> dict[str, str]:
    bf16, choice = report["bf16"], report["train_would_choose"]
    model, recipe = choice["model"], choice["recipe"]
    gain = f"{bf16['bf16'] / bf16['fp32']:.2f} times fp32's speed" if bf16["supported"] else "none"
    return {
        "training": f"about {report['speeds']['training']:,.0f} characters/s, "
        f"{'fused loop over time' if report['fused_training'] else 'layers of PyTorch'}",
        "threads": str(report["threads"]),
        "gpu": report["gpu"] or "none that PyTorch can use",
        "device": report["device"],
        "bf16": f"{gain}; training uses {bf16['choice']}",
        "train": f"for {choice['for']}: preset {choice['preset']}, {model['layers']} × "
        f"{model['hidden_size']} {model['cell']}, batch {recipe['batch_size']}, "
        f"window {recipe['window']}, {recipe['optimization']['optimizer']}",
    }


def _describe_engine(report: dict[str, Any]) -> str:
    if report["engine"] == "torch":
        return "engine torch: the native one was not built, as there was no C++ compiler"
    first, *rest = report["instruction_sets"]
    others = f"; there are {', '.join(rest)} too" if rest else ""
    return f"engine native by {first}{others}"
