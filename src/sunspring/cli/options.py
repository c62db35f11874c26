"""The options of the command line: their names, their help, their values.

Apart from cli.py so that the commands there can be read at a glance; right before it in the street.
"""

from __future__ import annotations

import re
from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

from typer import Argument, BadParameter, Option
from typer.core import TyperCommand

_NUMBER = re.compile(r"[+-]?\d+")


class Documents(StrEnum):
    """What starts from a fresh state and ends with an end token."""

    none = "none"
    lines = "lines"
    files = "files"


class Tokens(StrEnum):
    """What the network reads and writes."""

    chars = "chars"
    bytes = "bytes"
    subwords = "subwords"


class Device(StrEnum):
    """Where to compute."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class EngineName(StrEnum):
    """What writes."""

    auto = "auto"
    native = "native"
    torch = "torch"


class Protocol(StrEnum):
    """How held-out text is read."""

    stream = "stream"
    windows = "windows"


WHOLE_LINES = 0
"""What `--novel` is without a number."""

_LINES = "lines"  # how that is written


class WriteCommand(TyperCommand):
    """A command whose option `--novel` may stand without a number."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Give `--novel` its value where no number follows it."""
        given = [
            f"{word}={_LINES}" if word == "--novel" and not _NUMBER.fullmatch(following) else word
            for word, following in pairwise([*args, ""])
        ]
        return super().parse_args(ctx, given)


def parse_novel(value: str) -> int:
    """Read the value of `--novel`.

    Raises:
        BadParameter: it is neither a whole number from 1 on nor missing.
    """
    if value == _LINES:
        return WHOLE_LINES
    if value.isascii() and value.isdigit() and int(value) > 0:
        return int(value)
    raise BadParameter(
        f"{value!r} is no number of characters: give 1 or more, or none to forbid whole lines alone"
    )


Sources = Annotated[
    list[str] | None,
    Argument(
        metavar="SOURCES",
        help="Files, folders, patterns, - for stdin, table.csv:column, table.jsonl:field, web "
        "addresses, gutenberg:ID.",
        show_default=False,
    ),
]
ModelFolder = Annotated[
    Path, Argument(metavar="MODEL", help="A model folder, or a run.", show_default=False)
]
Json = Annotated[
    bool, Option("--json", help="Print one JSON object on stdout, and nothing else there.")
]
DeviceChoice = Annotated[Device, Option("--device", help="Where to compute.")]
EngineChoice = Annotated[
    EngineName,
    Option("--engine", help="What writes: native is fast, torch the reference on any device."),
]

# Reading
DocumentsChoice = Annotated[
    Documents, Option("--documents", help="What starts afresh, and has an end to learn.")
]
DocumentsOfModel = Annotated[
    Documents | None, Option("--documents", help="As in training where it is not given.")
]
Encoding = Annotated[
    str | None,
    Option("--encoding", help="Of files without a byte order mark; utf-8 where not given."),
]
Errors = Annotated[
    str,
    Option("--errors", help="Bytes that cannot be decoded: strict, replace, ignore, …"),
]
KeepNewlines = Annotated[bool, Option("--keep-newlines", help="Leave CRLF and CR as they are.")]
LabelColumn = Annotated[
    str | None, Option("--label-column", help="The column or field with each row's label.")
]
LabelFolders = Annotated[
    bool, Option("--label-folders", help="A subfolder's name labels the files in it.")
]

# Training
Out = Annotated[
    Path | None, Option("--out", help="Folder of the run; a new one under runs/ if not given.")
]
Minutes = Annotated[float | None, Option("--minutes", help="Train for so long.", show_default="3")]
Epochs = Annotated[float | None, Option("--epochs", help="Or: for so many readings of the text.")]
Steps = Annotated[int | None, Option("--steps", help="Or: for so many steps.")]
Preset = Annotated[
    str,
    Option("--preset", help="auto, article, deepmoji, tiny, small, large, rnn or gru."),
]
TokensChoice = Annotated[Tokens, Option("--tokens", help="What the network reads and writes.")]
TrainingSeed = Annotated[int, Option("--seed", help="Of everything that is drawn.")]
Settings = Annotated[
    list[str] | None,
    Option("--set", metavar="KEY=VALUE", help="A single setting, as in hidden_size=384."),
]
Resume = Annotated[bool, Option("--resume", help="Go on with the run in --out.")]
InitFrom = Annotated[
    Path | None, Option("--init-from", help="A model to go on from, on this text.")
]
Heldout = Annotated[
    list[str] | None,
    Option("--heldout", help="A source of held-out text, instead of a tenth; may be repeated."),
]
MinimumCount = Annotated[
    int, Option("--minimum-count", help="Rarer characters become the unknown token.")
]
SubwordVocabulary = Annotated[
    int, Option("--subword-vocabulary", help="How many subwords to learn.")
]
TensorBoard = Annotated[bool, Option("--tensorboard", help="Log for TensorBoard too.")]

# Writing
Prompt = Annotated[str, Option("--prompt", help="The seed text to go on from.")]
PromptFile = Annotated[
    Path | None, Option("--prompt-file", help="A file with the seed text; - is stdin.")
]
Length = Annotated[int, Option("--length", help="The most characters after the prompt.")]
Count = Annotated[int, Option("--count", help="How many texts.", min=1)]
Temperature = Annotated[
    float, Option("--temperature", help="0 takes the most probable token; above 1 is wild.")
]
TopK = Annotated[int, Option("--top-k", help="Keep so many of the likeliest tokens; 0 is all.")]
TopP = Annotated[
    float, Option("--top-p", help="Keep the likeliest tokens that reach this probability.")
]
MinP = Annotated[
    float, Option("--min-p", help="Drop what is below this share of the likeliest token's.")
]
RepetitionPenalty = Annotated[
    float, Option("--repetition-penalty", help="Above 1: recent tokens become less likely.")
]
Stop = Annotated[
    list[str] | None, Option("--stop", help="A text that ends the writing; may be repeated.")
]
Regex = Annotated[
    str | None, Option("--regex", help="A pattern that the whole text, prompt included, matches.")
]
WritingSeed = Annotated[
    int | None, Option("--seed", help="Gives the same text again.", show_default="a new one")
]
Unique = Annotated[bool, Option("--unique", help="No text twice.")]
Novel = Annotated[
    int | None,
    Option(
        "--novel",
        metavar="[N]",
        parser=parse_novel,
        help="No text that is a line of the source; with a number, no copy longer than N "
        "characters.",
        show_default=False,
    ),
]
CopiedMarked = Annotated[
    bool, Option("--copied", help="Mark what stands in the training text, and say how much it is.")
]
Label = Annotated[str | None, Option("--label", help="The label to write under.")]
Interactive = Annotated[
    bool, Option("--interactive", help="Write together: pick proposals, type, take back.")
]
MixtureWritten = Annotated[
    bool, Option("--mixture", help="Write from the model mixed with n-grams of its training text.")
]
Adapt = Annotated[
    str | None,
    Option(
        "--adapt",
        metavar="FILE",
        help="Pages to read and learn from first; the text goes on where they end.",
        show_default=False,
    ),
]
Blend = Annotated[
    list[str] | None,
    Option(
        "--blend",
        metavar="MODEL:SHARE",
        help="Blend in another model's predictions, as in poems:0.3; may be repeated.",
        show_default=False,
    ),
]
Rate = Annotated[
    float | None,
    Option("--rate", help="How fast to learn while reading.", show_default="0.0003"),
]

# Lines
LinesFile = Annotated[
    Path,
    Argument(
        metavar="[FILE]",
        help="A file of lines; - for standard input.",
        show_default="standard input",
    ),
]
Threshold = Annotated[
    float | None,
    Option(
        "--threshold",
        metavar="PERCENTILE",
        help="Show only lines dearer a character than so many percent of the held-out lines.",
        show_default=False,
    ),
]
Top = Annotated[
    int, Option("--top", help="Show with each line so many characters that surprised most.")
]

VectorsOut = Annotated[
    Path | None,
    Option(
        "--out",
        help="File for the vectors, .npy or .csv.",
        show_default="CSV to the standard output",
    ),
]

# Explaining
ExplainedFile = Annotated[
    Path | None,
    Argument(
        metavar="[FILE]",
        help="The text; - for standard input.",
        show_default="the model's own held-out text",
    ),
]
ExplainedText = Annotated[str | None, Option("--text", help="The text itself.", show_default=False)]
PageOut = Annotated[
    Path | None, Option("--out", metavar="PAGE", help="HTML page to write.", show_default=False)
]
Alternatives = Annotated[
    int, Option("--top", help="Characters to show that might have stood at each place.")
]

Copied = Annotated[
    bool, Option("--copied", help="Show also what of the text stands in the training text.")
]
Gradients = Annotated[
    bool,
    Option(
        "--gradients",
        help="Instead train a plain RNN, a GRU and an LSTM on the model's text, and show how far "
        "back the gradient reaches in each.",
    ),
]
GradientSteps = Annotated[
    int | None,
    Option("--steps", help="Of each training of --gradients.", show_default="400"),
]
ReportedRun = Annotated[Path, Argument(metavar="RUN", help="Folder of a run.", show_default=False)]
ReportOut = Annotated[
    Path | None,
    Option("--out", help="The page to write.", show_default="report.html in the run"),
]
ComparedRuns = Annotated[
    list[Path],
    Argument(metavar="RUN RUN…", help="Folders of runs or models.", show_default=False),
]
ComparedText = Annotated[
    list[str] | None,
    Option(
        "--text",
        help="A source that none of them has seen, instead of their held-out text; may be "
        "repeated.",
    ),
]
ComparedPrompt = Annotated[str, Option("--prompt", help="What their samples go on from.")]

# Quantizing
ModelOut = Annotated[
    Path, Option("--out", help="Folder of the model to write.", show_default=False)
]

# Evaluation
MixtureMeasured = Annotated[
    bool, Option("--mixture", help="Measure the model mixed with n-grams of its training text too.")
]
Dynamic = Annotated[
    bool, Option("--dynamic", help="Measure it too while it goes on learning from what it scored.")
]
Canaries = Annotated[
    bool,
    Option(
        "--canaries",
        help="Instead hide random lines in the text, train a copy of the run on it, and see if it "
        "gives them away.",
    ),
]
ProtocolChoice = Annotated[
    Protocol,
    Option("--protocol", help="stream: once through, in order; windows: random stretches of 256."),
]
