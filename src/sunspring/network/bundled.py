"""The models that come with the package, by their names.

Each is a folder under `models/`, made by `tools/train_bundled.py`.
"""

from __future__ import annotations

from pathlib import Path

from sunspring.errors import ModelError

_FOLDER = Path(__file__).parent / "models"


def bundled_models() -> list[str]:
    """Name the models that come with the package."""
    return sorted(path.name for path in _FOLDER.iterdir() if path.is_dir())


def find_model(folder: Path) -> Path:
    """Give the folder of a model: one of the user's, or one that comes with the package.

    Args:
        folder: a folder, or the name of a bundled model. What stands on the disk comes first.

    Raises:
        ModelError: it is neither.
    """
    if folder.is_dir():
        return folder
    if str(folder) in bundled_models():
        return _FOLDER / folder
    raise ModelError(
        f"there is no model folder {folder}: name what sunspring train wrote, "
        f"or a bundled model: {', '.join(bundled_models())}"
    )
