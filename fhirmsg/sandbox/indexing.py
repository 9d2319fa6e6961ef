"""What the store can look a resource up by: its index entries.

The resource is read with tolerance. A list where R4 has one value, or one value where it has a
list, is followed; what has the wrong shape is left out and never an error, because a record
full of faults is what the store is there to show.

Source: https://hl7.org/fhir/R4/search.html, sections 3.1.1.4.8 to 3.1.1.4.13.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from .dates import EARLIEST, LATEST, span_of
from .parameters import Kind, Parameter
from .r4 import RELATIVE_REFERENCE, Resource
from .search import parameters_of


@dataclass(frozen=True, slots=True)
class Entry:
    """One index entry: token (code, system), reference (id, type), string (folded, as written).

    A date has the first and the last millisecond it covers as `low` and `high`.
    """

    name: str
    value: str = ""
    system: str = ""
    low: int | None = None
    high: int | None = None


def entries_of(resource: Resource) -> set[Entry]:
    """All index entries of a resource."""
    return {
        entry
        for parameter in parameters_of(resource["resourceType"]).values()
        for path in parameter.paths
        for value in values_at(resource, path)
        for entry in _INDEXERS[parameter.kind](parameter, value)
    }


def values_at(node: Any, path: tuple[str, ...]) -> Iterator[Any]:
    """Every value at a path, through lists, skipping what is not there."""
    if isinstance(node, list):
        for item in node:
            yield from values_at(item, path)
    elif not path:
        if node is not None:
            yield node
    elif isinstance(node, dict) and path[0] in node:
        yield from values_at(node[path[0]], path[1:])


def fold(text: str) -> str:
    """A text without case and accents, as strings are compared."""
    decomposed = unicodedata.normalize("NFKD", text)
    return "".join(c for c in decomposed if not unicodedata.combining(c)).casefold()


def _token_entries(parameter: Parameter, value: Any) -> Iterator[Entry]:
    for system, code in _codings(value):
        if code and parameter.only in (None, system):
            yield Entry(parameter.name, code, system)


def _codings(value: Any) -> Iterator[tuple[str, str]]:
    """(system, code) of a code, boolean, Coding, CodeableConcept, Identifier or ContactPoint."""
    if isinstance(value, bool):
        yield "", "true" if value else "false"
    elif isinstance(value, str):
        yield "", value
    elif isinstance(value, dict):
        if "coding" in value:
            for coding in values_at(value, ("coding",)):
                yield from _codings(coding)
        else:
            yield _text(value.get("system")), _text(value.get("code", value.get("value")))


def _reference_entries(parameter: Parameter, value: Any) -> Iterator[Entry]:
    text = _text(value.get("reference")) if isinstance(value, dict) else ""
    found = RELATIVE_REFERENCE.fullmatch(text)
    if found and parameter.only in (None, found["type"]):
        yield Entry(parameter.name, found["id"], found["type"])


def _date_entries(parameter: Parameter, value: Any) -> Iterator[Entry]:
    span = _span_of_period(value) if isinstance(value, dict) else span_of(_text(value))
    if span:
        yield Entry(parameter.name, low=span[0], high=span[1])


def _span_of_period(period: dict[str, Any]) -> tuple[int, int] | None:
    start, end = span_of(_text(period.get("start"))), span_of(_text(period.get("end")))
    if not (start or end):
        return None
    return start[0] if start else EARLIEST, end[1] if end else LATEST


_PARTS_OF_A_NAME = ("text", "family", "given", "prefix", "suffix")
_PARTS_OF_AN_ADDRESS = ("line", "city", "district", "state", "postalCode", "country")


def _string_entries(parameter: Parameter, value: Any) -> Iterator[Entry]:
    if isinstance(value, str) and value:
        yield Entry(parameter.name, fold(value), value)
    elif isinstance(value, dict):
        for part in _PARTS_OF_A_NAME + _PARTS_OF_AN_ADDRESS:
            for text in values_at(value, (part,)):
                yield from _string_entries(parameter, text)


def _uri_entries(parameter: Parameter, value: Any) -> Iterator[Entry]:
    if isinstance(value, str) and value:
        yield Entry(parameter.name, value)


_INDEXERS: dict[Kind, Callable[[Parameter, Any], Iterator[Entry]]] = {
    Kind.TOKEN: _token_entries,
    Kind.REFERENCE: _reference_entries,
    Kind.DATE: _date_entries,
    Kind.STRING: _string_entries,
    Kind.URI: _uri_entries,
}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
