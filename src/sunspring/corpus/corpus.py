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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain, pairwise, zip_longest
from pathlib import Path
from typing import Any, TextIO, cast

import numpy as np

from sunspring.corpus.building import new_folder
from sunspring.corpus.overlap import measure_overlap
from sunspring.corpus.pieces import Pieces, draw_by_number, draw_pieces, locate_cuts
from sunspring.corpus.plain_text import as_lines, text_bytes
from sunspring.corpus.settings import TokenSettings
from sunspring.corpus.splits import HELDOUT, SPLITS, VALIDATION, Cut, Split, open_split, read_runs
from sunspring.corpus.spool import Spool, lines_of, training_text, write_ids
from sunspring.corpus.vocabulary import (
    ByteVocabulary,
    CharacterVocabulary,
    Vocabulary,
    compose,
    load_vocabulary,
    train_subwords,
)
from sunspring.errors import ModelError, SettingsError, SourceError
from sunspring.notices import Notify, Progress, ignore, unnoticed, within
from sunspring.storage import check_room
from sunspring.text.files import Sources
from sunspring.text.options import DocumentKind, ReadingOptions
from sunspring.text.sources import read_passages

OLDEST_FORMAT = 2
"""The format of corpora that do not say theirs: documents were drawn by their number alone."""

_FORMAT = 3  # documents are drawn by their length and label
_READING = ("documents", "encoding", "errors", "keep_newlines", "label_column", "label_folders")
_SUBWORD_TRAINING_CHARACTERS = 200_000_000
_BYTES_OF_A_BYTE = 2  # of text: itself in the spool, and its id


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
        cuts: where documents, or the text, go on in another part, in order.
        format: says how the parts were drawn; see `build_corpus`.
        overlap: share of the held-out text that is in lines which are also lines of the rest; None
            if that was not measured, as by earlier versions.
        notices: what was said about documents that could not be split as whole ones.
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
    cuts: tuple[Cut, ...] = ()
    format: int = _FORMAT
    overlap: float | None = None
    notices: tuple[str, ...] = ()

    @property
    def validation_at(self) -> int:
        """How many tokens of `train` come before the first part of a text that is validation."""
        places = (cut.at for cut in self.cuts if cut.split == VALIDATION)
        return next(places, len(self.train.tokens))

    @property
    def document_count(self) -> int:
        """Number of whole documents, whatever is cut out of them; 1 for a text without any."""
        if self.documents == "none":
            return 1
        return sum(
            int(np.count_nonzero(split.tokens[split.starts[1:] - 1] == self.vocabulary.end_id))
            for split in self._splits
        )

    @property
    def _splits(self) -> tuple[Split, Split, Split]:
        return self.train, self.validation, self.heldout

    @property
    def characters(self) -> int:
        """Characters in all splits."""
        return sum(split.characters for split in self._splits)

    @property
    def tokens(self) -> int:
        """Tokens in all splits."""
        return sum(len(split.tokens) for split in self._splits)

    def lines(self) -> Iterator[str]:
        """Yield the documents of all splits, or the lines of a text without documents.

        Lines come without their newlines, and empty ones are left out.
        """
        text, rest = list[Split](), list[Split]()
        begins = dict.fromkeys((VALIDATION, HELDOUT), 0)
        for part, cut in zip_longest(self._training_parts(), self.cuts):
            text.append(part)
            if cut is not None:
                split = self._splits[cut.split]
                text.append(_part(split, cut.begin, cut.end))
                rest.append(_part(split, begins[cut.split], cut.begin))
                begins[cut.split] = cut.end
        rest += [_part(self._splits[code], begin) for code, begin in begins.items()]
        yield from self._lines_of(text)
        yield from self._lines_of(rest)

    def heldout_lines(self) -> Iterator[str]:
        """Yield the same for the held-out part alone; its first line may be the end of one."""
        return self._lines_of([self.heldout])

    def training_lines(self) -> Iterator[str]:
        """Yield the same for the training part; a line that is cut comes in parts."""
        for part in self._training_parts():
            yield from self._lines_of([part])

    def training_bytes(self, on_progress: Progress = unnoticed) -> Iterator[bytes | None]:
        """Yield the training part in UTF-8, block by block, and None where a document ends.

        `on_progress` is called with the tokens that went by, and their number.
        """
        done = 0
        for part in self._training_parts():
            progress = within(on_progress, done, len(self.train.tokens))
            yield from text_bytes(part.tokens, self.vocabulary, progress)
            yield None
            done += len(part.tokens)
        self.train.release_pages()

    def overlap_with(self, split: Split) -> float:
        """Return which share of a text is in lines that this one has too, held-out ones aside.

        Args:
            split: a text in this vocabulary.
        """
        heldout = text_bytes(split.tokens, self.vocabulary)
        rest = chain(self.training_bytes(), text_bytes(self.validation.tokens, self.vocabulary))
        return measure_overlap(as_lines(heldout), as_lines(rest))

    def _training_parts(self) -> Iterator[Split]:
        """Yield the training part from cut to cut."""
        places = [0, *(cut.at for cut in self.cuts), len(self.train.tokens)]
        for begin, end in pairwise(places):
            yield _part(self.train, begin, end)

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


def _part(split: Split, begin: int, end: int | None = None) -> Split:
    """Return some of a split's tokens; what else the split says is about all of them."""
    return replace(split, tokens=split.tokens[begin:end])


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
    corpus_format: int | None = None,
    on_progress: Progress = unnoticed,
    notify: Notify = ignore,
) -> Corpus:
    """Read sources into a corpus, or open the cached one.

    The held-out part is the last tenth of a single document, a random tenth of several, or the text
    of `heldout`. The validation part, which may steer training, is cut from the rest; see
    `draw_pieces`.

    Args:
        sources: what to read.
        settings: how to encode them.
        cache: folder in which corpora are kept, one folder each.
        seed: chooses the held-out documents if there are several.
        heldout: sources of the held-out text, if it is not a part of the others.
        base: vocabulary to extend (fine-tuning): its ids are kept, missing characters are added.
        base_labels: labels that keep their indices; new ones are added.
        corpus_format: that of an earlier corpus to build again, whose parts are drawn as they were
            then; the newest by default.
        on_progress: called with the bytes read so far and the total, if known.
        notify: called with a message about anything skipped or repaired.

    Raises:
        SourceError: a source is unreadable, empty, binary, not decodable, or too short.
        SettingsError: the settings contradict each other.
    """
    documents = sources.options.documents
    if documents == "none":  # one text is split as ever, so its fingerprint stays
        corpus_format = OLDEST_FORMAT
    corpus_format = corpus_format or _FORMAT
    described = _describe(sources, settings, seed, base, base_labels, corpus_format)
    signature = [sources.signature(), [] if heldout is None else heldout.signature()]
    key = None if None in signature else _digest(described, signature)
    cache.mkdir(parents=True, exist_ok=True)
    if key is not None and (cached := _open_sound(cache / key)):
        return cached

    _check_room(sources, heldout, cache)
    with new_folder(cache) as building:
        with _open_spool(building) as file:
            spool = Spool(file, base_labels)
            spool.add(read_passages(sources, on_progress, notify))
            training_documents = len(spool.ends)
            if heldout is not None:
                spool.add(read_passages(heldout, on_progress, notify))
            fingerprint = _digest(described, [*spool.label_names, spool.content.hexdigest()])
            whole, notices = heldout is not None, list[str]()
            if training_documents == 1 or corpus_format > OLDEST_FORMAT:
                pieces = draw_pieces(
                    spool.documents(),
                    training_documents,
                    label_names=list(spool.label_names),
                    seed=seed,
                    whole=whole,
                    notify=notices.append,
                )
            else:
                pieces = draw_by_number(
                    spool.documents(), training_documents, seed=seed, whole=whole
                )
            vocabulary = _make_vocabulary(spool, pieces, settings, documents != "none", base)
            characters = write_ids(spool, pieces, vocabulary, building, notify)
            overlap = measure_overlap(
                lines_of(spool, pieces, heldout=True), lines_of(spool, pieces, heldout=False)
            )
        starts = [np.fromfile(building / f"{name}.starts", np.int64) for name in SPLITS]
        vocabulary.save(building / "tokenizer.json")
        meta = {
            "format": corpus_format,
            "fingerprint": fingerprint,
            "documents": documents,
            "labels": list(spool.label_names),
            "heldout_is_given": heldout is not None,
            "characters": dict(zip(SPLITS, characters, strict=True)),
            "cuts": locate_cuts(pieces, starts),
            "overlap": overlap,
            "notices": notices,
        }
        (building / "corpus.json").write_text(json.dumps(meta), encoding="utf-8")
        folder = cache / (key or fingerprint)
        # the same standard input was read before, or another process was faster
        if cached := _open_sound(folder):
            return cached
        shutil.rmtree(folder, ignore_errors=True)
        building.rename(folder)
    return open_corpus(folder)


def _check_room(sources: Sources, heldout: Sources | None, cache: Path) -> None:
    """Refuse to encode text for which the disk has no room; what a pipe brings is not known."""
    files = [*sources.files, *(heldout.files if heldout else ())]
    size = sum(file.size or 0 for file in files if not file.is_binary)
    check_room(
        cache,
        _BYTES_OF_A_BYTE * size,
        "the text and its ids",
        "make room, or set the environment variable SUNSPRING_CACHE to a folder on another disk",
    )


def _describe(
    sources: Sources,
    settings: TokenSettings,
    seed: int,
    base: Vocabulary | None,
    base_labels: tuple[str, ...],
    corpus_format: int,
) -> dict[str, Any]:
    """Describe what a fingerprint depends on besides the text; changing this orphans older runs."""
    options = asdict(sources.options)
    reading = {name: options.pop(name) for name in _READING}
    # settings that the first version did not have count where they are given
    usual = asdict(ReadingOptions())
    reading |= {name: value for name, value in options.items() if value != usual[name]}
    return {
        "format": corpus_format,
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
            open_split(folder, name, meta["characters"][name], vocabulary) for name in SPLITS
        )
        if "cuts" in meta:
            cuts = [Cut(*cut) for cut in meta["cuts"]]
        else:
            cuts = _earlier_cuts(meta, train, validation, heldout, vocabulary.end_id)
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
            tuple(cuts),
            meta["format"],
            meta.get("overlap"),
            tuple(meta.get("notices", ())),
        )
    except (OSError, ValueError, KeyError, TypeError, ModelError) as error:
        raise SourceError(
            f"the encoded text in {folder} is missing or damaged ({error}): "
            "delete that folder and run the training again"
        ) from None


def _earlier_cuts(
    meta: Mapping[str, Any], train: Split, validation: Split, heldout: Split, end_id: int | None
) -> list[Cut]:
    """Return the cuts of a corpus that only says where its validation part belongs."""
    cuts = [Cut(meta["validation_at"], VALIDATION, 0, len(validation.tokens))]
    if not meta["heldout_is_given"] and train.tokens[-1:] != end_id:
        cuts.append(Cut(len(train.tokens), HELDOUT, 0, len(heldout.tokens)))
    return cuts


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
    on_progress: Progress = unnoticed,
) -> Split:
    """Encode sources with the vocabulary of an existing model, into one split.

    Accents are composed with their letters where it has only the composed form. Characters that it
    does not know are left out, with a message, but are counted.

    Args:
        sources: what to read.
        vocabulary: the model's.
        labels: the model's.
        folder: an empty folder for the ids.
        notify: called with a message about what was left out.
        nearest: replace unknown characters by the nearest known if possible, as in a prompt.
        on_progress: called with the bytes read so far and the total, if known.

    Raises:
        SourceError: a source cannot be used, or has no character that the model knows.
        SettingsError: a document has a label that the model does not know.
    """
    with _open_spool(folder) as file:
        spool = Spool(file, labels)
        passages = read_passages(sources, on_progress, notify)
        spool.add(each._replace(text=compose([each.text], vocabulary)[0]) for each in passages)
        if len(spool.label_names) > len(labels):
            new = ", ".join(list(spool.label_names)[len(labels) :])
            raise SettingsError(
                f"the model does not know the label {new}: it knows {', '.join(labels) or 'none'}"
            )
        found = "".join(map(chr, spool.counts))
        unknown = vocabulary.unknown_characters(found)
        if vocabulary.unknown_id is None and len(unknown) == len(found):
            raise SourceError(
                "the text has no character that the model knows: give a text in the same script"
            )
        characters = write_ids(spool, spool.documents(), vocabulary, folder, notify, nearest)
        is_left_out = vocabulary.unknown_id is None and not nearest
        left_out = sum(spool.counts[ord(one)] for one in unknown) if is_left_out else 0
    split = open_split(folder, SPLITS[HELDOUT], characters[HELDOUT] + left_out, vocabulary)
    return replace(split, left_out=left_out)
