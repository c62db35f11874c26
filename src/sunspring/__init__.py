"""Sunspring teaches a small recurrent network to write like a text of your own.

`train`, `load`, `Model` and `SunspringError` are the public interface; docs/architecture.md
describes the modules behind it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from sunspring.errors import SunspringError

if TYPE_CHECKING:
    from sunspring.api import Model, load, train

__all__ = ["Model", "SunspringError", "load", "train"]


def __getattr__(name: str) -> Any:
    """Import the rest on first use: PyTorch alone takes more than a second."""
    if name in __all__:
        return getattr(import_module("sunspring.api"), name)
    raise AttributeError(f"module 'sunspring' has no attribute {name!r}")
