"""The signed webhook: Standard Webhooks both ways, and no way to where no gateway is."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import requests

from fhirmsg.clock import Deadline
from fhirmsg.errors import CallbackRefused, CallbackUnreadable, SettingsError
from fhirmsg.guidance.terms import Channel
from fhirmsg.http import make_session
from fhirmsg.ports import (
    Delivery,
    OutboundMessage,
    Outcome,
    ProviderKind,
    Receipt,
    TakesReplies,
    TellsReceipts,
)
from fhirmsg.providers.webhook import ERRORS, WebhookProvider, WebhookSettings, may_be_reached
from fhirmsg.providers.webhook_signing import authenticate, headers_for, key_of
from tests.providers.fake_gateway import OLD_SECRET, SECRET, FakeGateway, callback, signature
from tests.providers.fakes import Fault

MESSAGE = OutboundMessage(
    reference="5b1f2f0a-0000-5000-8000-000000000001",
    channel=Channel.VOICE,
    to="+447700900123",
    body="Your appointment is on Monday.",
    platform="calls",
    sender_name="Example Surgery",
)


@pytest.fixture
def gateway() -> Iterator[FakeGateway]:
    with FakeGateway() as running:
        yield running


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with make_session(get_retries=0) as made:
        yield made


@pytest.fixture
def provider(gateway: FakeGateway, session: requests.Session) -> WebhookProvider:
    return WebhookProvider(gateway.settings(), session)


def send(provider: WebhookProvider, message: OutboundMessage = MESSAGE) -> Receipt:
    return provider.send(message, start_by=Deadline(10), deadline=Deadline(2))


# --- signatures --------------------------------------------------------------------------------


def test_a_signature_is_the_one_that_the_standard_shows() -> None:
    # The example of the specification.
    key = key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    assert key is not None
    headers = headers_for(
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        datetime.fromtimestamp(1614265330, UTC),
        b'{"test": 2432232314}',
        [key],
    )
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "whsec_",
        base64.b64encode(b"x" * 32).decode(),
        "whsec_" + base64.b64encode(b"x" * 23).decode(),
        "whsec_" + base64.b64encode(b"x" * 65).decode(),
        "whsec_!!!!" + base64.b64encode(b"x" * 32).decode(),
    ],
)
def test_what_is_not_a_secret_is_none(secret: str) -> None:
    assert key_of(secret) is None
    with pytest.raises(SettingsError) as caught:
        WebhookSettings(url="https://gateway.example", secrets=(SECRET, secret))
    (fault,) = caught.value.faults
    assert fault == "secrets: number 2 is not whsec_ and base64 of 24 to 64 bytes"


def test_there_must_be_a_secret_and_none_shows() -> None:
    with pytest.raises(SettingsError):
        WebhookSettings(url="https://gateway.example", secrets=())
    assert SECRET not in repr(WebhookSettings(url="https://gateway.example", secrets=(SECRET,)))


# --- what is sent ------------------------------------------------------------------------------


def test_a_message_is_signed_and_says_everything(
    gateway: FakeGateway, provider: WebhookProvider
) -> None:
    receipt = send(provider)
    assert (receipt.outcome, receipt.provider_id) == (Outcome.ACCEPTED, "gateway-1")
    (heard,) = gateway.requests
    content = json.loads(heard.body)
    assert content.pop("timestamp").endswith("+00:00")
    assert content == {
        "type": "message.send",
        "data": {
            "reference": MESSAGE.reference,
            "channel": "voice",
            "to": MESSAGE.to,
            "subject": None,
            "body": MESSAGE.body,
            "platform": "calls",
            "sender_name": "Example Surgery",
        },
    }
    assert heard.headers["webhook-id"] == MESSAGE.reference
    assert heard.headers["content-type"] == "application/json"


def test_while_a_secret_is_replaced_both_sign(
    gateway: FakeGateway, session: requests.Session
) -> None:
    settings = gateway.settings(secrets=(OLD_SECRET, SECRET))
    assert send(WebhookProvider(settings, session)).outcome is Outcome.ACCEPTED
    (heard,) = gateway.requests
    at = heard.headers["webhook-timestamp"]
    assert heard.headers["webhook-signature"].split() == [
        signature(MESSAGE.reference, at, heard.body, secret) for secret in (OLD_SECRET, SECRET)
    ]


def test_the_id_stays_the_same_on_a_repeat_and_a_gateway_may_drop_it(
    session: requests.Session,
) -> None:
    with FakeGateway(deduplicates=True) as gateway:
        provider = WebhookProvider(gateway.settings(), session)
        gateway.faults.append(Fault(takes=True, then="drop"))
        outcomes = [send(provider) for _ in range(2)]
        assert [each.headers["webhook-id"] for each in gateway.requests] == [MESSAGE.reference] * 2
        assert len(gateway.taken) == 1
    assert outcomes[0].outcome is Outcome.MAY_HAVE_LEFT
    assert outcomes[1] == Receipt(
        outcome=Outcome.ACCEPTED, provider_id="gateway-1", reason="accepted-before"
    )
    assert provider.kind is ProviderKind.REJECTS_REPEATS
    assert provider.retention_seconds == 86_400


def test_a_gateway_that_promises_nothing_is_not_believed(
    gateway: FakeGateway, provider: WebhookProvider
) -> None:
    gateway.faults.append(Fault(status=409))
    assert send(provider).outcome is Outcome.MAY_HAVE_LEFT
    assert provider.kind is ProviderKind.NEITHER
    assert provider.retention_seconds is None


@pytest.mark.parametrize(
    ("fault", "number"),
    [
        (Fault(status=204, takes=True), None),
        (Fault(status=200, takes=True, payload={"id": 5}), None),
        (Fault(status=200, takes=True, payload={"id": "<script>"}), None),
        (Fault(status=201, takes=True, payload={"id": "x-1"}), "x-1"),
    ],
    ids=str,
)
def test_any_success_is_an_acceptance_with_or_without_an_id(
    gateway: FakeGateway, provider: WebhookProvider, fault: Fault, number: str | None
) -> None:
    gateway.faults.append(fault)
    receipt = send(provider)
    assert (receipt.outcome, receipt.provider_id) == (Outcome.ACCEPTED, number)


def test_a_web_page_in_place_of_an_answer_tells_nothing(
    gateway: FakeGateway, provider: WebhookProvider
) -> None:
    gateway.faults.append(Fault(takes=True, then="garble"))
    assert send(provider).outcome is Outcome.MAY_HAVE_LEFT


@pytest.mark.parametrize(("row", "outcome"), ERRORS.items(), ids=str)
def test_each_row_of_the_error_table_holds(
    gateway: FakeGateway,
    provider: WebhookProvider,
    row: tuple[int, str | None],
    outcome: Outcome,
) -> None:
    gateway.faults.append(Fault(status=row[0], payload={"error": MESSAGE.to}))
    receipt = send(provider)
    assert (receipt.outcome, receipt.reason) == (outcome, str(row[0]))


@pytest.mark.parametrize("status", [400, 404, 410, 413, 422])
def test_other_refusals_are_for_good(
    gateway: FakeGateway, provider: WebhookProvider, status: int
) -> None:
    gateway.faults.append(Fault(status=status))
    assert send(provider).outcome is Outcome.REFUSED


def test_an_answer_that_ends_early_may_have_left(
    gateway: FakeGateway, provider: WebhookProvider
) -> None:
    gateway.faults.append(Fault(takes=True, then="truncate"))
    assert send(provider).outcome is Outcome.MAY_HAVE_LEFT


def test_a_redirect_is_not_followed(gateway: FakeGateway, provider: WebhookProvider) -> None:
    gateway.faults.append(Fault(status=307, headers={"Location": gateway.url}))
    assert send(provider).outcome is Outcome.RETRYABLE
    assert len(gateway.requests) == 1


@pytest.mark.parametrize("reference", ["", "a.b", "a\r\nX-Injected: yes", "ü", "x" * 129])
def test_a_reference_that_does_not_fit_a_header_is_refused(
    gateway: FakeGateway, provider: WebhookProvider, reference: str
) -> None:
    receipt = send(provider, replace(MESSAGE, reference=reference))
    assert (receipt.outcome, receipt.reason) == (Outcome.REFUSED, "reference")
    assert gateway.requests == []


# --- where it may go ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "may"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("10.1.2.3", True),
        ("192.0.2.7", True),
        ("2001:db8::7", True),
        ("169.254.169.254", False),
        ("169.254.0.1", False),
        ("::ffff:169.254.169.254", False),
        ("fe80::1", False),
        ("fe80::1%eth0", False),
        ("febf::1", False),
        ("fec0::1", True),
        ("", False),
    ],
)
def test_a_webhook_does_not_go_to_addresses_of_the_link(address: str, may: bool) -> None:
    assert may_be_reached(address) is may


def test_nothing_is_written_to_an_address_that_may_not_be_reached(
    gateway: FakeGateway, session: requests.Session
) -> None:
    asked: list[str] = []
    nowhere = WebhookProvider(
        gateway.settings(), session, may_reach=lambda address: bool(asked.append(address))
    )
    receipt = send(nowhere)
    assert (receipt.outcome, receipt.reason) == (Outcome.RETRYABLE, "address-refused")
    assert gateway.requests == []
    assert asked == ["127.0.0.1"]


# --- callbacks ---------------------------------------------------------------------------------

ABOUT = {"reference": MESSAGE.reference, "id": "gateway-1", "channel": "voice"}
REPLY = {"id": "r-1", "channel": "sms", "from": "+447700900123", "text": "STOP"}


def test_it_tells_what_it_can(provider: WebhookProvider) -> None:
    assert isinstance(provider, TellsReceipts)
    assert isinstance(provider, TakesReplies)


@pytest.mark.parametrize(
    ("kind", "delivery"),
    [
        ("message.accepted", Delivery.ACCEPTED),
        ("message.delivered", Delivery.DELIVERED),
        ("message.read", Delivery.READ),
        ("message.failed", Delivery.FAILED),
    ],
)
def test_a_receipt_is_read(provider: WebhookProvider, kind: str, delivery: Delivery) -> None:
    (receipt,) = provider.receipts(callback(kind, {**ABOUT, "reason": "no-such-number"}))
    assert receipt.delivery is delivery
    assert receipt.reference == MESSAGE.reference
    assert (receipt.provider_id, receipt.channel) == ("gateway-1", Channel.VOICE)
    assert receipt.reason == ("no-such-number" if delivery is Delivery.FAILED else "")
    assert receipt.at is not None


@pytest.mark.parametrize("reason", ["number 07700900123", "x07700900123", 5, "x" * 41])
def test_a_reason_is_kept_only_where_it_is_a_code(provider: WebhookProvider, reason: Any) -> None:
    (receipt,) = provider.receipts(callback("message.failed", {**ABOUT, "reason": reason}))
    assert receipt.reason == ""


def test_a_reply_is_read(provider: WebhookProvider) -> None:
    (reply,) = provider.replies(callback("message.reply", {**REPLY, "reference": "m-1"}))
    assert (reply.id, reply.channel, reply.sender, reply.text, reply.reference) == (
        "r-1",
        Channel.SMS,
        "+447700900123",
        "STOP",
        "m-1",
    )


def test_both_secrets_verify_while_one_is_replaced(
    gateway: FakeGateway, session: requests.Session
) -> None:
    provider = WebhookProvider(gateway.settings(secrets=(OLD_SECRET, SECRET)), session)
    for secret in (OLD_SECRET, SECRET):
        assert provider.receipts(callback("message.read", ABOUT, secret=secret))
    two = callback("message.read", ABOUT)
    both = f"v1,{base64.b64encode(b'x' * 32).decode()} {two.headers['webhook-signature']}"
    assert provider.receipts(replace(two, headers={**two.headers, "webhook-signature": both}))


@pytest.mark.parametrize(
    "changes",
    [
        {"secret": OLD_SECRET},
        {"age": 301},
        {"age": -302},
        {"webhook_id": "evt_2"},
        {"webhook_id": ""},
        {"webhook_timestamp": "0"},
        {"webhook_timestamp": "soon"},
        {"webhook_timestamp": ""},
        {"webhook_signature": ""},
        {"webhook_signature": "v2,AAAA"},
        {"webhook_signature": "ü"},
    ],
)
def test_a_callback_that_is_not_signed_just_now_is_refused(
    provider: WebhookProvider, changes: dict[str, Any]
) -> None:
    assert provider.receipts(callback("message.read", ABOUT, age=295))
    for read, kind, data in (
        (provider.receipts, "message.read", ABOUT),
        (provider.replies, "message.reply", REPLY),
    ):
        with pytest.raises(CallbackRefused):
            read(callback(kind, data, **changes))


def test_a_signature_without_its_version_is_none() -> None:
    key = key_of(SECRET)
    assert key is not None
    at = datetime.now(UTC)
    seconds = str(int(at.timestamp()))
    digest = hmac.new(key, f"x.{seconds}.".encode(), hashlib.sha256).digest()
    headers = {
        "webhook-id": "x",
        "webhook-timestamp": seconds,
        "webhook-signature": base64.b64encode(digest).decode(),
    }
    with pytest.raises(CallbackRefused):
        authenticate(headers, b"", [key], at)
    with pytest.raises(CallbackRefused):
        authenticate(headers, b"", [], at)


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("message.reply", REPLY),
        ("message.eaten", ABOUT),
        ("message.read", {}),
        ("message.read", {"reference": "a b"}),
        ("message.read", {**ABOUT, "channel": "pigeon"}),
    ],
)
def test_a_receipt_that_is_not_understood_is_told(
    provider: WebhookProvider, kind: str, data: dict[str, Any]
) -> None:
    with pytest.raises(CallbackUnreadable):
        provider.receipts(callback(kind, data))


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("message.read", ABOUT),
        ("message.reply", {}),
        *(("message.reply", {**REPLY, name: None}) for name in REPLY),
    ],
)
def test_a_reply_that_is_not_understood_is_told(
    provider: WebhookProvider, kind: str, data: dict[str, Any]
) -> None:
    with pytest.raises(CallbackUnreadable):
        provider.replies(callback(kind, data))


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b'{"type": "message.read"}', b'{"type": "message.read", "data": {}}'],
)
def test_what_is_not_a_callback_of_a_gateway_is_told(
    provider: WebhookProvider, body: bytes
) -> None:
    with pytest.raises(CallbackUnreadable):
        provider.receipts(callback("", {}, body=body))
    with pytest.raises(CallbackUnreadable):
        provider.replies(callback("", {}, body=body.replace(b"read", b"reply")))
