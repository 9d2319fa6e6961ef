"""A decision told to those who audit: what stands in it, what never does, and where it goes."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
import requests

from fhirmsg.errors import DecisionLogUnavailable
from fhirmsg.fhir.auditing import FhirAudit, audit_event, decision_id
from fhirmsg.fhir.capability import FhirCapability
from fhirmsg.fhir.client import FhirClient, FhirServer
from fhirmsg.fhir.entries import entry_of
from fhirmsg.fhir.resources import validated
from fhirmsg.fhir.stored_findings import findings_of
from fhirmsg.guidance.case import Case
from fhirmsg.guidance.decision import decide
from fhirmsg.guidance.terms import Purpose
from fhirmsg.http import make_session
from fhirmsg.ports import AuditDraft
from tests import builders
from tests.fhir.drafts import MESSAGE_ID, a_draft, an_emergency_case, an_overridden_case
from tests.reverse_proxy import Reply, Request, reverse_proxy
from tests.world import a_patient_resource, an_objection_resource, put

ENTRY = "Communication/entry"


def an_objected_case() -> Case:
    return builders.a_case(consents=(builders.an_objection(builders.Channel.SMS),))


def audited(case: Case | None = None, **changes: Any) -> AuditDraft:
    """Give what is told of the decision on a case."""
    judged = case or builders.a_case()
    defaults: dict[str, Any] = {
        "message_id": MESSAGE_ID,
        "at": builders.NOW,
        "request": judged.request,
        "decision": decide(judged),
        "patient": judged.record.patient.version.reference,
        "recipient": judged.recipient.reference,
        "result": "sent",
        "client_id": "reminders",
        "correlation_id": "c-1",
    }
    return AuditDraft(**{**defaults, **changes})


def receipt_in(event: Mapping[str, Any]) -> bytes:
    [detail] = [
        detail
        for entity in event["entity"]
        for detail in entity.get("detail", [])
        if detail["type"] == "receipt"
    ]
    return base64.b64decode(detail["valueBase64Binary"])


def purposes(draft: AuditDraft) -> list[str]:
    return [each["coding"][0]["code"] for each in audit_event(draft)["purposeOfEvent"]]


# --- what stands in it --------------------------------------------------------------------------


@pytest.mark.parametrize("literal", [True, False])
@pytest.mark.parametrize("case", [builders.a_case, an_overridden_case, an_emergency_case])
def test_it_is_a_valid_audit_event(case: Callable[[], Case], literal: bool) -> None:
    event = validated(audit_event(audited(case()), literal=literal))
    assert event["type"]["code"] == "110113"
    assert event["subtype"][0]["code"] == "AuthZ-Consent"
    assert (event["action"], event["meta"]["security"][0]["code"]) == ("E", "R")


@pytest.mark.parametrize(
    ("case", "result", "outcome"),
    [
        (builders.a_case, "sent", "0"),
        (builders.a_case, "failed", "4"),
        (builders.a_case, "stopped", "4"),
        (builders.a_case, "unknown", "4"),
        (builders.a_case, "not-sent", "4"),
        (an_objected_case, "not-sent", "8"),
    ],
)
def test_the_outcome_says_allowed_denied_or_come_to_nothing(
    case: Callable[[], Case], result: str, outcome: str
) -> None:
    assert audit_event(audited(case(), result=result))["outcome"] == outcome


def test_the_description_is_made_of_codes_and_versions_alone() -> None:
    event = audit_event(audited(an_objected_case(), result="not-sent"))
    version = an_objected_case().record.consents[0].version
    assert event["outcomeDesc"].startswith("refuse, not-sent: objection.active ")
    assert f"{version.reference} v{version.version_id}" in event["outcomeDesc"]


@pytest.mark.parametrize(
    ("purpose", "code"),
    [
        (Purpose.TEST_RESULT, "TREAT"),
        (Purpose.APPOINTMENT, "PATADMIN"),
        (Purpose.RESEARCH, "HRESCH"),
        (Purpose.MARKETING, "HMARKT"),
    ],
)
def test_the_purpose_is_that_of_the_message(purpose: Purpose, code: str) -> None:
    case = builders.a_case()
    draft = audited(request=replace(case.request, purpose=purpose))
    assert purposes(draft) == [code]


def test_an_emergency_and_an_override_are_told_as_purposes() -> None:
    assert purposes(audited(an_emergency_case())) == ["PATADMIN", "ETREAT"]
    assert purposes(audited(an_overridden_case())) == ["PATADMIN", "BTG"]


def test_it_names_who_asked_and_by_what_client() -> None:
    draft = audited()
    asking, client, service = audit_event(draft)["agent"]
    assert asking["requestor"] is True
    assert asking["who"]["identifier"]["value"] == draft.request.requester.identifier
    assert client["altId"] == "reminders"
    assert service["who"]["display"] == "fhirmsg"


def test_it_names_the_patient_the_recipient_the_consents_and_the_message() -> None:
    case = an_objected_case()
    draft = audited(case, recipient=builders.BEN, communication=ENTRY)
    version = case.record.consents[0].version
    what = [each["what"] for each in audit_event(draft)["entity"]]
    assert [each.get("reference") for each in what] == [
        builders.AMARA,
        builders.BEN,
        version.versioned,
        ENTRY,
        None,
    ]
    assert what[3]["identifier"]["value"] == MESSAGE_ID
    assert what[4]["identifier"]["value"] == "c-1"


def test_nobody_is_named_when_nothing_was_read() -> None:
    event = audit_event(audited(patient="", recipient="", correlation_id=None))
    assert len(event["entity"]) == 1
    assert "reference" not in event["entity"][0]["what"]


def test_the_receipt_in_it_has_the_digest_that_stands_on_the_entry() -> None:
    draft = audited(an_overridden_case())
    receipt = receipt_in(audit_event(draft))
    assert hashlib.sha256(receipt).hexdigest() == draft.decision.receipt_digest()


@pytest.mark.parametrize("case", [an_overridden_case, an_emergency_case])
def test_no_text_reason_sentence_or_contact_detail_is_in_it(case: Callable[[], Case]) -> None:
    judged = case()
    draft = audited(judged)
    event = audit_event(draft)
    text = json.dumps(event) + receipt_in(event).decode()
    assert "ptarmigan" in repr(judged.request)
    for secret in ("ptarmigan", judged.request.content.body, "07700", "example.com"):
        assert secret not in text
    assert draft.decision.findings
    for finding in draft.decision.findings:
        assert finding.sentence not in text


def test_told_again_it_has_the_same_id_and_a_new_result_another() -> None:
    draft = audited()
    assert decision_id(draft) == decision_id(replace(draft, communication=ENTRY))
    assert decision_id(draft) != decision_id(replace(draft, result="unknown"))
    later = replace(draft.decision, as_of="2026-11-24T10:00:01+00:00")
    assert decision_id(draft) != decision_id(replace(draft, decision=later))


# --- where it goes --------------------------------------------------------------------------------


class Kept:
    """A decision log of the tests."""

    def __init__(self, *, broken: bool = False) -> None:
        self.entries: list[Mapping[str, Any]] = []
        self.broken = broken

    def append(self, entry: Mapping[str, Any]) -> None:
        if self.broken:
            raise DecisionLogUnavailable("no room")
        self.entries.append(entry)


def an_audit(base: str, log: Kept | None = None) -> FhirAudit:
    client = FhirClient(FhirServer(base_url=base), make_session(get_retries=0))
    return FhirAudit(client, FhirCapability(client), log)


def events(base: str) -> list[dict[str, Any]]:
    found = requests.get(f"{base}/AuditEvent?_count=100", timeout=30).json()
    return [each["resource"] for each in found.get("entry", [])]


def ready(base: str) -> str:
    put(base, a_patient_resource())
    return base


def answering(status: int, body: bytes = b"") -> Callable[[Request], Reply | None]:
    """Answer each create of an AuditEvent so."""
    return lambda request: (
        Reply(status, body)
        if request.method == "POST" and request.path.endswith("/AuditEvent")
        else None
    )


def test_it_is_written_once_however_often_it_is_told(base: str) -> None:
    audit = an_audit(base)
    assert audit.record(audited())
    assert audit.record(audited())
    [event] = events(base)
    assert event["meta"]["security"][0]["code"] == "R"
    assert audit.record(audited(result="unknown"))
    assert len(events(base)) == 2


def test_a_consent_that_is_gone_meanwhile_does_not_keep_it_from_being_told(base: str) -> None:
    assert an_audit(base).record(audited(an_objected_case(), result="not-sent"))
    [event] = events(base)
    version = an_objected_case().record.consents[0].version
    assert version.versioned in [each["what"].get("display") for each in event["entity"]]


@pytest.mark.parametrize("status", [404, 405, 501])
def test_a_server_that_takes_none_is_asked_once_and_the_log_takes_them(
    base: str, status: int
) -> None:
    log, asked = Kept(), []

    def hook(request: Request) -> Reply | None:
        reply = answering(status)(request)
        asked.extend([request] * (reply is not None))
        return reply

    with reverse_proxy(base, hook) as url:
        audit = an_audit(url, log)
        assert audit.resource_for(audited()) is not None
        assert audit.record(audited())
        assert audit.record(audited())
        assert audit.resource_for(audited()) is None
    assert len(asked) == 1
    assert len(log.entries) == 2
    assert log.entries[0]["resourceType"] == "AuditEvent"


def test_a_server_that_says_not_supported_in_words_is_understood(base: str) -> None:
    outcome = {"resourceType": "OperationOutcome", "issue": [{"code": "not-supported"}]}
    log = Kept()
    with reverse_proxy(base, answering(400, json.dumps(outcome).encode())) as url:
        audit = an_audit(url, log)
        assert audit.record(audited())
        assert audit.resource_for(audited()) is None
    assert len(log.entries) == 1


def test_a_server_that_does_not_list_audit_events_is_not_asked_when_there_is_a_log(
    base: str,
) -> None:
    log = Kept()
    with reverse_proxy(base, saying(resource=[{"type": "Patient"}])) as url:
        audit = an_audit(url, log)
        assert audit.resource_for(audited()) is None
        assert audit.record(audited())
        assert audit.why_unaudited() is None
        # With nowhere else to go, its word is not taken.
        alone = an_audit(url)
        assert "FHIRMSG_DECISION_LOG" in (alone.why_unaudited() or "")
        assert alone.record(audited())
    assert (len(log.entries), len(events(base))) == (1, 1)


def test_a_server_that_tells_nothing_is_tried(base: str) -> None:
    with reverse_proxy(base, saying()) as url:
        audit = an_audit(url, Kept())
        assert audit.resource_for(audited()) is not None
        assert audit.record(audited())
    assert len(events(base)) == 1


def saying(**rest: Any) -> Callable[[Request], Reply | None]:
    """Answer metadata so."""
    statement = {
        "resourceType": "CapabilityStatement",
        "fhirVersion": "4.0.1",
        "rest": [{"mode": "server", **rest}],
    }
    body = json.dumps(statement).encode()
    return lambda request: Reply(200, body) if request.path.endswith("/metadata") else None


@pytest.mark.parametrize("status", [401, 403, 500, 503])
def test_a_server_that_fails_leaves_it_to_the_log(base: str, status: int) -> None:
    log = Kept()
    with reverse_proxy(base, answering(status)) as url:
        audit = an_audit(url, log)
        assert audit.record(audited())
        # It may well take the next one.
        assert audit.resource_for(audited()) is not None
    assert len(log.entries) == 1


@pytest.mark.parametrize("log", [None, Kept(broken=True)])
def test_told_to_nobody_it_says_so(
    base: str, log: Kept | None, caplog: pytest.LogCaptureFixture
) -> None:
    with reverse_proxy(base, answering(503)) as url:
        assert not an_audit(url, log).record(audited())
    assert "decision not audited" in caplog.messages
    assert not an_audit("http://127.0.0.1:9/fhir", log).record(audited())


# --- read back ------------------------------------------------------------------------------------


def entry_on(base: str, case: Case) -> dict[str, Any]:
    """Put the entry of a case on a server."""
    from fhirmsg.fhir import communication

    put(base, an_objection_resource(case.record.consents[0].version.reference.split("/")[1]))
    resource = {**communication.opened(a_draft(case)), "id": "entry"}
    put(base, resource)
    return resource


def test_the_findings_of_an_entry_are_read_back(base: str) -> None:
    case = an_overridden_case()
    entry = entry_of(entry_on(base, case), None)
    client = FhirClient(FhirServer(base_url=base), make_session(get_retries=0))
    assert findings_of(client, entry) is None
    decision = decide(case)
    an_audit(base).record(audited(case, communication=ENTRY, result="unknown"))
    other = audited(builders.a_case(), communication=ENTRY)
    an_audit(base).record(other)
    found = findings_of(client, replace(entry, receipt_digest=decision.receipt_digest()))
    assert found is not None
    assert [(each.code, each.effect, each.lifted, each.evidence) for each in found] == [
        (each.code, each.effect, each.lifted, each.evidence) for each in decision.findings
    ]
    assert findings_of(client, replace(entry, receipt_digest="0" * 64)) is None
    assert findings_of(client, replace(entry, receipt_digest=None)) is None


# --- on HAPI --------------------------------------------------------------------------------------


@pytest.mark.hapi
def test_hapi_takes_it_beside_entry_and_provenance_in_one_transaction(hapi: str) -> None:
    from fhirmsg.fhir.provenance import provenance

    case = an_overridden_case()
    ready(hapi)
    resource = entry_on(hapi, case)
    client = FhirClient(FhirServer(base_url=hapi), make_session())
    audit = FhirAudit(client, FhirCapability(client))
    draft = audited(case, communication=ENTRY)
    event = audit.resource_for(draft)
    assert event is not None
    beside = validated(provenance(ENTRY, case.request, draft.decision, builders.NOW))
    put_entry = {"method": "PUT", "url": ENTRY, "ifMatch": 'W/"1"'}
    outer, inner = client.transaction(
        [
            {"resource": {**resource, "status": "completed"}, "request": put_entry},
            {"resource": beside, "request": {"method": "POST", "url": "Provenance"}},
            {"resource": event, "request": {"method": "POST", "url": "AuditEvent"}},
        ]
    )
    assert outer.status == 200, outer.resource
    assert all(each.good for each in inner)
    # Told again by itself, because an answer was lost, it is found by its id.
    assert audit.record(draft)
    assert len(events(hapi)) == 1
    [kept] = events(hapi)
    assert receipt_in(kept) == draft.decision.receipt()
    assert case.record.consents[0].version.versioned in json.dumps(kept)
    entry = replace(
        entry_of({**resource, "id": "entry"}, None), receipt_digest=draft.decision.receipt_digest()
    )
    found = findings_of(client, entry)
    assert found is not None
    assert [each.code for each in found] == [each.code for each in draft.decision.findings]


@pytest.mark.hapi
def test_hapi_refuses_what_is_gone_and_takes_it_in_words(hapi: str) -> None:
    ready(hapi)
    assert an_audit(hapi).record(audited(an_objected_case(), result="not-sent"))
    assert an_audit(hapi).record(audited(an_objected_case(), result="not-sent"))
    assert events(hapi)
