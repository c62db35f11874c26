"""The vocabulary: text to token ids and back, as characters, bytes or subwords.

All three implement `Vocabulary`, so nothing else needs to know what a token is. They are saved as
a tokenizer.json that Hugging Face's `tokenizers` library loads and encodes with identically.
"""

from __future__ import annotations

import json
import re
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import chain, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sunspring.corpus.settings import TokenKind
from sunspring.corpus.spelling import Spelling, TextDecoder
from sunspring.corpus.subwords import (
    BYTE_CHARACTERS,
    BYTE_OF_CHARACTER,
    byte_level,
    cut_at_lines,
    learn_merges,
    tokenizer_json,
)
from sunspring.errors import ModelError, SettingsError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# Both are in the BPE model's vocabulary, not among tokenizer.json's added tokens, so the same
# letters in a text are encoded as ordinary characters.
END = "<|end|>"
UNKNOWN = "<|unknown|>"

SURROGATES = re.compile("[\ud800-\udfff]")  # represent bytes that are not text
_SURROGATES_WITHOUT_BYTE = re.compile("[\ud800-\udc7f\udd00-\udfff]")


def code_points(text: str) -> NDArray[np.uint32]:
    """Return a text's characters as numbers, (characters,), lone surrogates included."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")


class Vocabulary(ABC):
    """Text to ids and back.

    Args:
        tokens: each id's token as tokenizer.json spells it, special ones included.
        pieces: the UTF-8 bytes that each id stands for.

    Attributes:
        kind: what a token is.
        merges: pairs of tokens to join, in order; only subwords have any.
        tokens: as above.
        end_id: the end token, if documents were used; never produced by `encode`.
        unknown_id: the id of all characters without one of their own; if None they are dropped.
        start_id: read before a document's first token: the end token if there is one, else a
            newline if it has an id, else 0.
    """

    kind: TokenKind
    merges: Sequence[Sequence[str]] = ()
    _pre_tokenizer: Mapping[str, Any] | None = byte_level()
    _decoder: Mapping[str, Any] = byte_level()

    def __init__(self, tokens: Iterable[str], pieces: Iterable[bytes]) -> None:
        self.tokens = tuple(tokens)
        self._pieces = tuple(pieces)
        self.end_id = self.tokens.index(END) if END in self.tokens else None
        self.unknown_id = self.tokens.index(UNKNOWN) if UNKNOWN in self.tokens else None
        newline = self._pieces.index(b"\n") if b"\n" in self._pieces else 0
        self.start_id = newline if self.end_id is None else self.end_id

    @property
    def size(self) -> int:
        """Number of ids, including special ones."""
        return len(self.tokens)

    def encode(self, text: str) -> NDArray[np.int32]:
        """Encode one text as ids (tokens,)."""
        return self.encode_batch([text])[0]

    @abstractmethod
    def encode_batch(self, texts: Sequence[str]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Encode several texts; returns all ids in one array, and each text's number of ids."""

    def decode(self, ids: Iterable[int]) -> str:
        """Turn ids into text; the end token is empty, unknown and invalid UTF-8 become U+FFFD.

        Only bytes keep invalid UTF-8, as lone surrogates; see `ByteVocabulary.decode`.
        """
        pieces = map(self._pieces.__getitem__, _as_array(ids).tolist())
        return b"".join(pieces).decode("utf-8", "replace")

    def token_bytes(self, token: int) -> bytes:
        """Return the UTF-8 bytes that an id stands for: empty for end, U+FFFD for unknown."""
        return self._pieces[token]

    def token_text(self, token: int) -> str:
        r"""Name an id: the text that it stands for; bytes that are no characters alone as \xe2."""
        return self._pieces[token].decode("utf-8", "backslashreplace")

    def spelling(self, ids: Iterable[int]) -> Spelling:
        """Tell which text each token completes; invalid UTF-8 is U+FFFD, and the end is empty."""
        tokens, decoder = _as_array(ids).astype(np.int64), self.decoder()
        texts = [decoder.push(token) for token in tokens.tolist()]
        if texts:
            texts[-1] += decoder.finish()
        is_over = (tokens == self.end_id) | np.array([bool(text) for text in texts], np.bool_)
        begins = np.flatnonzero(np.concatenate(([True], is_over))[: len(tokens)])
        return Spelling(tokens, texts, (tokens == self.unknown_id).astype(np.int64), begins)

    def spell(self, text: str) -> Spelling:
        """Encode a text, and tell which part of it each token stands for."""
        return self.spelling(self.encode(text))

    def unseen_counts(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Count the characters of each text that `encode` cannot represent, (texts,)."""
        unknown = self.unknown_characters("".join(texts))
        if not unknown:
            return np.zeros(len(texts), np.int64)
        counts = (sum(map(unknown.__contains__, text)) for text in texts)
        return np.fromiter(counts, np.int64, len(texts))

    def decoder(self) -> TextDecoder:
        """Make a decoder that takes ids one at a time, for display: invalid UTF-8 is U+FFFD."""
        return TextDecoder(self._pieces)

    @abstractmethod
    def unknown_characters(self, text: str) -> set[str]:
        """Find the characters of a text that `encode` cannot represent."""

    def to_json(self) -> dict[str, Any]:
        """Return the content of the vocabulary's tokenizer.json."""
        unknown = None if self.unknown_id is None else UNKNOWN
        return tokenizer_json(self.tokens, self.merges, self._pre_tokenizer, self._decoder, unknown)

    def save(self, path: Path) -> None:
        """Write tokenizer.json."""
        path.write_text(json.dumps(self.to_json(), ensure_ascii=False, indent=1), encoding="utf-8")


class CharacterVocabulary(Vocabulary):
    """One id per character (Unicode code point), in code point order, then unknown, then end.

    Lone surrogates (bytes that `--errors surrogateescape` let through) are not characters: they
    never get an id of their own, and become the unknown token or are dropped.

    Args:
        characters: characters to give an id to, in any order.
        end: whether there is an end token.
        unknown: whether there is an unknown token.
        base: tokens of a vocabulary to extend; they keep their ids and come first.
    """

    kind = "chars"
    _pre_tokenizer = None
    _decoder: Mapping[str, Any] = {"type": "Fuse"}

    def __init__(
        self, characters: Iterable[str], *, end: bool, unknown: bool, base: Sequence[str] = ()
    ) -> None:
        known = {*base}
        new = sorted({*characters} - known)
        tokens = [*base, *(character for character in new if not SURROGATES.match(character))]
        tokens += [UNKNOWN] if unknown and UNKNOWN not in known else []
        tokens += [END] if end and END not in known else []
        texts = [{END: "", UNKNOWN: "\ufffd"}.get(token, token) for token in tokens]
        super().__init__(tokens, (text.encode() for text in texts))
        self._points = np.array([ord(text) if text else 0 for text in texts], dtype="<u4")
        characters_only = [i for i in range(self.size) if i not in (self.end_id, self.unknown_id)]
        # The table's last entry serves every code point beyond the highest known one.
        highest = int(self._points[characters_only].max(initial=0))
        missing = -1 if self.unknown_id is None else self.unknown_id
        self._ids = np.full(highest + 2, missing, dtype=np.int32)
        self._ids[self._points[characters_only]] = characters_only

    @classmethod
    def from_counts(
        cls, counts: Mapping[int, int], minimum_count: int = 1, *, end: bool
    ) -> CharacterVocabulary:
        """Make a vocabulary from a text's code points.

        Args:
            counts: how often each code point occurs.
            minimum_count: if above 1, rarer characters become the unknown token.
            end: whether there is an end token.

        Raises:
            SettingsError: every character is rarer than that.
        """
        kept = [chr(point) for point, count in counts.items() if count >= minimum_count]
        if counts and not kept:
            raise SettingsError(
                f"minimum_count is {minimum_count}, and no character of the text occurs more than "
                f"{max(counts.values())} times: choose a smaller number"
            )
        return cls(kept, end=end, unknown=minimum_count > 1)

    def extended(self, characters: Iterable[str], end: bool) -> CharacterVocabulary:
        """Make a vocabulary that keeps every id and adds new characters, and end if wanted."""
        return CharacterVocabulary(characters, end=end, unknown=False, base=self.tokens)

    def encode_batch(self, texts: Sequence[str]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """See `Vocabulary.encode_batch`; takes up to 30 bytes of memory per character."""
        counts = np.fromiter(map(len, texts), np.int64, len(texts))
        points = code_points("".join(texts))
        ids = self._ids.take(points, mode="clip")
        if self.unknown_id is None and ids.min(initial=0) < 0:
            known = ids >= 0
            known_before = np.concatenate([[0], np.cumsum(known)])
            counts = np.diff(known_before[np.cumsum(counts)], prepend=0)
            ids = ids[known]
        return ids, counts

    def decode(self, ids: Iterable[int]) -> str:
        """See `Vocabulary.decode`."""
        array = _as_array(ids)
        if self.end_id is not None:
            array = array[array != self.end_id]
        return bytes(self._points[array]).decode("utf-32-le")

    def spell(self, text: str) -> Spelling:
        """See `Vocabulary.spell`."""
        tokens = self.encode(text).astype(np.int64)
        unknown = self.unknown_characters(text)
        if not unknown:
            places = np.arange(len(tokens))
            return Spelling(tokens, list(text), np.zeros_like(places), places)
        is_unseen = np.array([character in unknown for character in text], np.bool_)
        # a token stands for its character, and for those dropped before it
        ends = np.flatnonzero(~is_unseen if self.unknown_id is None else is_unseen | True) + 1
        ends[-1:] = len(text)
        bounds = [0, *ends.tolist()]
        texts = [text[begin:end] for begin, end in pairwise(bounds)]
        unseen = np.add.reduceat(is_unseen, bounds[:-1], dtype=np.int64) if texts else ends
        return Spelling(tokens, texts, unseen, np.arange(len(tokens)))

    def unknown_characters(self, text: str) -> set[str]:
        """See `Vocabulary.unknown_characters`."""
        return {*text}.difference(self.tokens)


class ByteVocabulary(Vocabulary):
    """One id per byte of UTF-8, the byte's value, so that any input round-trips.

    In a `str`, bytes that are not UTF-8 are the lone surrogates of Python's `surrogateescape`;
    other lone surrogates represent no byte and are dropped.

    Args:
        end: whether there is an end token, id 256.
    """

    kind = "bytes"
    _pre_tokenizer = byte_level(use_regex=False)

    def __init__(self, *, end: bool) -> None:
        special = [END] if end else []
        super().__init__(
            [*BYTE_CHARACTERS, *special],
            [*(bytes([byte]) for byte in range(256)), *(b"" for _ in special)],
        )

    def as_characters(self) -> CharacterVocabulary:
        """Return a vocabulary in which the same ids are the characters of Latin-1, one per byte.

        What is written with it can be turned into the very bytes, whether they are UTF-8 or not.
        """
        end = [END] if self.end_id is not None else []
        latin = [*map(chr, range(256)), *end]
        return CharacterVocabulary((), end=False, unknown=False, base=latin)

    def encode_batch(self, texts: Sequence[str]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """See `Vocabulary.encode_batch`."""
        encoded = [
            _SURROGATES_WITHOUT_BYTE.sub("", text).encode("utf-8", "surrogateescape")
            for text in texts
        ]
        counts = np.fromiter(map(len, encoded), np.int64, len(texts))
        return np.frombuffer(b"".join(encoded), dtype=np.uint8).astype(np.int32), counts

    def decode(self, ids: Iterable[int]) -> str:
        """Turn ids into text; invalid UTF-8 becomes lone surrogates, which encode to the same ids.

        Such text cannot be printed: `decoder` gives replacement characters instead.
        """
        array = _as_array(ids)
        return array[array < 256].astype(np.uint8).tobytes().decode("utf-8", "surrogateescape")

    def unknown_characters(self, text: str) -> set[str]:
        """See `Vocabulary.unknown_characters`."""
        return {*_SURROGATES_WITHOUT_BYTE.findall(text)}


class SubwordVocabulary(Vocabulary):
    """Byte-level byte-pair encoding (Sennrich et al. 2016), as done by `tokenizers`.

    Every byte is a token, so only lone surrogates are unknown; they are dropped.

    Args:
        tokens: each id's token, its bytes spelled as in byte-level BPE; the end token as it is.
        merges: pairs of tokens to join, in order.

    Raises:
        ValueError: a byte has no token, or a merge names a token that does not exist.
    """

    kind = "subwords"

    def __init__(self, tokens: Sequence[str], merges: Sequence[Sequence[str]]) -> None:
        known = {*tokens}
        if not known.issuperset(BYTE_CHARACTERS):
            raise ValueError("not every byte has a token")
        for left, right in merges:
            if not known.issuperset((left, right, left + right)):
                raise ValueError(f"the merge of {left!r} and {right!r} names an unknown token")
        spelled = ("" if token == END else token for token in tokens)
        super().__init__(
            tokens, (bytes(BYTE_OF_CHARACTER[mark] for mark in token) for token in spelled)
        )
        self.merges = [list(merge) for merge in merges]

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        from tokenizers import Tokenizer

        tokenizer: Tokenizer = Tokenizer.from_str(json.dumps(self.to_json()))
        return tokenizer

    def encode_batch(self, texts: Sequence[str]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """See `Vocabulary.encode_batch`."""
        cut = [cut_at_lines(SURROGATES.sub("", text)) for text in texts]
        parts = list(chain.from_iterable(cut))
        encoded = [encoding.ids for encoding in self._tokenizer.encode_batch_fast(parts)]
        ends = np.cumsum([0, *map(len, encoded)])[np.cumsum([0, *map(len, cut)])]
        return np.fromiter(chain.from_iterable(encoded), np.int32), np.diff(ends)

    def unknown_characters(self, text: str) -> set[str]:
        """See `Vocabulary.unknown_characters`."""
        return {*SURROGATES.findall(text)}


def train_subwords(texts: Iterator[str], size: int, end: bool) -> SubwordVocabulary:
    """Learn the subwords that occur at least twice in a text.

    Args:
        texts: the text, in pieces.
        size: number of ids to aim at, including specials and the 256 bytes; a small text has fewer.
        end: whether there is an end token.
    """
    tokens, merges = learn_merges((SURROGATES.sub("", text) for text in texts), size - end)
    return SubwordVocabulary([*tokens, *([END] if end else [])], merges)


def load_vocabulary(path: Path) -> Vocabulary:
    """Read a tokenizer.json that `Vocabulary.save` wrote.

    Raises:
        ModelError: the file is missing, damaged, or from another program.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        ids, merges = document["model"]["vocab"], document["model"]["merges"]
        tokens = sorted(ids, key=ids.__getitem__)
        vocabulary: Vocabulary
        if document["pre_tokenizer"] is None:
            vocabulary = CharacterVocabulary((), end=False, unknown=False, base=tokens)
        elif document["pre_tokenizer"]["use_regex"]:
            vocabulary = SubwordVocabulary(tokens, merges)
        else:
            vocabulary = ByteVocabulary(end=END in ids)
        if vocabulary.to_json() != document:
            raise ValueError("its settings are those of another program")
    except OSError as error:
        raise ModelError(
            f"{path} cannot be read ({error.strerror}): copy it from where the model was trained"
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            f"{path} is damaged or was not written by sunspring ({error}): "
            "copy it again from where the model was trained"
        ) from None
    return vocabulary


def compose(texts: Sequence[str], vocabulary: Vocabulary) -> Sequence[str]:
    """Compose letters and combining marks (NFC) where a vocabulary lacks the marks.

    What would not help stays as it is. Texts without such marks are returned at once.
    """
    unknown = vocabulary.unknown_characters("".join(texts))
    marks = "".join(filter(_joins_the_letter_before, unknown))
    if not marks:
        return texts
    letters = re.compile(f"[^{re.escape(marks)}][{re.escape(marks)}]+")

    def composed(match: re.Match[str]) -> str:
        whole = unicodedata.normalize("NFC", match[0])
        before, after = (len(vocabulary.unknown_characters(each)) for each in (match[0], whole))
        return whole if after < before else match[0]

    return [letters.sub(composed, text) for text in texts]


def _joins_the_letter_before(character: str) -> bool:
    """Tell whether a character is an accent, or a vowel or final consonant of a Korean syllable."""
    return unicodedata.combining(character) > 0 or "\u1161" <= character <= "\u11ff"


# Characters that replace one another in a prompt, the usual one first.
_ALIKE = ("'’‘‚‛ʼ′", '"”“„‟″«»', "-–—‐‑‒―−", " \u00a0\u2002\u2003\u2007\u2009\u202f")


def replace_unknown(text: str, vocabulary: Vocabulary) -> tuple[str, dict[str, str]]:
    """Replace the characters of a prompt that a vocabulary cannot represent by the nearest known.

    Accents that follow their letter are composed with it. Then are tried, in this order: quotes,
    dashes, ellipses and spaces of another form; the other case; the letter without its accents;
    that in the other case. If all fail, the character becomes the unknown token, or is dropped if
    there is none.

    Returns:
        The text, and what each replaced character became; empty if it was dropped.
    """
    (text,) = compose([text], vocabulary)
    replaced: dict[str, str] = {}
    for character in vocabulary.unknown_characters(text):
        for candidate in _candidates(character):
            if candidate and not vocabulary.unknown_characters(candidate):
                replaced[character] = candidate
                break
        else:
            if vocabulary.unknown_id is None:
                replaced[character] = ""
    return "".join(replaced.get(character, character) for character in text), replaced


def _candidates(character: str) -> Iterator[str]:
    for group in _ALIKE:
        if character in group:
            yield from group
    if character == "…":
        yield "..."
    yield character.lower()
    yield character.upper()
    parts = unicodedata.normalize("NFKD", character)
    letter = "".join(part for part in parts if not unicodedata.combining(part))
    yield letter
    yield letter.casefold()
    yield letter.upper()


def _as_array(ids: Iterable[int]) -> NDArray[Any]:
    return ids if isinstance(ids, np.ndarray) else np.fromiter(ids, np.int64)
