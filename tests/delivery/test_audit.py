"""Every decision is told to those who audit, by whoever writes what followed, and read back."""

from __future__ import annotations

import json

import pytest

from tests.delivery.conftest import Line
from tests.delivery.desk import Office
from tests.world import an_objection_resource, put


@pytest.fixture
def office(line: Line) -> Office:
    return Office(base=line.base, direct=line.direct)


def test_a_sent_message_has_one_audit_event_about_its_entry(office: Office) -> None:
    office.send()
    office.send()
    [event] = office.resources("AuditEvent")
    [entry] = office.record()
    named = [each["what"].get("reference", "") for each in event["entity"]]
    assert event["outcome"] == "0"
    assert f"Communication/{entry['id']}" in named
    assert "appointment is on" not in json.dumps(event)


def test_a_refusal_has_one_too_and_no_entry(line: Line, office: Office) -> None:
    put(line.direct, an_objection_resource())
    office.send()
    [event] = office.resources("AuditEvent")
    assert (event["outcome"], office.record()) == ("8", [])
    assert "objection.active Consent/objection" in event["outcomeDesc"]


def test_a_check_is_told_to_nobody(office: Office) -> None:
    office.client.post("/v1/messages/check", json={}, headers={})
    assert office.resources("AuditEvent") == []


def test_a_replay_gives_the_findings_that_were_told(office: Office) -> None:
    first = office.send(content={"body": "Example Surgery: please ring, it is urgent!!!"})
    again = office.send(content={"body": "Example Surgery: please ring, it is urgent!!!"})
    codes = [each["code"] for each in first["decision"]["findings"]]
    assert (first["http"], again["replayed"]) == (201, True)
    assert codes
    assert [each["code"] for each in again["decision"]["findings"]] == codes


def test_what_was_decided_in_an_outage_is_told_afterwards(line: Line, office: Office) -> None:
    line.away = True
    office.emergency(seen=False)
    office.emergency()
    line.away = False
    office.catch_up()
    outcomes = sorted(event["outcome"] for event in office.resources("AuditEvent"))
    assert (outcomes, office.owed()) == (["0", "8"], 0)
