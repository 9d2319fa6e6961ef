"""Resources at hand in place of a server, so that a decision can be made without one.

They are read as they are, with the versions and instants in their `meta`, which no server would
keep. Answers come in the shape of a server's, so that everything is translated by the same code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from urllib.parse import parse_qsl, urlencode

from fhirmsg.clock import Deadline
from fhirmsg.errors import RecordUnavailable
from fhirmsg.fhir.client import FhirAnswer, FhirServer, Resource
from fhirmsg.fhir.elements import (
    elements,
    identifier_key,
    instant_of,
    own_keys,
    reference_keys,
    text_of,
    version_of,
)
from fhirmsg.fhir.neighbours import values_of

_BASE = "https://files.invalid/fhir"


class FhirFiles:
    """Answers the reads and searches of the reader from memory."""

    def __init__(self, resources: Iterable[Resource], *, base: str = _BASE) -> None:
        """Take the resources; of two versions of one the later in the row is the current one.

        base: what absolute references to them begin with.
        """
        self.base = base.rstrip("/")
        self.server = FhirServer(base_url=self.base)
        self._held = {version_of(each).reference: each for each in resources}
        self._filters: dict[str, Callable[[Resource, str], bool]] = {
            "patient": self._is_about,
            "subject": self._is_about,
            "identifier": _is_known_as,
            "telecom": _is_found_at,
            "status": lambda resource, value: resource.get("status") in value.split(","),
            "_lastUpdated": _is_changed_since,
        }

    def follow(self, link: str, *, deadline: Deadline) -> FhirAnswer:
        """Raise RecordUnavailable: all matches stand on the first page."""
        raise RecordUnavailable("There are no further pages among files.")

    def batch(self, paths: list[str], *, deadline: Deadline) -> tuple[FhirAnswer, list[FhirAnswer]]:
        """Answer each path."""
        return FhirAnswer(status=200, resource=None), [self._answer(path) for path in paths]

    def search_by_post(self, kind: str, body: str, *, deadline: Deadline) -> FhirAnswer:
        """Search one kind."""
        return self._answer(f"{kind}?{body}")

    def _answer(self, path: str) -> FhirAnswer:
        kind, question, query = path.partition("?")
        if not question:
            held = self._held.get(path)
            return FhirAnswer(status=404 if held is None else 200, resource=held)
        asked = [(name, value) for name, value in parse_qsl(query) if name not in _CONTROLS]
        if any(name not in self._filters for name, _ in asked):
            return FhirAnswer(status=400, resource=None)
        found = [
            resource
            for resource in self._held.values()
            if resource.get("resourceType") == kind
            and all(self._filters[name](resource, value) for name, value in asked)
        ]
        bundle: Resource = {
            "resourceType": "Bundle",
            "type": "searchset",
            "total": len(found),
            "link": [{"relation": "self", "url": f"{self.base}/{kind}?{urlencode(asked)}"}],
            "entry": [{"resource": each, "search": {"mode": "match"}} for each in found],
        }
        return FhirAnswer(status=200, resource=bundle)

    def _is_about(self, resource: Resource, reference: str) -> bool:
        """Compare by reference and, where the person is at hand, by identifier."""
        keys = own_keys(self._held.get(reference, {})) | {reference}
        return any(
            reference_keys(resource.get(name), self.base) & keys for name in ("patient", "subject")
        )


_CONTROLS = frozenset({"_count", "_total", "_sort"})


def _is_known_as(resource: Resource, token: str) -> bool:
    system, _, value = token.rpartition("|")
    return identifier_key({"system": system, "value": value}) in own_keys(resource)


def _is_found_at(resource: Resource, forms: str) -> bool:
    """Compare normalised values: what is asked for is among the forms in which it is written."""
    asked = frozenset(form.casefold() for form in forms.split(","))
    return any(
        value.casefold() in asked
        for entry in elements(resource.get("telecom"))
        for value in (*values_of(entry), text_of(entry.get("value")))
    )


def _is_changed_since(resource: Resource, written: str) -> bool:
    """Tell whether it changed since; what has no instant may have changed a moment ago."""
    since = instant_of(written.removeprefix("ge"))
    changed = instant_of(version_of(resource).last_updated)
    return since is None or changed is None or changed >= since
