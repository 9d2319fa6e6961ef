"""What one search parameter is, and the words the table in `search.py` is written with.

Source: https://hl7.org/fhir/R4/search.html, section 3.1.1.2 (types of parameters).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum


class Kind(Enum):
    """How the values of a parameter are indexed and compared."""

    TOKEN = "token"  # noqa: S105 - the word is FHIR's
    REFERENCE = "reference"
    DATE = "date"
    STRING = "string"
    URI = "uri"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One search parameter: `paths` below the resource, `targets` a reference may have."""

    name: str
    kind: Kind
    paths: tuple[tuple[str, ...], ...]
    targets: frozenset[str] = frozenset()
    only: str | None = None


def _parameter(kind: Kind, name: str, path: str, targets: str) -> Parameter:
    paths = tuple(tuple(alternative.split(".")) for alternative in path.split(" | "))
    return Parameter(name, kind, paths, frozenset(targets.split()))


def token(name: str, path: str) -> Parameter:
    """A code, identifier, contact point or boolean."""
    return _parameter(Kind.TOKEN, name, path, "")


def reference(name: str, path: str, targets: str = "") -> Parameter:
    """A reference to one of the target types; none named: to any."""
    return _parameter(Kind.REFERENCE, name, path, targets)


def date(name: str, path: str) -> Parameter:
    """A date, an instant or a period."""
    return _parameter(Kind.DATE, name, path, "")


def string(name: str, path: str) -> Parameter:
    """A text, or the parts of a name or an address."""
    return _parameter(Kind.STRING, name, path, "")


def uri(name: str, path: str) -> Parameter:
    """A URI or a canonical, compared as it is."""
    return _parameter(Kind.URI, name, path, "")


def only(kept: str, parameter: Parameter) -> Parameter:
    """The same parameter, for references to one type or contact points of one system."""
    return replace(parameter, only=kept)
