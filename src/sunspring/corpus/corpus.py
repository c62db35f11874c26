"""The corpus: encoded documents in memory-mapped files, with their training and held-out parts.

The sources are read once, into a spool of plain text in the cache; the vocabulary and the splits
are made from that, and the ids are written to one file per split, in the smallest integer type
that holds them. Everything is streamed, so a corpus may be larger than memory.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TextIO, cast

import numpy as np
from numpy.typing import NDArray

from sunspring.corpus.settings import TokenSettings
from sunspring.corpus.splits import HELDOUT, SPLITS, Split, open_split, read_runs
from sunspring.corpus.spool import (
    Pieces,
    Spool,
    assign_splits,
    training_text,
    whole_split,
    write_ids,
)
from sunspring.corpus.vocabulary import (
    ByteVocabulary,
    CharacterVocabulary,
    Vocabulary,
    load_vocabulary,
    train_subwords,
)
from sunspring.errors import ModelError, SettingsError, SourceError
from sunspring.notices import Notify, Progress, ignore
from sunspring.text.files import Sources
from sunspring.text.options import DocumentKind
from sunspring.text.sources import read_passages

_FORMAT = 2
_SUBWORD_TRAINING_CHARACTERS = 200_000_000
_BLOCK = 1 << 20  # tokens turned into text at a time


@dataclass(frozen=True)
class Corpus:
    """Encoded text with its splits; see `build_corpus`.

    Args:
        folder: where it is kept.
        fingerprint: changes with the text, its documents and labels, and how they are encoded.
        vocabulary: the meaning of the ids.
        documents: what counts as a document, see `ReadingOptions`.
        labels: name of each label index.
        heldout_is_given: whether the held-out text comes from sources of its own.
        train: the text to train on.
        validation: text that may steer training.
        heldout: text that training never sees.
        validation_at: how many tokens of `train` come before `validation`, if that is cut out of
            a document.
    """

    folder: Path
    fingerprint: str
    vocabulary: Vocabulary
    documents: DocumentKind
    labels: tuple[str, ...]
    heldout_is_given: bool
    train: Split
    validation: Split
    heldout: Split
    validation_at: int

    @property
    def characters(self) -> int:
        """Characters in all splits."""
        return sum(split.characters for split in (self.train, self.validation, self.heldout))

    @property
    def tokens(self) -> int:
        """Tokens in all splits."""
        return sum(len(split.tokens) for split in (self.train, self.validation, self.heldout))

    def lines(self) -> Iterator[str]:
        """Yield the documents of all splits, or the lines of a text without documents.

        Lines come without their newlines, and empty ones are left out.
        """
        before, after = np.split(self.train.tokens, [self.validation_at])
        text = [replace(self.train, tokens=before), self.validation]
        text.append(replace(self.train, tokens=after))
        for splits in [text, [self.heldout]] if self.heldout_is_given else [[*text, self.heldout]]:
            yield from self._lines_of(splits)

    def heldout_lines(self) -> Iterator[str]:
        """Yield the same for the held-out part alone; its first line may be the end of one."""
        return self._lines_of([self.heldout])

    def training_lines(self) -> Iterator[str]:
        """Yield the same for the training part; a line cut by the validation part comes in two."""
        for tokens in np.split(self.train.tokens, [self.validation_at]):
            yield from self._lines_of([replace(self.train, tokens=tokens)])

    def training_bytes(self) -> Iterator[bytes | None]:
        """Yield the training part in UTF-8, block by block, and None where a document ends."""
        for tokens in np.split(self.train.tokens, [self.validation_at]):
            yield from _text_bytes(tokens, self.vocabulary)
            yield None
        self.train.release_pages()

    def _lines_of(self, splits: Sequence[Split]) -> Iterator[str]:
        vocabulary, begun = self.vocabulary, ""
        if self.documents != "none":
            for run in read_runs(splits, [cast(int, vocabulary.end_id)], every=True):
                yield vocabulary.decode(run)
            return
        newlines = [token for token in range(vocabulary.size) if _breaks(vocabulary, token)]
        for run in read_runs(splits, newlines, every=False):
            *lines, begun = (begun + vocabulary.decode(run)).split("\n")
            yield from filter(None, lines)
        if begun:
            yield begun


def _breaks(vocabulary: Vocabulary, token: int) -> bool:
    """Tell whether a token contains a newline and consists of whole characters."""
    piece = vocabulary.token_bytes(token)
    with contextlib.suppress(UnicodeDecodeError):
        return "\n" in piece.decode()
    return False


def build_corpus(
    sources: Sources,
    settings: TokenSettings,
    cache: Path,
    *,
    seed: int = 0,
    heldout: Sources | None = None,
    base: Vocabulary | None = None,
    base_labels: tuple[str, ...] = (),
    on_progress: Progress | None = None,
    notify: Notify = ignore,
) -> Corpus:
    """Read sources into a corpus, or open the cached one.

    The held-out part is the last tenth of the characters of a single document, a random tenth of
    several documents, or the text of `heldout`. The validation part, which may steer training, is
    cut from the rest.

    Args:
        sources: what to read.
        settings: how to encode them.
        cache: folder in which corpora are kept, one folder each.
        seed: chooses the held-out documents if there are several.
        heldout: sources of the held-out text, if it is not a part of the others.
        base: vocabulary to extend (fine-tuning): its ids are kept, missing characters are added.
        base_labels: labels that keep their indices; new ones are added.
        on_progress: called with the bytes read so far and the total, if known.
        notify: called with a message about anything skipped or repaired.

    Raises:
        SourceError: a source is unreadable, empty, binary, not decodable, or too short.
        SettingsError: the settings contradict each other.
    """
    described = _describe(sources, settings, seed, base, base_labels)
    signature = [sources.signature(), [] if heldout is None else heldout.signature()]
    key = None if None in signature else _digest(described, signature)
    cache.mkdir(parents=True, exist_ok=True)
    if key is not None and (cached := _open_sound(cache / key)):
        return cached

    documents = sources.options.documents
    building = Path(tempfile.mkdtemp(prefix=".building-", dir=cache))
    try:
        with _open_spool(building) as file:
            spool = Spool(file, base_labels)
            spool.add(read_passages(sources, on_progress, notify))
            training_documents = len(spool.ends)
            if heldout is not None:
                spool.add(read_passages(heldout, on_progress, notify))
            fingerprint = _digest(described, [*spool.label_names, spool.content.hexdigest()])
            pieces = assign_splits(spool, training_documents, seed, whole=heldout is not None)
            vocabulary = _make_vocabulary(spool, pieces, settings, documents != "none", base)
            characters, validation_at = write_ids(spool, pieces, vocabulary, building, notify)
        vocabulary.save(building / "tokenizer.json")
        meta = {
            "format": _FORMAT,
            "fingerprint": fingerprint,
            "documents": documents,
            "labels": list(spool.label_names),
            "heldout_is_given": heldout is not None,
            "characters": dict(zip(SPLITS, characters, strict=True)),
            "validation_at": validation_at,
        }
        (building / "corpus.json").write_text(json.dumps(meta), encoding="utf-8")
        folder = cache / (key or fingerprint)
        # the same standard input was read before, or another process was faster
        if cached := _open_sound(folder):
            return cached
        shutil.rmtree(folder, ignore_errors=True)
        building.rename(folder)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return open_corpus(folder)


def _describe(
    sources: Sources,
    settings: TokenSettings,
    seed: int,
    base: Vocabulary | None,
    base_labels: tuple[str, ...],
) -> dict[str, Any]:
    """Describe what a fingerprint depends on besides the text; changing this orphans older runs."""
    reading = asdict(sources.options)
    del reading["read_as"]  # it shows in the text, and in the signature of the files
    return {
        "format": _FORMAT,
        "reading": {**reading, "binary": sources.as_bytes},
        "settings": {**asdict(settings), "split_seed": seed},
        "base": [None if base is None else base.to_json(), base_labels],
    }


def open_corpus(folder: Path) -> Corpus:
    """Open a corpus folder that `build_corpus` wrote.

    Raises:
        SourceError: the folder is missing or damaged.
    """
    try:
        meta = json.loads((folder / "corpus.json").read_text(encoding="utf-8"))
        vocabulary = load_vocabulary(folder / "tokenizer.json")
        train, validation, heldout = (
            open_split(folder, name, meta["characters"][name], vocabulary.size) for name in SPLITS
        )
        if meta["documents"] == "none":  # the parts around the validation part are read as one
            train = replace(train, starts=np.array([0, len(train.tokens)]))
        return Corpus(
            folder,
            meta["fingerprint"],
            vocabulary,
            meta["documents"],
            tuple(meta["labels"]),
            meta["heldout_is_given"],
            train,
            validation,
            heldout,
            meta["validation_at"],
        )
    except (OSError, ValueError, KeyError, TypeError, ModelError) as error:
        raise SourceError(
            f"the encoded text in {folder} is missing or damaged ({error}): "
            "delete that folder and run the training again"
        ) from None


def _open_sound(folder: Path) -> Corpus | None:
    """Open a corpus if it exists and is intact."""
    with contextlib.suppress(SourceError):
        return open_corpus(folder)
    return None


def _open_spool(folder: Path) -> TextIO:
    """Open a file that is deleted when closed; surrogates represent bytes that are not text."""
    return cast(
        TextIO,
        tempfile.TemporaryFile(
            "w+", dir=folder, encoding="utf-8", errors="surrogatepass", newline=""
        ),
    )


def _make_vocabulary(
    spool: Spool,
    pieces: Pieces,
    settings: TokenSettings,
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
                "the model's subwords have no end token: use --documents none, or train a new model"
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


def _digest(*content: Any) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def encode_sources(
    sources: Sources,
    vocabulary: Vocabulary,
    labels: tuple[str, ...],
    folder: Path,
    notify: Notify = ignore,
    *,
    nearest: bool = False,
) -> Split:
    """Encode sources with the vocabulary of an existing model, into one split.

    Characters that it does not know are left out, with a message.

    Args:
        sources: what to read.
        vocabulary: the model's.
        labels: the model's.
        folder: an empty folder for the ids.
        notify: called with a message about what was left out.
        nearest: replace unknown characters by the nearest known if possible, as in a prompt.

    Raises:
        SourceError: a source cannot be used, or has no character that the model knows.
        SettingsError: a document has a label that the model does not know.
    """
    with _open_spool(folder) as file:
        spool = Spool(file, labels)
        spool.add(read_passages(sources, None, notify))
        if len(spool.label_names) > len(labels):
            new = ", ".join(list(spool.label_names)[len(labels) :])
            raise SettingsError(
                f"the model does not know the label {new}: it knows {', '.join(labels) or 'none'}"
            )
        found = "".join(map(chr, spool.counts))
        if vocabulary.unknown_id is None and len(vocabulary.unknown_characters(found)) == len(
            found
        ):
            raise SourceError(
                "the text has no character that the model knows: give a text in the same script"
            )
        pieces = whole_split(spool, HELDOUT)
        characters, _ = write_ids(spool, pieces, vocabulary, folder, notify, nearest)
    return open_split(folder, SPLITS[HELDOUT], characters[HELDOUT], vocabulary.size)


def _text_bytes(tokens: NDArray[np.integer[Any]], vocabulary: Vocabulary) -> Iterator[bytes | None]:
    """Yield the text of tokens in UTF-8, block by block, and None where a document ends."""
    pieces = [vocabulary.token_bytes(token) for token in range(vocabulary.size)]
    sizes = np.array([len(piece) for piece in pieces])
    begins = np.cumsum(sizes) - sizes
    table = np.frombuffer(b"".join(pieces), np.uint8)
    is_one_byte = vocabulary.end_id is None and tokens.dtype == np.uint8 and (sizes == 1).all()
    for offset in range(0, len(tokens), _BLOCK):
        block = tokens[offset : offset + _BLOCK]
        if is_one_byte:  # the same, ten times as fast
            yield block.tobytes().translate(table.tobytes().ljust(256))
            continue
        is_end = np.isin(block, [] if vocabulary.end_id is None else [vocabulary.end_id])
        counts, places = sizes[block], begins[block]
        ends = np.cumsum(counts)
        if not (counts == 1).all():
            places = np.arange(counts.sum()) + np.repeat(places - ends + counts, counts)
        data = table[places].tobytes()
        begin = 0
        for end in ends[is_end].tolist():
            yield data[begin:end]
            yield None
            begin = end
        yield data[begin:]
