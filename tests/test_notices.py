"""What people are shown while something runs: a bar on a terminal, plain lines elsewhere."""

import io
from collections.abc import Callable, Iterator

import pytest

from sunspring.notices import Screen, Work, command, counted, duration, notify_on


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def clock_of(*seconds: float) -> Callable[[], float]:
    times: Iterator[float] = iter(seconds)
    return lambda: next(times)


def test_work_shows_plain_lines_now_and_then_where_there_is_no_terminal() -> None:
    stream = io.StringIO()
    work = Work(notify_on(stream), "scoring", clock=clock_of(0, 0.5, 4, 5, 8))
    for done in (10, 25, 30, 50):
        work(done, 100)
    work(100, 100)
    assert stream.getvalue() == "scoring: 25%  0:12 left\nscoring: 50%  0:08 left\n"


def test_work_shows_a_bar_on_a_terminal_and_takes_it_away() -> None:
    stream = Terminal()
    screen = Screen(stream)
    work = Work(screen, "scoring", clock=clock_of(0, 0.5, 2, 2.1, 4))
    for done in (10, 25, 30, 50):
        work(done, 100)
    shown = stream.getvalue()
    assert shown.count("scoring") == 2
    assert f"\r\x1b[K{'━' * 10}{'─' * 10} scoring: 50%  0:04 left" in shown
    work(100, 100)
    assert stream.getvalue().endswith("\r\x1b[K")


def test_a_notice_stands_above_no_bar() -> None:
    stream = Terminal()
    screen = Screen(stream)
    Work(screen, "reading", "MB", 1e6, clock=clock_of(0, 2))(3_000_000, None)
    screen("a notice")
    assert stream.getvalue() == "\r\x1b[Kreading: 3 MB\r\x1b[Ka notice\n"


def test_a_bar_has_characters_that_the_terminal_has() -> None:
    stream = Terminal()
    stream.encoding = "cp1252"  # type: ignore[misc]
    Screen(stream).draw(0.5, "scoring")
    stream.getvalue().encode("cp1252")


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0:00"), (61, "1:01"), (3700, "1:01:40"), (float("inf"), "?")]
)
def test_durations_are_written_as_clocks_do(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


def test_commands_can_be_copied_into_a_shell() -> None:
    assert command("write", "my run", "--prompt", "it's") == (
        "sunspring write 'my run' --prompt 'it'\"'\"'s'"
    )


@pytest.mark.parametrize(
    ("number", "words"), [(0, "0 lines"), (1, "1 line"), (2, "2 lines"), (1234, "1,234 lines")]
)
def test_only_one_thing_is_counted_in_the_singular(number: int, words: str) -> None:
    assert counted(number, "line") == words
