"""A search request as one SQL query over the index of the store.

As on HAPI an empty value is no filter at all, so `Consent?patient=` finds everybody's, and an
unknown parameter that starts with `_` is ignored. On purpose unlike HAPI: a modifier or a
feature that this store does not have (chains, `_include`, `_has`...) is refused with 400, so
that nobody takes an unfiltered answer for a filtered one.

Source: https://hl7.org/fhir/R4/search.html.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias
from urllib.parse import parse_qsl

from .dates import span_of
from .errors import BadRequest, NotSupported
from .indexing import fold
from .parameters import Kind, Parameter
from .r4 import RELATIVE_REFERENCE, RESOURCE_TYPES, natural
from .search import parameters_of

DEFAULT_PAGE = 20
LARGEST_PAGE = 1000

Condition: TypeAlias = tuple[str, list[object]]
"""A piece of SQL, and the values for its question marks."""


@dataclass(slots=True)
class Query:
    """One search of one type: its conditions on `resource r`, its order, its page size."""

    type: str
    where: list[Condition] = field(default_factory=list)
    order: list[Condition] = field(default_factory=list)
    count: int = DEFAULT_PAGE
    accurate_total: bool = False
    indexed: bool = False

    def sql(self) -> Condition:
        """The statement that gives the keys of all matches in order."""
        where = "".join(f" AND {condition}" for condition, _ in self.where)
        order = ", ".join([*(term for term, _ in self.order), self._last_resort()])
        # The plus keeps SQLite from walking all resources of the type when a filter names few.
        of_type = "+r.type = ?" if self.indexed else "r.type = ?"
        values = [value for _, values in (*self.where, *self.order) for value in values]
        # Every piece of the text is one of ours; what the caller wrote is among the values.
        sql = f"SELECT r.pk FROM resource r WHERE {of_type} AND r.live{where} ORDER BY {order}"  # noqa: S608
        return sql, [self.type, *values]

    def _last_resort(self) -> str:
        # What changed in one millisecond is shown newest first too, where that was asked for.
        newest_first = self.order and self.order[0][0] == "r.updated DESC"
        return "r.pk DESC" if newest_first else "r.pk"


def query_of(resource_type: str, query_string: str) -> Query:
    """Read a query string (or a form body) as a search of one type.

    Raises BadRequest for a parameter or value that is not valid there, NotSupported for a part
    of FHIR search that this store does not have.
    """
    query = Query(resource_type)
    for name, value in parse_qsl(query_string, keep_blank_values=True):
        if value:
            _add(query, name, value)
    return query


def _add(query: Query, written: str, value: str) -> None:
    name, _, modifier = written.partition(":")
    if control := _CONTROLS.get(name):
        if modifier:
            raise NotSupported(f"This store does not support {name} with a modifier.")
        control(query, value)
    elif parameter := parameters_of(query.type).get(name):
        query.where.append(_condition(query.type, parameter, modifier, value))
        query.indexed = query.indexed or modifier not in ("not", "missing")
    elif name in _NOT_SUPPORTED or "." in name:
        raise NotSupported(f"This store does not support {name} in a search.")
    elif not name.startswith("_"):
        known = ", ".join(sorted([*parameters_of(query.type), "_id", "_lastUpdated"]))
        raise BadRequest(
            f"{query.type} has no search parameter {name}, so nothing was searched."
            f" It has: {known}."
        )


_NOT_SUPPORTED = frozenset(
    ("_contained", "_content", "_filter", "_has", "_include", "_list", "_revinclude", "_text")
)


def _condition(resource_type: str, parameter: Parameter, modifier: str, value: str) -> Condition:
    head = "(SELECT resource FROM entry WHERE type = ? AND name = ?"
    values: list[object] = [resource_type, parameter.name]
    if modifier == "missing":
        if value not in ("true", "false"):
            raise BadRequest(f"{parameter.name}:missing is true or false.")
        return f"r.pk {'NOT ' if value == 'true' else ''}IN {head})", values
    negated = modifier == "not" and parameter.kind is Kind.TOKEN
    compare = _COMPARISONS[parameter.kind]
    any_of = [compare(parameter, "" if negated else modifier, one) for one in _split(value, ",")]
    alternatives = " OR ".join(f"({sql})" for sql, _ in any_of)
    values += [item for _, items in any_of for item in items]
    return f"r.pk {'NOT ' if negated else ''}IN {head} AND ({alternatives}))", values


def _split(text: str, separator: str) -> list[str]:
    """Split at a separator that no backslash stands before."""
    return re.split(rf"(?<!\\){re.escape(separator)}", text)


def _unescaped(text: str) -> str:
    return re.sub(r"\\([\\,|$])", r"\1", text)


def _token(parameter: Parameter, modifier: str, text: str) -> Condition:
    _no_modifier(parameter, modifier)
    parts = [_unescaped(part) for part in _split(text, "|")]
    if len(parts) == 1:
        return "value = ?", [parts[0]]
    system, code = parts[0], "|".join(parts[1:])
    if not code:
        return "system = ?", [system]
    return "value = ? AND system = ?", [code, system]


def _reference(parameter: Parameter, modifier: str, text: str) -> Condition:
    if modifier in RESOURCE_TYPES:
        text = f"{modifier}/{text.removeprefix(modifier + '/')}"
    else:
        _no_modifier(parameter, modifier)
    if "/" not in text:
        return "value = ?", [text]
    if found := RELATIVE_REFERENCE.fullmatch(text):
        return "value = ? AND system = ?", [found["id"], found["type"]]
    if text.startswith(("http://", "https://")):
        # Only relative references are stored, so an absolute one is never found, as on HAPI.
        return "0", []
    raise BadRequest(f"The value of {parameter.name} is not a reference: write id or Type/id.")


def _date(parameter: Parameter, modifier: str, text: str) -> Condition:
    _no_modifier(parameter, modifier)
    return _date_between(parameter.name, text, "low", "high")


def _string(parameter: Parameter, modifier: str, text: str) -> Condition:
    text = _unescaped(text)
    if modifier == "exact":
        return "system = ?", [text]
    _no_modifier(parameter, modifier)
    start = fold(text)
    return "value >= ? AND value < ?", [start, start + chr(0x10FFFF)]


def _uri(parameter: Parameter, modifier: str, text: str) -> Condition:
    _no_modifier(parameter, modifier)
    return "value = ?", [_unescaped(text)]


_COMPARISONS: dict[Kind, Callable[[Parameter, str, str], Condition]] = {
    Kind.TOKEN: _token,
    Kind.REFERENCE: _reference,
    Kind.DATE: _date,
    Kind.STRING: _string,
    Kind.URI: _uri,
}


def _no_modifier(parameter: Parameter, modifier: str) -> None:
    if modifier:
        raise NotSupported(f"This store does not support {parameter.name}:{modifier}.")


_DATE_COMPARISONS = {
    "eq": ("{low} >= ? AND {high} <= ?", "low high"),
    "ne": ("NOT ({low} >= ? AND {high} <= ?)", "low high"),
    "gt": ("{high} > ?", "high"),
    "lt": ("{low} < ?", "low"),
    "ge": ("{high} >= ?", "low"),
    "le": ("{low} <= ?", "high"),
    "sa": ("{low} > ?", "high"),
    "eb": ("{high} < ?", "low"),
}
"""By prefix: the condition on an entry's span, and which ends of the asked span it takes."""


def _date_between(name: str, text: str, low: str, high: str) -> Condition:
    prefix, rest = (text[:2], text[2:]) if text[:2].isalpha() else ("eq", text)
    span = span_of(rest)
    if prefix not in _DATE_COMPARISONS or span is None:
        raise BadRequest(f"The value of {name} is not a date, with a prefix such as ge or without.")
    sql, ends = _DATE_COMPARISONS[prefix]
    asked = {"low": span[0], "high": span[1]}
    return sql.format(low=low, high=high), [asked[end] for end in ends.split()]


def _by_id(query: Query, text: str) -> None:
    ids = [one.removeprefix(f"{query.type}/") for one in _split(text, ",")]
    query.where.append((f"r.id IN ({', '.join('?' * len(ids))})", [*ids]))


def _by_update(query: Query, text: str) -> None:
    any_of = [
        _date_between("_lastUpdated", one, "r.updated", "r.updated") for one in _split(text, ",")
    ]
    alternatives = " OR ".join(f"({sql})" for sql, _ in any_of)
    query.where.append((f"({alternatives})", [item for _, items in any_of for item in items]))


def _sort(query: Query, text: str) -> None:
    for term in text.split(","):
        name = term.removeprefix("-")
        query.order.append(_order(query.type, name, descending=term != name))


def _order(resource_type: str, name: str, *, descending: bool) -> Condition:
    direction = "DESC" if descending else "ASC"
    if column := {"_lastUpdated": "r.updated", "_id": "r.id"}.get(name):
        return f"{column} {direction}", []
    if not (parameter := parameters_of(resource_type).get(name)):
        raise BadRequest(f"{resource_type} cannot be sorted by {name}: it has no such parameter.")
    aggregate = "max" if descending else "min"
    column = "low" if parameter.kind is Kind.DATE else "value"
    value = f"(SELECT {aggregate}({column}) FROM entry WHERE resource = r.pk AND name = ?)"  # noqa: S608
    return f"{value} {direction} NULLS LAST", [name]


def _count(query: Query, text: str) -> None:
    if (count := natural(text)) is None:
        raise BadRequest("_count is a whole number from 0.")
    query.count = min(count, LARGEST_PAGE)


def _total(query: Query, text: str) -> None:
    query.accurate_total = text == "accurate"


def _summary(query: Query, text: str) -> None:
    if text == "count":
        query.count = 0


_CONTROLS: dict[str, Callable[[Query, str], None]] = {
    "_id": _by_id,
    "_lastUpdated": _by_update,
    "_sort": _sort,
    "_count": _count,
    "_total": _total,
    "_summary": _summary,
}
