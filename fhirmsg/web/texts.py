"""What a text in a request may hold, whatever it is for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from fhirmsg.guidance.readable import says_something

_PLACEHOLDER = re.compile(
    r"\(\([^()]*\)\)|\{\{[^{}]*\}\}|\$\{[^{}]*\}|<<[^<>]*>>|\[\[[^\[\]]*\]\]"
    r"|\{[A-Za-z_][A-Za-z0-9_ .]*\}|%[A-Za-z_]+%"
)
_HALF = re.compile(r"[\ud800-\udfff]")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


def texts_in(value: Any, pointer: str = "") -> Iterator[tuple[str, str]]:
    """Give every text in a body with its JSON pointer."""
    if isinstance(value, str):
        yield pointer, value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from texts_in(inner, f"{pointer}/{name}")
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from texts_in(inner, f"{pointer}/{place}")


def holds_control(text: str) -> bool:
    """Tell whether a text holds a character that neither a message nor FHIR may hold."""
    return _CONTROL.search(text) is not None


def is_text(value: str) -> bool:
    """Tell whether a string can be written at all: JSON can escape half a character."""
    return value.isascii() or _HALF.search(value) is None


def faults_of_wording(text: str) -> Iterator[str]:
    """Say what keeps a text from being sent to anybody."""
    if not says_something(text):
        yield "has no visible character"
    if _PLACEHOLDER.search(text):
        yield "holds a placeholder that was not filled in"
