"""Byte-level byte-pair encoding as the Hugging Face `tokenizers` library does it.

How it spells bytes, how merges are learned from a text, where a text may be cut without changing
its encoding, and how a tokenizer.json is laid out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

# A single newline between two other characters is a word of its own in GPT-2's pattern, so no
# token crosses it, and none changes if the text is cut after it.
_LINE_END = re.compile(r"(?<=\S\n)(?=\S)")
_PART = 1 << 15  # characters; one text of a million is three times slower on two cores


def _byte_characters() -> str:
    """Return the printable character that represents each byte in byte-level BPE.

    As in GPT-2's `bytes_to_unicode` (Radford et al. 2019): printable Latin-1 characters represent
    themselves; the other bytes get the characters from U+0100 on, in order.
    """
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return "".join(chr(byte if byte in printable else next(others)) for byte in range(256))


BYTE_CHARACTERS = _byte_characters()
BYTE_OF_CHARACTER = {character: byte for byte, character in enumerate(BYTE_CHARACTERS)}


def learn_merges(texts: Iterator[str], size: int) -> tuple[list[str], list[list[str]]]:
    """Learn subwords that occur at least twice in a text.

    Args:
        texts: the text, in pieces without lone surrogates, which `tokenizers` does not take.
        size: number of tokens to aim at, including the 256 bytes; a small text gives fewer.

    Returns:
        The tokens in the order of their ids, and the pairs of tokens to join, in order.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=2,
        show_progress=False,
        initial_alphabet=list(BYTE_CHARACTERS),
    )
    tokenizer.train_from_iterator(texts, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return sorted(model["vocab"], key=model["vocab"].__getitem__), model["merges"]


def cut_at_lines(text: str) -> list[str]:
    """Cut a text into parts whose ids, joined, are those of the whole text.

    `tokenizers` encodes the parts in parallel, and needs memory for only a few at a time.
    """
    begin, parts = 0, []
    while match := _LINE_END.search(text, begin + _PART):
        parts.append(text[begin : match.end()])
        begin = match.end()
    return [*parts, text[begin:]]


def byte_level(*, use_regex: bool = True) -> dict[str, Any]:
    """Describe how byte-level BPE cuts a text into words; without the regex it is one word."""
    return {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": True,
        "use_regex": use_regex,
    }


def tokenizer_json(
    tokens: Iterable[str],
    merges: Sequence[Sequence[str]],
    pre_tokenizer: Mapping[str, Any] | None,
    decoder: Mapping[str, Any],
    unknown: str | None,
) -> dict[str, Any]:
    """Return the content of a tokenizer.json, laid out as `tokenizers` writes it."""
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": None,
        "decoder": decoder,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": unknown,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {token: index for index, token in enumerate(tokens)},
            "merges": list(merges),
        },
    }
