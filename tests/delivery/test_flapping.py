"""A server that comes and goes, or refuses a part: nothing is lost, doubled or untrue."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
import requests

from fhirmsg.journal import SqliteJournal
from fhirmsg.ports import Outcome, ProviderKind
from tests.delivery.conftest import Line
from tests.delivery.desk import RECORD_KEY, Office, Taking
from tests.reverse_proxy import Reply, Request
from tests.world import FHIR_JSON, an_objection_resource, put

REFUSED = b'{"resourceType": "OperationOutcome", "issue": []}'
DANGER = {
    "extension": [
        {
            "url": "https://fhirmsg.example/StructureDefinition/objection-reason",
            "valueCodeableConcept": {
                "coding": [
                    {
                        "system": "https://fhirmsg.example/CodeSystem/objection-reason",
                        "code": "abuse-risk",
                    }
                ]
            },
        }
    ]
}


@pytest.fixture
def office(line: Line) -> Office:
    return Office(base=line.base, direct=line.direct)


def neither(line: Line) -> Office:
    """Give an office whose provider can neither be searched nor drops repeats."""
    return Office(base=line.base, direct=line.direct, first=Taking(kind=ProviderKind.NEITHER))


@pytest.mark.parametrize("status", [400, 401, 403, 429])
def test_no_emergency_goes_unread_past_a_server_that_answers(
    line: Line, office: Office, status: int
) -> None:
    put(line.direct, an_objection_resource("danger", "sms", **DANGER))
    line.hook = lambda request: Reply(status, REFUSED)
    answer = office.emergency()
    assert (answer["http"], office.first.taken) == (503, [])


def test_no_emergency_goes_unread_when_only_the_patient_cannot_be_read(
    line: Line, office: Office
) -> None:
    put(line.direct, an_objection_resource("danger", "sms", **DANGER))

    def without_patient(request: Request) -> Reply | None:
        if b'"batch"' not in request.body[:80]:
            return None
        answer = requests.post(line.direct, data=request.body, headers=FHIR_JSON, timeout=10).json()
        answer["entry"][0] = {"response": {"status": "500 Internal Server Error"}}
        return Reply(200, json.dumps(answer).encode())

    line.hook = without_patient
    assert (office.emergency()["http"], office.first.taken) == (503, [])


def lose_the_server_at_the_hand_off(line: Line, office: Office) -> None:
    """Take the server away once the provider has the message."""
    sending = office.first.send

    def send(*args: Any, **more: Any) -> Any:
        receipt = sending(*args, **more)
        line.away = True
        return receipt

    office.first.send = send  # type: ignore[method-assign]


def test_an_emergency_whose_ending_is_owed_does_not_go_again(line: Line) -> None:
    office = neither(line)
    lose_the_server_at_the_hand_off(line, office)
    assert office.emergency()["http"] == 201
    again = office.emergency()
    assert (again["http"], again["replayed"], len(office.first.taken)) == (200, True, 1)


def test_an_emergency_that_was_drained_does_not_go_again_when_the_server_leaves(
    line: Line,
) -> None:
    office = neither(line)
    line.away = True
    office.emergency()
    line.away = False
    office.catch_up()
    line.away = True
    again = office.emergency()
    assert (again["http"], again["replayed"], len(office.first.taken)) == (200, True, 1)


def test_two_ways_of_one_host_send_an_emergency_once(line: Line, tmp_path: Any) -> None:
    journal = SqliteJournal(str(tmp_path / "journal"), [RECORD_KEY])
    provider = Taking(kind=ProviderKind.NEITHER)
    other = Office(base=line.base, direct=line.direct, first=provider, journal=journal)
    answers: list[Any] = []

    def go_by_the_journal(request: Request) -> Reply | None:
        opening = request.method == "POST" and b"in-progress" in request.body
        if opening and not answers:
            answers.append(None)
            line.away = True
            answers[0] = other.emergency()["http"]
            line.away = False
        return None

    office = Office(base=line.base, direct=line.direct, first=provider, journal=journal)
    line.hook = go_by_the_journal
    office.emergency()
    line.hook = lambda request: None
    assert (answers, len(provider.taken)) == ([201], 1)
    office.catch_up()
    assert office.emergency()["replayed"] is True
    assert len(provider.taken) == 1


@pytest.mark.parametrize("refused", ["AuditEvent", "transaction"])
def test_an_emergency_is_recorded_where_its_transaction_is_refused(
    line: Line, office: Office, refused: str
) -> None:
    line.away = True
    office.emergency()
    line.away = False

    def refuse(request: Request) -> Reply | None:
        whole = b'"transaction"' in request.body[:200]
        if whole and (refused == "transaction" or b"AuditEvent" in request.body):
            return Reply(501 if refused == "transaction" else 403, REFUSED)
        return None

    line.hook = refuse
    office.catch_up()
    [entry] = office.record()
    assert (entry["status"], office.owed()) == ("completed", 0)
    assert office.tasks() == ["emergency-review"]
    assert (len(office.resources("Provenance")), len(office.resources("AuditEvent"))) == (1, 1)


@pytest.mark.parametrize("patient", ["Patient/nobody", "https://ehr.example/id|42"])
def test_an_emergency_that_cannot_be_filed_asks_whose_it_is_and_keeps_its_receipts(
    line: Line, office: Office, patient: str
) -> None:
    line.away = True
    answer = office.emergency(patient=patient)
    assert answer["http"] == 201
    line.away = False
    office.receipt("delivered")
    office.catch_up()
    assert office.tasks() == ["emergency-unfiled"]
    assert office.owed() == 2
    assert office.state()["status"] == "accepted-by-provider"


def test_a_failure_that_was_told_first_is_not_wiped_by_an_owed_ending(line: Line) -> None:
    office = Office(base=line.base, direct=line.direct, more_policy="\nfallback_order: [email]\n")
    lose_the_server_at_the_hand_off(line, office)
    office.send()
    line.away = False
    [entry] = office.record()
    # Somebody applied the receipt before this host could write its ending.
    stopped = {**entry, "status": "stopped"}
    stopped["extension"] = [
        *entry["extension"],
        {
            "url": "https://fhirmsg.example/StructureDefinition/delivery",
            "extension": [
                {"url": "state", "valueCode": "failed"},
                {"url": "time", "valueDateTime": "2026-11-24T10:00:00Z"},
            ],
        },
    ]
    put(line.direct, stopped)
    office.catch_up()
    [entry] = office.record()
    assert entry["status"] == "stopped"
    assert any(each["url"].endswith("/provider-id") for each in entry["extension"])


def test_evidence_that_is_owed_is_written_though_a_receipt_completed_the_entry(
    line: Line, office: Office
) -> None:
    lose_the_server_at_the_hand_off(line, office)
    office.emergency()
    line.away = False
    [entry] = office.record()
    put(line.direct, {**entry, "status": "completed", "sent": "2026-11-24T10:00:00Z"})
    office.catch_up()
    assert len(office.resources("Provenance")) == 1
    [entry] = office.record()
    assert any(each["url"].endswith("/provider-id") for each in entry["extension"])


def test_one_receipt_that_nobody_understands_keeps_no_other_waiting(office: Office) -> None:
    from fhirmsg.ports import Owed

    office.send()
    office.service.journal.keep(Owed.RECEIPT, "odd", {"provider": "first", "delivery": "bounced"})
    office.receipt("delivered")
    office.reply("STOP")
    office.catch_up()
    assert office.state()["status"] == "delivered"
    assert (len(office.resources("Consent")), office.owed()) == (1, 1)


def test_recovery_leaves_entries_of_other_organisations_alone(line: Line, office: Office) -> None:
    office.send()
    [entry] = office.record()
    theirs = {**entry, "status": "in-progress"}
    theirs["sender"] = {"identifier": {**entry["sender"]["identifier"], "value": "B99999"}}
    put(line.direct, theirs)
    assert office.service.catch_up.recover() == {"of another organisation": 1}


def test_recovery_touches_nothing_while_the_servers_clocks_disagree(line: Line) -> None:
    from tests.delivery.test_recovery import AT_ONCE, abandoned

    provider = abandoned(line, ProviderKind.SEARCHABLE, after=False).first

    def ahead(request: Request) -> Reply | None:
        url = f"{line.direct.rpartition('/')[0]}{request.path}"
        sent = {**FHIR_JSON, "Cache-Control": "no-cache"}
        if request.headers.get("If-Match"):
            sent["If-Match"] = request.headers["If-Match"]
        answer = requests.request(
            request.method, url, data=request.body or None, headers=sent, timeout=10
        )
        late = datetime(2026, 12, 24, tzinfo=UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
        return Reply(answer.status_code, answer.content, headers=(("Date", late),))

    line.hook = ahead
    office = Office(base=line.base, direct=line.direct, first=provider, times=AT_ONCE)
    office.service.catch_up.recover()
    office.service.catch_up.recover()
    [entry] = office.record()
    assert entry["status"] == "in-progress"


def test_a_leg_that_was_refused_does_not_hide_the_one_that_carried_it(line: Line) -> None:
    office = Office(base=line.base, direct=line.direct, more_policy="\nfallback_order: [email]\n")
    office.first.outcome = Outcome.REFUSED
    office.send()
    office.catch_up()
    assert [leg["status"] for leg in office.state()["legs"]] == ["accepted-by-provider"]
