"""What the command line says of figures and texts: pure functions, from results to JSON and lines.

Right before cli.py in the street, which prints what they give.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sunspring.corpus.vocabulary import Vocabulary
    from sunspring.evaluation.protocols import Evaluation
    from sunspring.explanation.copies import CopyReport
    from sunspring.explanation.line_scores import LineScore
    from sunspring.privacy.canaries import CanaryReport, Exposures
    from sunspring.runs.result import TrainingResult
    from sunspring.writing.writer import Writing


def evaluation_json(evaluation: Evaluation, baselines: Mapping[str, float]) -> dict[str, Any]:
    """Give the object that `evaluate --json` prints.

    It has the figures of the network, and the same of each column beyond it under its name.
    """
    beyond = {name: _figures(each) for name, each in evaluation.beyond.items()}
    return {**_figures(evaluation), "baselines": baselines, **beyond}


def _figures(evaluation: Evaluation) -> dict[str, Any]:
    return {
        "protocol": evaluation.protocol,
        "nats_per_token": evaluation.nats_per_token,
        "nats_per_character": evaluation.nats_per_character,
        "bpc": evaluation.bpc,
        "perplexity": evaluation.perplexity,
        "characters": evaluation.characters,
        "standard_error": evaluation.standard_error,
    }


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


def canaries_json(report: CanaryReport) -> dict[str, Any]:
    """Give what `evaluate --canaries --json` has of canaries."""
    return {
        "letters": report.letters,
        "length": report.length,
        "training_characters": report.training_characters,
        "hidden_characters": report.hidden_characters,
        "hidden_share": report.hidden_share,
        "references": report.references,
        "most": report.most,
        "hidden": [
            {**_exposure_figures(each, report), "exposures": each.bits.tolist()}
            for each in report.hidden
        ],
        "control": {**_exposure_figures(report.control, report), "expected": report.expected},
    }


def _exposure_figures(each: Exposures, report: CanaryReport) -> dict[str, Any]:
    return {
        "repetitions": each.repetitions,
        "canaries": len(each.bits),
        "mean": each.mean,
        "chance_error": each.chance_error,
        "largest": float(each.bits.max()),
        "share_at_most": each.share_at(report.most),
        "stands_out": each.stands_out,
    }


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
    read: str,
    writings: Sequence[Writing],
    seconds: float,
    engine: str,
    copied: CopyReport | None = None,
) -> dict[str, Any]:
    """Give the object that `write --json` prints.

    Args:
        prompt: as it was given.
        read: as the model read it.
        writings: what came of it.
        seconds: that it took.
        engine: that wrote.
        copied: what of them, without the prompt, stands in the training text, if that was asked.
    """
    characters = sum(len(writing.text) - len(read) for writing in writings)
    texts = [dict(vars(writing)) for writing in writings]
    if copied:
        for place, text in enumerate(texts):
            text["copied"] = _copied_json(copied, place, len(read))
    return {
        "prompt": prompt,
        "texts": texts,
        "characters_per_second": characters / seconds,
        "engine": engine,
    }


def _copied_json(report: CopyReport, place: int, prompt: int) -> dict[str, Any]:
    """Give what of one text is copied; places count from the beginning of the prompt."""
    from sunspring.explanation.copies import LEAST_COPIED

    one = replace(report, copies=[report.copies[place]], lines=[report.lines[place]])
    return {
        "characters": one.characters,
        "longest": one.longest,
        "stretches": [
            {"begin": prompt + begin, "end": prompt + end}
            for begin, end in one.copies[0].stretches(LEAST_COPIED)
        ],
        "lines": one.lines[0],
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
        f"{each['text'] or 'end'!r} {each['bits']:.1f}"
        for each in _surprises(score, vocabulary, top)
    )
    return f"{shown}\t{', '.join(surprises)}"


def line_json(number: int, score: LineScore, vocabulary: Vocabulary, top: int) -> dict[str, Any]:
    """Give what `score --json` has of a line."""
    figures = {
        "line": number,
        "text": score.line,
        "bits": score.bits,
        "bits_per_character": score.bits_per_character,
        "characters": score.characters,
    }
    return {**figures, "top": _surprises(score, vocabulary, top)} if top else figures


def _surprises(score: LineScore, vocabulary: Vocabulary, top: int) -> list[dict[str, Any]]:
    """Give what cost most in a line, characters that the model does not know among it."""
    from sunspring.explanation.line_scores import UNSEEN_BITS

    tokens = zip(score.tokens.tolist(), score.token_bits.tolist(), strict=True)
    costs = [
        (vocabulary.token_bytes(token).decode("utf-8", "replace"), bits) for token, bits in tokens
    ]
    unseen = vocabulary.unknown_characters(score.line)
    costs += [(character, UNSEEN_BITS) for character in score.line if character in unseen]
    dearest = sorted(costs, key=lambda cost: -cost[1])[:top]
    return [{"text": text, "bits": bits} for text, bits in dearest]


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
