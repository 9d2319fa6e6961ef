"""How a hand-off ended, written whatever happens to the answers, and never over the truth."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import requests

from fhirmsg.fhir.settling import ALLOWED
from fhirmsg.guidance.decision import decide
from fhirmsg.ports import Entry, EntryStatus
from tests import builders
from tests.fhir.drafts import MESSAGE_ID, a_draft, an_overridden_case
from tests.fhir.logs import AFTER_WRITING, Fault, a_log, once, written
from tests.reverse_proxy import Reply, Request, reverse_proxy
from tests.world import FHIR_JSON, an_objection_resource, put

AT = datetime(2026, 11, 24, 10, 0, 30, tzinfo=UTC)
COMPLETED, STOPPED = EntryStatus.COMPLETED, EntryStatus.STOPPED
NOT_DONE, UNKNOWN = EntryStatus.NOT_DONE, EntryStatus.UNKNOWN


@pytest.fixture
def mine(base: str) -> Entry:
    """An open entry of this attempt."""
    entry = a_log(base).open(a_draft(attempt="mine")).entry
    assert entry is not None
    return entry


def settle(base: str, entry: Entry, status: EntryStatus, **more: Any) -> Entry | None:
    return a_log(base).settle(entry, status, **more)


def change(base: str, entry: Entry, alter: Callable[[dict[str, Any]], Any]) -> None:
    """Let somebody else change the entry."""
    resource = requests.get(f"{base}/{entry.reference}", timeout=10).json()
    alter(resource)
    answer = requests.put(f"{base}/{entry.reference}", json=resource, headers=FHIR_JSON, timeout=10)
    assert answer.ok, answer.text


def move_on(base: str, entry: Entry, status: str = "in-progress") -> None:
    """Let another attempt take the entry over, and end it so."""

    def alter(resource: dict[str, Any]) -> None:
        for extension in resource["extension"]:
            if extension["url"].endswith("/attempt"):
                extension["extension"][0]["valueString"] = "theirs"
        resource["status"] = status

    change(base, entry, alter)


@pytest.mark.parametrize("status", [COMPLETED, STOPPED, NOT_DONE, UNKNOWN])
def test_the_end_of_a_hand_off_is_written(base: str, mine: Entry, status: EntryStatus) -> None:
    settled = settle(base, mine, status)
    assert settled is not None
    assert (settled.status, settled.version_id) == (status, "2")
    assert written(base)["status"] == str(status)


@pytest.mark.parametrize("fault", AFTER_WRITING)
@pytest.mark.parametrize("status", [COMPLETED, NOT_DONE])
def test_an_answer_that_is_lost_after_the_server_wrote_it_is_looked_into(
    base: str, mine: Entry, fault: Fault, status: EntryStatus
) -> None:
    with reverse_proxy(base, once("PUT", lambda request: fault(base, request))) as proxied:
        settled = settle(proxied, mine, status, sent=AT)
    assert settled is not None
    assert settled.status is status
    assert written(base)["meta"]["versionId"] == "2"


@pytest.mark.parametrize("code", [409, 412, 500, 503])
def test_what_was_not_written_is_written_again(base: str, mine: Entry, code: int) -> None:
    with reverse_proxy(base, once("PUT", lambda _: Reply(code))) as proxied:
        settled = settle(proxied, mine, COMPLETED, sent=AT, provider_id="p")
    assert settled is not None
    assert (settled.status, settled.provider_id) == (COMPLETED, "p")


def test_what_others_wrote_meanwhile_stays(base: str, mine: Entry) -> None:
    change(base, mine, lambda resource: resource.update(topic={"text": "theirs"}))
    settled = settle(base, mine, COMPLETED, sent=AT)
    assert settled is not None
    assert written(base)["topic"] == {"text": "theirs"}
    assert written(base)["status"] == "completed"


def test_what_is_settled_so_already_is_left_as_it_is(base: str, mine: Entry) -> None:
    settle(base, mine, COMPLETED, sent=AT)
    again = settle(base, mine, COMPLETED, sent=AT)
    assert again is not None
    assert written(base)["meta"]["versionId"] == "2"


# --- somebody else has it ----------------------------------------------------------------------


@pytest.mark.parametrize("status", [STOPPED, NOT_DONE, UNKNOWN])
@pytest.mark.parametrize("theirs", ["in-progress", "completed", "unknown"])
def test_an_entry_that_another_attempt_has_taken_over_is_theirs(
    base: str, mine: Entry, status: EntryStatus, theirs: str
) -> None:
    move_on(base, mine, theirs)
    settled = settle(base, mine, status)
    # Two who know the same need not write it twice.
    assert settled is None or str(settled.status) == theirs == str(status)
    assert written(base)["status"] == theirs
    assert a_log(base).find(MESSAGE_ID)[0].attempt == "theirs"


@pytest.mark.parametrize("theirs", ["in-progress", "unknown", "stopped"])
def test_that_a_message_was_accepted_is_true_whoever_has_the_entry(
    base: str, mine: Entry, theirs: str
) -> None:
    move_on(base, mine, theirs)
    settled = settle(base, mine, COMPLETED, sent=AT)
    assert settled is not None
    assert written(base)["status"] == "completed"
    # So that the other one, who looks before it sends, sees that it is not its own any more.
    assert a_log(base).find(MESSAGE_ID)[0].attempt == "mine"


def test_what_was_sent_is_said_of_an_entry_that_ended_unsent_and_a_person_is_asked(
    base: str, mine: Entry
) -> None:
    move_on(base, mine, "not-done")
    assert settle(base, mine, COMPLETED, sent=AT, provider_id="p") is not None
    assert written(base)["status"] == "completed"
    [entry] = requests.get(f"{base}/Task", timeout=10).json()["entry"]
    code = entry["resource"]["code"]["coding"][0]["code"]
    assert code == "sent-though-not-done"


def test_no_status_follows_itself_and_unsent_follows_nothing_that_left() -> None:
    for status, before in ALLOWED.items():
        assert status not in before
    assert not ALLOWED[NOT_DONE] & {COMPLETED, STOPPED}
    assert ALLOWED[EntryStatus.IN_PROGRESS] == {NOT_DONE}


# --- nothing helps -----------------------------------------------------------------------------


def test_an_end_that_cannot_be_written_is_none_and_logged(
    base: str, mine: Entry, caplog: pytest.LogCaptureFixture
) -> None:
    puts: list[str] = []

    def refuse(request: Request) -> Reply | None:
        puts.append(request.method)
        return Reply(500) if request.method == "PUT" else None

    with reverse_proxy(base, refuse) as proxied:
        assert settle(proxied, mine, COMPLETED, sent=AT) is None
    assert puts.count("PUT") == 4
    [record] = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert record.__dict__["message_id"] == MESSAGE_ID
    assert builders.a_request().content.body not in caplog.text


def test_an_entry_that_was_deleted_cannot_be_settled(base: str, mine: Entry) -> None:
    requests.delete(f"{base}/{mine.reference}", timeout=10)
    with reverse_proxy(base, once("PUT", lambda _: Reply(409))) as proxied:
        assert settle(proxied, mine, COMPLETED) is None


def test_an_entry_that_another_system_touched_can_be_settled(base: str, mine: Entry) -> None:
    change(base, mine, lambda resource: resource.update(reasonCode=[{"text": ""}]))
    assert settle(base, mine, COMPLETED, sent=AT) is not None


# --- with an override --------------------------------------------------------------------------


def provenances(base: str) -> list[dict[str, Any]]:
    answer = requests.get(f"{base}/Provenance", timeout=10).json()
    return [entry["resource"] for entry in answer.get("entry", [])]


@pytest.fixture
def overridden(base: str) -> Entry:
    """An open entry of a message that an override lets through."""
    put(base, an_objection_resource())
    entry = a_log(base).open(a_draft(an_overridden_case(), attempt="mine")).entry
    assert entry is not None
    return entry


def settle_overridden(base: str, entry: Entry) -> Entry | None:
    case = an_overridden_case()
    return settle(base, entry, COMPLETED, sent=AT, decision=decide(case), grounds=case.request)


def test_an_override_is_written_beside_the_end_in_one_transaction(
    base: str, overridden: Entry
) -> None:
    made: list[Request] = []
    with reverse_proxy(base, lambda request: made.append(request)) as proxied:
        settled = settle_overridden(proxied, overridden)
    assert settled is not None
    assert len(made) == 1
    assert (settled.status, settled.version_id) == (COMPLETED, "2")
    [provenance] = provenances(base)
    assert provenance["target"] == [{"reference": overridden.reference}]


@pytest.mark.parametrize("fault", AFTER_WRITING)
def test_a_lost_answer_to_an_override_writes_it_once(
    base: str, overridden: Entry, fault: Fault
) -> None:
    with reverse_proxy(base, once("POST", lambda request: fault(base, request))) as proxied:
        settled = settle_overridden(proxied, overridden)
    assert settled is not None
    assert settled.status is COMPLETED
    assert len(provenances(base)) == 1


def test_an_override_on_an_entry_that_has_changed_is_written_on_the_second_try(
    base: str, overridden: Entry
) -> None:
    change(base, overridden, lambda resource: resource.update(topic={"text": "theirs"}))
    assert settle_overridden(base, overridden) is not None
    assert len(provenances(base)) == 1
    assert written(base)["topic"]


# --- a person is asked -------------------------------------------------------------------------


def tasks(base: str) -> list[dict[str, Any]]:
    answer = requests.get(f"{base}/Task", timeout=10).json()
    return [entry["resource"] for entry in answer.get("entry", [])]


def test_a_person_is_asked_once_for_each_reason(base: str, mine: Entry) -> None:
    for code in ("unknown", "unknown", "several-entries"):
        a_log(base).ask_a_person(mine, code, "Find out.")
    codes = sorted(each["code"]["coding"][0]["code"] for each in tasks(base))
    assert codes == ["several-entries", "unknown"]
    assert all(each["focus"]["reference"] == mine.reference for each in tasks(base))


@pytest.mark.parametrize("reply", [Reply(500), Reply(200, b"<html>"), Reply(400)])
def test_a_task_that_cannot_be_opened_is_logged_and_no_more(
    base: str, mine: Entry, reply: Reply, caplog: pytest.LogCaptureFixture
) -> None:
    with reverse_proxy(base, lambda _: reply) as proxied:
        a_log(proxied).ask_a_person(mine, "unknown", "Find out.")
    assert [each.message for each in caplog.records if each.levelno == logging.ERROR] == [
        "task not opened"
    ]


def test_a_person_can_be_asked_about_an_entry_of_anybody(base: str) -> None:
    foreign = {
        "resourceType": "Communication",
        "status": "completed",
        "identifier": [{"system": "https://fhirmsg.example/Id/message", "value": MESSAGE_ID}],
    }
    requests.post(f"{base}/Communication", json=foreign, headers=FHIR_JSON, timeout=10)
    [entry] = a_log(base).find(MESSAGE_ID)
    a_log(base).ask_a_person(entry, "several-entries", "Find out.")
    assert len(tasks(base)) == 1


# --- given way, and not sent at all ------------------------------------------------------------


def test_a_refusal_is_noted_without_its_text_and_reason(base: str) -> None:
    objected = builders.a_case(
        consents=(builders.an_objection(builders.Channel.SMS),),
        patient=builders.a_patient(contact_points=()),
    )
    assert a_log(base).note_refusal(a_draft(objected))
    resource = written(base)
    assert resource["status"] == "not-done"
    assert resource["meta"]["security"][0]["code"] == "R"
    assert "payload" not in resource
    assert "objection" not in str(resource)


def test_a_refusal_leaves_an_entry_that_is_there_as_it_is(base: str, mine: Entry) -> None:
    assert a_log(base).note_refusal(a_draft())
    assert written(base)["meta"]["versionId"] == mine.version_id


def test_a_refusal_that_cannot_be_noted_is_logged(
    base: str, caplog: pytest.LogCaptureFixture
) -> None:
    with reverse_proxy(base, lambda _: Reply(500)) as proxied:
        assert not a_log(proxied).note_refusal(a_draft())
    assert [each.message for each in caplog.records if each.levelno == logging.ERROR] == [
        "refusal not recorded"
    ]
