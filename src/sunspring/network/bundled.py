"""The bundled models, which come with the package, by name.

Each is a folder under `models/`, made by `tools/train_bundled.py`.
"""

from __future__ import annotations

from pathlib import Path

from sunspring.errors import ModelError

_FOLDER = Path(__file__).parent / "models"


def bundled_models() -> list[str]:
    """Return the names of the bundled models."""
    return sorted(path.name for path in _FOLDER.iterdir() if path.is_dir())


def find_model(folder: Path) -> Path:
    """Find the folder of a model: one of the user's, or a bundled one.

    Args:
        folder: a folder, or the name of a bundled model; an existing folder takes precedence.

    Raises:
        ModelError: it is neither.
    """
    if folder.is_dir():
        return folder
    if str(folder) in bundled_models():
        return _FOLDER / folder
    raise ModelError(
        f"there is no model folder {folder}: name one that sunspring train wrote, "
        f"or a bundled model ({', '.join(bundled_models())})"
    )
