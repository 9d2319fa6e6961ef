"""Text as its reader takes it: whether it says anything, and whether two texts say the same."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

# Letters and a symbol that print as nothing.
_BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0")


def _is_visible(character: str) -> bool:
    # Controls, separators, and marks without a letter to stand on are seen by nobody.
    return unicodedata.category(character)[0] not in "CMZ" and character not in _BLANK


def says_something(text: str | None) -> bool:
    """Tell whether a text has any visible character in it."""
    return text is not None and any(map(_is_visible, text))


def as_read(text: str | None) -> str:
    """Give a text as its reader takes it, to compare names, roles and identifiers.

    Letter case, spacing, width and invisible characters make no difference.
    """
    seen = (
        character if _is_visible(character) else " " * character.isspace()
        for character in unicodedata.normalize("NFKC", text or "")
    )
    return " ".join("".join(seen).split()).casefold()


def same_role(role: str | None, roles: Iterable[str]) -> bool:
    """Tell whether a role is one of these, whatever its letter case and spacing."""
    return as_read(role) in map(as_read, roles)
