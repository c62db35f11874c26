import json
import string
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from sunspring.corpus.subwords import _LINE_END
from sunspring.corpus.vocabulary import (
    END,
    UNKNOWN,
    ByteVocabulary,
    CharacterVocabulary,
    Vocabulary,
    load_vocabulary,
    replace_unknown,
    train_subwords,
)
from sunspring.errors import ModelError, SettingsError

SAMPLE = (
    "The end is <|end|> and the unknown is <|unknown|>.\n\n\tTo be, or not to be: that is it.\r\n"
    "Cafe\u0301 naïve Ünïcode 日本語 🙂👩‍👩‍👧 \u00a0\u2028\u0000 ''' 's 'll 1234\n"
)


def sample_subwords(end: bool) -> Vocabulary:
    return train_subwords(iter([SAMPLE] * 3), 320, end=end)


VOCABULARIES: dict[str, Vocabulary] = {
    "characters": CharacterVocabulary(SAMPLE, end=False, unknown=False),
    "characters, end": CharacterVocabulary(SAMPLE, end=True, unknown=False),
    "characters, unknown": CharacterVocabulary(string.printable, end=False, unknown=True),
    "characters, end, unknown": CharacterVocabulary(string.printable, end=True, unknown=True),
    "characters extended": CharacterVocabulary("<|end>", end=True, unknown=False).extended(
        SAMPLE, end=True
    ),
    "characters extended by end": CharacterVocabulary("abc", end=False, unknown=True).extended(
        "<|dn>é🙂", end=True
    ),
    "bytes": ByteVocabulary(end=False),
    "bytes, end": ByteVocabulary(end=True),
    "subwords": sample_subwords(end=False),
    "subwords, end": sample_subwords(end=True),
}
every_vocabulary = pytest.mark.parametrize("vocabulary", VOCABULARIES.values(), ids=VOCABULARIES)
valid_texts = st.lists(
    st.one_of(
        st.text(st.characters(exclude_categories=["Cs"])),
        st.text(SAMPLE),
        st.sampled_from([END, UNKNOWN, "\n\n", "\r\n", "e\u0301", "👩‍👩‍👧", "don't", "  "]),
    )
).map("".join)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[Vocabulary, Tokenizer]:
    folder = tmp_path_factory.mktemp("vocabularies")
    made = {}
    for index, vocabulary in enumerate(VOCABULARIES.values()):
        vocabulary.save(folder / f"{index}.json")
        made[vocabulary] = Tokenizer.from_file(str(folder / f"{index}.json"))
    return made


@every_vocabulary
@given(text=valid_texts)
def test_tokenizers_encodes_identically(
    reference: dict[Vocabulary, Tokenizer], vocabulary: Vocabulary, text: str
) -> None:
    assert vocabulary.encode(text).tolist() == reference[vocabulary].encode(text).ids


@every_vocabulary
@given(text=valid_texts)
def test_tokenizers_decodes_what_we_encode_as_we_do(
    reference: dict[Vocabulary, Tokenizer], vocabulary: Vocabulary, text: str
) -> None:
    ids = [id for id in vocabulary.encode(text).tolist() if id != vocabulary.unknown_id]
    assert vocabulary.decode(ids) == reference[vocabulary].decode(ids)


@every_vocabulary
def test_tokenizers_encodes_a_long_text_identically(
    reference: dict[Vocabulary, Tokenizer], vocabulary: Vocabulary
) -> None:
    text = SAMPLE * (100_000 // len(SAMPLE))
    assert vocabulary.encode(text).tolist() == reference[vocabulary].encode(text).ids


@given(
    text=st.text("ab'1 .\t\n\r\v\f\x1c\x1f\x85\u00a0\u2028\u3000\u200b\ufeff\u180e", max_size=30)
)
def test_no_token_crosses_a_place_where_a_text_is_cut(
    reference: dict[Vocabulary, Tokenizer], text: str
) -> None:
    tokenizer = reference[VOCABULARIES["subwords"]]
    parts = _LINE_END.split(text)
    assert tokenizer.encode(text).ids == [
        token for part in parts for token in tokenizer.encode(part).ids
    ]


@every_vocabulary
@given(text=valid_texts)
def test_representable_text_comes_back(vocabulary: Vocabulary, text: str) -> None:
    unknown = vocabulary.unknown_characters(text)
    known = "".join(character for character in text if character not in unknown)
    assert vocabulary.decode(vocabulary.encode(known)) == known


@every_vocabulary
@given(text=valid_texts)
def test_special_tokens_are_never_encoded_from_their_spelling(
    vocabulary: Vocabulary, text: str
) -> None:
    ids = vocabulary.encode(f"{END}{text}{UNKNOWN}")
    assert ids.dtype == np.int32
    assert vocabulary.end_id not in ids


@every_vocabulary
@given(text=st.text(st.characters()))
def test_characters_without_an_id_are_unknown_or_dropped(vocabulary: Vocabulary, text: str) -> None:
    unknown = vocabulary.unknown_characters(text)
    mark = "" if vocabulary.unknown_id is None else "\ufffd"
    expected = "".join(mark if character in unknown else character for character in text)
    decoded = vocabulary.decode(vocabulary.encode(text))
    if vocabulary.kind == "bytes":  # escaped bytes that stand together may be a valid character
        expected = expected.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")
    assert decoded == expected


@every_vocabulary
@given(texts=st.lists(st.text(st.characters() | st.sampled_from(SAMPLE)), max_size=8))
def test_a_batch_is_the_texts_one_after_another(vocabulary: Vocabulary, texts: list[str]) -> None:
    ids, counts = vocabulary.encode_batch(texts)
    assert (ids.dtype, counts.dtype, len(counts)) == (np.int32, np.int64, len(texts))
    bounds = pairwise([0, *np.cumsum(counts).tolist()])
    parts = [ids[begin:end].tolist() for begin, end in bounds]
    assert parts == [vocabulary.encode(text).tolist() for text in texts]


@every_vocabulary
@given(data=st.data())
def test_ids_pushed_one_at_a_time_give_the_text_of_all(
    vocabulary: Vocabulary, data: st.DataObject
) -> None:
    ids = data.draw(st.lists(st.integers(0, vocabulary.size - 1)))
    decoder = vocabulary.decoder()
    streamed = "".join(map(decoder.push, ids)) + decoder.finish()
    joined = b"".join(map(vocabulary.token_bytes, ids))
    assert streamed == joined.decode("utf-8", "replace")
    if "\ufffd" not in streamed or vocabulary.kind != "bytes":
        assert streamed == vocabulary.decode(ids)


@every_vocabulary
def test_decoding_takes_lists_generators_and_small_integer_arrays(vocabulary: Vocabulary) -> None:
    ids = vocabulary.encode("to be\n")
    assert vocabulary.decode(ids.astype(np.uint16)) == vocabulary.decode(ids.tolist())
    assert vocabulary.decode(id for id in ids.tolist()) == vocabulary.decode(ids)


@every_vocabulary
def test_a_saved_vocabulary_loads_as_it_was(vocabulary: Vocabulary, tmp_path: Path) -> None:
    vocabulary.save(tmp_path / "tokenizer.json")
    loaded = load_vocabulary(tmp_path / "tokenizer.json")
    assert type(loaded) is type(vocabulary)
    assert loaded.to_json() == vocabulary.to_json()
    assert (loaded.kind, loaded.size) == (vocabulary.kind, vocabulary.size)
    assert (loaded.end_id, loaded.unknown_id) == (vocabulary.end_id, vocabulary.unknown_id)
    assert loaded.start_id == vocabulary.start_id
    assert loaded.encode(SAMPLE).tolist() == vocabulary.encode(SAMPLE).tolist()


@every_vocabulary
def test_every_id_has_bytes_and_end_has_none(vocabulary: Vocabulary) -> None:
    for token in range(vocabulary.size):
        assert (vocabulary.token_bytes(token) == b"") == (token == vocabulary.end_id)
    if vocabulary.end_id is not None:
        assert vocabulary.decode([vocabulary.end_id]) == ""
    if vocabulary.unknown_id is not None:
        assert vocabulary.decode([vocabulary.unknown_id]) == "\ufffd"


def test_characters_stand_in_code_point_order_before_unknown_and_end() -> None:
    vocabulary = CharacterVocabulary("🙂ba\n", end=True, unknown=True)
    assert vocabulary.tokens == ("\n", "a", "b", "🙂", UNKNOWN, END)
    assert (vocabulary.unknown_id, vocabulary.end_id, vocabulary.size) == (4, 5, 6)


@given(first=st.text(), second=st.text(), end=st.booleans(), more=st.booleans())
def test_an_extended_vocabulary_keeps_every_id(
    first: str, second: str, end: bool, more: bool
) -> None:
    base = CharacterVocabulary(first, end=end, unknown=False)
    extended = base.extended(second, end=more)
    assert extended.tokens[: base.size] == base.tokens
    assert not extended.unknown_characters(first + second)
    assert (extended.end_id is not None) == (end or more)
    assert len(set(extended.tokens)) == extended.size


def test_rare_characters_are_left_to_the_unknown_token() -> None:
    counts = Counter(map(ord, "aaabbc"))
    vocabulary = CharacterVocabulary.from_counts(counts, 2, end=False)
    assert vocabulary.tokens == ("a", "b", UNKNOWN)
    assert vocabulary.encode("abcd").tolist() == [0, 1, 2, 2]


def test_without_a_cut_off_every_counted_character_is_known_and_no_token_stands_for_others() -> (
    None
):
    counts = Counter(map(ord, "aab\udc80"))
    vocabulary = CharacterVocabulary.from_counts(counts, end=True)
    assert vocabulary.tokens == ("a", "b", END)


def test_a_cut_off_above_every_count_is_an_error_that_says_so() -> None:
    with pytest.raises(SettingsError, match="no character of the text occurs more than 2 times"):
        CharacterVocabulary.from_counts(Counter(map(ord, "aab")), 5, end=False)


@pytest.mark.parametrize(
    ("vocabulary", "start"),
    [
        (CharacterVocabulary("a\nb", end=True, unknown=True), 4),
        (CharacterVocabulary("\tab\n", end=False, unknown=True), 1),
        (CharacterVocabulary("ab", end=False, unknown=True), 0),
        (ByteVocabulary(end=False), 10),
        (ByteVocabulary(end=True), 256),
    ],
)
def test_a_document_starts_after_end_or_newline_or_the_first_id(
    vocabulary: Vocabulary, start: int
) -> None:
    assert vocabulary.start_id == start


def test_subwords_without_end_start_after_a_newline() -> None:
    vocabulary = VOCABULARIES["subwords"]
    assert vocabulary.token_bytes(vocabulary.start_id) == b"\n"


@given(content=st.binary())
def test_any_bytes_come_back_from_the_byte_vocabulary(content: bytes) -> None:
    vocabulary = ByteVocabulary(end=False)
    ids = vocabulary.encode(content.decode("utf-8", "surrogateescape"))
    assert ids.tolist() == list(content)
    assert vocabulary.decode(ids).encode("utf-8", "surrogateescape") == content


def test_a_character_is_shown_when_its_last_byte_arrives() -> None:
    decoder = ByteVocabulary(end=False).decoder()
    assert [decoder.push(byte) for byte in "a🙂".encode()] == ["a", "", "", "", "🙂"]
    assert decoder.finish() == ""


def test_an_unfinished_character_is_shown_as_a_replacement_at_the_end() -> None:
    decoder = ByteVocabulary(end=False).decoder()
    assert decoder.push("é".encode()[0]) == ""
    assert decoder.finish() == "\ufffd"


def test_subwords_join_what_is_frequent_up_to_the_asked_size() -> None:
    vocabulary = train_subwords(iter(["the cat and the hat\n"] * 20), 262, end=True)
    assert vocabulary.size == 262
    assert len(vocabulary.encode("the cat and the hat\n")) < len("the cat and the hat\n")


def test_a_text_too_small_for_the_asked_subwords_gives_fewer() -> None:
    vocabulary = train_subwords(iter(["ab ab"]), 5000, end=True)
    assert 257 < vocabulary.size < 270
    assert vocabulary.end_id == vocabulary.size - 1


def test_subwords_trained_twice_are_the_same() -> None:
    assert sample_subwords(end=True).to_json() == sample_subwords(end=True).to_json()


def test_a_frequent_end_spelling_in_the_text_does_not_become_the_end_token() -> None:
    vocabulary = train_subwords(iter(["<|end|>" * 1000]), 1000, end=True)
    assert vocabulary.tokens.count(END) == 1
    assert vocabulary.end_id not in vocabulary.encode("<|end|>" * 3)


def test_lone_surrogates_do_not_stop_the_training_of_subwords() -> None:
    vocabulary = train_subwords(iter(["ab\udc80ab ab"]), 300, end=False)
    assert vocabulary.decode(vocabulary.encode("a\udc80b")) == "ab"


def change(document: dict, *keys: str, to: object) -> str:
    inner = document
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = to
    return json.dumps(document)


DAMAGED = {
    "empty": "",
    "cut short": json.dumps(VOCABULARIES["subwords"].to_json())[:2000],
    "not an object": "[1, 2]",
    "of another model": '{"model": {"type": "WordPiece", "vocab": {}}}',
    "with a gap in the ids": change(
        VOCABULARIES["characters"].to_json(), "model", "vocab", to={"a": 0, "b": 2}
    ),
    "with a word among the characters": change(
        VOCABULARIES["characters"].to_json(), "model", "vocab", to={"a": 0, "word": 1}
    ),
    "with a lone surrogate": change(
        VOCABULARIES["characters"].to_json(), "model", "vocab", to={"a": 0, "\udc80": 1}
    ),
    "with a normalizer": change(VOCABULARIES["bytes"].to_json(), "normalizer", to={"type": "NFC"}),
    "with a byte missing": change(
        VOCABULARIES["subwords"].to_json(), "model", "vocab", to={"a": 0}
    ),
    "with a merge of unknown tokens": change(
        VOCABULARIES["subwords"].to_json(), "model", "merges", to=[["a", "zzz"]]
    ),
    "with added tokens": change(
        VOCABULARIES["subwords"].to_json(), "added_tokens", to=[{"id": 0, "content": "x"}]
    ),
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_or_foreign_file_is_named_with_the_remedy(content: str, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ModelError, match=r"tokenizer\.json is damaged .* copy it again"):
        load_vocabulary(path)


def test_a_file_that_is_not_text_is_named_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ModelError, match=r"tokenizer\.json is damaged .* copy it again"):
        load_vocabulary(path)


def test_a_missing_file_is_named_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"tokenizer\.json cannot be read .* copy it from where"):
        load_vocabulary(tmp_path / "tokenizer.json")


def test_characters_bytes_and_decoded_subwords_need_no_tokenizers(tmp_path: Path) -> None:
    for name in ("characters", "bytes", "subwords"):
        VOCABULARIES[name].save(tmp_path / f"{name}.json")
    script = (
        "import sys; from pathlib import Path\n"
        "from sunspring.corpus.vocabulary import load_vocabulary\n"
        "loaded = [load_vocabulary(Path(name)) for name in sys.argv[1:]]\n"
        "for vocabulary in loaded: assert vocabulary.decode([40, 41])\n"
        "for vocabulary in loaded[:2]: vocabulary.encode('be')\n"
        "assert 'tokenizers' not in sys.modules and 'torch' not in sys.modules"
    )
    files = [str(tmp_path / f"{name}.json") for name in ("characters", "bytes", "subwords")]
    subprocess.run([sys.executable, "-c", script, *files], check=True)


@pytest.mark.parametrize(
    ("known", "text", "adapted"),
    [
        ("don't", "don’t", "don't"),
        ("don’t", "don't", "don’t"),
        ('"hi-.', "“hi”—…", '"hi"-...'),
        ("a b", "a\u00a0b", "a b"),
        ("romeo", "ROMEO", "romeo"),
        ("ROMEO", "Romeo", "ROMEO"),
        ("cafe", "café", "cafe"),
        ("CAFE", "café", "CAFE"),
        ("cafe", "CAFÉ", "cafe"),
        ("CAFÉ", "café", "CAFÉ"),
        ("cafe", "cafe\u0301", "cafe"),
        ("strase", "straße", "strasse"),
        ("fi", "ﬁ", "fi"),
        ("ab", "a日b🙂\udc80", "ab"),
    ],
)
def test_a_prompt_is_adapted_to_what_the_model_has_seen(
    known: str, text: str, adapted: str
) -> None:
    vocabulary = CharacterVocabulary(known, end=False, unknown=False)
    result, replaced = replace_unknown(text, vocabulary)
    assert result == adapted
    assert "".join(replaced.get(character, character) for character in text) == adapted
    assert set(replaced) == vocabulary.unknown_characters(text)


def test_a_letter_without_its_accent_comes_before_the_other_case_of_that() -> None:
    vocabulary = CharacterVocabulary("eE", end=False, unknown=False)
    assert replace_unknown("éÉ", vocabulary) == ("eE", {"é": "e", "É": "E"})


def test_with_an_unknown_token_a_character_is_mapped_or_left() -> None:
    vocabulary = CharacterVocabulary("cafe", end=False, unknown=True)
    assert replace_unknown("CAFÉ 日", vocabulary) == (
        "cafe 日",
        {"C": "c", "A": "a", "F": "f", "É": "e"},
    )


@every_vocabulary
@given(text=st.text(st.characters()))
def test_an_adapted_prompt_can_be_encoded(vocabulary: Vocabulary, text: str) -> None:
    adapted, replaced = replace_unknown(text, vocabulary)
    if vocabulary.unknown_id is None:
        assert not vocabulary.unknown_characters(adapted)
    else:
        assert vocabulary.unknown_characters(adapted).isdisjoint(replaced)


def test_known_text_is_not_adapted() -> None:
    vocabulary = CharacterVocabulary(SAMPLE, end=False, unknown=False)
    assert replace_unknown(SAMPLE, vocabulary) == (SAMPLE, {})
