"""The corpus: encoded documents in memory-mapped files, with their training and held-out parts.

The sources are read once, into a spool of plain text in the cache; the vocabulary and the splits
are made from that, and the ids are written to one file a split, in the smallest integer type that
holds them. Everything streams, so a corpus may be larger than memory.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import mmap
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, Literal, TextIO

import numpy as np
from numpy.typing import NDArray

from sunspring.errors import SettingsError, SourceError
from sunspring.sources import ReadingOptions, read_passages, source_signature
from sunspring.spool import (
    HELDOUT,
    SPLITS,
    Pieces,
    Spool,
    assign_splits,
    cut_blocks,
    training_text,
    whole_split,
)
from sunspring.vocabulary import (
    ByteVocabulary,
    CharacterVocabulary,
    Vocabulary,
    load_vocabulary,
    train_subwords,
)

TokenKind = Literal["chars", "bytes", "subwords"]
Progress = Callable[[int, int | None], None]

_FORMAT = 1
_SUBWORD_TRAINING_CHARACTERS = 200_000_000


@dataclass(frozen=True)
class CorpusSettings:
    """How text becomes ids.

    Args:
        tokens: `chars`, `bytes` or `subwords`.
        subword_vocabulary: number of subword ids asked for.
        minimum_count: characters seen less often become the unknown token; 1 keeps all.
        split_seed: draws the held-out documents where there are several.
    """

    tokens: TokenKind = "chars"
    subword_vocabulary: int = 2000
    minimum_count: int = 1
    split_seed: int = 0

    def __post_init__(self) -> None:
        if self.tokens not in ("chars", "bytes", "subwords"):
            raise SettingsError(f"tokens is {self.tokens!r}: choose chars, bytes or subwords")
        if self.subword_vocabulary < 257:
            raise SettingsError("subword_vocabulary must be at least 257: the bytes come first")
        if self.minimum_count < 1:
            raise SettingsError("minimum_count must be at least 1")


@dataclass(frozen=True)
class Split:
    """One part of a corpus.

    Args:
        tokens: (tokens,) memory-mapped ids of the documents, one after another; with documents
            each one ends with the end token.
        starts: (documents + 1,) document i is `tokens[starts[i]:starts[i + 1]]`.
        labels: (documents,) index of each document's label, or None.
        characters: number of characters; an end token counts as one (it stands for the newline).
    """

    tokens: NDArray[np.unsignedinteger[Any]]
    starts: NDArray[np.int64]
    labels: NDArray[np.uint16] | None
    characters: int
    pages: mmap.mmap | None = field(default=None, repr=False)

    @property
    def documents(self) -> int:
        """Number of documents, or of parts of documents where a split cuts through one."""
        return len(self.starts) - 1

    def release_pages(self) -> None:
        """Let go of the resident pages of the file; they come back when they are read."""
        if self.pages is not None and hasattr(mmap, "MADV_DONTNEED"):
            self.pages.madvise(mmap.MADV_DONTNEED)


@dataclass(frozen=True)
class Corpus:
    """Encoded text with its splits; see `build_corpus`."""

    folder: Path
    fingerprint: str
    vocabulary: Vocabulary
    documents: Literal["none", "lines", "files"]
    labels: tuple[str, ...]
    train: Split
    validation: Split
    heldout: Split

    @property
    def characters(self) -> int:
        """Characters in all splits."""
        return sum(split.characters for split in (self.train, self.validation, self.heldout))

    @property
    def tokens(self) -> int:
        """Tokens in all splits."""
        return sum(len(split.tokens) for split in (self.train, self.validation, self.heldout))

    def training_text(self) -> str:
        """Decode the training part (validation included), documents ended by newlines."""
        return "".join(
            self.vocabulary.decode(split.tokens[begin:end])
            + ("" if self.documents == "none" else "\n")
            for split in (self.train, self.validation)
            for begin, end in itertools.pairwise(split.starts)
        )


def build_corpus(
    names: Sequence[str],
    reading: ReadingOptions,
    settings: CorpusSettings,
    cache: Path,
    *,
    heldout: Sequence[str] = (),
    base: Vocabulary | None = None,
    base_labels: tuple[str, ...] = (),
    on_progress: Progress | None = None,
    on_notice: Callable[[str], None] | None = None,
) -> Corpus:
    """Read sources into a corpus, or open the one that the cache holds for them.

    Held out is the last tenth of the characters of a single document, a seeded tenth of several,
    or what `heldout` names. The validation part, which may steer training, is cut from the rest.

    Args:
        names: sources, as for `read_passages`.
        reading: how to read them.
        settings: how to encode them.
        cache: folder in which corpora are kept, one folder each.
        heldout: sources of the held-out text, if not a part of `names`.
        base: vocabulary to keep the ids of (fine-tuning); characters are added where needed.
        base_labels: labels that keep their places; new ones are added.
        on_progress: called with the bytes read so far and their total, if known.
        on_notice: called with a line about a source that was skipped or mended.

    Raises:
        SourceError: a source is missing, unreadable, empty, binary, not decodable, or too short.
        SettingsError: the settings contradict each other.
    """
    reading = replace(reading, binary=settings.tokens == "bytes")
    base_description = None if base is None else [base.kind, *base_labels, _vocabulary_digest(base)]
    described = {
        "format": _FORMAT,
        "reading": asdict(reading),
        "settings": asdict(settings),
        "base": base_description,
    }
    signature = [
        source_signature(names, reading),
        source_signature(heldout, reading) if heldout else [],
    ]
    key = None if None in signature else _digest(json.dumps([described, signature]).encode())
    cache.mkdir(parents=True, exist_ok=True)
    if key is not None and (cache / key / "corpus.json").exists():
        return open_corpus(cache / key)

    building = Path(tempfile.mkdtemp(prefix=".building-", dir=cache))
    try:
        with _open_spool(building) as file:
            spool = Spool(file, base_labels)
            spool.add(read_passages(names, reading, on_progress, on_notice))
            training_documents = len(spool.lengths)
            if heldout:
                spool.add(read_passages(heldout, reading, on_progress, on_notice))
            fingerprint = _digest(spool.content.digest() + json.dumps(described).encode())
            pieces = assign_splits(
                np.array(spool.lengths),
                training_documents,
                settings.split_seed,
                whole=bool(heldout),
            )
            vocabulary = _make_vocabulary(
                spool, pieces, settings, reading.documents != "none", base
            )
            _encode(spool, pieces, vocabulary, building)
        (building / "spool.txt").unlink()
        vocabulary.save(building / "tokenizer.json")
        meta = {
            "format": _FORMAT,
            "fingerprint": fingerprint,
            "documents": reading.documents,
            "labels": list(spool.label_names),
            "characters": {
                name: pieces.characters(code, vocabulary.end_id is not None)
                for code, name in enumerate(SPLITS)
            },
        }
        (building / "corpus.json").write_text(
            json.dumps(meta, ensure_ascii=False), encoding="utf-8"
        )
        folder = cache / (key or fingerprint)
        if folder.exists():  # another process, or standard input read before
            shutil.rmtree(folder)
        building.rename(folder)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return open_corpus(folder)


def open_corpus(folder: Path) -> Corpus:
    """Open a corpus folder that `build_corpus` wrote.

    Raises:
        SourceError: the folder is gone or damaged.
    """
    try:
        meta = json.loads((folder / "corpus.json").read_text(encoding="utf-8"))
        vocabulary = load_vocabulary(folder / "tokenizer.json")
        splits = [
            _open_split(folder, name, meta["characters"][name], _dtype(vocabulary.size))
            for name in SPLITS
        ]
    except (OSError, ValueError, KeyError) as error:
        raise SourceError(
            f"the encoded text in {folder} is gone or damaged ({error}): "
            "delete that folder and run the training again"
        ) from None
    return Corpus(
        folder,
        meta["fingerprint"],
        vocabulary,
        meta["documents"],
        tuple(meta["labels"]),
        *splits,
    )


def _open_spool(folder: Path) -> TextIO:
    """Open the spool's file; surrogates stand for bytes that are no text."""
    path = folder / "spool.txt"
    return path.open("w+", encoding="utf-8", errors="surrogatepass", newline="")


def _make_vocabulary(
    spool: Spool,
    pieces: Pieces,
    settings: CorpusSettings,
    end: bool,
    base: Vocabulary | None,
) -> Vocabulary:
    if base is not None:
        if isinstance(base, CharacterVocabulary):
            return base.extended(map(chr, sorted(spool.counts)), end=end)
        if isinstance(base, ByteVocabulary):
            return ByteVocabulary(end=end or base.end_id is not None)
        if end and base.end_id is None:
            raise SettingsError(
                "the model's subwords have no end token: use --documents none, or train anew"
            )
        return base
    if settings.tokens == "bytes":
        return ByteVocabulary(end=end)
    if settings.tokens == "subwords":
        return train_subwords(
            training_text(spool, pieces, _SUBWORD_TRAINING_CHARACTERS),
            settings.subword_vocabulary,
            end=end,
        )
    return CharacterVocabulary.from_counts(spool.counts, settings.minimum_count, end=end)


def _encode(spool: Spool, pieces: Pieces, vocabulary: Vocabulary, folder: Path) -> None:
    """Write each split's ids, document starts and labels."""
    dtype = _dtype(vocabulary.size)
    written = [0, 0, 0]
    starts: list[list[NDArray[np.int64]]] = [[np.zeros(1, np.int64)] for _ in SPLITS]
    files: list[BinaryIO] = [(folder / f"{name}.tokens").open("wb") for name in SPLITS]
    try:
        for texts, indices, piece_ends in cut_blocks(spool, pieces):
            ids, counts = vocabulary.encode_batch(texts)
            document_ends = piece_ends & pieces.document_ends[indices]
            end_tokens = document_ends & (vocabulary.end_id is not None)
            sizes = counts + end_tokens
            positions = np.cumsum(sizes) - sizes
            tokens = np.full(int(sizes.sum()), vocabulary.end_id or 0, dtype=dtype)
            tokens[
                np.repeat(positions - (np.cumsum(counts) - counts), counts) + np.arange(len(ids))
            ] = ids
            for code, file in enumerate(files):
                mine = pieces.splits[indices] == code
                if not mine.any():
                    continue
                file.write((tokens if mine.all() else tokens[np.repeat(mine, sizes)]).tobytes())
                ends = written[code] + np.cumsum(sizes[mine])
                starts[code].append(ends[piece_ends[mine]])
                written[code] = int(ends[-1])
    finally:
        for file in files:
            file.close()
    for code, name in enumerate(SPLITS):
        np.save(folder / f"{name}.starts.npy", np.concatenate(starts[code]))
        if spool.label_names:
            labels = np.array(spool.labels, dtype=np.uint16)[
                pieces.documents[pieces.splits == code]
            ]
            np.save(folder / f"{name}.labels.npy", labels)


def _open_split(
    folder: Path, name: str, characters: int, dtype: type[np.unsignedinteger[Any]]
) -> Split:
    starts = np.load(folder / f"{name}.starts.npy", mmap_mode="r")
    labels_path = folder / f"{name}.labels.npy"
    labels = np.load(labels_path, mmap_mode="r") if labels_path.exists() else None
    path = folder / f"{name}.tokens"
    if path.stat().st_size == 0:
        return Split(np.zeros(0, dtype), starts, labels, characters)
    with path.open("rb") as file:
        pages = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return Split(np.frombuffer(pages, dtype=dtype), starts, labels, characters, pages)


def _dtype(vocabulary_size: int) -> type[np.unsignedinteger[Any]]:
    """Pick the smallest unsigned type that holds every id."""
    if vocabulary_size <= 1 << 8:
        return np.uint8
    return np.uint16 if vocabulary_size <= 1 << 16 else np.uint32


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _vocabulary_digest(vocabulary: Vocabulary) -> str:
    return _digest(b"\0".join(vocabulary.token_bytes(index) for index in range(vocabulary.size)))


def encode_sources(
    names: Sequence[str],
    reading: ReadingOptions,
    vocabulary: Vocabulary,
    labels: tuple[str, ...],
    folder: Path,
    on_notice: Callable[[str], None] | None = None,
) -> Split:
    """Encode sources with the vocabulary of a model that exists, into one split.

    Characters that it does not know are left out, with a notice.

    Args:
        names: sources, as for `read_passages`.
        reading: how to read them.
        vocabulary: of the model.
        labels: of the model.
        folder: an empty folder for the ids.
        on_notice: called with a line about what was left out.

    Raises:
        SourceError: a source is at fault, or has nothing that the model knows.
        SettingsError: a document's label is not the model's.
    """
    reading = replace(reading, binary=vocabulary.kind == "bytes")
    with _open_spool(folder) as file:
        spool = Spool(file, labels)
        spool.add(read_passages(names, reading, None, on_notice))
        if len(spool.label_names) > len(labels):
            new = ", ".join(list(spool.label_names)[len(labels) :])
            raise SettingsError(
                f"the model does not know the label {new}: it knows {', '.join(labels) or 'none'}"
            )
        unknown = "".join(filter(vocabulary.unknown_characters, map(chr, sorted(spool.counts))))
        pieces = whole_split(np.array(spool.lengths), HELDOUT)
        _encode(spool, pieces, vocabulary, folder)
    left_out = sum(spool.counts[ord(character)] for character in unknown)
    if left_out and vocabulary.unknown_id is None and on_notice:
        on_notice(f"{left_out} characters that the model has never seen are left out: {unknown!r}")
    characters = pieces.characters(HELDOUT, vocabulary.end_id is not None)
    if vocabulary.unknown_id is None:
        characters -= left_out
    split = _open_split(folder, SPLITS[HELDOUT], characters, _dtype(vocabulary.size))
    if len(split.tokens) == 0:
        raise SourceError("the text has no character that the model knows: nothing to evaluate")
    return split
