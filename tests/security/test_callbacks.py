"""Callbacks that are forged, replayed, too large or too deep, at each provider of the service."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
import requests

from fhirmsg.app import Service
from fhirmsg.calls import message_id_for
from fhirmsg.ports import Callback
from tests.providers import fake_gateway, fake_nhs_notify, fake_notify
from tests.security.whole import Whole, send, whole
from tests.serving import KEY, serving

TOKEN = "a-token-for-receipts"
REFERENCE = message_id_for("tests", "key-1")
MAX = 256 * 1024


@dataclass
class Here:
    """The service in this process."""

    whole: Whole
    service: Service

    def call(self, path: str, callback: Callback) -> int:
        """Call back; gives the HTTP status."""
        client = self.service.app.test_client()
        headers = {name.title(): value for name, value in callback.headers.items()}
        return client.post(f"/v1/{path}", data=callback.body, headers=headers).status_code

    def owed(self) -> int:
        """Tell how many items the journal has."""
        return sum(self.service.journal.lengths().values())


@pytest.fixture
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Here]:
    with whole(tmp_path_factory.mktemp("whole")) as found:
        yield Here(found, found.service())


def from_gateway(**changes: Any) -> Callback:
    about = {"reference": REFERENCE, "id": "gateway-1"}
    return fake_gateway.callback("message.delivered", about, **changes)


def from_nhs(**changes: Any) -> Callback:
    return fake_nhs_notify.callback(fake_nhs_notify.message_status(REFERENCE), **changes)


def from_notify(token: str = TOKEN) -> Callback:
    right = fake_notify.receipt(REFERENCE)
    return replace(right, headers={"authorization": f"Bearer {token}"})


def other_body(callback: Callback) -> Callback:
    """The same signature over another body."""
    return replace(callback, body=callback.body.replace(b"delivered", b"failed"))


def spaced(callback: Callback) -> Callback:
    return replace(callback, body=callback.body + b" ")


WRONG: dict[str, tuple[str, Callback]] = {
    "gateway, no signature": ("webhook", replace(from_gateway(), headers={})),
    "gateway, another secret": ("webhook", from_gateway(secret=fake_gateway.OLD_SECRET)),
    "gateway, another body": ("webhook", other_body(from_gateway())),
    "gateway, a space more": ("webhook", spaced(from_gateway())),
    "gateway, an hour old": ("webhook", from_gateway(age=3600)),
    "gateway, six minutes old": ("webhook", from_gateway(age=360)),
    "gateway, of the future": ("webhook", from_gateway(age=-3600)),
    "gateway, another id": ("webhook", from_gateway(webhook_id="evt_2")),
    "gateway, another time": ("webhook", from_gateway(webhook_timestamp=str(int(time.time()) + 1))),
    "gateway, no time": ("webhook", from_gateway(webhook_timestamp="")),
    "gateway, version 0": ("webhook", from_gateway(webhook_signature="v0,AAAA")),
    "gateway, empty": ("webhook", from_gateway(webhook_signature="v1,")),
    "nhs, no signature": ("nhs-notify", from_nhs(x_hmac_sha256_signature="")),
    "nhs, another signature": ("nhs-notify", from_nhs(x_hmac_sha256_signature="0" * 64)),
    "nhs, another body": ("nhs-notify", other_body(from_nhs())),
    "nhs, another key": ("nhs-notify", from_nhs(x_api_key="another")),
    "nhs, no key": ("nhs-notify", from_nhs(x_api_key="")),
    "notify, another token": ("govuk-notify", from_notify("another")),
    "notify, no token": ("govuk-notify", from_notify("")),
    "notify, of an API client": ("govuk-notify", from_notify(KEY)),
    "notify, the one for replies": ("govuk-notify", from_notify("a-token-for-replies")),
    "of another provider": ("nhs-notify", from_gateway()),
}


def test_right_callbacks_are_taken_once(here: Here) -> None:
    for path, callback in (
        ("webhook", from_gateway()),
        ("nhs-notify", from_nhs()),
        ("govuk-notify", from_notify()),
    ):
        before = here.owed()
        assert here.call(f"receipts/{path}", callback) == 204
        assert here.call(f"receipts/{path}", callback) == 204
        assert here.owed() == before + 1, path


def test_a_callback_that_proves_nothing_leaves_nothing(here: Here) -> None:
    client = here.service.app.test_client()
    assert send(client).status_code == 201
    owed = here.owed()
    for name, (path, callback) in WRONG.items():
        assert here.call(f"receipts/{path}", callback) == 401, name
        if path == "webhook":
            assert here.call(f"inbound/{path}", callback) == 401, name
    assert here.owed() == owed
    state = client.get(f"/v1/messages/{REFERENCE}", headers={"Authorization": f"Bearer {KEY}"})
    assert state.get_json()["status"] == "accepted-by-provider"


def _signed(body: bytes) -> list[tuple[str, Callback]]:
    """The body as each provider would prove it."""
    return [
        ("receipts/webhook", fake_gateway.callback("x", {}, body=body)),
        ("inbound/webhook", fake_gateway.callback("x", {}, body=body)),
        ("receipts/nhs-notify", fake_nhs_notify.callback(body=body)),
        ("receipts/govuk-notify", fake_notify.signed(body, TOKEN)),
        ("inbound/govuk-notify", fake_notify.signed(body, "a-token-for-replies")),
    ]


DEEP = {
    "arrays": b"[" * 100_000,
    "closed arrays": b"[" * 20_000 + b"]" * 20_000,
    "objects": b'{"a":' * 40_000 + b"1" + b"}" * 40_000,
    "within data": b'{"type": "message.delivered", "timestamp": "2026-01-01T00:00:00Z", "data": '
    + b'{"a":' * 20_000
    + b"1"
    + b"}" * 20_001,
    "items": b'{"data": ' + b"[" * 20_000 + b"]" * 20_000 + b"}",
    "a number": b'{"data": ' + b"9" * 200_000 + b"}",
    "an exponent": b'{"data": [{"type": 1e999999999}], "id": 1e400}',
    "many": b'{"data": [' + b",".join([b"{}"] * 60_000) + b"]}",
    "no Unicode": b'{"data": "\xff\xfe"}',
    "a lone surrogate": b'{"type": "\\ud800", "data": {"reference": "\\udfff"}}',
    "nothing": b"",
}


@pytest.mark.parametrize("name", DEEP)
def test_a_body_made_to_break_a_reader_is_not_understood(here: Here, name: str) -> None:
    for path, callback in _signed(DEEP[name]):
        began = time.monotonic()
        assert here.call(path, callback) == 400, path
        assert time.monotonic() - began < 2
    assert here.owed() == 0


def test_what_is_too_large_is_read_at_no_address(here: Here) -> None:
    """More than a body may have: 413, or the connection ends; the service goes on."""
    small, large = b" " * (MAX + 1), b" " * (9 << 20)
    with serving(here.whole.environment) as adapter:
        paths = ["messages", "messages/check", "receipts/webhook", "inbound/govuk-notify"]
        for path in paths:
            for body in (small, large):
                began = time.monotonic()
                headers = {
                    "Authorization": f"Bearer {KEY}",
                    "Content-Type": "application/json",
                    "Idempotency-Key": "large",
                }
                try:
                    answer = requests.post(
                        f"{adapter.url}/v1/{path}", data=body, headers=headers, timeout=30
                    )
                    assert answer.status_code == 413, path
                except requests.exceptions.ConnectionError:
                    assert body is large
                assert time.monotonic() - began < 10
            # In pieces, so that no length is told beforehand.
            pieces = (small[n : n + 65_536] for n in range(0, len(small), 65_536))
            answer = requests.post(
                f"{adapter.url}/v1/{path}", data=pieces, headers=headers, timeout=30
            )
            assert answer.status_code == 413, path
        assert requests.get(f"{adapter.url}/livez", timeout=30).status_code == 200
    assert not any(json.loads(line)["level"] == "critical" for line in adapter.stderr)


def test_a_token_for_receipts_brings_no_replies(here: Here) -> None:
    reply = fake_notify.signed({"message": "STOP"}, TOKEN)
    assert here.call("inbound/govuk-notify", reply) == 401
    assert here.owed() == 0


def test_the_largest_callback_that_may_come_is_taken(here: Here) -> None:
    callback = from_gateway()
    content = json.loads(callback.body)
    content["data"]["padding"] = "x" * (MAX - len(callback.body) - 100)
    body = json.dumps(content).encode()
    assert MAX - 200 < len(body) <= MAX
    signed = fake_gateway.callback("x", {}, body=body)
    assert here.call("receipts/webhook", signed) == 204
    [item] = here.service.journal.due()
    # What nobody asked for is not kept.
    assert len(json.dumps(item.payload)) < 1000
