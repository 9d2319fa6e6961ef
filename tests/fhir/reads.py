"""Reads for the tests: through the real reader, from the embedded store, spoilt where told."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from typing import Any

import requests

from fhirmsg.clock import now
from fhirmsg.fhir.client import FhirClient, FhirServer
from fhirmsg.fhir.reader import FhirRecordReader
from fhirmsg.http import make_session
from fhirmsg.ports import ReadResult
from tests import builders
from tests.fhir.resources import NHS_NUMBER
from tests.reverse_proxy import Reply, Request, reverse_proxy

KEY = b"a key of the tests, not a secret"
MESSAGE_ID = "5e0e0001-0000-5000-8000-000000000001"


def read(
    base: str,
    *,
    page_size: int = 100,
    contact_key: bytes | None = KEY,
    policy: dict[str, Any] | None = None,
    at: datetime | None = None,
    **request: Any,
) -> ReadResult:
    """Read for a text to Amara, or whatever the request says; `policy` are fields of it.

    at: the instant at which the read begins, now by default.
    """
    asked = builders.a_request(**request)
    if "patient" in request and "recipient" not in request:
        asked = replace(asked, recipient=request["patient"])
    with make_session() as session:
        client = FhirClient(FhirServer(base_url=base, page_size=page_size), session)
        clock = now if at is None else lambda: at
        reader = FhirRecordReader(client, contact_key=contact_key, clock=clock)
        return reader.read(asked, builders.a_policy(**policy or {}), MESSAGE_ID)


def gaps(result: ReadResult) -> list[str]:
    return [gap.sentence for gap in result.record.gaps]


def consents(result: ReadResult) -> list[str]:
    return sorted(consent.version.reference for consent in result.record.consents)


def requests_of(base: str, **request: Any) -> list[Request]:
    """Read, and give every request that the server got."""
    made: list[Request] = []
    with reverse_proxy(base, lambda one: made.append(one)) as proxied:
        read(proxied, **request)
    return made


def read_with(base: str, instead: dict[str, Any], **request: Any) -> ReadResult:
    """Read while the batch answers something else for each path that begins so.

    A number is a status, anything else a resource.
    """

    def spoil(made: Request) -> Reply | None:
        if b'"batch"' not in made.body:
            return None
        answer = requests.post(
            base, data=made.body, headers={"Content-Type": "application/fhir+json"}, timeout=10
        ).json()
        for asked, entry in zip(json.loads(made.body)["entry"], answer["entry"], strict=True):
            for path, value in instead.items():
                if asked["request"]["url"].startswith(path):
                    entry.clear()
                    if isinstance(value, int):
                        entry["response"] = {"status": str(value)}
                    else:
                        entry |= {"resource": value, "response": {"status": "200"}}
        return Reply(200, json.dumps(answer).encode())

    with reverse_proxy(base, spoil) as proxied:
        return read(proxied, **request)


def searchset(*resources: Any, **changes: Any) -> dict[str, Any]:
    entries = [{"resource": each} for each in resources]
    return {"resourceType": "Bundle", "type": "searchset", "entry": entries, **changes}


def a_link(kind: str, id: str) -> dict[str, Any]:
    return {"type": kind, "other": {"reference": f"Patient/{id}"}}


def by_number(value: str) -> list[dict[str, Any]]:
    return [{"system": NHS_NUMBER, "value": value}]
