"""The errors that users can fix. This module imports nothing.

Every message says what is wrong, where, and what to do. The command line prints it as one line
and exits with 1. Any other exception is a bug in this package.
"""


class SunspringError(Exception):
    """Something that the user can fix: a file, a setting, a model folder."""


class SourceError(SunspringError):
    """A source is missing, unreadable, empty, binary or impossible to decode."""


class SettingsError(SunspringError):
    """A setting, or a combination of settings, that cannot be carried out."""


class ModelError(SunspringError):
    """A model or run folder is missing, damaged or unsuitable for what was asked of it."""


class MissingExtraError(SunspringError):
    """An optional dependency is not installed.

    Args:
        what: what needs it, e.g. `"training"`.
        extra: the extra of this package that installs it, e.g. `"train"`.
    """

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs an extra: pip install 'sunspring[{extra}]'")
