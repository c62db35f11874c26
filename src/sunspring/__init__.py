"""Sunspring teaches a small recurrent network to write like a text of your own.

`train`, `load`, `Model` and `SunspringError` are the public interface; the modules behind it are
laid out in docs/architecture.md.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from sunspring.errors import SunspringError

if TYPE_CHECKING:
    from sunspring.api import Model, load, train

__all__ = ["Model", "SunspringError", "load", "train"]


def __getattr__(name: str) -> Any:
    """Import the rest when it is asked for: PyTorch alone takes more than a second."""
    if name in __all__:
        return getattr(import_module("sunspring.api"), name)
    raise AttributeError(f"module 'sunspring' has no attribute {name!r}")
