"""The FHIR interactions of the store, without a web framework: a `Call` in, an `Answer` out.

Source: https://hl7.org/fhir/R4/http.html.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import NoReturn

from .bundles import answer_bundle
from .capability import capability_statement
from .errors import BadRequest, NotFound, NotSupported, Refused, UnsupportedMediaType, outcome
from .exchange import Answer, Call, created, deleted, refused, updated
from .paging import Searches, history_bundle
from .r4 import RESOURCE_TYPES, Resource, natural
from .store import Store
from .versions import Version

_JSON = frozenset({"application/fhir+json", "application/json", "application/json+fhir"})
_FORM = "application/x-www-form-urlencoded"
_PLACES = ("type", "id", "", "version")
_WORDS = frozenset({"_history", "_search", "metadata", "$expunge"})


class Rest:
    """Answers FHIR requests from one store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._searches = Searches(store)
        self._since = store.now()
        self._capabilities: dict[str, str] = {}
        self._routes: dict[tuple[str, str], Callable[[Call, list[str]], Answer]] = {
            ("GET", ""): self._further_page,
            ("POST", ""): self._bundle,
            ("GET", "metadata"): self._metadata,
            ("POST", "$expunge"): self._expunge,
            ("GET", "type"): self._search,
            ("POST", "type/_search"): self._posted_search,
            ("POST", "type"): self._create,
            ("GET", "type/id"): self._read,
            ("PUT", "type/id"): self._update,
            ("DELETE", "type/id"): self._delete,
            ("GET", "type/id/_history"): self._history,
            ("GET", "type/id/_history/version"): self._vread,
        }

    def answer(self, call: Call) -> Answer:
        """Carry a request out; a refusal becomes its status and an OperationOutcome."""
        try:
            return self.perform(call)
        except Refused as refusal:
            return refused(refusal)
        except (RecursionError, UnicodeEncodeError):
            return refused(BadRequest("The body is nested too deeply, or not Unicode text."))

    def perform(self, call: Call) -> Answer:
        """Carry a request out. Raises Refused."""
        parts = [part for part in call.path.split("/") if part]
        shape = "/".join(map(_place, range(len(parts)), parts))
        if shape.startswith("type") and parts[0] not in RESOURCE_TYPES:
            raise NotFound("This is not a resource type of FHIR R4.")
        route = self._routes.get((call.method, shape))
        if route is None:
            raise NotSupported(f"This store does not support {call.method} on such a path.")
        return route(call, parts)

    def _further_page(self, call: Call, _: list[str]) -> Answer:
        if "_getpages=" not in call.query:
            raise NotSupported("This is the base of a FHIR server: name a resource type.")
        return Answer(status=200, resource=self._searches.further_page(call.base, call.query))

    def _bundle(self, call: Call, _: list[str]) -> Answer:
        return answer_bundle(call, resource_in(call), self._store, self)

    def _metadata(self, call: Call, _: list[str]) -> Answer:
        # Not kept for every Host header that somebody may think of.
        if call.base not in self._capabilities:
            self._capabilities = {call.base: capability_statement(call.base, self._since)}
        return Answer(status=200, resource=self._capabilities[call.base])

    def _expunge(self, _call: Call, _: list[str]) -> Answer:
        self._store.expunge()
        self._searches.forget()
        text = "The store is empty."
        return Answer(status=200, outcome=outcome("information", "informational", text))

    def _search(self, call: Call, parts: list[str]) -> Answer:
        bundle = self._searches.first_page(call.base, parts[0], call.query, posted=False)
        return Answer(status=200, resource=bundle)

    def _posted_search(self, call: Call, parts: list[str]) -> Answer:
        if call.body and _media_type(call) != _FORM:
            raise UnsupportedMediaType(f"A posted search is a form: its Content-Type is {_FORM}.")
        try:
            form = call.body.decode()
        except UnicodeDecodeError as error:
            raise BadRequest("The form is not UTF-8.") from error
        asked = "&".join(part for part in (call.query, form) if part)
        bundle = self._searches.first_page(call.base, parts[0], asked, posted=True)
        return Answer(status=200, resource=bundle)

    def _create(self, call: Call, parts: list[str]) -> Answer:
        condition = call.headers.get("If-None-Exist", "")
        return created(self._store.create(parts[0], resource_in(call), condition=condition))

    def _read(self, call: Call, parts: list[str]) -> Answer:
        return _shown(call, self._store.read(parts[0], parts[1]))

    def _vread(self, call: Call, parts: list[str]) -> Answer:
        return _shown(call, self._store.vread(parts[0], parts[1], parts[3]))

    def _history(self, call: Call, parts: list[str]) -> Answer:
        versions = self._store.history(parts[0], parts[1])
        return Answer(status=200, resource=history_bundle(call.base, versions, self._store.now()))

    def _update(self, call: Call, parts: list[str]) -> Answer:
        resource = resource_in(call)
        if resource.get("id") != parts[1]:
            raise BadRequest("The id in the body and the id in the address are not the same.")
        if_match = _number(call.headers.get("If-Match", ""))
        return updated(self._store.update(parts[0], parts[1], resource, if_match=if_match))

    def _delete(self, _call: Call, parts: list[str]) -> Answer:
        return deleted(self._store.delete(parts[0], parts[1]))


def resource_in(call: Call) -> Resource:
    """The resource that a request carries.

    Raises UnsupportedMediaType when it is not declared as JSON, BadRequest when it is not JSON
    or not an object.
    """
    if call.resource is not None:
        return call.resource
    if _media_type(call) not in _JSON:
        raise UnsupportedMediaType("The body must be JSON: Content-Type application/fhir+json.")
    try:
        resource = json.loads(call.body, parse_constant=_no_number, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise BadRequest("The body is not JSON.") from error
    if not isinstance(resource, dict):
        raise BadRequest("The body is not a resource: a JSON object is expected.")
    return resource


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _no_number(text)


def _place(index: int, part: str) -> str:
    if part in _WORDS:
        return part
    return _PLACES[index] if index < len(_PLACES) else ""


def _media_type(call: Call) -> str:
    return call.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def _shown(call: Call, version: Version) -> Answer:
    text = version.text()
    if call.headers.get("If-None-Match", "") == f'W/"{version.number}"':
        return Answer(status=304, version=version)
    return Answer(status=200, resource=text, version=version)


def _number(etag: str) -> int | None:
    """The version that an If-Match header names; None without the header."""
    if not etag:
        return None
    number = natural(etag.strip().removeprefix("W/").strip('"'))
    if number is None:
        raise BadRequest("If-Match does not name a version: take the ETag of the last answer.")
    return number
