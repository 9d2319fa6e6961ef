"""Files that come with the package: under `data/` in the wheel, in their own place otherwise."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parent


def packaged(name: str, *, in_the_repository: str) -> Path:
    """Give the path of a file or folder, as installed or else as checked out."""
    installed = _PACKAGE / "data" / name
    return installed if installed.exists() else _PACKAGE.parent / in_the_repository
