"""Files that come with the package: under `data/` in the wheel, in their own place otherwise."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

_PACKAGE = Path(__file__).parent


def packaged(name: str, *, in_the_repository: str) -> Path:
    """Give the path of a file or folder, as installed or else as checked out."""
    installed = _PACKAGE / "data" / name
    return installed if installed.exists() else _PACKAGE.parent / in_the_repository


def packaged_bytes(name: str) -> bytes:
    """Give the content of a file that stands under `data/` in the repository too."""
    return files("fhirmsg").joinpath("data", name).read_bytes()
