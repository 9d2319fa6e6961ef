"""A log before a store whose answers get lost, for the tests of the record entries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import requests

from fhirmsg.fhir.client import FhirClient, FhirServer
from fhirmsg.fhir.log import FhirCommunicationLog
from fhirmsg.http import make_session
from tests.fhir.drafts import MESSAGE_ID
from tests.reverse_proxy import Drop, Hook, Reply, Request
from tests.world import FHIR_JSON, communications

# How an answer can fail to say what happened; the request has gone through or has not.
Fault = Callable[[str, Request], Reply | None]


def lost(_: str, __: Request) -> Reply | None:
    raise Drop


def forward(upstream: str, request: Request) -> requests.Response:
    host = upstream.removesuffix("/fhir")
    headers = {**FHIR_JSON, **_guards(request)}
    return requests.request(
        request.method, f"{host}{request.path}", data=request.body, headers=headers, timeout=10
    )


def _guards(request: Request) -> dict[str, str]:
    """Give the condition under which such a request is made; the proxy does not show headers."""
    if request.path.endswith("/Communication"):
        found = f"identifier=https%3A%2F%2Ffhirmsg.example%2FId%2Fmessage%7C{MESSAGE_ID}"
        return {"If-None-Exist": found}
    return {"If-Match": 'W/"1"'} if request.method == "PUT" else {}


def in_html(upstream: str, request: Request) -> Reply:
    forward(upstream, request)
    return Reply(200, b"<html>Welcome</html>", "text/html")


def failed_after_writing(upstream: str, request: Request) -> Reply:
    forward(upstream, request)
    return Reply(500)


def without_a_body(upstream: str, request: Request) -> Reply:
    return Reply(forward(upstream, request).status_code)


def an_outcome(upstream: str, request: Request) -> Reply:
    status = forward(upstream, request).status_code
    return Reply(status, b'{"resourceType":"OperationOutcome"}')


AFTER_WRITING = [lost, in_html, failed_after_writing, without_a_body, an_outcome]


def a_log(base: str, **settings: Any) -> FhirCommunicationLog:
    """Give a log that does not wait between looks."""
    client = FhirClient(FhirServer(base_url=base, **settings), make_session(get_retries=0))
    return FhirCommunicationLog(client, pause=lambda _: None)


def once(method: str, answer: Callable[[Request], Reply | None]) -> Hook:
    """Answer the first request of this method so, and let all others through."""
    left = [answer]
    return lambda request: left.pop()(request) if left and request.method == method else None


def written(base: str) -> dict[str, Any]:
    """Give the one Communication that there is."""
    [resource] = communications(base)
    return resource
