"""Insertion of lines at random places in the training part of a corpus.

The text is streamed from file to file, so it may be larger than memory.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from sunspring.corpus.corpus import Corpus
from sunspring.corpus.splits import Split, open_split
from sunspring.corpus.vocabulary import Vocabulary

_LONGEST_LINE = 10_000  # tokens; a longer line is split by a newline before the inserted line
_INNER_BYTES = {bytes([byte]) for byte in range(0x80, 0xC0)}  # UTF-8 inside a character

_Ids = NDArray[np.integer[Any]]


def insert_lines(
    corpus: Corpus,
    lines: Sequence[str],
    folder: Path,
    random: np.random.Generator,
    label: int | None = None,
) -> Corpus:
    """Return a corpus with lines inserted in its training part.

    In a running text each becomes a line, among documents each becomes a document. The validation
    part and the held-out part stay the same.

    Args:
        corpus: the original corpus, which is not changed.
        lines: lines without newlines; a line to be inserted several times is listed as often.
        folder: folder for the files of the new training part.
        random: generator that draws the places.
        label: index of the label of all lines, for a corpus with labels.
    """
    train, vocabulary = corpus.train, corpus.vocabulary
    encoded = [vocabulary.encode(lines[index]) for index in random.permutation(len(lines))]
    if corpus.documents == "none":
        places, pieces = _between_lines(train, encoded, vocabulary, random)
    else:
        places, pieces = _between_documents(train, encoded, vocabulary, random)
    sizes = np.fromiter(map(len, pieces), np.int64, len(pieces))
    ends = int(sizes.sum()) - sum(map(len, encoded))  # newlines and end tokens
    with (folder / "train.tokens").open("wb") as file:
        for part, piece in zip(np.split(train.tokens, places), [*pieces, np.zeros(0)], strict=True):
            part.tofile(file)
            piece.astype(train.tokens.dtype).tofile(file)
    starts, labels = np.array([0, len(train.tokens) + int(sizes.sum())]), train.labels
    if corpus.documents != "none":
        documents = np.searchsorted(train.starts[:-1], places)
        lengths = np.insert(np.diff(train.starts), documents, sizes)
        starts = np.concatenate([[0], np.cumsum(lengths)])
        labels = None if labels is None else np.insert(labels, documents, cast(int, label))
    (folder / "train.starts").write_bytes(starts.astype(np.int64).tobytes())
    (folder / "train.labels").write_bytes(b"" if labels is None else labels.tobytes())
    train.release_pages()
    characters = train.characters + sum(map(len, lines)) + ends
    return replace(
        corpus,
        folder=folder,
        train=open_split(folder, "train", characters, vocabulary),
        cuts=tuple(
            cut._replace(at=cut.at + int(sizes[places <= cut.at].sum())) for cut in corpus.cuts
        ),
    )


def _between_lines(
    train: Split, lines: Sequence[_Ids], vocabulary: Vocabulary, random: np.random.Generator
) -> tuple[NDArray[np.int64], list[_Ids]]:
    """Draw places in a running text, ascending, and return them with what to insert there."""
    texts = [vocabulary.token_bytes(token) for token in range(vocabulary.size)]
    newlines = [token for token, text in enumerate(texts) if text.endswith(b"\n")]
    inner = {token for token, text in enumerate(texts) if text[:1] in _INNER_BYTES}
    newline = vocabulary.encode("" if vocabulary.unknown_characters("\n") else "\n")
    drawn = random.integers(1, len(train.tokens) + 1, size=len(lines)).tolist()
    places = np.sort([_next_line(train.tokens, place, newlines, inner) for place in drawn])
    are_starts = np.isin(train.tokens[places - 1], newlines)
    pieces = [
        np.concatenate([line, newline] if is_start else [newline, line, newline])
        for line, is_start in zip(lines, are_starts.tolist(), strict=True)
    ]
    return places, pieces


def _next_line(tokens: _Ids, place: int, newlines: Sequence[int], inner: Set[int]) -> int:
    """Find the next start of a line from a place on; if that is too far, of a character."""
    near = np.isin(tokens[place - 1 : place - 1 + _LONGEST_LINE], newlines)
    if near.any():
        return place + int(near.argmax())
    while place < len(tokens) and int(tokens[place]) in inner:
        place += 1
    return place


def _between_documents(
    train: Split, lines: Sequence[_Ids], vocabulary: Vocabulary, random: np.random.Generator
) -> tuple[NDArray[np.int64], list[_Ids]]:
    """Draw places before documents, ascending, and return them with what to insert there."""
    drawn = train.starts[random.integers(train.document_count, size=len(lines))]
    # a document that continues in another split does not end here
    is_between = train.tokens[drawn - 1] == vocabulary.end_id
    places = np.sort(np.where(is_between, drawn, 0))
    return places, [np.append(line, cast(int, vocabulary.end_id)) for line in lines]
