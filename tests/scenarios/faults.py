"""Faults of a FHIR server that scenarios name; each makes a hook for the reverse proxy."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import requests

from tests.reverse_proxy import Hook, Reply, Request

_HEADERS = {"Content-Type": "application/fhir+json", "Cache-Control": "no-cache"}


def _is_batch(request: Request) -> bool:
    return request.method == "POST" and b'"batch"' in request.body


def _opens_an_entry(request: Request) -> bool:
    is_post = request.method == "POST"
    alone = is_post and request.path.partition("?")[0].endswith("/Communication")
    return alone or (
        is_post and b'"transaction"' in request.body and b"Communication" in request.body
    )


def _forwarded(upstream: str, body: bytes) -> requests.Response:
    return requests.post(upstream, data=body, headers=_HEADERS, timeout=60)


def _small_pages(upstream: str) -> Hook:
    """Answer searches one entry a page, so that a record has several pages."""

    def hook(request: Request) -> Reply | None:
        if not _is_batch(request):
            return None
        asked = re.sub(rb"_count=\d+", b"_count=1", request.body)
        answer = _forwarded(upstream, asked)
        return Reply(answer.status_code, answer.content)

    return hook


def _second_page_fails(upstream: str) -> Hook:
    """Answer 500 to every page but the first."""
    small = _small_pages(upstream)

    def hook(request: Request) -> Reply | None:
        return Reply(500, b"{}") if "_getpages" in request.path else small(request)

    return hook


def _answered_from_a_cache(upstream: str) -> Hook:
    """Answer reads with the age of a minute."""

    def hook(request: Request) -> Reply | None:
        if not _is_batch(request):
            return None
        answer = _forwarded(upstream, request.body)
        return Reply(answer.status_code, answer.content, headers=(("Age", "60"),))

    return hook


def _entry_cannot_be_opened(_upstream: str) -> Hook:
    """Answer 500 to whatever would open an entry on the record."""
    return lambda request: Reply(500, b"{}") if _opens_an_entry(request) else None


def _consent_search_says(severity: str, code: str) -> Callable[[str], Hook]:
    """Put an OperationOutcome beside the matches of every Consent search."""
    issue = {"severity": severity, "code": code, "diagnostics": "Said by the server of a test."}
    entry = {
        "resource": {"resourceType": "OperationOutcome", "issue": [issue]},
        "search": {"mode": "outcome"},
    }

    def make(upstream: str) -> Hook:
        def hook(request: Request) -> Reply | None:
            if not _is_batch(request):
                return None
            answer = _forwarded(upstream, request.body)
            bundle: dict[str, Any] = answer.json()
            asked = json.loads(request.body)["entry"]
            for question, reply in zip(asked, bundle.get("entry", []), strict=True):
                if question["request"]["url"].startswith("Consent?"):
                    found = reply["resource"]
                    found["entry"] = [*found.get("entry", []), entry]
            return Reply(answer.status_code, json.dumps(bundle).encode())

        return hook

    return make


FAULTS: dict[str, Callable[[str], Hook]] = {
    "one entry a page": _small_pages,
    "consents page 2 answers 500": _second_page_fails,
    "the answer comes from a cache": _answered_from_a_cache,
    "the entry cannot be opened": _entry_cannot_be_opened,
    "the server keeps consents back": _consent_search_says("warning", "suppressed"),
    "the server says something harmless": _consent_search_says("information", "informational"),
}
