"""What writers are asked for, for the tests of writing."""

from typing import Any

from sunspring.writing.settings import WritingSettings
from sunspring.writing.stretches import KnownStretches
from sunspring.writing.writer import Writer, Writing


def seeded(prompt: str = "", **settings: Any) -> WritingSettings:
    """What is to be written: with seed 0 and at temperature 1, unless others are given."""
    return WritingSettings(prompt, **{"seed": 0, "temperature": 1.0, **settings})


def write_texts(
    writer: Writer, wanted: WritingSettings, count: int = 1, known: KnownStretches | None = None
) -> list[Writing]:
    return writer.write(writer.begin(wanted, known), count)
