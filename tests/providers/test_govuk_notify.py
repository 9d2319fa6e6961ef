"""GOV.UK Notify: the same requests as its own client, what its answers mean, what it calls back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
import requests
from notifications_python_client import NotificationsAPIClient

from fhirmsg.clock import Deadline, now
from fhirmsg.errors import CallbackRefused, CallbackUnreadable, ProviderSilent, SettingsError
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
from fhirmsg.providers.govuk_notify import ERRORS, GovukNotifyProvider, NotifySettings
from fhirmsg.providers.govuk_notify_templates import NotifyTemplate
from tests.providers import fake_notify
from tests.providers.fake_notify import (
    API_KEY,
    EMAIL_TEMPLATE,
    SECRET,
    SMS_TEMPLATE,
    FakeNotify,
)
from tests.providers.fakes import Fault, Heard

TEXT = OutboundMessage(
    reference="5b1f2f0a-0000-5000-8000-000000000001",
    channel=Channel.SMS,
    to="+447700900123",
    body="Your appointment is on Monday.",
)
LETTER = replace(
    TEXT, channel=Channel.EMAIL, to="mary.jones@example.org", subject="Your appointment"
)
SENDER_ID = "bbbbbbbb-1111-4000-8000-000000000001"
REPLY_TO_ID = "bbbbbbbb-1111-4000-8000-000000000002"


@pytest.fixture
def service() -> Iterator[FakeNotify]:
    with FakeNotify(page=3) as running:
        yield running


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with make_session(get_retries=0) as made:
        yield made


@pytest.fixture
def provider(service: FakeNotify, session: requests.Session) -> GovukNotifyProvider:
    return GovukNotifyProvider(service.settings(), session)


def send(provider: GovukNotifyProvider, message: OutboundMessage = TEXT) -> Receipt:
    return provider.send(message, start_by=Deadline(10), deadline=Deadline(2))


def test_it_does_all_that_a_provider_can(provider: GovukNotifyProvider) -> None:
    for protocol in (TellsReceipts, TakesReplies, ListsMessages, TellsByItsId, ChecksItself):
        assert isinstance(provider, protocol)


# --- beside the official client ----------------------------------------------------------------


def claims_of(heard: Heard) -> dict[str, Any]:
    token = heard.headers["authorization"].removeprefix("Bearer ")
    header = jwt.get_unverified_header(token)
    claims = jwt.decode(token, SECRET, algorithms=["HS256"])
    return {"header": header, **claims}


def assert_alike(ours: Heard, theirs: Heard) -> None:
    assert (ours.method, ours.path, ours.query) == (theirs.method, theirs.path, theirs.query)
    assert ours.body == theirs.body == b"" or json.loads(ours.body) == json.loads(theirs.body)
    assert ours.headers.get("content-type") in (theirs.headers["content-type"], None)
    our_claims, their_claims = claims_of(ours), claims_of(theirs)
    assert abs(our_claims.pop("iat") - their_claims.pop("iat")) <= 1
    assert our_claims == their_claims


@pytest.fixture
def official(service: FakeNotify) -> Iterator[NotificationsAPIClient]:
    client = NotificationsAPIClient(API_KEY, base_url=service.url)
    yield client
    client.request_session.close()


def test_a_text_is_sent_as_the_official_client_sends_it(
    service: FakeNotify, session: requests.Session, official: NotificationsAPIClient
) -> None:
    settings = service.settings(sms_sender_id=SENDER_ID)
    assert send(GovukNotifyProvider(settings, session)).outcome is Outcome.ACCEPTED
    official.send_sms_notification(
        TEXT.to,
        SMS_TEMPLATE,
        personalisation={"body": TEXT.body},
        reference=TEXT.reference,
        sms_sender_id=SENDER_ID,
    )
    assert_alike(*service.requests)


def test_an_email_is_sent_as_the_official_client_sends_it(
    service: FakeNotify, session: requests.Session, official: NotificationsAPIClient
) -> None:
    settings = service.settings(email_reply_to_id=REPLY_TO_ID)
    assert send(GovukNotifyProvider(settings, session), LETTER).outcome is Outcome.ACCEPTED
    official.send_email_notification(
        LETTER.to,
        EMAIL_TEMPLATE,
        personalisation={"body": LETTER.body, "subject": LETTER.subject},
        reference=LETTER.reference,
        email_reply_to_id=REPLY_TO_ID,
    )
    assert_alike(*service.requests)


def test_what_is_looked_up_is_looked_up_as_the_official_client_does(
    service: FakeNotify, provider: GovukNotifyProvider, official: NotificationsAPIClient
) -> None:
    number = send(provider).provider_id
    assert number is not None
    service.requests.clear()

    provider.find(TEXT.reference)
    official.get_all_notifications(reference=TEXT.reference)
    assert_alike(*service.requests)

    service.requests.clear()
    provider.known_by_id(number)
    official.get_notification_by_id(number)
    assert_alike(*service.requests)


def test_the_list_is_paged_as_the_official_client_pages_it(
    service: FakeNotify, provider: GovukNotifyProvider, official: NotificationsAPIClient
) -> None:
    for number in range(7):
        send(provider, replace(TEXT, reference=f"m-{number}"))
    last = service.taken[0].id
    service.requests.clear()

    ours = [known.reference for known in provider.known_since(now() - timedelta(hours=1))]
    asked = [each for each in service.requests]
    service.requests.clear()
    page = official.get_all_notifications()
    theirs = []
    while page["notifications"]:
        theirs += [item["reference"] for item in page["notifications"]]
        page = official.get_all_notifications(older_than=page["notifications"][-1]["id"])

    assert ours == theirs == [f"m-{number}" for number in reversed(range(7))]
    assert len(asked) == len(service.requests) == 4
    assert asked[-1].query == {"older_than": last}
    for one, other in zip(asked, service.requests, strict=True):
        assert_alike(one, other)


# --- what answers mean -------------------------------------------------------------------------


@pytest.mark.parametrize(("row", "outcome"), ERRORS.items(), ids=str)
def test_each_row_of_the_error_table_holds(
    service: FakeNotify,
    provider: GovukNotifyProvider,
    row: tuple[int, str | None],
    outcome: Outcome,
) -> None:
    status, code = row
    errors = [{"error": code or "Unheard", "message": f"{TEXT.to} is no good"}]
    service.faults.append(Fault(status=status, payload={"status_code": status, "errors": errors}))

    receipt = send(provider)

    assert receipt.outcome is outcome
    # A code that the table does not name could be anything, and is not repeated.
    assert receipt.reason == (f"{status} {code}" if code else str(status))


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (301, Outcome.RETRYABLE),
        (302, Outcome.MAY_HAVE_LEFT),
        (303, Outcome.MAY_HAVE_LEFT),
        (307, Outcome.RETRYABLE),
        (413, Outcome.REFUSED),
        (501, Outcome.MAY_HAVE_LEFT),
        (599, Outcome.MAY_HAVE_LEFT),
    ],
)
def test_a_status_that_no_table_knows(
    service: FakeNotify, provider: GovukNotifyProvider, status: int, outcome: Outcome
) -> None:
    service.faults.append(Fault(status=status, headers={"Location": "http://127.0.0.1:1/"}))
    assert send(provider).outcome is outcome


def test_the_time_to_wait_is_told_with_what_may_be_tried_again(
    service: FakeNotify, provider: GovukNotifyProvider
) -> None:
    for after in ("7", "soon", "-1"):
        service.faults.append(Fault(status=429, headers={"Retry-After": after}))
    assert [send(provider).retry_after for _ in range(3)] == [7, None, None]


@pytest.mark.parametrize(
    "fault",
    [
        Fault(takes=True, then="drop"),
        Fault(takes=True, then="truncate"),
        Fault(takes=True, then="garble"),
        Fault(takes=True, then="stall"),
        Fault(status=201, takes=True, payload=[]),
        Fault(status=201, takes=True, payload={"id": "<b>", "reference": TEXT.reference}),
        Fault(status=201, payload={"id": "n-1", "reference": "another"}),
        Fault(status=200, payload={"id": "n-1", "reference": TEXT.reference}),
    ],
    ids=str,
)
def test_a_success_that_is_not_notifys_own_word_may_have_left(
    service: FakeNotify, provider: GovukNotifyProvider, fault: Fault
) -> None:
    service.faults.append(fault)
    assert send(provider).outcome is Outcome.MAY_HAVE_LEFT
    found = provider.find(TEXT.reference)
    assert (found is not None) is fault.takes


def test_a_wrong_key_is_a_fault_of_ours_and_not_of_the_message(
    service: FakeNotify, session: requests.Session
) -> None:
    other = GovukNotifyProvider(service.settings(api_key=API_KEY[:-4] + "0000"), session)
    receipt = send(other)
    assert (receipt.outcome, receipt.reason) == (Outcome.RETRYABLE, "403 AuthError")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"channel": Channel.NHS_APP}, "channel"),
        ({"reference": "a b"}, "reference"),
        ({"reference": ""}, "reference"),
    ],
)
def test_what_cannot_be_sent_is_refused_before_anything_is_asked(
    service: FakeNotify, provider: GovukNotifyProvider, changes: dict[str, Any], reason: str
) -> None:
    receipt = send(provider, replace(TEXT, **changes))
    assert (receipt.outcome, receipt.reason) == (Outcome.REFUSED, reason)
    assert service.requests == []


def test_nothing_of_a_message_gets_into_the_head_of_the_request(
    service: FakeNotify, provider: GovukNotifyProvider
) -> None:
    nasty = "x\r\nX-Injected: yes"
    send(provider, replace(LETTER, subject=nasty, body=nasty, to=nasty, sender_name=nasty))
    (heard,) = service.requests
    assert "x-injected" not in heard.headers
    assert json.loads(heard.body)["personalisation"]["subject"] == nasty


def test_an_email_without_a_subject_has_the_senders_name_for_one(
    service: FakeNotify, provider: GovukNotifyProvider
) -> None:
    send(provider, replace(LETTER, subject=None, sender_name="Example Surgery"))
    assert service.taken[0].subject == "Example Surgery"


def test_fields_of_templates_can_have_other_names(
    service: FakeNotify, session: requests.Session
) -> None:
    service.templates[SMS_TEMPLATE]["personalisation"] = {"Message Text": {}}
    template = NotifyTemplate(id=SMS_TEMPLATE, body_field="message_text")
    provider = GovukNotifyProvider(service.settings(sms=template), session)
    assert provider.why_unusable() is None


# --- looking up --------------------------------------------------------------------------------


def test_the_first_of_several_with_one_reference_is_found(
    service: FakeNotify, provider: GovukNotifyProvider
) -> None:
    first, _ = send(provider), send(provider)
    found = provider.find(TEXT.reference)
    assert found is not None
    assert found.provider_id == first.provider_id
    assert found.at is not None


@pytest.mark.parametrize(
    "changed",
    [
        {"status": 403},
        {"status": 503},
        {"payload": {"notifications": {}}},
        {"payload": {"notifications": [{"id": "n-1"}]}},
        {"payload": []},
    ],
    ids=str,
)
def test_a_look_up_that_is_not_answered_with_a_list_is_no_answer(
    provider: GovukNotifyProvider,
    service: FakeNotify,
    changed: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answer = service.answer(Heard(method="GET", path="/", query={}, headers={}, body=b""))
    monkeypatch.setattr(
        service, "answer", lambda heard: replace(answer, **{"status": 200, **changed})
    )
    for look in (lambda: provider.find("m"), lambda: list(provider.known_since(now()))):
        with pytest.raises(ProviderSilent):
            look()


def test_a_service_that_is_away_says_nothing_of_what_it_has(session: requests.Session) -> None:
    with FakeNotify() as service:
        provider = GovukNotifyProvider(service.settings(), session)
    for look in (
        lambda: provider.find("m"),
        lambda: provider.known_by_id(SENDER_ID),
        lambda: list(provider.known_since(now())),
    ):
        with pytest.raises(ProviderSilent):
            look()
    assert "did not answer" in (provider.why_unusable() or "")


def test_the_list_ends_where_it_was_asked_to(
    service: FakeNotify, provider: GovukNotifyProvider
) -> None:
    for number in range(8):
        service.take(
            id=f"{number:08d}-0000-4000-8000-000000000001",
            reference="" if number == 7 else f"m-{number}",
            channel="sms",
            to=TEXT.to,
            body="x",
            status="delivered" if number == 6 else "sending",
        )
    since = datetime.fromtimestamp(service.taken[4].at, UTC)
    known = list(provider.known_since(since))
    assert [each.reference for each in known] == ["", "m-6", "m-5", "m-4"]
    assert [each.delivery for each in known][:2] == [Delivery.ACCEPTED, Delivery.DELIVERED]
    # One page more is not asked for.
    assert len(service.requests) == 2


def test_a_list_that_goes_further_back_than_notify_keeps_cannot_be_had(
    provider: GovukNotifyProvider,
) -> None:
    with pytest.raises(ProviderSilent):
        list(provider.known_since(now() - timedelta(days=8)))


def test_a_message_is_known_by_its_own_id_or_surely_not_there(
    service: FakeNotify, provider: GovukNotifyProvider
) -> None:
    number = send(provider).provider_id
    assert number is not None
    known = provider.known_by_id(number)
    assert known is not None
    assert (known.reference, known.delivery) == (TEXT.reference, Delivery.ACCEPTED)
    assert provider.known_by_id(SENDER_ID) is None
    assert provider.known_by_id("../../v2/template") is None


# --- what would keep a message from leaving ----------------------------------------------------


@pytest.mark.parametrize(
    ("template", "words"),
    [
        (None, "does not know the template for sms"),
        ({"type": "email", "personalisation": {"body": {}}}, "of another type"),
        ({"type": "sms", "personalisation": {}}, "does not hold exactly the fields"),
        ({"type": "sms", "personalisation": {"body": {}, "date": {}}}, "does not hold exactly"),
        ({"type": "sms", "personalisation": None}, "Try again later"),
        ({"type": "sms", "personalisation": {"BODY": {}}}, None),
    ],
)
def test_a_template_that_does_not_fit_is_told(
    service: FakeNotify,
    provider: GovukNotifyProvider,
    template: dict[str, Any] | None,
    words: str | None,
) -> None:
    assert provider.why_unusable() is None
    service.templates.pop(SMS_TEMPLATE)
    if template is not None:
        service.templates[SMS_TEMPLATE] = template
    found = provider.why_unusable()
    assert (found is None) if words is None else (words in (found or ""))
    assert service.taken == []


def test_a_key_that_is_not_taken_is_told(service: FakeNotify, session: requests.Session) -> None:
    other = GovukNotifyProvider(service.settings(api_key=API_KEY[:-4] + "0000"), session)
    assert "Check the API key" in (other.why_unusable() or "")


def test_settings_that_cannot_be_right_are_told_all_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        NotifySettings(api_key="a secret", sms_sender_id="x", retention_days=100)
    assert [fault.partition(":")[0] for fault in caught.value.faults] == [
        "api_key",
        "sms_template, email_template",
        "retention_days",
        "sms_sender_id",
    ]
    assert "a secret" not in str(caught.value)
    assert SECRET not in repr(NotifySettings(api_key=API_KEY, sms=NotifyTemplate(id=SMS_TEMPLATE)))


# --- callbacks ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "delivery", "reason"),
    [
        ("sending", Delivery.ACCEPTED, ""),
        ("sent", Delivery.ACCEPTED, ""),
        ("delivered", Delivery.DELIVERED, ""),
        ("permanent-failure", Delivery.FAILED, "permanent-failure"),
        ("temporary-failure", Delivery.FAILED, "temporary-failure"),
        ("technical-failure", Delivery.FAILED, "technical-failure"),
    ],
)
def test_a_receipt_says_what_became_of_a_message(
    provider: GovukNotifyProvider, status: str, delivery: Delivery, reason: str
) -> None:
    (receipt,) = provider.receipts(fake_notify.receipt(TEXT.reference, status))
    assert (receipt.delivery, receipt.reason) == (delivery, reason)
    assert receipt.at == datetime(2026, 5, 12, 8, 30, 2, tzinfo=UTC)
    assert receipt.channel is Channel.SMS


@pytest.mark.parametrize("reference", [None, "", "somebody else's: Mary"])
def test_a_receipt_without_a_reference_of_ours_is_about_nothing(
    provider: GovukNotifyProvider, reference: str | None
) -> None:
    assert provider.receipts(fake_notify.receipt(reference)) == ()


def test_a_reply_is_read(provider: GovukNotifyProvider) -> None:
    (reply,) = provider.replies(fake_notify.reply("STOP"))
    assert (reply.channel, reply.sender, reply.text) == (Channel.SMS, "447700900123", "STOP")
    assert reply.at == datetime(2026, 5, 12, 9, tzinfo=UTC)
    assert "STOP" not in repr(reply)


def test_the_tokens_of_receipts_and_replies_are_two(
    service: FakeNotify, session: requests.Session, provider: GovukNotifyProvider
) -> None:
    for read, callback in (
        (provider.receipts, fake_notify.reply()),
        (provider.replies, fake_notify.receipt("m")),
        (provider.replies, replace(fake_notify.reply(), headers={})),
    ):
        with pytest.raises(CallbackRefused):
            read(callback)
    without = GovukNotifyProvider(service.settings(receipts_token=None), session)
    with pytest.raises(CallbackRefused):
        without.receipts(fake_notify.signed({}, ""))


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b"\xff", b"[" * 100_000, b'{"id": "n", "status": "delivered"}']
)
def test_what_is_not_a_callback_of_notify_is_told(
    provider: GovukNotifyProvider, body: bytes
) -> None:
    with pytest.raises(CallbackUnreadable):
        provider.receipts(fake_notify.signed(body, fake_notify.RECEIPTS_TOKEN))
    with pytest.raises(CallbackUnreadable):
        provider.replies(fake_notify.signed(body, fake_notify.REPLIES_TOKEN))


@pytest.mark.parametrize(
    "changes", [{"message": None}, {"source_number": ""}, {"date_received": "soon"}, {"id": 5}]
)
def test_a_reply_that_lacks_what_it_must_have_is_told(
    provider: GovukNotifyProvider, changes: dict[str, Any]
) -> None:
    with pytest.raises(CallbackUnreadable):
        provider.replies(fake_notify.reply(**changes))
