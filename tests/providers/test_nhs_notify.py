"""NHS Notify: what is posted keeps to the contract, a duplicate is the first one's success."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import jsonschema_rs
import pytest
import requests

from fhirmsg.clock import Deadline
from fhirmsg.errors import (
    CallbackRefused,
    CallbackUnreadable,
    ProviderSilent,
    RecordUnavailable,
    SettingsError,
)
from fhirmsg.guidance.terms import Channel
from fhirmsg.http import make_session
from fhirmsg.ports import (
    ChecksItself,
    Delivery,
    ListsMessages,
    OutboundMessage,
    Outcome,
    Receipt,
    TakesReplies,
    TellsByItsId,
    TellsReceipts,
)
from fhirmsg.providers.nhs_notify import ERRORS, NhsNotifyProvider
from fhirmsg.providers.nhs_notify_request import NhsNotifySettings, RoutingPlan
from fhirmsg.tokens import TokenAuth, TokenSource
from tests.providers.fake_nhs_notify import (
    API_KEY,
    CONTRACT,
    TOKEN,
    FakeNhsNotify,
    Token,
    callback,
    channel_status,
    fault,
    message_status,
    said,
)
from tests.providers.fakes import Fault
from tests.raw_server import Script, answer, in_turn, raw_server
from tests.test_tokens import credentials

REFERENCE = "5b1f2f0a-0000-5000-8000-000000000001"
IN_THE_APP = OutboundMessage(
    reference=REFERENCE,
    channel=Channel.NHS_APP,
    to="9990548609",
    body="Your appointment is on Monday.",
)
TEXT = replace(IN_THE_APP, channel=Channel.SMS, to="+447700900123", nhs_number="9990548609")
LETTER = replace(
    TEXT, channel=Channel.EMAIL, to="mary.jones@example.org", subject="Your appointment"
)
VALID = jsonschema_rs.validator_for(CONTRACT["request"])


@pytest.fixture
def service() -> Iterator[FakeNhsNotify]:
    with FakeNhsNotify() as running:
        yield running


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with make_session(get_retries=0) as made:
        yield made


@pytest.fixture
def provider(service: FakeNhsNotify, session: requests.Session) -> NhsNotifyProvider:
    return NhsNotifyProvider(service.settings(), session, Token())


def send(provider: NhsNotifyProvider, message: OutboundMessage = IN_THE_APP) -> Receipt:
    return provider.send(message, start_by=Deadline(10), deadline=Deadline(2))


def attributes(service: FakeNhsNotify) -> dict[str, Any]:
    """The attributes of the one message posted, which keeps to the contract."""
    (heard,) = service.requests
    content = json.loads(heard.body)
    VALID.validate(content)
    found: dict[str, Any] = content["data"]["attributes"]
    return found


def test_it_tells_what_it_can_and_no_more(provider: NhsNotifyProvider) -> None:
    for protocol in (TellsReceipts, TellsByItsId, ChecksItself):
        assert isinstance(provider, protocol)
    for protocol in (TakesReplies, ListsMessages):
        assert not isinstance(provider, protocol)


# --- what is posted ----------------------------------------------------------------------------


def test_a_message_for_the_app_goes_by_the_nhs_number_alone(
    service: FakeNhsNotify, provider: NhsNotifyProvider
) -> None:
    receipt = send(provider)
    assert receipt.outcome is Outcome.ACCEPTED
    assert receipt.provider_id == service.taken[0].id
    assert receipt.at is not None
    assert attributes(service) == {
        "routingPlanId": "00000000-0000-0000-0000-000000000001",
        "messageReference": REFERENCE,
        "recipient": {"nhsNumber": "9990548609"},
        "personalisation": {"body": IN_THE_APP.body},
    }


@pytest.mark.parametrize(
    ("message", "details"),
    [(TEXT, {"sms": "447700900123"}), (LETTER, {"email": "mary.jones@example.org"})],
)
def test_a_text_or_an_email_goes_to_what_was_decided_about(
    service: FakeNhsNotify,
    provider: NhsNotifyProvider,
    message: OutboundMessage,
    details: dict[str, str],
) -> None:
    assert send(provider, message).outcome is Outcome.ACCEPTED
    recipient = attributes(service)["recipient"]
    assert recipient == {"nhsNumber": "9990548609", "contactDetails": details}


def test_contact_details_stay_here_only_where_the_settings_say_so(
    service: FakeNhsNotify, session: requests.Session
) -> None:
    settings = service.settings(send_contact_details=False)
    send(NhsNotifyProvider(settings, session, Token()), TEXT)
    assert attributes(service)["recipient"] == {"nhsNumber": "9990548609"}


def test_what_the_organisation_set_goes_along(
    service: FakeNhsNotify, session: requests.Session
) -> None:
    settings = service.settings(ods_code="A12345", billing_reference="clinic")
    send(NhsNotifyProvider(settings, session, Token()), LETTER)
    sent = attributes(service)
    assert sent["originator"] == {"odsCode": "A12345"}
    assert sent["billingReference"] == "clinic"
    assert sent["personalisation"] == {
        "email_body": LETTER.body,
        "email_subject": LETTER.subject,
    }


def test_the_same_request_id_goes_with_every_try(
    service: FakeNhsNotify, provider: NhsNotifyProvider
) -> None:
    send(provider)
    send(provider)
    assert [each.headers["x-request-id"] for each in service.requests] == [REFERENCE] * 2


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (replace(TEXT, nhs_number=None), "no-nhs-number"),
        (replace(TEXT, nhs_number="999054860"), "no-nhs-number"),
        (replace(TEXT, nhs_number="٩٩٩٠٥٤٨٦٠٩"), "no-nhs-number"),
        (replace(IN_THE_APP, to=""), "no-nhs-number"),
        (replace(TEXT, to=""), "no-contact-point"),
        (replace(TEXT, reference="5b1f2f0a"), "reference"),
        (replace(TEXT, body="x" * 919), "too-long"),
        (replace(IN_THE_APP, body="x" * 5001), "too-long"),
        (replace(TEXT, channel=Channel.LETTER), "channel"),
    ],
)
def test_what_cannot_be_sent_is_refused_before_anything_is_asked(
    service: FakeNhsNotify, provider: NhsNotifyProvider, message: OutboundMessage, reason: str
) -> None:
    receipt = send(provider, message)
    assert (receipt.outcome, receipt.reason) == (Outcome.REFUSED, reason)
    assert service.requests == []


@pytest.mark.parametrize(
    "change",
    [
        lambda found: found.pop("messageReference"),
        lambda found: found.update(messageReference="m-1"),
        lambda found: found["recipient"].update(nhsNumber="999 054 8609"),
        lambda found: found["recipient"].update(contactDetails={"sms": "+447700900123"}),
        lambda found: found["personalisation"].update(sms_body="x" * 919),
        lambda found: found.update(unheard="of"),
    ],
)
def test_the_contract_is_one_that_can_be_broken(
    service: FakeNhsNotify, provider: NhsNotifyProvider, change: Any
) -> None:
    send(provider, TEXT)
    found = attributes(service)
    change(found)
    assert not VALID.is_valid({"data": {"type": "Message", "attributes": found}})


# --- what answers mean -------------------------------------------------------------------------

MEANING = {
    "invalid": (Outcome.REFUSED, None),
    "no contact details allowed": (Outcome.RETRYABLE, None),
    "denied": (Outcome.RETRYABLE, None),
    "forbidden": (Outcome.RETRYABLE, None),
    "no such plan": (Outcome.RETRYABLE, None),
    "timed out at the client": (Outcome.MAY_HAVE_LEFT, None),
    "duplicate": (Outcome.ACCEPTED, None),
    "too early": (Outcome.RETRYABLE, 300),
    "quota": (Outcome.RETRYABLE, 5),
    "fault": (Outcome.MAY_HAVE_LEFT, None),
    "unavailable": (Outcome.RETRYABLE, 5),
    "timed out within": (Outcome.MAY_HAVE_LEFT, None),
}


@pytest.mark.parametrize("name", CONTRACT["answers"])
def test_each_documented_error_means_what_it_says(
    service: FakeNhsNotify, provider: NhsNotifyProvider, name: str
) -> None:
    service.faults.append(fault(name))
    receipt = send(provider)
    assert (receipt.outcome, receipt.retry_after) == MEANING[name]
    assert receipt.pending is (name == "too early")


@pytest.mark.parametrize(("row", "outcome"), ERRORS.items(), ids=str)
def test_each_row_of_the_error_table_holds(
    service: FakeNhsNotify,
    provider: NhsNotifyProvider,
    row: tuple[int, str | None],
    outcome: Outcome,
) -> None:
    status, code = row
    errors = [{"code": code or "CM_9990548609", "status": str(status)}]
    service.faults.append(Fault(status=status, payload={"errors": errors}))
    receipt = send(provider)
    assert receipt.outcome is outcome
    assert receipt.reason == (f"{status} {code}" if code else str(status))


def test_a_repeat_after_a_lost_answer_is_the_first_ones_success(
    service: FakeNhsNotify, provider: NhsNotifyProvider
) -> None:
    service.faults.append(Fault(takes=True, then="drop"))
    assert send(provider).outcome is Outcome.MAY_HAVE_LEFT
    again = send(provider)
    assert (again.outcome, again.provider_id) == (Outcome.ACCEPTED, None)
    assert again.reason == "accepted-before"
    assert len(service.taken) == 1


@pytest.mark.parametrize(
    "changed",
    [
        Fault(takes=True, then="truncate"),
        Fault(takes=True, then="garble"),
        Fault(status=201, payload={"data": {"id": "2WL3"}}),
        Fault(status=201, payload={"data": {"attributes": {"messageReference": REFERENCE}}}),
        Fault(status=422, payload={"errors": "none"}),
    ],
    ids=str,
)
def test_an_answer_that_is_not_nhs_notifys_own_word_may_have_left(
    service: FakeNhsNotify, provider: NhsNotifyProvider, changed: Fault
) -> None:
    service.faults.append(changed)
    assert send(provider).outcome is Outcome.MAY_HAVE_LEFT


def test_without_an_access_token_nothing_leaves(
    service: FakeNhsNotify, session: requests.Session
) -> None:
    class NoToken(requests.auth.AuthBase):
        def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
            raise RecordUnavailable("no token was given")

    receipt = send(NhsNotifyProvider(service.settings(), session, NoToken()))
    assert (receipt.outcome, receipt.reason) == (Outcome.RETRYABLE, "connect no-token")
    assert service.requests == []
    wrong = NhsNotifyProvider(service.settings(), session, Token("another"))
    assert send(wrong).reason == "401 CM_DENIED"


def test_a_message_that_was_turned_away_for_want_of_a_token_surely_did_not_leave(
    service: FakeNhsNotify, session: requests.Session
) -> None:
    revoked = token_answer("withdrawn")
    refused = answer(b'{"error": "invalid_client"}', status="401 Unauthorized")
    with raw_server(in_turn(revoked, refused)) as platform:
        source = TokenSource(credentials(token_url=platform.url, scope=None), session)
        auth = TokenAuth(source, service.url)
        receipt = send(NhsNotifyProvider(service.settings(), session, auth))
    assert (receipt.outcome, receipt.reason) == (Outcome.RETRYABLE, "no-token")
    assert len(service.requests) == 1
    assert service.taken == []


def test_a_token_that_was_withdrawn_is_replaced_and_the_message_leaves_once(
    service: FakeNhsNotify, session: requests.Session
) -> None:
    with raw_server(in_turn(token_answer("withdrawn"), token_answer(TOKEN))) as platform:
        source = TokenSource(credentials(token_url=platform.url, scope=None), session)
        auth = TokenAuth(source, service.url)
        receipt = send(NhsNotifyProvider(service.settings(), session, auth))
    assert receipt.outcome is Outcome.ACCEPTED
    assert len(service.requests) == 2
    assert len(service.taken) == 1


def token_answer(token: str) -> Script:
    """Give the answer of a token endpoint."""
    return answer(json.dumps({"access_token": token, "token_type": "Bearer"}).encode())


# --- looking up --------------------------------------------------------------------------------


def test_a_message_is_known_by_its_own_id_or_surely_not_there(
    service: FakeNhsNotify, provider: NhsNotifyProvider
) -> None:
    number = send(provider).provider_id
    assert number is not None
    known = provider.known_by_id(number)
    assert known is not None
    assert (known.reference, known.delivery) == (REFERENCE, Delivery.ACCEPTED)
    assert known.at is not None
    assert provider.known_by_id("2WL3qFTEFM0qMY8xjRbt1LIKCzM") is None
    assert provider.known_by_id("../2WL3") is None


def test_an_answer_about_another_message_is_none(
    service: FakeNhsNotify, session: requests.Session, provider: NhsNotifyProvider
) -> None:
    with pytest.raises(ProviderSilent):
        NhsNotifyProvider(service.settings(), session, None).known_by_id("2WL3")
    service.taken.append(replace_status(service, provider, "teleported"))
    with pytest.raises(ProviderSilent):
        provider.known_by_id(service.taken[-1].id)


def replace_status(service: FakeNhsNotify, provider: NhsNotifyProvider, status: str) -> Any:
    send(provider)
    return replace(service.taken.pop(), status=status)


def test_what_would_keep_a_message_from_leaving_is_told(
    service: FakeNhsNotify, session: requests.Session, provider: NhsNotifyProvider
) -> None:
    assert provider.why_unusable() is None
    without = NhsNotifyProvider(service.settings(), session, None)
    assert "Check the application's key" in (without.why_unusable() or "")
    service.answer = lambda heard: replace(said("no such plan"), status=200)  # type: ignore[method-assign]
    assert "Check the address" in (provider.why_unusable() or "")
    assert service.taken == []


def test_settings_that_cannot_be_right_are_told_all_at_once() -> None:
    plans = {Channel.SMS: RoutingPlan(id="mine", body_field="x")}
    with pytest.raises(SettingsError) as caught:
        NhsNotifySettings(plans=plans, callback_api_key=API_KEY)
    assert [fault.partition(":")[0] for fault in caught.value.faults] == [
        "callback_application_id, callback_api_key",
        "sms_plan",
    ]
    assert API_KEY not in str(caught.value)


# --- callbacks ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("item", "delivery", "reason", "channel"),
    [
        (message_status(REFERENCE, "pending_enrichment"), Delivery.ACCEPTED, "", None),
        (message_status(REFERENCE, "sending"), Delivery.ACCEPTED, "", None),
        (message_status(REFERENCE, "delivered"), Delivery.DELIVERED, "", None),
        (
            message_status(REFERENCE, "failed", messageFailureReasonCode="MFR_PDSV_0002"),
            Delivery.FAILED,
            "MFR_PDSV_0002",
            None,
        ),
        (
            message_status(REFERENCE, "failed", messageFailureReasonCode="Mary, 07700900123"),
            Delivery.FAILED,
            "",
            None,
        ),
        (
            channel_status(REFERENCE, supplierStatus="read"),
            Delivery.READ,
            "",
            Channel.NHS_APP,
        ),
        (
            channel_status(REFERENCE, supplierStatus="unnotified"),
            Delivery.DELIVERED,
            "",
            Channel.NHS_APP,
        ),
        (
            channel_status(REFERENCE, "sms", "failed", supplierStatus="permanent_failure"),
            Delivery.FAILED,
            "permanent_failure",
            Channel.SMS,
        ),
        (channel_status(REFERENCE, "email", "skipped"), Delivery.FAILED, "skipped", Channel.EMAIL),
        (channel_status(REFERENCE, "sms", "failed"), Delivery.FAILED, "failed", Channel.SMS),
    ],
)
def test_a_status_says_what_became_of_a_message(
    provider: NhsNotifyProvider,
    item: dict[str, Any],
    delivery: Delivery,
    reason: str,
    channel: Channel | None,
) -> None:
    (receipt,) = provider.receipts(callback(item))
    assert (receipt.delivery, receipt.reason, receipt.channel) == (delivery, reason, channel)
    assert receipt.reference == REFERENCE
    assert receipt.at == datetime(2026, 5, 12, 8, 30, 2, tzinfo=UTC)


def test_a_callback_may_hold_several_statuses_and_is_taken_whole_or_not(
    provider: NhsNotifyProvider,
) -> None:
    both = (message_status(REFERENCE), channel_status("another"))
    assert [each.reference for each in provider.receipts(callback(*both))] == [REFERENCE, "another"]
    with pytest.raises(CallbackUnreadable):
        provider.receipts(callback(*both, {"type": "MessageStatus"}))


@pytest.mark.parametrize(
    "headers",
    [
        {"x_api_key": "another"},
        {"x_api_key": ""},
        {"x_hmac_sha256_signature": "0" * 64},
        {"x_hmac_sha256_signature": ""},
        {"x_hmac_sha256_signature": "ü"},
    ],
)
def test_a_callback_without_key_or_signature_is_refused(
    provider: NhsNotifyProvider, headers: dict[str, str]
) -> None:
    right = callback(message_status(REFERENCE))
    assert provider.receipts(right)
    with pytest.raises(CallbackRefused):
        provider.receipts(callback(message_status(REFERENCE), **headers))


def test_without_a_key_of_its_own_no_callback_is_taken(
    service: FakeNhsNotify, session: requests.Session
) -> None:
    settings = service.settings(callback_application_id=None, callback_api_key=None)
    with pytest.raises(CallbackRefused):
        NhsNotifyProvider(settings, session, None).receipts(callback(message_status(REFERENCE)))


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"data": []}', b'{"data": [5]}', b"\xff"])
def test_what_is_not_a_callback_of_nhs_notify_is_told(
    provider: NhsNotifyProvider, body: bytes
) -> None:
    with pytest.raises(CallbackUnreadable):
        provider.receipts(callback(body=body))


@pytest.mark.parametrize(
    "item",
    [
        message_status(REFERENCE, "teleported"),
        message_status("not one: at all"),
        message_status(REFERENCE, timestamp="soon"),
        channel_status(REFERENCE, "pigeon"),
        channel_status(REFERENCE, status="teleported"),
    ],
)
def test_a_status_that_is_not_understood_is_told(
    provider: NhsNotifyProvider, item: dict[str, Any]
) -> None:
    with pytest.raises(CallbackUnreadable):
        provider.receipts(callback(item))
