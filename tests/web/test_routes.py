"""Statuses, keys, scopes, headers: each answer is checked against the contract on its way."""

from __future__ import annotations

import json
import logging
from dataclasses import replace

import pytest

from fhirmsg import errors, tracing
from fhirmsg.answers import Retry, State, for_decision, for_entry
from fhirmsg.calls import Call, message_id_for
from fhirmsg.guidance.decision import decide
from fhirmsg.guidance.request import Review
from fhirmsg.guidance.rules import RULES
from fhirmsg.ports import Entry, EntryStatus
from fhirmsg.web.health import Readiness
from tests import builders
from tests.web.app_under_test import (
    DECLARER_KEY,
    KEY,
    OVERRIDER_KEY,
    POLICY,
    READER_KEY,
    Face,
    a_body,
)

CALL = Call(
    request=builders.a_request(), policy=POLICY, message_id=message_id_for("sender", "key-1")
)
DECISION = decide(builders.a_case())
REFUSAL = decide(builders.a_case(consents=[builders.an_objection()]))


def an_entry(**fields: object) -> Entry:
    """Give a completed entry of our organisation."""
    return replace(
        Entry(
            reference="Communication/1",
            version_id="2",
            status=EntryStatus.COMPLETED,
            message_id="the-id",
            attempt="a",
            message_digest="d",
            verdict="send",
            receipt_digest="r",
            sent="2026-11-24T10:00:00Z",
            sender="A12345",
        ),
        **fields,
    )


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (for_entry(CALL, an_entry(), decision=DECISION), 201),
        (for_entry(CALL, an_entry()), 200),
        (for_entry(CALL, an_entry(status=EntryStatus.UNKNOWN), decision=DECISION), 202),
        (for_entry(CALL, an_entry(status=EntryStatus.UNKNOWN)), 200),
        (for_entry(CALL, an_entry(status=EntryStatus.STOPPED), decision=DECISION), 200),
        (for_entry(CALL, an_entry(), status=State.NOT_SENT, retry=Retry.NOW), 200),
        (for_decision(CALL, DECISION), 200),
        (for_decision(CALL, REFUSAL), 200),
    ],
)
def test_a_decision_is_a_2xx(answer: object, status: int) -> None:
    face = Face()
    face.messenger.answer = answer  # type: ignore[assignment]
    assert face.post(a_body()).status_code == status
    assert face.post(a_body(), Accept="application/fhir+json").status_code == status


def test_a_refusal_as_an_operation_outcome_has_an_issue_for_each_finding() -> None:
    face = Face()
    face.messenger.answer = for_decision(CALL, REFUSAL)
    outcome = face.post(a_body(), Accept="application/fhir+json").get_json(force=True)
    first = outcome["issue"][0]
    assert (first["severity"], first["code"]) == ("error", "business-rule")
    assert first["details"]["coding"][0]["code"] == "objection.active"


def test_a_replay_has_no_findings_and_says_that_it_is_one() -> None:
    face = Face()
    face.messenger.answer = for_entry(CALL, an_entry())
    body = face.post(a_body()).get_json()
    assert body["replayed"]
    assert body["decision"] == {"verdict": "send", "findings": None, "receipt_digest": "r"}


@pytest.mark.parametrize(
    ("error", "status", "retry"),
    [
        (errors.PatientNotFound("x"), 404, "never"),
        (errors.RecipientNotFound("x"), 404, "never"),
        (errors.PatientAmbiguous("x"), 409, "never"),
        (errors.StillRunning("x", 7), 409, "after"),
        (errors.KeyReused("x"), 422, "never"),
        (errors.RecordUnavailable("x"), 503, "after"),
        (errors.TryLater("x", 60), 503, "after"),
        (RuntimeError("a secret"), 500, "after"),
    ],
)
def test_a_failure_has_its_status_and_retry_after_agrees(
    error: Exception, status: int, retry: str
) -> None:
    face = Face()
    face.messenger.answer = error
    answer = face.post(a_body())
    assert (answer.status_code, answer.get_json(force=True)["retry"]) == (status, retry)
    assert ("Retry-After" in answer.headers) == (retry == "after")
    assert "a secret" not in answer.text
    as_fhir = face.post(a_body(), Accept="application/fhir+json")
    assert as_fhir.status_code == status


def test_the_message_id_hangs_on_client_and_key() -> None:
    face = Face()
    face.post(a_body(), Idempotency_Key="one")
    face.post(a_body(), Idempotency_Key="one")
    face.post(a_body(), Idempotency_Key="two")
    first, again, other = [call.message_id for call in face.messenger.calls]
    assert first == again == message_id_for("sender", "one")
    assert other != first


@pytest.mark.parametrize("key", ["", " ", "x" * 256, "ümlaut"])
def test_an_idempotency_key_is_printable_and_not_too_long(key: str) -> None:
    assert Face().post(a_body(), Idempotency_Key=key).status_code == 400


@pytest.mark.parametrize(
    ("authorization", "status"),
    [("", 401), ("Bearer nobody", 401), ("Basic x", 401), (f"Bearer {READER_KEY}", 403)],
)
def test_nobody_sends_without_a_key_that_may(authorization: str, status: int) -> None:
    face = Face()
    answer = face.post(a_body(), Authorization=authorization)
    assert answer.status_code == status
    assert face.messenger.calls == []


def test_a_client_speaks_for_its_organisations_and_roles_alone() -> None:
    face = Face()
    somebody = {"identifier": "x", "name": "X", "role": "chief executive"}
    assert face.post(a_body(organization="Z99999")).status_code == 403
    assert face.post(a_body(requester=somebody)).status_code == 403
    assert face.messenger.calls == []


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/check"])
@pytest.mark.parametrize(
    ("part", "key", "others"),
    [
        ("override", OVERRIDER_KEY, (KEY, DECLARER_KEY)),
        ("emergency", DECLARER_KEY, (KEY, OVERRIDER_KEY)),
    ],
)
def test_overrides_and_emergencies_need_a_scope_of_their_own(
    path: str, part: str, key: str, others: tuple[str, ...]
) -> None:
    face = Face()
    body = a_body(evidence={part: {}})
    for other in others:
        refused = face.post(body, path, Authorization=f"Bearer {other}")
        assert refused.status_code == 403
        assert part in refused.get_json(force=True)["detail"]
    assert face.messenger.calls == []
    assert face.post(body, path, Authorization=f"Bearer {key}").status_code == 200


def test_all_other_evidence_comes_with_the_scope_to_send() -> None:
    parts = ("individual_check", "necessity", "practical_reason", "accessible_alternative")
    brought = {name: {} for name in parts} | {"acknowledged": [{}], "reviews": [{}]}
    face = Face()
    assert face.post(a_body(evidence=brought)).status_code == 200
    assert face.messenger.calls[0].request.evidence.reviews == (Review(),)


def test_a_message_is_shown_to_the_clients_of_its_organisation_alone() -> None:
    face = Face()
    face.history.entries = (an_entry(),)
    assert face.get("/v1/messages/the-id").get_json()["status"] == "accepted-by-provider"
    assert face.get("/v1/messages/the-id", READER_KEY).status_code == 404
    assert face.get("/v1/messages/another").status_code == 404


def test_the_messages_about_a_patient_come_with_the_way_to_the_next_page() -> None:
    face = Face()
    face.history.entries = (an_entry(text="Hello", fidelity="exact"), an_entry(message_id=""))
    face.history.following = "a.cursor"
    body = face.get("/v1/patients/amara/messages?count=2").get_json()
    assert [message["id"] for message in body["messages"]] == ["the-id", None]
    assert body["messages"][0]["content"] == {"text": "Hello", "fidelity": "exact"}
    assert body["next"] == "/v1/patients/amara/messages?count=2&cursor=a.cursor"


@pytest.mark.parametrize(
    "query", ["count=0", "count=101", "count=x", "page=2", "count=٣", f"count={'9' * 5000}"]
)
def test_a_wrong_query_is_a_bad_request(query: str) -> None:
    assert Face().get(f"/v1/patients/amara/messages?{query}").status_code == 400


def test_the_rules_are_shown_as_they_are() -> None:
    shown = Face().get("/v1/rules").get_json()["rules"]
    assert [each["code"] for each in shown] == [rule.card.code for rule in RULES]


def test_health_says_whether_it_lives_and_whether_it_is_ready() -> None:
    face = Face(readiness=Readiness(ready=False, details={"fhir": "does not answer"}))
    assert face.get("/livez").status_code == 200
    assert face.get("/readyz").status_code == 503
    assert face.get("/readyz").get_json()["details"] == {"fhir": "does not answer"}


def test_a_correlation_id_is_taken_returned_and_handed_on() -> None:
    face = Face()
    answer = face.post(a_body(), X_Correlation_ID="trace-7")
    assert answer.headers["X-Correlation-ID"] == "trace-7"
    assert face.messenger.calls[0].correlation_id == "trace-7"
    made_up = face.post(a_body(), X_Correlation_ID="line\tbreak")
    assert made_up.headers["X-Correlation-ID"] not in ("", "line\tbreak")


def test_a_trace_goes_on_under_a_span_of_ours_and_ends_with_the_request() -> None:
    trace, face = "0af7651916cd43dd8448eb211c80319c", Face()
    answer = face.post(a_body(), traceparent=f"00-{trace}-b7ad6b7169203331-01")
    version, trace_id, span_id, flags = answer.headers["traceparent"].split("-")
    assert (version, trace_id, flags) == ("00", trace, "01")
    assert span_id != "b7ad6b7169203331"
    assert tracing.current() is None
    begun = face.post(a_body(), traceparent=f"00-{'0' * 32}-b7ad6b7169203331-01")
    assert begun.headers["traceparent"].split("-")[1].strip("0") not in ("", trace)


def test_a_log_line_names_the_route_and_not_the_path(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="fhirmsg.access"):
        Face().get("/v1/patients/amara/messages")
    [record] = [each for each in caplog.records if each.name == "fhirmsg.access"]
    assert record.__dict__["route"] == "/v1/patients/<id>/messages"
    assert "amara" not in str(record.__dict__)


@pytest.mark.parametrize(
    ("method", "path", "status"), [("get", "/nothing", 404), ("put", "/v1/messages", 405)]
)
def test_an_unknown_address_or_method_is_a_problem(method: str, path: str, status: int) -> None:
    client = Face().client
    answer = getattr(client, method)(path, headers={"Authorization": f"Bearer {KEY}"})
    assert (answer.status_code, answer.mimetype) == (status, "application/problem+json")


@pytest.mark.parametrize("place", ["top", "requester"])
def test_a_name_that_is_no_text_is_a_bad_request(place: str) -> None:
    body = json.dumps(a_body())
    wrong = body.replace('{"', '{"\\ud800": 1, "', 1)
    if place == "requester":
        wrong = body.replace('"requester": {', '"requester": {"\\ud800": 1, ')
    answer = Face().client.post(
        "/v1/messages",
        data=wrong,
        headers={"Authorization": f"Bearer {KEY}", "Idempotency-Key": "key-1"},
        content_type="application/json",
    )
    assert answer.status_code == 400
