"""While the FHIR server is away: nothing plain goes, a declared emergency can, nothing is lost."""

from __future__ import annotations

import pytest

from fhirmsg.journal import SqliteJournal
from fhirmsg.ports import Outcome, ProviderKind
from tests.delivery.conftest import Line
from tests.delivery.desk import RECORD_KEY, Office, Taking


@pytest.fixture
def office(line: Line) -> Office:
    return Office(base=line.base, direct=line.direct)


def test_a_plain_message_is_not_sent_and_may_come_again(line: Line, office: Office) -> None:
    line.away = True
    answer = office.send()
    assert (answer["http"], answer["retry"]) == (503, "after")
    assert (office.first.taken, office.owed()) == ([], 0)
    line.away = False
    assert office.send()["http"] == 201


def test_an_emergency_is_held_until_what_cannot_be_read_is_acknowledged(
    line: Line, office: Office
) -> None:
    line.away = True
    answer = office.emergency(seen=False)
    assert (answer["http"], answer["status"]) == (200, "held")
    held_by = {each["code"] for each in answer["decision"]["findings"] if each["effect"] == "hold"}
    assert held_by == {"read.incomplete", "contact.unrecorded"}
    assert office.first.taken == []


def test_an_acknowledged_emergency_goes_and_is_recorded_when_the_server_is_back(
    line: Line, office: Office
) -> None:
    line.away = True
    answer = office.emergency()
    assert (answer["http"], answer["status"], answer["record"], answer["communication"]) == (
        201,
        "accepted-by-provider",
        "pending",
        None,
    )
    [message] = office.first.taken
    assert message.to == "+447700900123"
    again = office.emergency()
    assert (again["http"], again["replayed"], len(office.first.taken)) == (200, True, 1)
    line.away = False
    assert office.catch_up() >= 1
    assert office.owed() == 0
    [entry] = office.record()
    assert (entry["status"], entry["subject"]["reference"]) == ("completed", "Patient/amara")
    assert office.tasks() == ["emergency-review"]
    [provenance] = office.resources("Provenance")
    assert provenance["target"][0]["reference"].startswith(f"Communication/{entry['id']}")
    later = office.emergency()
    assert (later["http"], later["replayed"], later["record"]) == (200, True, "complete")
    assert len(office.first.taken) == 1


def test_the_review_says_that_safety_restrictions_could_not_be_read(
    line: Line, office: Office
) -> None:
    line.away = True
    office.emergency()
    line.away = False
    office.catch_up()
    [task] = office.resources("Task")
    listed = {each["type"]["coding"][0]["code"]: each["valueString"] for each in task["input"]}
    assert "safety restriction" in listed["read.incomplete"]
    assert task["for"]["reference"] == "Patient/amara"
    assert task["focus"]["reference"].startswith("Communication/")


@pytest.mark.parametrize("changes", [{"contact_point": None}, {"recipient": "RelatedPerson/mum"}])
def test_an_emergency_that_cannot_go_unread_says_what_it_lacks(
    line: Line, office: Office, changes: dict[str, object]
) -> None:
    line.away = True
    answer = office.emergency(**changes)
    assert answer["http"] == 503
    assert "contact_point" in answer["detail"]
    assert (office.first.taken, office.owed()) == ([], 0)


def test_a_provider_that_refuses_in_an_outage_is_told_as_that(line: Line, office: Office) -> None:
    office.first.outcome = Outcome.REFUSED
    line.away = True
    assert office.emergency()["status"] == "failed"
    line.away = False
    office.catch_up()
    [entry] = office.record()
    assert entry["status"] == "stopped"


def test_a_provider_that_is_busy_in_an_outage_lets_the_same_call_come_again(
    line: Line, office: Office
) -> None:
    office.first.outcome = Outcome.RETRYABLE
    line.away = True
    assert office.emergency()["http"] == 503
    office.first.outcome = Outcome.ACCEPTED
    assert office.emergency()["http"] == 201
    line.away = False
    office.catch_up()
    [entry] = office.record()
    assert (entry["status"], len(office.first.taken)) == ("completed", 1)


def test_a_message_that_may_have_left_in_an_outage_is_unknown_with_a_task(
    line: Line, office: Office
) -> None:
    office.first.outcome = Outcome.MAY_HAVE_LEFT
    line.away = True
    answer = office.emergency()
    assert (answer["http"], answer["status"]) == (202, "unknown")
    line.away = False
    office.catch_up()
    [entry] = office.record()
    assert entry["status"] == "unknown"
    assert office.tasks() == ["emergency-review", "unknown"]


def test_a_message_sent_from_another_host_in_the_outage_is_found_with_the_provider(
    line: Line,
) -> None:
    provider = Taking()
    here = Office(base=line.base, direct=line.direct, first=provider)
    there = Office(base=line.base, direct=line.direct, first=provider)
    line.away = True
    assert here.emergency()["http"] == 201
    assert there.emergency()["status"] == "accepted-by-provider"
    assert len(provider.taken) == 1
    line.away = False
    here.catch_up()
    there.catch_up()
    [entry] = here.record()
    assert entry["status"] == "completed"
    assert (here.owed(), there.owed()) == (0, 0)


def test_a_message_that_two_hosts_sent_in_an_outage_has_two_entries_and_a_task(
    line: Line,
) -> None:
    provider = Taking(kind=ProviderKind.NEITHER)
    here = Office(base=line.base, direct=line.direct, first=provider)
    there = Office(base=line.base, direct=line.direct, first=provider)
    line.away = True
    assert (here.emergency()["http"], there.emergency()["http"]) == (201, 201)
    line.away = False
    here.catch_up()
    there.catch_up()
    first, second = here.record()
    assert second["partOf"][0]["reference"] == f"Communication/{first['id']}"
    assert (first["status"], second["status"]) == ("completed", "completed")
    assert here.tasks() == ["emergency-review", "sent-twice"]
    assert (here.owed(), there.owed()) == (0, 0)


def test_a_server_that_reads_and_takes_no_entry_lets_an_emergency_go_by_the_journal(
    line: Line, office: Office
) -> None:
    line.refuses = "Communication"
    held = office.send("plain", content={"body": "Example Surgery: a plain note."})
    assert (held["status"], [each["code"] for each in held["decision"]["findings"]]) == (
        "held",
        ["record.unavailable"],
    )
    answer = office.emergency(contact_point=None)
    assert (answer["http"], answer["record"]) == (201, "pending")
    assert "unread" not in answer["note"]
    assert "safety" not in answer["note"]
    codes = {each["code"]: each["effect"] for each in answer["decision"]["findings"]}
    assert codes["record.unavailable"] == "warn"
    line.refuses = ""
    office.catch_up()
    [entry] = office.record()
    assert (entry["status"], office.owed(), len(office.first.taken)) == ("completed", 0, 1)
    assert office.tasks() == ["emergency-review"]


def test_an_ending_that_cannot_be_written_is_owed_and_written_later(
    line: Line, office: Office
) -> None:
    sending = office.first.send

    def send_and_lose_the_server(*args: object, **more: object) -> object:
        receipt = sending(*args, **more)  # type: ignore[arg-type]
        line.away = True
        return receipt

    office.first.send = send_and_lose_the_server  # type: ignore[method-assign,assignment]
    answer = office.send()
    assert (answer["http"], answer["record"]) == (201, "pending")
    assert office.owed() >= 1
    line.away = False
    [entry] = office.record()
    assert entry["status"] == "in-progress"
    office.catch_up()
    [entry] = office.record()
    assert (entry["status"], office.owed()) == ("completed", 0)
    assert office.send()["replayed"] is True


def test_receipts_and_stops_are_kept_and_put_on_record_later(line: Line, office: Office) -> None:
    office.send()
    line.away = True
    assert (office.receipt("delivered"), office.reply("STOP")) == (204, 204)
    office.catch_up()
    assert office.owed() == 2
    line.away = False
    office.catch_up()
    assert office.owed() == 0
    assert office.state()["status"] == "delivered"
    [consent] = office.resources("Consent")
    assert consent["provision"]["type"] == "deny"
    assert office.send("next")["status"] == "refused"


@pytest.mark.parametrize("kind", [ProviderKind.NEITHER, ProviderKind.SEARCHABLE])
def test_what_another_process_of_the_host_sends_meanwhile_is_not_sent_over_it(
    line: Line, kind: ProviderKind
) -> None:
    journal, provider = SqliteJournal(None, [RECORD_KEY]), Taking(kind=kind)
    one, other = (
        Office(base=line.base, direct=line.direct, first=provider, journal=journal)
        for _ in range(2)
    )
    line.away = True
    line.meanwhile = other.emergency
    answer = one.emergency()
    assert (answer["http"], answer["replayed"], len(provider.taken)) == (200, True, 1)
    line.away = False
    one.catch_up()
    [entry] = one.record()
    assert entry["status"] == "completed"
