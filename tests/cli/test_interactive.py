from typing import Any

import pytest
from chains import START, chain_model

from sunspring.cli.interactive import write_together
from sunspring.corpus.vocabulary import CharacterVocabulary
from sunspring.errors import SettingsError
from sunspring.model import Model
from sunspring.writing.settings import ProposalSettings

LETTERS = CharacterVocabulary("abc1:=u \n", end=True, unknown=False)
ROW = {"a": 0.5, "b": 0.3, "c": 0.2}
MODEL = chain_model(LETTERS, {START: ROW, " ": ROW, **{letter: {" ": 1} for letter in "abc"}})


def talk(*answers: str, prompt: str = "", model: Model = MODEL, **settings: Any) -> tuple[str, str]:
    """The text in the end, and all that was shown."""
    shown: list[str] = []
    left = iter(answers)

    def ask(question: str) -> str:
        shown.append(question)
        try:
            return next(left)
        except StopIteration:
            raise EOFError from None

    wanted = ProposalSettings(**settings)
    return write_together(model, prompt, wanted, ask, shown.append), "\n".join(shown)


def test_a_number_adds_the_proposal_of_that_place() -> None:
    text, shown = talk("3", temperature=1)
    assert text == "c"
    assert [line.strip() for line in shown.splitlines() if "%" in line][:3] == [
        "1   50.0%  a",
        "2   30.0%  b",
        "3   20.0%  c",
    ]


def test_enter_adds_the_first_proposal() -> None:
    assert talk("", "=  ", "")[0] == "a  a"


def test_anything_else_is_added_as_it_was_typed() -> None:
    assert talk("2", " ca\t", "", "日", ":help", prompt="a ")[0] == "a b ca\t a日:help"


@pytest.mark.parametrize(("answer", "added"), [("=1", "1"), ("=:quit", ":quit"), ("==", "=")])
def test_an_equals_sign_lets_numbers_and_commands_be_text(answer: str, added: str) -> None:
    assert talk(answer)[0] == added


def test_undo_takes_back_one_step_after_another() -> None:
    assert talk("1", " typed", ":undo")[0] == "a"
    assert talk("1", " typed", ":undo", ":undo", "b")[0] == "b"


def test_undo_of_nothing_says_so_and_keeps_the_prompt() -> None:
    text, shown = talk(":undo", ":undo", prompt="ab")
    assert text == "ab"
    assert shown.count("there is no step to take back") == 2


def test_quit_ends_it_and_leaves_the_other_answers() -> None:
    assert talk("1", ":quit", "2")[0] == "a"


def test_the_end_of_the_answers_ends_it() -> None:
    assert talk(prompt="a")[0] == "a"


@pytest.mark.parametrize("answer", ["0", "4", "00", "9" * 5000], ids=len)
def test_a_number_out_of_range_is_answered_with_the_range(answer: str) -> None:
    text, shown = talk(answer, "1")
    assert text == "a"
    assert f"there is no proposal {answer}: choose 1 to 3" in shown


@pytest.mark.parametrize("answer", ["", "1"])
def test_where_nothing_is_proposed_a_number_is_answered_with_what_to_do(answer: str) -> None:
    ended = chain_model(LETTERS, {START: {"<|end|>": 1}})
    text, shown = talk(answer, "=c", model=ended)
    assert text == "c"
    assert "the model would end here: type what comes next" in shown


def test_line_ends_and_blanks_at_the_edges_are_visible() -> None:
    row = {"\n": 0.5, " ": 0.3, "a": 0.2}
    _, shown = talk(model=chain_model(LETTERS, {START: row, " ": {"b": 1}}))
    assert [line.split()[-1] for line in shown.splitlines() if "%" in line] == ["⏎", "␣b", "a"]


def test_the_end_of_a_long_text_is_shown() -> None:
    _, shown = talk(prompt="b" * 99 + "a" * 400)
    assert "\n…" + "a" * 400 + "▏" in shown
    assert "b" not in shown.split("…")[1]


def test_what_does_not_match_is_taken_back() -> None:
    text, shown = talk("b", "u", "1", regex="[ab ]*", ban="bb")
    assert text == "b a"
    assert "that is taken back: no text that matches '[ab ]*' begins with the prompt" in shown


def test_a_prompt_that_does_not_match_is_an_error() -> None:
    with pytest.raises(SettingsError, match="begins with the prompt: it fails at character 2"):
        talk(prompt="ac", regex="[ab]*")


def test_what_is_missing_is_shown_until_it_is_written() -> None:
    _, shown = talk("ab", "c", "u", prompt="abc", contains=["ab", "c"], ends_with="c")
    assert [line for line in shown.splitlines() if "still has to" in line] == [
        "the text still has to have 'ab' and have 'c' and end with 'c'",
        "the text still has to have 'c' and end with 'c'",
        "the text still has to end with 'c'",
    ]


def test_the_settings_are_those_of_the_writing() -> None:
    _, shown = talk(temperature=0, prompt="a ")
    assert shown.count("%") == 1
    assert "1  100.0%  a" in shown
