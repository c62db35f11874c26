r"""Regular expressions read into a tree, in the syntax that Python's `re` and most others share.

A pattern is of the whole text, so it may begin with `^` and end with `$`, which change nothing.
What no automaton does (look-around, references to groups) and what needs more of the text than the
next character (`\b`) is refused by name and place. Knows nothing of models.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from sunspring.errors import SettingsError
from sunspring.writing.character_sets import (
    EVERYTHING,
    Ranges,
    complement,
    in_any_case,
    single,
    unicode_category,
    unicode_class,
    union,
)

_LONGEST = 10_000  # characters: a second of reading
_DEEPEST = 100  # groups in one another
_SHOWN = 60  # characters of a pattern in a message
_CONTROL = {"a": "\a", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "0": "\0"}
_HEXADECIMAL = {"x": 2, "u": 4, "U": 8}
_COUNTS = re.compile(r"\{(\d*)(,?)(\d*)\}")
_FLAGS = re.compile(r"\(\?(?!\))([imsux]*)(?:-([imsx]+))?\)")  # to the end of the group
_FLAGS_OF_GROUP = re.compile(r"\(\?([imsux]*)(?:-([imsx]+))?:")
_NAMED = re.compile(r"\(\?P?<[^\W\d]\w*>")
_UNSUPPORTED = {
    "(?=": "look-ahead",
    "(?!": "look-ahead",
    "(?<=": "look-behind",
    "(?<!": "look-behind",
    "(?P=": "a reference to a group",
    "(?(": "a condition",
    "(?>": "an atomic group",
}


@dataclass(frozen=True)
class Characters:
    """One character of a set."""

    ranges: Ranges


@dataclass(frozen=True)
class Sequence:
    """Parts one after another."""

    parts: tuple[Node, ...]


@dataclass(frozen=True)
class Choice:
    """One of several parts."""

    parts: tuple[Node, ...]


@dataclass(frozen=True)
class Repetition:
    """A part so many times; `most` is None for any number."""

    part: Node
    least: int
    most: int | None


@dataclass(frozen=True)
class _Anchor(Sequence):
    """`^` or `$`, which takes no characters, and its place."""

    sign: str
    place: int


Node = Characters | Sequence | Choice | Repetition


def shortened(text: str) -> str:
    """Quote a text for a message, its end left out if it is long."""
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")


def parse(regex: str) -> Node:
    """Read a regular expression.

    Raises:
        SettingsError: it is not one, or has what is not supported; the message says where.
    """
    if len(regex) > _LONGEST:
        raise SettingsError(
            f"the pattern {shortened(regex)} has {len(regex):,} characters: "
            f"write it in {_LONGEST:,} at most"
        )
    return _Parser(regex).parse()


@dataclass(frozen=True)
class _Flags:
    ignores_case: bool = False
    dot_is_all: bool = False
    is_verbose: bool = False

    def changed(self, added: str, removed: str) -> _Flags:
        now = {"i": self.ignores_case, "s": self.dot_is_all, "x": self.is_verbose}
        now |= dict.fromkeys(added, True) | dict.fromkeys(removed, False)
        return _Flags(now["i"], now["s"], now["x"])


class _Parser:
    """Reads one expression from left to right; `_place` is the next character."""

    def __init__(self, regex: str) -> None:
        self._regex = regex
        self._place = 0
        self._depth = 0
        self._flags = _Flags()

    def parse(self) -> Node:
        tree = self._choice()
        if self._place < len(self._regex):
            self._refuse("has no ( before it: add one, or write \\)", self._place)
        self._check_anchors(tree, at_begin=True, at_end=True)
        return tree

    def _refuse(self, what: str, place: int, size: int = 1) -> NoReturn:
        part = self._regex[place : place + size]
        raise SettingsError(
            f"the pattern {shortened(self._regex)} cannot be used: "
            f"{part} at character {place + 1} {what}"
        )

    def _refuse_unsupported(self, name: str, place: int, size: int) -> NoReturn:
        self._refuse(f"is {name}, which is not supported: leave it out", place, size)

    def _next_is(self, *signs: str) -> bool:
        return self._regex.startswith(signs, self._place)

    def _take(self, size: int = 1) -> str:
        taken = self._regex[self._place : self._place + size]
        self._place += size
        return taken

    def _choice(self) -> Node:
        flags = self._flags  # those set inside a group end with it
        options = [self._sequence()]
        while self._next_is("|"):
            self._take()
            options.append(self._sequence())
        self._flags = flags
        return options[0] if len(options) == 1 else Choice(tuple(options))

    def _sequence(self) -> Node:
        parts: list[Node] = []
        while True:
            self._skip_blanks()
            if self._place == len(self._regex) or self._next_is("|", ")"):
                return parts[0] if len(parts) == 1 else Sequence(tuple(parts))
            if not self._takes_flags():
                parts.append(self._repeated(self._atom()))

    def _takes_flags(self) -> bool:
        """Read flags that hold to the end of the group, such as `(?i)`, if they are next."""
        found = _FLAGS.match(self._regex, self._place)
        if found is None:
            return False
        self._flags = self._flags.changed(found[1], found[2] or "")
        self._place = found.end()
        return True

    def _skip_blanks(self) -> None:
        """Skip what is no part of the pattern: comments, and in verbose mode blanks."""
        # what follows a backslash does not end a comment, as in Python
        comment = r"\(\?#(?:\\.|[^)\\])*\)"
        blanks = r"[ \t\n\r\v\f]|#(?:\\.|[^\n\\])*"
        skipped = f"(?:{comment}|{blanks})*" if self._flags.is_verbose else f"(?:{comment})*"
        found = re.compile(skipped, re.DOTALL).match(self._regex, self._place)
        self._place = found.end() if found else self._place

    def _repeated(self, part: Node) -> Node:
        """Read what says how often a part comes, if anything does."""
        self._skip_blanks()
        place = self._place
        if not self._next_is("*", "+", "?", "{"):
            return part
        if isinstance(part, _Anchor):
            self._refuse("has nothing to repeat: write \\ before it", place)
        least, most = self._counts()
        if self._next_is("?"):  # how much is taken first makes no difference to what matches
            self._take()
        if self._next_is("*", "+", "?", "{"):
            self._refuse("repeats a repetition: put the part before it in (?:…)", self._place)
        return Repetition(part, least, most)

    def _counts(self) -> tuple[int, int | None]:
        """Read a repetition; returns how often at least and at most."""
        place = self._place
        if not self._next_is("{"):
            return {"*": (0, None), "+": (1, None), "?": (0, 1)}[self._take()]
        found = _COUNTS.match(self._regex, place)
        if found is None or not (found[1] or found[3]):
            self._refuse("begins no repetition such as {2,5}: write \\{ for a brace", place)
        self._place = found.end()
        digits = found[1] or "0", found[3] or (None if found[2] else found[1])
        # so long a number is too large, and Python would refuse to read it
        least, most = (None if each is None else int(each[:12]) for each in digits)
        if most is not None and least is not None and least > most:
            self._refuse("has more at least than at most", place, found.end() - place)
        return least or 0, most

    def _atom(self) -> Node:
        place, sign = self._place, self._take()
        if sign == "(":
            return self._group(place)
        if sign == "[":
            return Characters(self._class(place))
        if sign == ".":
            return Characters(EVERYTHING if self._flags.dot_is_all else complement(single("\n")))
        if sign in "^$":
            return _Anchor((), sign, place)
        if sign == "\\":
            return self._escape(place)
        if sign in "*+?{":
            self._refuse(f"has nothing to repeat: write \\{sign} for the sign itself", place)
        return self._characters(single(sign))

    def _characters(self, ranges: Ranges) -> Node:
        return Characters(in_any_case(ranges) if self._flags.ignores_case else ranges)

    def _group(self, place: int) -> Node:
        """Read a group, after its bracket."""
        for sign, name in _UNSUPPORTED.items():
            if self._regex.startswith(sign, place):
                self._refuse_unsupported(name, place, len(sign))
        before = self._flags
        if flags := _FLAGS_OF_GROUP.match(self._regex, place):
            self._place = flags.end()
            self._flags = before.changed(flags[1], flags[2] or "")
        elif named := _NAMED.match(self._regex, place):
            self._place = named.end()
        elif self._next_is("?"):
            self._refuse("begins no group: write (…) or (?:…)", place, 3)
        self._depth += 1
        if self._depth > _DEEPEST:
            self._refuse(f"is nested in more than {_DEEPEST} groups: simplify the pattern", place)
        inside = self._choice()
        self._depth -= 1
        if not self._next_is(")"):
            self._refuse("is never closed: add a ), or write \\( for a bracket", place)
        self._take()
        self._flags = before
        return inside

    def _escape(self, place: int) -> Node:
        """Read an escape outside a class, after its backslash."""
        sign = self._regex[self._place : self._place + 1]
        if sign in ("A", "Z", "z"):
            self._take()
            return _Anchor((), "^" if sign == "A" else "$", place)
        if sign in ("b", "B"):
            self._refuse_unsupported("a word boundary", place, 2)
        if sign == "k" or (sign.isdecimal() and sign != "0"):
            self._refuse_unsupported("a reference to a group", place, 2)
        return self._characters(self._escaped(place))

    def _escaped(self, place: int) -> Ranges:
        """Read an escape that stands for a set of characters, after its backslash."""
        sign = self._take()
        if sign and sign in "dsw":
            return unicode_class(f"\\{sign}")
        if sign and sign in "DSW":
            return complement(unicode_class(f"\\{sign.lower()}"))
        if sign in ("p", "P"):
            return self._category(place, complement if sign == "P" else lambda ranges: ranges)
        if sign == "0" and self._regex[self._place : self._place + 1].isdecimal():
            self._refuse("is no escape: write a character by its number as \\x0a", place, 3)
        if sign in _CONTROL:
            return single(_CONTROL[sign])
        if sign in _HEXADECIMAL:
            return single(self._code_point(place, _HEXADECIMAL[sign]))
        if not sign or (sign.isascii() and sign.isalnum()):
            self._refuse("is no escape: write \\\\ for a backslash", place, 2)
        return single(sign)

    def _category(self, place: int, wanted: Callable[[Ranges], Ranges]) -> Ranges:
        found = re.compile(r"\{(\w+)\}|(\w)").match(self._regex, self._place)
        ranges = unicode_category(found[1] or found[2]) if found else ()
        if found is None or not ranges:
            self._refuse(
                "is no category of Unicode, such as \\p{L} or \\p{Lu}",
                place,
                (found.end() if found else self._place) - place,
            )
        self._place = found.end()
        return wanted(ranges)

    def _code_point(self, place: int, digits: int) -> str:
        wanted = rf"\{{([0-9a-fA-F]{{1,8}})\}}|([0-9a-fA-F]{{{digits}}})"
        found = re.compile(wanted).match(self._regex, self._place)
        point = int(found[1] or found[2], 16) if found else -1
        if found is None or not any(begin <= point < end for begin, end in EVERYTHING):
            self._refuse(f"is no character: give its number in {digits} digits", place, 2)
        self._place = found.end()
        return chr(point)

    def _class(self, place: int) -> Ranges:
        """Read a class, after its bracket."""
        is_negated = self._next_is("^")
        self._place += is_negated
        begin, found = self._place, list[Ranges]()
        while not self._next_is("]") or self._place == begin:
            if self._place >= len(self._regex):
                self._refuse("is never closed: add a ], or write \\[ for a bracket", place)
            if self._next_is("[:", "&&"):
                self._refuse_unsupported("a set of sets", self._place, 2)
            found.append(self._member())
        self._take()
        ranges = union(*found)
        if self._flags.ignores_case:
            ranges = in_any_case(ranges)
        return complement(ranges) if is_negated else ranges

    def _member(self) -> Ranges:
        """Read a character, an escape or a range of a class."""
        place = self._place
        low = self._one_of_class()
        if not self._next_is("-") or self._regex[self._place + 1 : self._place + 2] in ("]", ""):
            return low
        self._take()
        high = self._one_of_class()
        ends = [ranges[0][0] for ranges in (low, high) if _is_single(ranges)]
        if len(ends) < 2 or ends[0] > ends[1]:
            self._refuse(
                "is no range: its ends must be two characters in order", place, self._place - place
            )
        return union([(ends[0], ends[1] + 1)], ())

    def _one_of_class(self) -> Ranges:
        place, sign = self._place, self._take()
        if sign != "\\":
            return single(sign)
        if self._next_is("b"):
            self._take()
            return single("\b")
        return self._escaped(place)

    def _check_anchors(self, node: Node, *, at_begin: bool, at_end: bool) -> None:
        """Refuse anchors but at the ends of the text."""
        if isinstance(node, _Anchor):
            if not (at_begin if node.sign == "^" else at_end):
                self._refuse(
                    "is inside the pattern, which must match the whole text: leave it out",
                    node.place,
                )
        elif isinstance(node, Choice):
            for part in node.parts:
                self._check_anchors(part, at_begin=at_begin, at_end=at_end)
        elif isinstance(node, Repetition):
            self._check_anchors(node.part, at_begin=False, at_end=False)
        elif isinstance(node, Sequence):
            solid = [place for place, part in enumerate(node.parts) if not _is_empty(part)]
            first, last = (solid[0], solid[-1]) if solid else (len(node.parts), -1)
            for place, part in enumerate(node.parts):
                self._check_anchors(
                    part, at_begin=at_begin and place <= first, at_end=at_end and place >= last
                )


def _is_single(ranges: Ranges) -> bool:
    return len(ranges) == 1 and ranges[0][1] - ranges[0][0] == 1


def _is_empty(node: Node) -> bool:
    """Return whether a part takes no characters, like an anchor."""
    return isinstance(node, Sequence) and all(map(_is_empty, node.parts))
