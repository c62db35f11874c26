"""The errors that users can mend; the first module of the street, it imports nothing.

Every message says what is wrong, where, and what to do. The command line prints it as one line
and exits with 1; anything that is not a `SunspringError` is a defect of this package.
"""


class SunspringError(Exception):
    """Something that the user can mend: a file, a setting, a model folder."""


class SourceError(SunspringError):
    """A source is missing, unreadable, empty, binary or not decodable."""


class SettingsError(SunspringError):
    """A setting, or a combination of settings, that cannot be carried out."""


class ModelError(SunspringError):
    """A model or run folder is missing, damaged or does not fit what is asked of it."""


class MissingExtraError(SunspringError):
    """An optional dependency is not installed.

    Args:
        what: what was asked for, e.g. `"training"`.
        extra: the extra of this package that brings it, e.g. `"train"`.
    """

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs an extra: pip install 'sunspring[{extra}]'")
