"""Writing together: the model proposes, the person picks, types or takes back.

The conversation goes through two functions, one that asks and one that shows, so that it runs in a
terminal and in a test.
"""

from __future__ import annotations

from collections.abc import Callable

from sunspring.errors import SettingsError
from sunspring.model import Model
from sunspring.writing.settings import ProposalSettings

HELP = """\
A number picks that proposal, Enter picks the first; anything else is added as you typed it.
:undo takes back the last step, :quit ends; begin with = to add a number or a command as text."""

_SHOWN = 400  # characters of the text so far


def write_together(
    model: Model,
    prompt: str,
    settings: ProposalSettings,
    ask: Callable[[str], str],
    show: Callable[[str], None],
) -> str:
    """Run the conversation, and return the text at its end.

    Args:
        model: makes the proposals.
        prompt: the text to begin with.
        settings: how proposals are made, and what the text must match.
        ask: shows a question and returns the answer; raises `EOFError` or `KeyboardInterrupt` when
            there are no more answers.
        show: shows a text.

    Raises:
        SettingsError: no text that begins with the prompt matches.
    """
    show(HELP)
    steps = [prompt]
    while True:
        text = "".join(steps)
        try:
            proposals = model.proposals(text, settings, show)
        except SettingsError as error:
            if len(steps) == 1:
                raise
            show(f"that is taken back: {error}")
            steps.pop()
            continue
        show(f"\n{'…' if len(text) > _SHOWN else ''}{text[-_SHOWN:]}▏\n")
        for number, proposal in enumerate(proposals, start=1):
            show(f"  {number}  {proposal.probability:6.1%}  {_visible(proposal.text)}")
        if missing := _missing("".join(steps[1:]), settings):
            show(f"the text still has to {missing}")
        if not proposals and settings.no_copies_over:
            show("all that the model could add copies too much: type something, or :undo")
        try:
            answer = ask("> ")
        except (EOFError, KeyboardInterrupt):
            return text
        if answer == ":quit":
            return text
        if answer == ":undo":
            if len(steps) > 1:
                steps.pop()
            else:
                show("there is no step to take back")
        elif (answer.isascii() and answer.isdigit()) or not answer:
            choices = {str(number): each.text for number, each in enumerate(proposals, start=1)}
            picked = answer or "1"
            if picked in choices:
                steps.append(choices[picked])
            elif choices:
                show(f"there is no proposal {picked}: choose 1 to {len(choices)}")
            else:
                show("the model would end here: type what comes next")
        else:
            steps.append(answer.removeprefix("="))


def _missing(written: str, settings: ProposalSettings) -> str:
    """Say what has not been written of what must be; empty if there is nothing."""
    parts = [f"have {each!r}" for each in settings.phrases("contains") if each not in written]
    ends = settings.phrases("ends_with")
    parts += [f"end with {each!r}" for each in ends if not written.endswith(each)]
    return " and ".join(parts)


def _visible(text: str) -> str:
    """Make line ends and spaces visible in a text that begins or ends with any."""
    return text.replace("\n", "⏎").replace(" ", "␣") if text.strip() != text else text
