"""References in files: to entries of the same Bundle, to contained resources, to a server.

https://hl7.org/fhir/R4/bundle.html#references. Nobody can be asked what lies elsewhere, so what
leads nowhere has to be noticed by whoever compares.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from fhirmsg.fhir.elements import element, elements, text_of

_ABSOLUTE = re.compile(r"(https?://[^?#]+)/[A-Z][A-Za-z]+/[A-Za-z0-9\-.]{1,64}(?:/_history/.*)?\Z")
_OF_NOBODY = "https://files.invalid/fhir"
# Deeper than any resource is.
_DEEPEST = 64


@dataclass
class Bases:
    """What absolute references begin with; the files are of one server if there is one of them."""

    seen: set[str] = field(default_factory=set)

    def add(self, base: str) -> None:
        """Note a base, however its scheme and last slash are written."""
        self.seen.add(base.rstrip("/"))

    def add_from(self, reference: str) -> None:
        """Note the base of an absolute reference."""
        if found := _ABSOLUTE.match(reference):
            self.add(found[1])

    @property
    def one(self) -> str:
        """The base that all of them share, or one that nothing begins with."""
        kinds = {re.sub(r"^https?://", "", base).lower(): base for base in self.seen}
        return next(iter(kinds.values())) if len(kinds) == 1 else _OF_NOBODY


def resolved(value: Any, names: dict[str, str]) -> Any:
    """Give a resource whose references to entries by full URL, and to what it contains, are plain.

    names: `Type/id` by full URL. A contained resource is known by its identifiers alone.
    """
    if not isinstance(value, dict):
        return value
    contained = {f"#{text_of(each.get('id'))}": each for each in elements(value.get("contained"))}
    if not names and not contained:
        return value
    plain: Any = _with(value, names, contained, _DEEPEST)
    return plain


def _with(
    value: Any, names: dict[str, str], contained: dict[str, dict[str, Any]], depth: int
) -> Any:
    if depth == 0:
        return value
    if isinstance(value, list):
        return [_with(each, names, contained, depth - 1) for each in value]
    if not isinstance(value, dict):
        return value
    made = {name: _with(each, names, contained, depth - 1) for name, each in value.items()}
    written = text_of(value.get("reference"))
    if written in names:
        made["reference"] = names[written]
    elif written in contained:
        known = elements(element(contained[written]).get("identifier"))
        if known and "identifier" not in made:
            del made["reference"]
            made["identifier"] = known[0]
    return made
