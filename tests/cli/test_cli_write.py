import contextlib
import json
import os
import pty
import random
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from commands import SMALL, Command, error_of, run, succeed, wait_for

import sunspring

COUNT = 1000  # names asked for


@pytest.fixture(scope="module")
def names() -> list[str]:
    """3,000 different invented names."""
    draw = random.Random(1)
    syllables = [a + b for a in ("b", "d", "k", "l", "m", "r", "th", "v") for b in "aeiou"]
    found = {
        "".join(draw.choices(syllables, k=draw.randint(2, 4))).capitalize(): 0 for _ in range(3300)
    }
    return list(found)[:3000]


@pytest.fixture(scope="module")
def namer(names: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("names")
    (folder / "names.txt").write_text("\n".join(names) + "\n")
    options = ("--documents", "lines", "--steps", "300", *SMALL, "--set", "batch_size=32")
    succeed("train", folder / "names.txt", "--out", folder / "run", *options)
    return folder / "run"


def texts(*arguments: str | Path, **streams: Any) -> list[dict[str, Any]]:
    written = succeed("write", *arguments, "--json", **streams).json
    assert set(written) >= {"texts", "characters_per_second", "engine"}
    assert written["engine"] == ("torch" if "--mixture" in arguments else "native")
    assert written["characters_per_second"] > 0
    for text in written["texts"]:
        assert set(text) == {"text", "tokens", "finish_reason", "seed"}
    return list(written["texts"])


class TestWriting:
    def test_gives_the_prompt_and_what_follows_untouched(self, trained: Path) -> None:
        done = succeed("write", trained, "--prompt", "The ", "--length", "50")
        assert done.out.startswith("The ")
        assert len(done.out) == 54
        assert done.err == ""

    def test_is_the_same_for_a_seed_alone_in_a_batch_and_in_python(self, trained: Path) -> None:
        options = ("--length", "60", "--temperature", "1", "--prompt", "The ")
        batch = texts(trained, *options, "--count", "3", "--seed", "5")
        assert [text["seed"] for text in batch] == [5, 6, 7]
        assert succeed("write", trained, *options, "--seed", "6").out == batch[1]["text"]
        [alone] = texts(trained, *options, "--seed", "7")
        assert alone == batch[2]
        model = sunspring.load(trained)
        assert model.write("The ", 60, temperature=1.0, seed=5) == batch[0]["text"]

    def test_without_a_seed_names_one_that_gives_it_again(self, trained: Path) -> None:
        [first], [second] = texts(trained), texts(trained)
        assert first["seed"] != second["seed"]
        assert texts(trained, "--seed", str(first["seed"])) == [first]

    def test_of_several_texts_is_a_line_each(self, namer: Path) -> None:
        done = succeed("write", namer, "--count", "20", "--seed", "1", "--length", "30")
        assert done.out.splitlines() == [
            text["text"] for text in texts(namer, "--count", "20", "--seed", "1", "--length", "30")
        ]

    def test_of_documents_ends_by_itself(self, namer: Path) -> None:
        written = texts(namer, "--count", "50", "--length", "100")
        assert sum(text["finish_reason"] == "end" for text in written) > 40

    def test_sampling_flags_steer(self, trained: Path) -> None:
        greedy = succeed("write", trained, "--temperature", "0").out
        for options in (["--top-k", "1"], ["--top-p", "0.000001"], ["--min-p", "1"]):
            assert succeed("write", trained, *options).out == greedy
        penalised = succeed("write", trained, "--temperature", "0", "--repetition-penalty", "9").out
        assert penalised != greedy

    def test_stops_at_texts_and_leaves_them_out(self, trained: Path) -> None:
        options = ("--seed", "3", "--length", "300", "--temperature", "1")
        whole = succeed("write", trained, *options).out
        [stopped] = texts(trained, *options, "--stop", "e", "--stop", " ")
        assert stopped["text"] == re.split("[e ]", whole)[0]
        assert stopped["finish_reason"] == "stop"

    def test_matches_a_pattern_as_a_whole(self, namer: Path) -> None:
        pattern = "Th[aeiou]([a-z]{2}){2}"
        for text in texts(namer, "--regex", pattern, "--count", "30", "--prompt", "Th"):
            assert re.fullmatch(pattern, text["text"])

    def test_keeps_phrases_out_and_brings_them_in(self, namer: Path, names: list[str]) -> None:
        asked = ("--ban", "a", "--ban", "th", "--contains", "i", "--ends-with", "o")
        distinct = ("--unique", "--novel", "--count", "30", "--regex", ".{5,12}")
        for text in [each["text"] for each in texts(namer, *asked, *distinct)]:
            assert not {"a", "th"} & {text[i : i + size] for i in range(12) for size in (1, 2)}
            assert "i" in text
            assert text.endswith("o")
            assert 5 <= len(text) <= 12
            assert text not in names

    def test_says_what_cannot_be_met(self, trained: Path) -> None:
        assert "does not have 'b' and contains 'ab'" in error_of(
            "write", trained, "--ban", "b", "--contains", "ab", "--ban", "x"
        )
        assert error_of("write", trained, "--contains", "abc", "--length", "2") == (
            "a text that contains 'abc' needs 3 characters and length is 2: raise --length"
        )
        message = error_of("write", trained, "--contains", "abc", "--stop", "b")
        assert message.startswith("a stop text could end the text before it has what contains says")

    def test_gives_texts_as_they_are_finished_and_those_before_an_interruption(
        self, trained: Path
    ) -> None:
        options = ("--length", "12", "--seed", "1", "--regex", "[a-z ]{12}")
        command = Command("write", trained, *options, "--count", "1000000000")
        wait_for(lambda: command.out.count("\n") > 3 or command.is_over, "texts")
        command.send(signal.SIGINT)
        done = command.wait()
        assert done.code == 130
        first = succeed("write", trained, *options, "--count", "3").out
        assert done.out.startswith(first)

    def test_into_a_pipe_that_closes_ends_quietly(self, trained: Path) -> None:
        write = f"{sys.executable} -m sunspring write {trained} --count 1000000000 --length 12"
        done = subprocess.run(
            ["sh", "-c", f"{write} | head -n 3"], capture_output=True, text=True, timeout=120
        )
        assert done.stdout.count("\n") >= 3
        assert done.stderr == ""

    @pytest.mark.parametrize("option", [["--novel"], ["--no-copies-over", "9"]], ids=" ".join)
    def test_says_where_the_text_it_must_not_repeat_has_changed(
        self, english: Path, option: list[str]
    ) -> None:
        shutil.copy(english, "text.txt")
        succeed("train", "text.txt", "--out", "run", "--steps", "5", *SMALL)
        Path("text.txt").write_text("another text\n" * 1000)
        done = succeed("write", "run", "--length", "20", *option)
        assert "has changed since the run began: using it as it was then" in done.err

    def test_tells_what_became_of_unknown_characters(self, trained: Path) -> None:
        done = succeed("write", trained, "--prompt", "na\u00efve \u0416", "--length", "5")
        assert done.out.startswith("naive ")
        assert len(done.out) == 11
        assert done.err == (
            "2 characters of the prompt that the model has never seen: "
            "'\u00ef' is read as 'i'; '\u0416' is left out\n"
        )

    def test_takes_a_prompt_that_is_no_text(self, trained: Path) -> None:
        prompt = os.fsdecode(b"The \xff")
        assert len(succeed("write", trained, "--prompt", prompt, "--length", "5").out) == 9
        [text] = texts(trained, "--prompt", prompt, "--length", "5")
        assert len(text["text"]) == 9

    def test_of_no_length_is_the_prompt(self, trained: Path) -> None:
        assert succeed("write", trained, "--prompt", "The", "--length", "0").out == "The"


class TestPromptFile:
    def test_is_read(self, trained: Path) -> None:
        Path("prompt.txt").write_bytes(b"\xef\xbb\xbfThe rest\r\n")
        done = succeed("write", trained, "--prompt-file", "prompt.txt", "--length", "5")
        assert done.out.startswith("The rest\n")
        piped = succeed("write", trained, "--prompt-file", "-", "--length", "5", stdin="The rest")
        assert piped.out.startswith("The rest")

    def test_that_cannot_be_read_is_named(self, trained: Path) -> None:
        Path("bad.txt").write_bytes(b"abc\xff")
        Path("folder").mkdir()
        assert error_of("write", trained, "--prompt-file", "no.txt") == (
            "no.txt does not exist: did you mean bad.txt?"
        )
        assert "folder has no text files" in error_of("write", trained, "--prompt-file", "folder")
        assert "bad.txt is not valid utf-8 at byte 3" in error_of(
            "write", trained, "--prompt-file", "bad.txt"
        )
        message = error_of("write", trained, "--prompt-file", "-", stdin=b"\xff")
        assert message.startswith("standard input is not valid utf-8 at byte 0")
        assert "not both" in error_of("write", trained, "--prompt-file", "x", "--prompt", "y")


class TestBeyondTheNetwork:
    def test_mixture_writes_other_text_with_the_same_settings(self, trained: Path) -> None:
        options = ("--seed", "1", "--length", "80", "--prompt", "The ")
        mixed = succeed("write", trained, "--mixture", *options).out
        assert mixed.startswith("The ")
        assert len(mixed) == 84
        assert mixed != succeed("write", trained, *options).out
        assert mixed == texts(trained, "--mixture", *options)[0]["text"]

    def test_mixture_needs_the_training_text(self, trained: Path) -> None:
        shutil.copytree(trained, "run")
        Path("run/run.json").unlink()
        assert "training text of this model is not known" in error_of("write", "run", "--mixture")

    def test_pages_are_learned_from_and_written_on(self, trained: Path) -> None:
        Path("pages.txt").write_text("zq" * 1500)
        before = {path: path.read_bytes() for path in trained.iterdir() if path.is_file()}
        options = ("--seed", "1", "--length", "200", "--adapt", "pages.txt")
        [adapted] = texts(trained, *options, "--rate", "0.01")
        assert adapted["text"].count("zq") > 50
        assert succeed("write", trained, *options, "--rate", "0.01").out == adapted["text"]
        assert succeed("write", trained, *options, "--rate", "0").out.count("zq") < 5
        assert succeed("write", trained, *options, "--mixture").out
        assert before == {path: path.read_bytes() for path in trained.iterdir() if path.is_file()}

    def test_pages_come_before_the_prompt(self, trained: Path) -> None:
        Path("pages.txt").write_text("The rest of the ")
        options = ("--length", "50", "--temperature", "0")
        adapted = ("--adapt", "pages.txt", "--rate", "0")
        one = succeed("write", trained, *options, *adapted, "--prompt", "operators").out
        two = succeed("write", trained, *options, "--prompt", "The rest of the operators").out
        assert "The rest of the " + one == two

    def test_pages_may_have_characters_that_the_model_lacks(self, trained: Path) -> None:
        Path("pages.txt").write_text("na\u00efve \u0416" * 9)
        done = succeed("write", trained, "--adapt", "pages.txt", "--length", "5")
        assert done.err == (
            "18 characters that the model has never seen: "
            "'\u00ef' is read as 'i'; '\u0416' is left out\n"
        )

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (None, "pages.txt does not exist"),
            (b"", "pages.txt is empty"),
            (b"ab\xff", "at byte 2"),
            (bytes(range(256)) * 9, "binary"),
            ("\u0416\u0416".encode(), "no character that the model knows"),
        ],
        ids=["missing", "empty", "undecodable", "binary", "unknown"],
    )
    def test_bad_pages_are_errors(self, trained: Path, content: bytes | None, message: str) -> None:
        if content is not None:
            Path("pages.txt").write_bytes(content)
        assert message in error_of("write", trained, "--adapt", "pages.txt")

    def test_pages_of_lines_are_lines_to_learn_from(self, namer: Path) -> None:
        Path("pages.txt").write_text("Thanana\n" * 300)
        options = ("--count", "20", "--seed", "1", "--adapt", "pages.txt", "--rate", "0.01")
        written = [text["text"] for text in texts(namer, *options)]
        assert sum(name.startswith("Tha") for name in written) > 10

    def test_rate_without_pages_is_an_error(self, trained: Path) -> None:
        message = error_of("write", trained, "--rate", "0.1")
        assert message.startswith("--rate says how fast --adapt learns")


class TestBlend:
    def test_mixes_in_another_model_as_in_python(self, trained: Path, namer: Path) -> None:
        options = ("--seed", "1", "--length", "80", "--prompt", "The ")
        blended = succeed("write", trained, "--blend", f"{namer}:0.6", *options).out
        assert blended != succeed("write", trained, *options).out
        other = sunspring.load(namer)
        model = sunspring.load(trained).blended(other, 0.6)
        assert blended == model.write("The ", 80, seed=1)
        twice = (*options, "--blend", f"{namer}:0.3", "--blend", f"{trained}:0.7")
        assert succeed("write", trained, *twice).out == (
            sunspring.load(trained)
            .blended(other, 0.3)
            .blended(sunspring.load(trained), 0.7)
            .write("The ", 80, seed=1)
        )

    def test_goes_together_with_the_other_settings(self, trained: Path, namer: Path) -> None:
        options = ("--blend", f"{namer}:0.5", "--regex", "[a-z ]{9,20}", "--no-copies-over", "5")
        for text in texts(trained, *options, "--count", "5", "--unique"):
            assert re.fullmatch("[a-z ]{9,20}", text["text"])

    @pytest.mark.parametrize(
        ("share", "options", "message"),
        [
            ("", (), "has no share: write it as MODEL:0.3"),
            (":much", (), "has no share: write it as MODEL:0.3"),
            (
                ":1.5",
                (),
                "the shares of a blend are 1.5: they must be above 0, and at most 1 together",
            ),
            (":0", (), "the shares of a blend are 0: they must be above 0, and at most 1 together"),
            (":0.5", ("--engine", "torch"), "only the native engine can blend models"),
            (":0.5", ("--mixture",), "only the native engine can blend models"),
        ],
    )
    def test_that_cannot_be_is_an_error(
        self, trained: Path, share: str, options: tuple[str, ...], message: str
    ) -> None:
        assert message in error_of("write", trained, "--blend", f"{trained}{share}", *options)

    def test_of_a_model_that_is_not_there_is_an_error(self, trained: Path) -> None:
        message = error_of("write", trained, "--blend", "nowhere:0.5")
        assert message.startswith("there is no model folder nowhere")


class TestNames:
    def test_are_new_and_different_when_asked(self, namer: Path, names: list[str]) -> None:
        options = ("--count", str(COUNT), "--unique", "--novel", "--length", "40", "--seed", "1")
        written = [text["text"] for text in texts(namer, *options)]
        assert len(set(written)) == len(written) == COUNT
        assert not set(written) & set(names)
        assert all(name.strip() for name in written)

    def test_would_repeat_the_list_otherwise(self, namer: Path, names: list[str]) -> None:
        written = [text["text"] for text in texts(namer, "--count", str(COUNT), "--seed", "1")]
        assert len(set(written)) < COUNT
        assert set(written) & set(names)

    def test_that_run_out_are_an_error_after_those_found(self, namer: Path) -> None:
        options = ("--temperature", "0", "--count", "2", "--unique")
        done = run("write", namer, *options)
        assert (done.code, done.out.count("\n")) == (1, 1)
        assert done.err.startswith("sunspring: found only 1 of 2 texts in 200 tries: raise --temp")
        assert done.err.count("\n") == 1
        listed = run("write", namer, *options, "--json")
        assert listed.code == 1
        assert [each["text"] for each in listed.json["texts"]] == [done.out.rstrip("\n")]


@pytest.fixture(scope="module")
def parrot(english: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that knows few sentences by heart."""
    folder = tmp_path_factory.mktemp("parrot")
    (folder / "text.txt").write_text(
        "The cat sat on the red mat.\nA dog barked at the moon.\n" * 200
    )
    options = ("--steps", "300", *SMALL, "--set", "batch_size=16", "--set", "window=32")
    succeed("train", folder / "text.txt", "--out", folder / "run", *options)
    return folder / "run"


SENTENCES = "The cat sat on the red mat.\nA dog barked at the moon.\n" * 3
GREEDILY = ("--length", "120", "--temperature", "0.1", "--seed", "1", "--prompt", "The ")


def longest_copy(text: str) -> int:
    """Characters of the longest stretch of the parrot's text, by looking for each."""
    return max(
        end - begin
        for begin in range(len(text))
        for end in range(begin, len(text) + 1)
        if text[begin:end] in SENTENCES
    )


class TestNoCopiesOver:
    def test_forbids_longer_copies(self, parrot: Path) -> None:
        assert longest_copy(succeed("write", parrot, *GREEDILY).out) > 50
        for longest in (5, 12):
            options = (*GREEDILY, "--no-copies-over", str(longest))
            text = succeed("write", parrot, *options).out
            assert longest_copy(text) <= longest
            [again] = texts(parrot, *options)
            assert again["text"] == text
            model = sunspring.load(parrot)
            same: dict[str, Any] = {"temperature": 0.1, "seed": 1, "no_copies_over": longest}
            assert model.write("The ", 120, **same) == text
            assert "".join(model.stream("The ", 120, **same)) == text

    def test_says_what_a_text_lacks_that_had_to_end_early(self, parrot: Path) -> None:
        asked = ("--contains", "moon", "--ends-with", ".", "--regex", ".*")
        options = (*asked, "--length", "6", "--seed", "1", "--no-copies-over", "2")
        lacking = "contains 'moon' and ends with '.'"
        why = (
            "everything that could follow would copy more than --no-copies-over allows; allow more,"
            " or take another --seed\n"
        )
        done = run("write", parrot, *options)
        assert (done.code, done.out[-2:]) == (1, "mo")
        assert done.err == f"sunspring: the text of seed 1 ends before it {lacking}: {why}"
        several = run("write", parrot, *options, "--count", "2", "--json")
        assert several.code == 1
        assert several.err == (
            f"sunspring: 2 texts end early, that of seed 1 before it {lacking}: {why}"
        )
        assert [(each["finish_reason"], each["unmet"]) for each in several.json["texts"]] == [
            ("novel", lacking)
        ] * 2
        assert run("write", parrot, *options, "--count", "2").err == several.err
        assert (
            sunspring.load(parrot)
            .write_many(1, contains="moon", length=5, seed=1, no_copies_over=2)[0]
            .unmet
            == "contains 'moon'"
        )

    def test_says_interactively_that_nothing_can_be_proposed(self, parrot: Path) -> None:
        options = ("--regex", "moon", "--no-copies-over", "2", "--interactive")
        done = succeed("write", parrot, *options, stdin="mo\n:quit\n")
        said = "all that the model could add copies too much: type something, or :undo"
        assert done.err.count(said) == 1

    def test_goes_together_with_novel(self, parrot: Path) -> None:
        options = (*GREEDILY, "--no-copies-over", "9")
        written = succeed("write", parrot, *options, "--novel").out
        assert written.removesuffix("\n") == succeed("write", parrot, *options).out

    def test_was_once_called_novel_with_a_number_and_still_is_understood(
        self, parrot: Path
    ) -> None:
        done = succeed("write", parrot, *GREEDILY, "--novel", "12")
        assert done.err == "--novel 12 is now called --no-copies-over 12\n"
        assert done.out == succeed("write", parrot, *GREEDILY, "--no-copies-over", "12").out
        before = succeed("write", "--novel", "12", parrot, *GREEDILY)
        assert (before.out, before.err) == (done.out, done.err)

    @pytest.mark.parametrize("option", ["--no-copies-over", "--novel"])
    @pytest.mark.parametrize("value", ["0", "-3", "100001"])
    def test_of_no_number_that_is_possible_is_an_error(
        self, parrot: Path, option: str, value: str
    ) -> None:
        done = run("write", parrot, option, value)
        assert (done.code, done.out) == (1, "")
        shown = f"{int(value):,}" if len(value) > 4 else value
        assert done.err.splitlines()[-1] == (
            f"sunspring: no_copies_over is {shown}: it must be between 1 and 100,000"
        )

    @pytest.mark.parametrize("value", ["x", "", "1.5"])
    def test_of_no_whole_number_is_a_usage_error(self, parrot: Path, value: str) -> None:
        done = run("write", parrot, f"--no-copies-over={value}")
        assert (done.code, done.out) == (2, "")
        assert f"{value!r} is not a valid integer" in done.err


class TestNovel:
    def test_may_stand_anywhere(self, namer: Path, names: list[str]) -> None:
        options = ("--length", "30", "--seed", "1", "--count", "50")
        expected = succeed("write", namer, *options, "--novel").out
        assert not {*expected.splitlines()} & {*names}
        assert succeed("write", "--novel", namer, *options).out == expected
        assert succeed("write", namer, "--novel", *options).out == expected
        assert succeed("write", "--novel", *options, "--", namer).out == expected

    @pytest.mark.parametrize("value", ["--novel=x", "--novel="])
    def test_of_something_else_than_a_number_is_a_usage_error(
        self, parrot: Path, value: str
    ) -> None:
        done = run("write", parrot, value)
        assert (done.code, done.out) == (2, "")
        assert "--novel" in done.err
        assert run("write", parrot, *value.split("=")).code == 2


class TestCopied:
    def test_is_counted_after_a_text_that_is_left_as_it_is(self, parrot: Path) -> None:
        plain = succeed("write", parrot, *GREEDILY).out
        done = succeed("write", parrot, *GREEDILY, "--copied")
        assert done.out == plain
        written = plain.removeprefix("The ")
        assert done.err.startswith(f"copied: {len(written)} of {len(written)} characters")
        assert f"(the longest has {longest_copy(written)});" in done.err
        assert "; 2 whole lines of the training text" in done.err

    def test_is_in_the_json_of_each_text(self, parrot: Path) -> None:
        options = (*GREEDILY[:-2], "--prompt", "A dog", "--count", "2", "--copied")
        written = succeed("write", parrot, *options, "--json").json["texts"]
        assert len(written) == 2
        for text in written:
            copied = text["copied"]
            assert set(copied) == {"characters", "longest", "stretches", "lines"}
            for stretch in copied["stretches"]:
                assert stretch["begin"] >= len("A dog")
                assert text["text"][stretch["begin"] : stretch["end"]] in SENTENCES
            assert copied["longest"] == max(s["end"] - s["begin"] for s in copied["stretches"])
            assert {*copied["lines"]} <= {*SENTENCES.splitlines()}
        done = succeed("write", parrot, *options)
        assert done.out.count("\n") == sum(text["text"].count("\n") + 1 for text in written)
        assert done.err.count("\n") == 1
        characters = sum(text["copied"]["characters"] for text in written)
        assert done.err.startswith(f"copied: {characters} of 240 characters")

    def test_is_nothing_where_copies_are_forbidden(self, parrot: Path) -> None:
        done = succeed("write", parrot, *GREEDILY, "--copied", "--no-copies-over", "9")
        assert done.err.startswith("copied: 0 of 120 characters")
        assert "(the longest has 0); 0 whole lines" in done.err

    @pytest.mark.parametrize(
        ("environment", "mark"),
        [({}, "\x1b[4;33m"), ({"NO_COLOR": "1"}, "\x1b[4m"), ({"TERM": "dumb"}, "")],
        ids=["colour", "no colour", "dumb"],
    )
    def test_is_marked_in_a_terminal(
        self, parrot: Path, environment: dict[str, str], mark: str
    ) -> None:
        ours, theirs = pty.openpty()
        os.set_blocking(ours, False)
        shown = bytearray()

        def is_over() -> bool:
            with contextlib.suppress(BlockingIOError):
                shown.extend(os.read(ours, 10_000))
            return b"copied: " in shown or command.is_over

        command = Command(
            *("write", parrot, *GREEDILY, "--copied"),
            terminal=os.ttyname(theirs),
            environment={"TERM": "xterm", "NO_COLOR": ""} | environment,
        )
        wait_for(is_over, "the end")
        assert command.wait().code == 0
        is_over()
        text = shown.decode().replace("\r\n", "\n")
        os.close(ours)
        os.close(theirs)
        plain = succeed("write", parrot, *GREEDILY).out.removeprefix("The ")
        unmarked = re.sub(r"\x1b\[[\d;]*m", "", text)
        assert unmarked.startswith(f"The {plain}\ncopied: {len(plain)} of")
        marked = re.findall(rf"{re.escape(mark)}(.*?)\x1b\[0m", text, re.DOTALL)
        assert "".join(marked) == (plain if mark else "")

    def test_needs_the_training_text(self, trained: Path) -> None:
        sunspring.load(trained).save("saved")
        Path("saved/run.json").unlink()
        assert "no run.json" in error_of("write", "saved", "--copied")
        assert "no run.json" in error_of("write", "saved", "--no-copies-over", "9")


class TestWritingTogether:
    def test_over_a_pipe_prints_the_text_in_the_end(self, trained: Path) -> None:
        answers = "Operators\n1\n:undo\n= and\n99\n\n:quit\nnot read\n"
        done = succeed("write", trained, "--interactive", "--prompt", "The ", stdin=answers)
        assert done.out.startswith("The Operators and")
        assert "there is no proposal 99" in done.err
        assert "%" in done.err

    def test_obeys_a_pattern_and_a_blend(self, trained: Path, namer: Path) -> None:
        options = ("--regex", "[a-e ]*", "--ban", "dab", "--blend", f"{namer}:0.9")
        done = succeed("write", trained, "--interactive", *options, stdin="da\nx\n1\n\n:quit\n")
        assert re.fullmatch("da[a-e ]+\n", done.out)
        assert "dab" not in done.out
        assert "that is taken back: no text that matches" in done.err

    def test_ends_with_the_answers(self, trained: Path) -> None:
        assert succeed("write", trained, "--interactive", "--prompt", "The").out == "The\n"

    def test_survives_answers_that_are_no_text(self, trained: Path) -> None:
        done = succeed("write", trained, "--interactive", stdin=b"a\xffb\n:quit\n")
        assert done.out == "a\ufffdb\n"

    def test_in_a_terminal(self, trained: Path) -> None:
        ours, theirs = pty.openpty()
        os.set_blocking(ours, False)
        shown = bytearray()

        def asks() -> bool:
            with contextlib.suppress(BlockingIOError):
                shown.extend(os.read(ours, 10_000))
            return shown.endswith(b"> ") or command.is_over

        terminal = os.ttyname(theirs)
        command = Command("write", trained, "--interactive", "--prompt", "The ", terminal=terminal)
        for answer in (b"rest\n", b"1\n", b":quit\n"):
            wait_for(asks, "a question")
            shown.clear()
            os.write(ours, answer)
        assert command.wait().code == 0
        asks()
        assert b"The rest" in shown
        os.close(ours)
        os.close(theirs)

    @pytest.mark.parametrize(
        "flag",
        [
            *("--json", "--unique", "--count=3", "--stop=b", "--copied"),
            *("--length=9", "--seed=1", "--novel"),
        ],
    )
    def test_takes_no_flags_that_it_would_not_heed(self, trained: Path, flag: str) -> None:
        message = error_of("write", trained, "--interactive", flag)
        assert message.startswith(f"{flag.partition('=')[0]} does not go with --interactive")


class TestBadRequests:
    @pytest.mark.parametrize(
        "options",
        [
            ["--length", "-1"],
            ["--temperature", "-0.1"],
            ["--temperature", "nan"],
            ["--top-k", "-1"],
            ["--top-p", "0"],
            ["--min-p", "1.5"],
            ["--repetition-penalty", "0"],
            ["--seed", "-1"],
            ["--stop", ""],
            ["--regex", "("],
            ["--regex", "a{9}", "--length", "3"],
            ["--label", "horror"],
            ["--no-copies-over", "0"],
        ],
        ids=" ".join,
    )
    def test_are_refused_before_anything_is_written(
        self, trained: Path, options: list[str]
    ) -> None:
        for more in ([], ["--count", "2"]):
            message = error_of("write", trained, *options, *more)
            assert ": " in message

    @pytest.mark.parametrize("options", [["--count", "x"], ["--length", "x"]])
    def test_that_are_no_numbers_are_usage_errors(self, trained: Path, options: list[str]) -> None:
        assert run("write", trained, *options).code == 2

    @pytest.mark.parametrize("more", [[], ["--json"], ["--interactive"]], ids=" ".join)
    def test_of_no_texts_are_out_of_range(self, trained: Path, more: list[str]) -> None:
        message = error_of("write", trained, "--count", "0", *more)
        assert message == "count is 0: it must be at least 1 and below 2**63"

    def test_of_novelty_without_the_text_say_so(self, trained: Path, tmp_path: Path) -> None:
        sunspring.load(trained).save("saved")
        Path("saved/run.json").unlink()
        assert "no run.json" in error_of("write", "saved", "--novel")

    def test_of_a_model_that_is_not_there(self) -> None:
        message = (
            "there is no model folder nowhere: name one that sunspring train wrote, "
            "or a bundled model (shakespeare)"
        )
        assert error_of("write", "nowhere") == message
        Path("run").mkdir()
        assert error_of("write", "run").startswith("run is not a model, as it has no config.json")


def test_json_is_valid_whatever_the_text(trained: Path) -> None:
    line = succeed("write", trained, "--json", "--prompt", 'a"\\\n\u2028').out
    assert json.loads(line)["prompt"] == 'a"\\\n\u2028'
