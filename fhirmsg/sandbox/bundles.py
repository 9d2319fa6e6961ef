"""Batch and transaction Bundles.

Entries are answered in the order they came in. A batch carries out its writes in that order and
then its reads, each entry for itself. A transaction goes by DELETE, POST, PUT, GET; all its
writes are kept or none, its reads see them, and a read that fails undoes nothing.

Source: https://hl7.org/fhir/R4/http.html#transaction; the answers are HAPI's.
"""

from __future__ import annotations

import json
from dataclasses import replace
from http import HTTPStatus
from typing import Any, Protocol
from uuid import uuid4

from .dates import instant
from .errors import BadRequest, ConditionNotMet, PreconditionFailed
from .exchange import Answer, Call, created, preference_of
from .paging import bundle_text
from .r4 import RESOURCE_TYPES, Resource
from .references import with_references
from .store import Store
from .versions import Version, Written

_METHODS = ("DELETE", "POST", "PUT", "GET")
_CONDITIONS = {
    "ifMatch": "If-Match",
    "ifNoneExist": "If-None-Exist",
    "ifNoneMatch": "If-None-Match",
}


class Interactions(Protocol):
    """What carries out the entries: `answer` turns a refusal into an Answer, `perform` raises."""

    def answer(self, call: Call) -> Answer: ...

    def perform(self, call: Call) -> Answer: ...


def answer_bundle(call: Call, bundle: Resource, store: Store, rest: Interactions) -> Answer:
    """Carry out a batch or a transaction and answer it with a Bundle.

    Raises BadRequest for what is neither, or has an entry that is no request; from a transaction
    also what refuses one of its writes.
    """
    kind = bundle.get("type") if bundle.get("resourceType") == "Bundle" else None
    if kind not in ("batch", "transaction"):
        raise BadRequest("Only a Bundle of the type batch or transaction can be posted here.")
    calls = [_inner_call(call, index, entry) for index, entry in enumerate(_entries(bundle))]
    if kind == "batch":
        in_order = sorted(range(len(calls)), key=lambda index: calls[index].method == "GET")
        answers = {index: rest.answer(calls[index]) for index in in_order}
    else:
        _refuse_repeated(calls)
        full_urls = [entry.get("fullUrl") for entry in _entries(bundle)]
        answers = _Transaction(calls, full_urls, store, rest).answers()
    head: dict[str, object] = {
        "resourceType": "Bundle",
        "id": str(uuid4()),
        "type": f"{kind}-response",
        "link": [{"relation": "self", "url": call.base}],
    }
    preference = preference_of(call) or "minimal"
    texts = (_entry(one, answers[index], preference) for index, one in enumerate(calls))
    return Answer(status=200, resource=bundle_text(head, texts))


def _entries(bundle: Resource) -> list[dict[str, Any]]:
    entries = bundle.get("entry") or []
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise BadRequest("Bundle.entry is not a list of objects.")
    return entries


def _inner_call(outer: Call, index: int, entry: dict[str, Any]) -> Call:
    request = entry.get("request")
    request = request if isinstance(request, dict) else {}
    method, url, resource = request.get("method"), request.get("url"), entry.get("resource")
    if method not in _METHODS or not isinstance(url, str):
        raise BadRequest(
            f"Bundle.entry[{index}].request needs a url, and one of {', '.join(_METHODS)}."
        )
    if resource is not None and not isinstance(resource, dict):
        raise BadRequest(f"Bundle.entry[{index}].resource is not an object.")
    path, _, query = url.removeprefix(outer.base).partition("?")
    headers = {"Content-Type": "application/fhir+json"} | {
        header: request[name]
        for name, header in _CONDITIONS.items()
        if isinstance(request.get(name), str)
    }
    return Call(
        method=method, path=path, query=query, base=outer.base, headers=headers, resource=resource
    )


class _Transaction:
    """The entries of one transaction, and the addresses they come to stand at."""

    def __init__(
        self, calls: list[Call], full_urls: list[object], store: Store, rest: Interactions
    ) -> None:
        self._calls = calls
        self._full_urls = full_urls
        self._store = store
        self._rest = rest
        self._addresses: dict[str, str] = {}
        self._found: dict[int, Version] = {}
        self._reserved: dict[int, str] = {}

    def answers(self) -> dict[int, Answer]:
        """Carry out all entries. Raises what refuses a write; then nothing was written."""
        answers: dict[int, Answer] = {}
        with self._store.changes():
            for index in self._with_method("DELETE"):
                answers[index] = self._rest.perform(self._calls[index])
            # Every resource has its address before the first is written, for references ahead.
            for index in self._with_method("POST"):
                self._find_or_reserve(index)
            for index in self._with_method("PUT"):
                self._stands_at(index, self._calls[index].path.strip("/"))
            for index in self._with_method("POST"):
                answers[index] = created(self._create(index))
            for index in self._with_method("PUT"):
                answers[index] = self._rest.perform(self._resolved(index))
            for index in self._with_method("GET"):
                answers[index] = self._rest.answer(self._calls[index])
        return answers

    def _with_method(self, method: str) -> list[int]:
        return [index for index, call in enumerate(self._calls) if call.method == method]

    def _find_or_reserve(self, index: int) -> None:
        resource_type, condition = _posted(self._calls[index])
        if condition and (version := self._store.match(resource_type, condition)):
            self._found[index] = version
            self._stands_at(index, f"{version.type}/{version.id}")
        else:
            self._reserved[index] = self._store.reserve(resource_type)
            self._stands_at(index, f"{resource_type}/{self._reserved[index]}")

    def _stands_at(self, index: int, address: str) -> None:
        full_url = self._full_urls[index]
        if isinstance(full_url, str):
            self._addresses[full_url] = address

    def _create(self, index: int) -> Written:
        if version := self._found.get(index):
            return Written(version, created=False)
        resource_type, condition = _posted(self._calls[index])
        try:
            return self._store.create(
                resource_type,
                self._resolved(index).resource or {},
                condition=condition,
                reserved=self._reserved[index],
            )
        except ConditionNotMet as unmet:
            raise PreconditionFailed(str(unmet)) from unmet

    def _resolved(self, index: int) -> Call:
        call = self._calls[index]
        if call.resource is None:
            return call
        return replace(call, resource=with_references(call.resource, self._addresses))


def _posted(call: Call) -> tuple[str, str]:
    """The type and the condition of a create."""
    resource_type = call.path.strip("/")
    if resource_type not in RESOURCE_TYPES:
        raise BadRequest("A POST in a transaction creates: its url is a resource type of R4.")
    return resource_type, call.headers.get("If-None-Exist", "")


def _refuse_repeated(calls: list[Call]) -> None:
    written = [call.path.strip("/") for call in calls if call.method in ("PUT", "DELETE")]
    if len(written) > len(set(written)):
        raise BadRequest("The transaction writes one resource twice.")


def _entry(call: Call, answer: Answer, preference: str) -> str:
    """One entry of the answer, as JSON text."""
    # As on HAPI: a delete has no content here, and the etag is the bare number.
    status = HTTPStatus.NO_CONTENT if _deleted(call, answer) else HTTPStatus(answer.status)
    response = {"status": f"{status.value} {status.phrase}"}
    if answer.version and call.method != "GET":
        response["location"] = answer.version.address
        response["etag"] = str(answer.version.number)
        response["lastModified"] = instant(answer.version.updated)
    text = json.dumps(response)
    if answer.outcome:
        text = f'{text[:-1]},"outcome":{answer.outcome}}}'
    if answer.resource and (call.method == "GET" or preference == "representation"):
        return f'{{"resource":{answer.resource},"response":{text}}}'
    return f'{{"response":{text}}}'


def _deleted(call: Call, answer: Answer) -> bool:
    return call.method == "DELETE" and answer.status == HTTPStatus.OK
