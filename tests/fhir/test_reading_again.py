"""The same record, read in another order, in other pages, or from what was stored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import permutations
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from fhirmsg.clock import now
from fhirmsg.guidance.case import Case
from fhirmsg.guidance.decision import Decision, decide
from fhirmsg.ports import ReadResult
from tests import builders
from tests.fhir.reads import read, read_with, searchset
from tests.reverse_proxy import Reply, Request, reverse_proxy
from tests.world import an_objection_resource, put

_EXPIRED = {"provision": {"type": "deny", "period": {"end": "2026-11-23"}}}


def some_objections(channel: str = "email") -> list[dict[str, Any]]:
    """Give seven Consents, of which the last one objects to a channel."""
    harmless = [an_objection_resource(f"o{number}", **_EXPIRED) for number in range(6)]
    return [*harmless, an_objection_resource("o6", channel)]


def decided(result: ReadResult) -> Decision:
    """Decide for a text to Amara on what was read, at a fixed instant."""
    plain = builders.a_case()
    record = replace(result.record, read_at="2026-11-24T09:59:59Z")
    return decide(
        Case(
            request=plain.request,
            record=record,
            policy=plain.policy,
            as_of=builders.NOW,
            message_id=plain.message_id,
            message_digest=plain.message_digest,
        )
    )


@pytest.mark.parametrize("order", list(permutations(range(3)))[::2])
def test_the_order_on_the_server_makes_no_difference(base: str, order: tuple[int, ...]) -> None:
    resources = [
        *some_objections()[:2],
        an_objection_resource("o6", "sms"),
    ]
    put(base, *resources)
    stored = [requests.get(f"{base}/Consent/{each['id']}", timeout=10).json() for each in resources]
    first = decided(read_with(base, {"Consent": searchset(*stored)}))
    other = decided(read_with(base, {"Consent": searchset(*(stored[at] for at in order))}))
    assert other.receipt() == first.receipt()
    assert first.verdict == "refuse"


@pytest.mark.parametrize("channel", ["sms", "email"])
def test_pages_of_any_size_are_decided_alike(base: str, channel: str) -> None:
    put(base, *some_objections(channel))
    whole = decided(read(base, page_size=100))
    assert whole.verdict == ("refuse" if channel == "sms" else "send")
    for size in range(1, 8):
        assert decided(read(base, page_size=size)).receipt() == whole.receipt()


_SPOILT: list[Callable[[str], Reply]] = [
    lambda _: Reply(500),
    lambda _: Reply(404),
    lambda _: Reply(200, b'{"resourceType": "Bundle", "type": "searchset"}'),
    lambda _: Reply(200, b"<html>"),
]


@pytest.mark.parametrize("spoilt", _SPOILT)
@pytest.mark.parametrize("page", range(1, 4))
def test_a_page_that_is_missing_or_cut_off_never_sends(
    base: str, page: int, spoilt: Callable[[str], Reply]
) -> None:
    put(base, *some_objections())
    assert decided(read(base, page_size=2)).verdict == "send"
    pages = 0

    def fail(made: Request) -> Reply | None:
        nonlocal pages
        if "_getpages" not in made.path:
            return None
        pages += 1
        return spoilt(made.path) if pages == page else None

    with reverse_proxy(base, fail) as proxied:
        assert decided(read(proxied, page_size=2)).verdict != "send"
    assert pages >= page


def test_answers_that_were_stored_are_decided_again_without_the_server(base: str) -> None:
    put(base, *some_objections("sms"))
    stored: dict[tuple[str, str, bytes], Reply] = {}
    origin = "{0.scheme}://{0.netloc}".format(urlsplit(base))

    def keep(made: Request) -> Reply:
        answer = requests.request(
            made.method,
            f"{origin}{made.path}",
            data=made.body,
            headers={"Content-Type": "application/fhir+json"},
            timeout=10,
        )
        # Links to further pages lead through here again.
        body = answer.content.replace(origin.encode(), proxy.encode())
        stored[made.method, made.path, made.body] = Reply(answer.status_code, body)
        return stored[made.method, made.path, made.body]

    def from_the_store(made: Request) -> Reply:
        return stored[made.method, made.path, made.body]

    hooks = [keep]
    with reverse_proxy(base, lambda made: hooks[-1](made)) as proxied:
        proxy = "{0.scheme}://{0.netloc}".format(urlsplit(proxied))
        at = now()
        first = decided(read(proxied, page_size=3, at=at))
        requests.post(f"{base}/$expunge", timeout=10)
        hooks.append(from_the_store)
        again = decided(read(proxied, page_size=3, at=at))
    assert first.verdict == "refuse"
    assert again.receipt() == first.receipt()
    assert again.as_json() == first.as_json()
