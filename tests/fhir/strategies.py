"""Arbitrary JSON, and resources in which something has been replaced by it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

Path = tuple[str | int, ...]

_DATES = (
    *("2026", "2026-13-45", "0000", "2026-02-30", "2026-11-24T10:00:00", "9999-12-31"),
    *("9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+14:00"),
)
_WORDS = st.sampled_from(
    [
        *("", " ", "Patient/amara", "#in", "0", "1", "-1", "http://[", "true", "\ud800", "\x00"),
        *("active", "permit", "deny", "R", *_DATES),
    ]
)
_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-2, 10)
    | st.sampled_from([10**400, -1, 2**63, 1e308, 0.5])
    | st.text(max_size=6)
    | _WORDS
)


def json_values(max_leaves: int = 6) -> st.SearchStrategy[Any]:
    """Give any JSON value."""
    return st.recursive(
        _SCALARS,
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
        ),
        max_leaves=max_leaves,
    )


def paths_in(value: Any, at: Path = ()) -> Iterator[Path]:
    """Give the path of every value in a JSON document."""
    members = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for name, member in members:
        yield (*at, name)
        yield from paths_in(member, (*at, name))


def with_value(document: dict[str, Any], path: Path, value: Any) -> dict[str, Any]:
    """Give the document with another value at this path."""
    changed = copy.deepcopy(document)
    holder: Any = changed
    for step in path[:-1]:
        holder = holder[step]
    holder[path[-1]] = value
    return changed


def damaged(document: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Give the document with anything at all in the place of one to three of its values."""

    @st.composite
    def strategy(draw: st.DrawFn) -> dict[str, Any]:
        changed = document
        for _ in range(draw(st.integers(1, 3))):
            path = draw(st.sampled_from(sorted(paths_in(changed), key=repr) or [("x",)]))
            changed = with_value(changed, path, draw(json_values()))
        return changed

    return strategy()
