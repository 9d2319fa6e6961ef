"""A decision is a 2xx whatever it says; a failure has its one status; `retry` is everywhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fhirmsg import answers, errors
from fhirmsg.answers import Answer, Retry, State
from fhirmsg.calls import Call, message_id_for
from fhirmsg.guidance.record import Gap
from fhirmsg.ports import EntryStatus
from fhirmsg.web import Readiness
from fhirmsg.web.errors import FAILURES
from tests import builders
from tests.web.face import (
    Face,
    FakeHistory,
    FakeMessenger,
    Json,
    a_decision,
    a_message,
    a_refusal,
    an_entry,
    pointers,
)

HELD = builders.a_case(gaps=(Gap(sentence="The Consents could not be read."),))
FHIR = "application/fhir+json"


def decided(decision: Any) -> Callable[[Call], Answer]:
    """Answer with a decision on which nothing was opened."""
    return lambda call: answers.for_decision(call, decision)


def entered(status: State, *, replayed: bool = False, **more: Any) -> Callable[[Call], Answer]:
    """Answer with what became of an entry."""
    decision = None if replayed else a_decision()
    return lambda call: answers.for_entry(
        call, an_entry(message_id=call.message_id), status=status, decision=decision, **more
    )


# --- decisions -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gives", "status", "state", "retry"),
    [
        (entered(State.ACCEPTED), 201, "accepted-by-provider", "never"),
        (entered(State.ACCEPTED, written=False), 201, "accepted-by-provider", "never"),
        (entered(State.ACCEPTED, replayed=True), 200, "accepted-by-provider", "never"),
        (entered(State.UNKNOWN, note="It may have left."), 202, "unknown", "never"),
        (entered(State.UNKNOWN, replayed=True), 200, "unknown", "never"),
        (entered(State.FAILED), 200, "failed", "never"),
        (entered(State.FAILED, replayed=True), 200, "failed", "never"),
        (entered(State.NOT_SENT, retry=Retry.NOW, note="Changed."), 200, "not-sent", "now"),
        (decided(a_refusal()), 200, "refused", "never"),
        (decided(a_decision(HELD)), 200, "held", "after"),
        (decided(a_decision()), 200, "allowed", "now"),
    ],
)
def test_an_answer_has_its_status(
    gives: Callable[[Call], Answer], status: int, state: str, retry: str
) -> None:
    face = Face(messenger=FakeMessenger(gives))
    answer = face.send()
    body: Json = answer.json  # type: ignore[assignment]
    assert (answer.status_code, body["status"], body["retry"]) == (status, state, retry)
    assert body["id"] == message_id_for("tests", "a-key")
    assert body["decision"]["message_digest"] == body["message_digest"]
    as_fhir = face.send(headers={"Accept": FHIR})
    assert (as_fhir.status_code, as_fhir.mimetype) == (status, FHIR)


def test_a_check_is_a_200_and_sends_nothing() -> None:
    face = Face()
    assert face.check().status_code == 200
    assert face.messenger.sent == []
    (call,) = face.messenger.checked
    assert face.send().json["id"] == call.message_id  # type: ignore[index]
    assert face.messenger.sent[0].digest == call.digest


def test_a_decision_is_told_whole() -> None:
    body: Json = Face(messenger=FakeMessenger(decided(a_refusal()))).send().json  # type: ignore[assignment]
    decision, expected = body["decision"], a_refusal()
    assert decision == {**expected.as_json(), "receipt_digest": expected.receipt_digest()}
    assert [each["code"] for each in decision["findings"]] == ["objection.active"]


def test_a_replay_tells_what_the_record_keeps() -> None:
    gives = entered(State.ACCEPTED, replayed=True)
    body: Json = Face(messenger=FakeMessenger(gives)).send().json  # type: ignore[assignment]
    assert body["replayed"] is True
    decision = body["decision"]
    kept = {name: value for name, value in decision.items() if value is not None}
    assert kept == {
        "verdict": "send",
        "message_digest": body["message_digest"],
        "receipt_digest": "1" * 64,
    }


def test_where_a_message_can_be_looked_up_is_told_once_it_was_opened() -> None:
    opened = Face().send()
    assert opened.headers["Location"] == f"/v1/messages/{opened.json['id']}"  # type: ignore[index]
    refused = Face(messenger=FakeMessenger(decided(a_refusal()))).send()
    assert "Location" not in refused.headers


def test_the_call_carries_the_policy_and_the_correlation_id() -> None:
    face = Face()
    face.send(headers={"X-Correlation-ID": "ehr-42"})
    (call,) = face.messenger.sent
    assert call.policy == face.policies[builders.OURS]
    assert call.correlation_id == "ehr-42"


# --- in FHIR ----------------------------------------------------------------------------------


def issues(answer: Any) -> list[Json]:
    """Give the issues of an OperationOutcome."""
    assert answer.mimetype == FHIR
    found: list[Json] = answer.json["issue"]
    return found


def test_in_fhir_each_finding_is_an_issue_and_the_state_comes_last() -> None:
    refused, held = a_refusal(), a_decision(HELD)
    for decision, state in ((refused, "refused"), (held, "held"), (a_decision(), "allowed")):
        face = Face(messenger=FakeMessenger(decided(decision)))
        *found, last = issues(face.send(headers={"Accept": FHIR}))
        assert [each["details"]["coding"][0]["code"] for each in found] == [
            each.code for each in decision.findings
        ]
        assert [each["diagnostics"] for each in found] == [
            each.sentence for each in decision.findings
        ]
        assert last["details"]["coding"][0]["code"] == state
        assert message_id_for("tests", "a-key") in last["diagnostics"]
        assert face.messenger.sent[0].digest in last["diagnostics"]


def test_in_fhir_an_issue_is_as_severe_as_its_finding() -> None:
    case = builders.with_override(
        builders.a_case(consents=(builders.an_objection(id="objection"),))
    )
    decision = a_decision(case)
    *found, _ = issues(
        Face(messenger=FakeMessenger(decided(decision))).send(headers={"Accept": FHIR})
    )
    severity = {"refuse": "error", "hold": "error", "warn": "warning", "note": "information"}
    assert decision.findings
    assert [each["severity"] for each in found] == [
        severity[each.effect.word] for each in decision.findings
    ]


# --- failures ---------------------------------------------------------------------------------

RAISED = [
    (errors.PatientNotFound("There is no such patient."), 404, "never"),
    (errors.RecipientNotFound("There is no such recipient."), 404, "never"),
    (errors.PatientAmbiguous("Several match."), 409, "never"),
    (errors.StillRunning("Being sent.", 17), 409, "after"),
    (errors.KeyReused("Another message."), 422, "never"),
    (errors.RecordUnavailable("No answer."), 503, "after"),
    (errors.TryLater("Not taken.", 60), 503, "after"),
]


@pytest.mark.parametrize(("error", "status", "retry"), RAISED)
def test_a_failure_has_its_status(error: Exception, status: int, retry: str) -> None:
    face = Face(messenger=FakeMessenger(error))
    answer = face.send()
    body: Json = answer.json  # type: ignore[assignment]
    assert (answer.status_code, body["status"], body["retry"]) == (status, status, retry)
    assert body["detail"] == str(error)
    assert body["errors"] == []
    (issue,) = issues(face.send(headers={"Accept": FHIR}))
    assert issue["severity"] == "error"
    assert str(error) in issue["diagnostics"]


def test_retry_after_is_the_one_of_the_failure() -> None:
    for error, seconds in (
        (errors.StillRunning("x", 17), "17"),
        (errors.TryLater("x", 60), "60"),
        (errors.RecordUnavailable("x"), "30"),
    ):
        answer = Face(messenger=FakeMessenger(error)).send()
        assert answer.headers["Retry-After"] == seconds


def test_every_failure_that_is_raised_on_purpose_is_in_the_table() -> None:
    raised = {
        each
        for each in vars(errors).values()
        if isinstance(each, type) and issubclass(each, errors.FhirmsgError)
    }
    # The first is abstract, the second ends a start, the third never leaves the use case.
    never_here = {errors.FhirmsgError, errors.SettingsError, errors.ProviderSilent}
    assert set(FAILURES) == raised - never_here


@pytest.mark.parametrize("error", [KeyError("Canary7781"), errors.ProviderSilent("Canary7781")])
def test_what_nobody_foresaw_is_a_500_that_says_nothing(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    face = Face(messenger=FakeMessenger(error))
    answer = face.send(headers={"X-Correlation-ID": "ehr-42"})
    assert answer.status_code == 500
    assert "Canary7781" not in answer.text
    assert answer.json is not None
    assert answer.json["correlation_id"] == "ehr-42"
    (record,) = [each for each in caplog.records if each.name == "fhirmsg.web"]
    assert (record.kind, record.correlation_id) == (type(error).__name__, "ehr-42")  # type: ignore[attr-defined]
    assert "Canary7781" not in record.getMessage()


# --- before any view ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1",
        "/v1/",
        "/v1/messages/",
        "//v1/messages",
        "/v1/messages/a/b",
        "/V1/rules",
        "/docs",
    ],
)
def test_another_address_is_a_404(path: str) -> None:
    assert Face().get(path).status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/messages", "POST"),
        ("DELETE", "/v1/messages/x", "GET, HEAD"),
        ("OPTIONS", "/v1/messages", "POST"),
        ("POST", "/livez", "GET, HEAD"),
    ],
)
def test_another_method_is_a_405(method: str, path: str, allowed: str) -> None:
    answer = Face().http.open(path, method=method)
    assert answer.status_code == 405
    assert answer.headers["Allow"] == allowed


# --- looking up -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "state", "retry"),
    [
        (EntryStatus.IN_PROGRESS, "sending", "after"),
        (EntryStatus.COMPLETED, "accepted-by-provider", "never"),
        (EntryStatus.STOPPED, "failed", "never"),
        (EntryStatus.UNKNOWN, "unknown", "never"),
        (EntryStatus.NOT_DONE, "not-sent", "now"),
        (None, "unknown", "never"),
    ],
)
def test_the_state_of_a_message_is_that_of_its_entry(
    written: EntryStatus | None, state: str, retry: str
) -> None:
    entry = an_entry(status=written)
    face = Face(history=FakeHistory((entry,)))
    answer = face.get(f"/v1/messages/{entry.message_id}")
    assert answer.status_code == 200
    assert answer.json == {
        "id": entry.message_id,
        "status": state,
        "retry": retry,
        "communication": "Communication/1",
        "channel": "sms",
        "platform": "texts",
        "sent": entry.sent,
        "opened_at": entry.opened_at,
        "note": None,
    }


def test_a_message_that_was_never_opened_is_a_404() -> None:
    assert Face().get("/v1/messages/5e0e0001-0000-5000-8000-000000000001").status_code == 404


@pytest.mark.parametrize("sender", [builders.THEIRS, None])
def test_a_message_of_another_organisation_looks_as_if_it_were_not_there(
    sender: str | None,
) -> None:
    face = Face(history=FakeHistory((an_entry(sender=sender),)))
    theirs, nobodys = face.get("/v1/messages/a"), Face().get("/v1/messages/a")
    assert theirs.status_code == nobodys.status_code == 404
    assert theirs.json is not None
    assert nobodys.json is not None
    assert theirs.json["detail"] == nobodys.json["detail"]


@pytest.mark.parametrize("other", [builders.OURS, builders.THEIRS])
def test_several_entries_of_one_message_leave_its_state_unknown(other: str) -> None:
    second = an_entry(reference="Communication/2", sender=other, status=EntryStatus.NOT_DONE)
    for entries in ((an_entry(), second), (second, an_entry())):
        body: Json = Face(history=FakeHistory(entries)).get("/v1/messages/a").json  # type: ignore[assignment]
        assert (body["status"], body["communication"], body["retry"]) == ("unknown", None, "never")
        assert "several entries" in body["note"]


@pytest.mark.parametrize("id", ["..", "a%20b", "a%7Cb", "a" * 65, "%00", "\u00e9"])
def test_what_can_be_no_id_is_not_looked_for(id: str) -> None:
    face = Face()
    assert face.get(f"/v1/messages/{id}").status_code == 404
    assert face.get(f"/v1/patients/{id}/messages").status_code == 404
    assert face.history.asked == []


def test_a_record_that_cannot_be_read_is_a_503() -> None:
    face = Face(history=FakeHistory(raises=errors.RecordUnavailable("No answer.")))
    assert face.get("/v1/messages/a").status_code == 503
    assert face.get("/v1/patients/amara/messages").status_code == 503


def test_the_record_of_a_patient_holds_what_anybody_sent() -> None:
    foreign = an_entry(
        reference="Communication/2",
        message_id="",
        sender=None,
        status=None,
        channel=None,
        platform=None,
        recipient=None,
        sent=None,
        opened_at=None,
        text=None,
        fidelity=None,
    )
    theirs = an_entry(sender=builders.THEIRS)
    face = Face(history=FakeHistory((theirs, foreign)))
    body: Json = face.get("/v1/patients/amara/messages").json  # type: ignore[assignment]
    assert body["next"] is None
    assert body["messages"][0] == {
        "id": theirs.message_id,
        "communication": "Communication/1",
        "status": "accepted-by-provider",
        "channel": "sms",
        "platform": "texts",
        "recipient": "Patient/amara",
        "sent": theirs.sent,
        "opened_at": theirs.opened_at,
        "sender": builders.THEIRS,
        "content": {"text": theirs.text, "fidelity": "exact"},
    }
    assert (body["messages"][1]["id"], body["messages"][1]["status"]) == (None, "unknown")
    assert face.history.asked == [("Patient/amara", 20, None)]


def test_a_page_names_the_next_and_the_next_is_asked_for() -> None:
    face = Face(history=FakeHistory((an_entry(),), following="a&b=c/d+e \u00e9"))
    body: Json = face.get("/v1/patients/amara/messages?count=7").json  # type: ignore[assignment]
    assert body["next"].startswith("/v1/patients/amara/messages?count=7&cursor=")
    face.get(body["next"])
    assert face.history.asked[-1] == ("Patient/amara", 7, "a&b=c/d+e \u00e9")


def test_the_next_page_lies_where_this_one_does() -> None:
    face = Face(history=FakeHistory((), following="c"))
    answer = face.http.get(
        "/v1/patients/amara/messages",
        headers={"Authorization": "Bearer fm_a-key-that-opens-nothing-tests"},
        environ_overrides={"SCRIPT_NAME": "/messages-api"},
    )
    assert answer.json["next"].startswith("/messages-api/v1/patients/amara/messages?")  # type: ignore[index]


@pytest.mark.parametrize(
    "count", ["0", "101", "-1", "1.5", "", "x", "\u0661", "1" * 5000, "1&count=2"]
)
def test_a_count_is_a_number_from_1_to_100(count: str) -> None:
    face = Face()
    assert pointers(face.get(f"/v1/patients/amara/messages?count={count}")) == []
    assert face.history.asked == []


def test_a_cursor_of_somebody_else_is_a_400() -> None:
    face = Face(history=FakeHistory(raises=errors.CursorRefused("Not given out here.")))
    answer = face.get("/v1/patients/amara/messages?cursor=x")
    assert (answer.status_code, answer.json["title"]) == (400, "Not a cursor of ours")  # type: ignore[index]


def test_a_patient_nobody_knows_is_a_404() -> None:
    face = Face(history=FakeHistory(raises=errors.PatientNotFound("Not known.")))
    assert face.get("/v1/patients/nobody/messages").status_code == 404


@pytest.mark.parametrize(
    "path",
    ["/v1/messages/a?x=1", "/v1/patients/a/messages?offset=1", "/v1/rules?section=Scope"],
)
def test_a_query_that_is_not_known_is_a_400(path: str) -> None:
    assert pointers(Face().get(path)) == []


def test_a_query_on_a_send_is_a_400() -> None:
    face = Face()
    assert pointers(face.post("/v1/messages?dry_run=true", a_message())) == []
    assert face.messenger.sent == []


def test_the_rules_are_those_of_the_cards() -> None:
    body: Json = Face().get("/v1/rules").json  # type: ignore[assignment]
    assert "objection.active" in [each["code"] for each in body["rules"]]


# --- health ---------------------------------------------------------------------------------------


def test_living_touches_nothing() -> None:
    def explode() -> Readiness:
        raise AssertionError

    face = Face(history=FakeHistory(raises=AssertionError()))
    face.app.extensions.clear()
    assert face.get("/livez", client=None).json == {
        "status": "live",
        "started": "2026-11-24T10:00:00+00:00",
    }


def test_ready_is_what_readiness_says() -> None:
    ready = Face(ready=Readiness(ready=True, details={"fhir": "4.0.1"})).get("/readyz", client=None)
    assert (ready.status_code, ready.json) == (
        200,
        {"status": "ready", "details": {"fhir": "4.0.1"}},
    )
    away = Face(ready=Readiness(ready=False, details={"fhir": "No answer."}))
    answer = away.get("/readyz", client=None)
    assert (answer.status_code, answer.json) == (
        503,
        {"status": "not-ready", "details": {"fhir": "No answer."}},
    )
    assert away.get("/livez", client=None).status_code == 200
