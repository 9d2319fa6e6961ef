"""What a FHIR server says it can do: its CapabilityStatement, read tolerantly.

https://hl7.org/fhir/R4/capabilitystatement.html. Whatever it does not tell is None, which is
neither yes nor no: who asks decides what to make of it.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from cachetools import TTLCache

from fhirmsg.breaker import regardless_of_breakers
from fhirmsg.clock import Deadline
from fhirmsg.errors import RecordUnavailable
from fhirmsg.fhir.client import FhirAnswer, FhirClient, Resource
from fhirmsg.fhir.elements import element, elements, text_of

_METADATA_SECONDS = 5.0
_HOLDS_SECONDS = 600.0
# After a failure it is asked again soon: the server may be back.
_FAILURE_HOLDS_SECONDS = 10.0
_R4 = re.compile(r"4\.0(\.\d+)?")
_VERSION = re.compile(r"\d{1,3}(\.\d{1,3}){0,3}(-[A-Za-z0-9]{1,12})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Type:
    """What it says of one resource type; None for what it does not say."""

    interactions: frozenset[str] | None = None
    parameters: frozenset[str] | None = None
    conditional_create: bool | None = None
    versioning: str | None = None


_NOTHING_TOLD = _Type()


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """The answers that one CapabilityStatement gives; with nothing told, each is None.

    fhir_version: as written, None when it is no version. types is None when it lists none.
    """

    fhir_version: str | None = None
    _system: frozenset[str] | None = None
    _types: Mapping[str, _Type] | None = field(default=None, repr=False)

    @property
    def is_r4(self) -> bool:
        """Tell whether it says that it speaks R4 (4.0.x)."""
        return self.fhir_version is not None and _R4.fullmatch(self.fhir_version) is not None

    def takes(self, kind: str, interaction: str = "create") -> bool | None:
        """Tell whether a type takes an interaction (`read`, `create`, `search-type`, ...)."""
        if self._types is not None and kind not in self._types:
            return False
        told = self._of(kind).interactions
        return None if told is None else interaction in told

    def searches_by(self, kind: str, parameter: str) -> bool | None:
        """Tell whether a type can be searched by a parameter."""
        if self.takes(kind, "search-type") is False:
            return False
        told = self._of(kind).parameters
        return None if told is None else parameter in told

    def creates_conditionally(self, kind: str) -> bool | None:
        """Tell whether a create of a type heeds `If-None-Exist`."""
        return self._of(kind).conditional_create

    def checks_versions(self, kind: str) -> bool | None:
        """Tell whether an update of a type heeds `If-Match`."""
        told = self._of(kind).versioning
        return None if told is None else told == "versioned-update"

    def does(self, interaction: str) -> bool | None:
        """Tell whether the server as a whole does `batch` or `transaction`."""
        if self._system is None:
            return None
        if interaction == "batch" and "batch" not in self._system and self.does("transaction"):
            # HAPI names the one alone and does both.
            return None
        return interaction in self._system

    def _of(self, kind: str) -> _Type:
        return (self._types or {}).get(kind, _NOTHING_TOLD)


class FhirCapability:
    """Asks one server for its CapabilityStatement, and keeps the answer a while. Thread-safe."""

    def __init__(
        self,
        client: FhirClient,
        *,
        seconds: float = _HOLDS_SECONDS,
        failure_seconds: float = _FAILURE_HOLDS_SECONDS,
    ) -> None:
        """Ask the client's server; an answer holds for `seconds`, a failure for less."""
        self._client = client
        self._kept: TTLCache[str, Capabilities] = TTLCache(maxsize=1, ttl=seconds)
        self._failed: TTLCache[str, bool] = TTLCache(maxsize=1, ttl=failure_seconds)
        self._lock = threading.Lock()

    def told(self) -> Capabilities:
        """Give what it says, perhaps minutes old; nothing at all when it cannot be asked now."""
        with self._lock:
            kept = self._kept.get("it")
            if kept is not None:
                return kept
            if "it" in self._failed:
                return Capabilities()
            try:
                return self._ask()
            except RecordUnavailable:
                self._failed["it"] = True
                return Capabilities()

    def ask(self) -> Capabilities:
        """Ask the server now. Raises RecordUnavailable when it does not say."""
        with self._lock:
            return self._ask()

    def _ask(self) -> Capabilities:
        # Nothing urgent waits for what a server says of itself while it does not answer.
        with regardless_of_breakers(False):
            answer = self._client.read("metadata", deadline=Deadline(_METADATA_SECONDS))
        self._kept["it"] = found = capabilities_in(answer)
        self._failed.clear()
        return found


def capabilities_in(answer: FhirAnswer) -> Capabilities:
    """Read the answer to `metadata`. Raises RecordUnavailable when it holds no statement."""
    statement = answer.resource or {}
    if answer.status != 200 or statement.get("resourceType") != "CapabilityStatement":
        raise RecordUnavailable(
            f"The FHIR server answered {answer.status} to metadata, without a "
            "CapabilityStatement. Check its address and what it lets this service read."
        )
    version = text_of(statement.get("fhirVersion"))
    rest = _server_side(statement)
    listed = elements(rest.get("resource"))
    return Capabilities(
        fhir_version=version if _VERSION.fullmatch(version) else None,
        _system=_codes(rest.get("interaction"), "code"),
        _types={text_of(each.get("type")): _type(each) for each in listed} if listed else None,
    )


def _server_side(statement: Resource) -> Resource:
    sides = elements(statement.get("rest"))
    for each in sides:
        if each.get("mode") == "server":
            return each
    return element(next(iter(sides), None)) if len(sides) == 1 else {}


def _type(told: Resource) -> _Type:
    conditional = told.get("conditionalCreate")
    return _Type(
        interactions=_codes(told.get("interaction"), "code"),
        parameters=_codes(told.get("searchParam"), "name"),
        conditional_create=conditional if isinstance(conditional, bool) else None,
        versioning=text_of(told.get("versioning")) or None,
    )


def _codes(listed: object, name: str) -> frozenset[str] | None:
    """Give what a list names, None when there is no such list or nothing in it is understood."""
    return frozenset(filter(None, (text_of(each.get(name)) for each in elements(listed)))) or None
