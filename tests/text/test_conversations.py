import io
import json
from pathlib import Path
from typing import Any

import pytest
from files import write
from hypothesis import given
from hypothesis import strategies as st

from sunspring.errors import SettingsError, SourceError
from sunspring.text.files import find_sources
from sunspring.text.options import ReadingOptions
from sunspring.text.sources import read_passages

ANDROID = """27/11/2023, 10:15 - Messages and calls are end-to-end encrypted.
27/11/2023, 10:15 - Anna: Hello
over two lines
27/11/2023, 10:16 - Ben: <Media omitted>
27/11/2023, 10:17 - Ben: Is it 10:17: yes
27/11/2023, 10:18 - Anna added Carla
27/11/2023, 10:19 - Anna: This message was deleted
"""
AMERICAN = """11/27/23, 10:15\u202fAM - Anna: Hello
over two lines
11/27/23, 1:16\u202fPM - Ben: IMG-2023.jpg (file attached)
11/27/23, 1:17\u202fPM - Ben: Is it 10:17: yes
"""
IPHONE = """[27.11.23, 10:15:30] Reading group: \u200eMessages and calls are end-to-end encrypted.
[27.11.23, 10:15:31] Anna: Hello\r
over two lines\r
\u200e[27.11.23, 10:16:00] Ben: \u200eimage omitted
[27.11.23, 10:17:00] Ben: Is it 10:17: yes \u200e<This message was edited>
"""
MISSED = """27/11/2023, 10:15 - Anna: Hello
over two lines
27/11/2023, 10:16 - Ben: Missed voice call
27/11/2023, 10:16 - Ben: Missed video call
27/11/2023, 10:16 - Anna: Du hast diese Nachricht gelöscht.
27/11/2023, 10:16 - Ben: Diese Nachricht wurde gelöscht.
27/11/2023, 10:17 - Ben: Is it 10:17: yes
"""
ARABIC = """27\u200f/11\u200f/2023، 10:15 ص - الرسائل والمكالمات مشفرة
27\u200f/11\u200f/2023، 10:15 ص - Anna: Hello
over two lines
\u200f٢٧\u200f/١١\u200f/٢٠٢٣، ١٠:١٧ م - Ben: Is it 10:17: yes
"""
ARABIC_IPHONE = """[27\u200f/11\u200f/2023، 10:15:30 ص] Anna: \u200eالرسائل والمكالمات مشفرة
[27\u200f/11\u200f/2023، 10:15:31 ص] Anna: Hello
over two lines
\u200f[27\u200f/11\u200f/2023، 10:17:00\u202fم] Ben: Is it 10:17: yes
"""
TELEGRAM = {
    "name": 'A group with "messages": [',
    "type": "private_group",
    "id": 1,
    "messages": [
        {"id": 1, "type": "service", "actor": "Anna", "action": "create_group", "text": ""},
        {"id": 2, "type": "message", "from": "Anna", "text": "Hello\nover two lines"},
        {"id": 3, "type": "message", "from": "Ben", "photo": "a.jpg", "text": ""},
        {
            "id": 4,
            "type": "message",
            "from": "Ben",
            "text": ["Is it ", {"type": "bold", "text": "10:17"}, ": yes"],
        },
    ],
}
COPIED = """Anna, [27.11.2023 10:15]
Hello
over two lines

Ben, [27.11.2023 10:17]
Is it 10:17: yes
"""
ANSWERED = """Anna, [27.11.2023 10:15]
[Photo]
Hello
over two lines

Ben, [27.11.2023 10:16]
[ File : a.pdf ]

Ben, [27.11.2023 10:17]
[In reply to Anna]
Is it 10:17: yes
"""
SAID = [("Hello\nover two lines", "Anna"), ("Is it 10:17: yes", "Ben")]
SRT = """1
00:00:01,000 --> 00:00:02,500
<i>The sea
was calm.</i>

2
00:00:03,000 --> 00:00:04,000 X1:0
- MARY: {\\an8}Who is there?
- Nobody &amp; no one.

3
00:00:05,000 --> 00:00:06,000
JOHN SMITH: Open
the door!
"""
VTT = """WEBVTT - a title

NOTE a remark

STYLE
::cue { color: red }

intro
00:01.000 --> 00:02.000 align:start
<v.loud Mary>Who is <00:01.500>there?

00:00:03.000 --> 00:00:04.000
Nobody.
"""

pytestmark = pytest.mark.usefixtures("in_a_folder")


@pytest.fixture
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def read(
    name: str, notices: list[str] | None = None, chunk_size: int = 1 << 20, **options: Any
) -> str:
    sources = find_sources([name], ReadingOptions(**options))
    notify = (notices if notices is not None else []).append
    passages = read_passages(sources, notify=notify, chunk_size=chunk_size)
    return "".join(passage.text for passage in passages)


def messages_of(
    name: str, notices: list[str] | None = None, **options: Any
) -> list[tuple[str, str | None]]:
    asked = ReadingOptions(documents="lines", **options)
    sources = find_sources([name], asked)
    notify = (notices if notices is not None else []).append
    passages = [*read_passages(sources, notify=notify)]
    assert all(passage.ends_document for passage in passages)
    return [(passage.text, passage.label) for passage in passages]


@pytest.mark.parametrize(
    ("name", "content", "kind", "left_out"),
    [
        ("a.txt", ANDROID, "a WhatsApp chat", 4),
        ("a.txt", AMERICAN, "a WhatsApp chat", 1),
        ("a.txt", IPHONE, "a WhatsApp chat", 2),
        ("a.txt", MISSED, "a WhatsApp chat", 4),
        ("a.txt", ARABIC, "a WhatsApp chat", 1),
        ("a.txt", ARABIC_IPHONE, "a WhatsApp chat", 1),
        ("result.json", json.dumps(TELEGRAM), "a Telegram chat", 2),
        ("result.json", json.dumps(TELEGRAM, indent=1), "a Telegram chat", 2),
        ("a.txt", COPIED, "text copied from Telegram", 0),
        ("a.txt", ANSWERED, "text copied from Telegram", 1),
    ],
)
class TestChat:
    def test_is_messages_labelled_by_their_speakers(
        self, name: str, content: str, kind: str, left_out: int
    ) -> None:
        notices: list[str] = []
        write(name, content)
        assert messages_of(name, notices, label_column="speaker") == SAID
        counted = f", {left_out} without words left out" if left_out else ""
        assert notices == [f"{name} is read as {kind}: 2 speakers, 2 messages{counted}"]

    @pytest.mark.parametrize("chunk_size", [1, 7, 1 << 20])
    def test_is_a_dialogue_where_speakers_are_no_labels(
        self, name: str, content: str, kind: str, left_out: int, chunk_size: int
    ) -> None:
        write(name, content)
        said = "Anna: Hello\nover two lines\nBen: Is it 10:17: yes"
        assert read(name, chunk_size=chunk_size) == said
        assert [text for text, _ in messages_of(name)] == [
            "Anna: Hello\nover two lines",
            "Ben: Is it 10:17: yes",
        ]

    def test_is_text_where_the_user_says_so(
        self, name: str, content: str, kind: str, left_out: int
    ) -> None:
        write(name, content)
        assert read(name, read_as="text", keep_newlines=True) == content


@pytest.mark.parametrize(
    "content",
    [
        "[2023-11-27 10:15:30] INFO: started\n" * 9,
        "2023-11-27 10:15:30,120 - INFO - started: yes\n" * 9,
        "27/11/2023, 10:15 - Anna: Hello\n",
        "He said:\n27/11/2023, 10:15 - Anna: Hello\nand then much more\nof a story\nfollowed\n",
        "Anna, [a friend]\nsaid something\n",
        "",
    ],
)
def test_a_text_that_only_resembles_a_chat_stays_text(content: str) -> None:
    name = write("a.txt", content)
    assert find_sources([name], ReadingOptions()).files[0].format == ""


def test_other_json_stays_text() -> None:
    name = write("a.json", '{"messages": ["a", "b"]}')
    assert read(name) == '{"messages": ["a", "b"]}'


@given(
    st.lists(
        st.tuples(st.sampled_from("AB"), st.text(st.characters(codec="utf-8"), max_size=9)),
        min_size=1,
    )
)
def test_each_message_of_telegram_is_read_or_counted(said: list[tuple[str, str]]) -> None:
    records = [{"type": "message", "from": who, "text": text} for who, text in said]
    name = write("a.json", json.dumps({"type": "saved_messages", "messages": records}))
    expected = [(text.strip(), who) for who, text in said if text.strip()]
    notices: list[str] = []
    if not expected:
        return
    options: Any = {"documents": "lines", "label_column": "speaker", "keep_newlines": True}
    sources = find_sources([name], ReadingOptions(**options))
    found = read_passages(sources, notify=notices.append, chunk_size=5)
    assert [(passage.text, passage.label) for passage in found] == expected
    left_out = len(said) - len(expected)
    assert (f"{left_out} without words left out" in notices[0]) == (left_out > 0)


def test_chats_of_many_people_in_one_export_are_read() -> None:
    export = {"chats": {"list": [TELEGRAM, {**TELEGRAM, "name": "another"}]}}
    assert messages_of(write("r.json", json.dumps(export)), label_column="speaker") == SAID * 2


@pytest.mark.parametrize("cut", [0.5, 0.9])
def test_a_chat_of_telegram_that_breaks_off_is_one_line(cut: float) -> None:
    content = json.dumps(TELEGRAM)
    name = write("a.json", content[: int(len(content) * cut)])
    with pytest.raises(SourceError, match=r"a.json is damaged, or no chat .*: export it again"):
        read(name, read_as="telegram")


class TestSubtitles:
    def test_are_what_is_said(self) -> None:
        notices: list[str] = []
        assert read(write("a.srt", SRT), notices).splitlines() == [
            "The sea was calm.",
            "MARY: Who is there?",
            "Nobody & no one.",
            "JOHN SMITH: Open the door!",
        ]
        assert notices == ["a.srt is read as subtitles: 2 speakers, 4 messages"]

    def test_of_the_web_have_voices(self) -> None:
        assert read(write("a.vtt", VTT)) == "Mary: Who is there?\nNobody."

    def test_are_labelled_where_they_name_speakers(self) -> None:
        notices: list[str] = []
        labelled = messages_of(write("a.srt", SRT), notices, label_column="speaker")
        assert labelled == [("Who is there?", "MARY"), ("Open the door!", "JOHN SMITH")]
        assert "2 without a speaker left out" in notices[0]

    def test_that_name_no_speakers_cannot_be_labelled(self) -> None:
        name = write("a.srt", "1\n00:00:01,000 --> 00:00:02,500\nHello\n")
        with pytest.raises(SourceError, match=r"a.srt names no speakers: leave out --label"):
            messages_of(name, label_column="speaker")

    def test_without_times_are_no_subtitles(self) -> None:
        with pytest.raises(SourceError, match=r"no times of subtitles.*--read-as text"):
            read(write("a.srt", "Hello\n"))

    def test_keep_all_that_is_said_in_a_cue_with_an_empty_line(self) -> None:
        name = write("a.srt", "1\n00:00:01,000 --> 00:00:02,500\nHello\n\nyou\n")
        assert read(name) == "Hello\nyou"


def test_a_chat_has_no_other_labels_than_its_speakers() -> None:
    with pytest.raises(SettingsError, match="--label-column speaker for a chat"):
        messages_of(write("a.txt", ANDROID), label_column="mood")


def test_folders_may_label_chats() -> None:
    write("chats/friends/a.txt", IPHONE)
    labelled = messages_of("chats", label_folders=True)
    assert [label for _, label in labelled] == ["friends", "friends"]
    assert labelled[1][0] == "Ben: Is it 10:17: yes"


def test_a_chat_comes_through_a_pipe_if_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(ANDROID.encode())))
    assert messages_of("-", label_column="speaker", read_as="whatsapp") == SAID


def test_one_message_is_counted_in_the_singular() -> None:
    notices: list[str] = []
    read(write("a.srt", "1\n00:00:01,000 --> 00:00:02,500\nMARY: Hello\n"), notices)
    assert notices == ["a.srt is read as subtitles: 1 speaker, 1 message"]


def test_what_is_no_chat_is_said_where_it_is_read_as_one() -> None:
    write("a.txt", "Once upon a time\n")
    for kind in ("whatsapp", "telegram", "telegram-text", "subtitles"):
        with pytest.raises(SourceError, match=r"^a\.txt .*(--read-as text|as JSON)$"):
            read("a.txt", read_as=kind)
