"""Communications read back as entries: ours in full, anybody else's without surprise."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given

from fhirmsg.fhir.communication import opened
from fhirmsg.fhir.endings import settled
from fhirmsg.fhir.entries import entry_of
from fhirmsg.ports import EntryStatus
from tests import builders
from tests.fhir.drafts import MESSAGE_ID, a_draft
from tests.fhir.strategies import damaged, json_values

AT = datetime(2026, 11, 24, 10, tzinfo=UTC)
META = {"versionId": "2", "lastUpdated": "2026-11-24T10:00:00.500Z"}
OURS = {**opened(a_draft(attempt="mine", attempt_at=AT)), "id": "9", "meta": META}


def test_our_own_entry_is_read_back_in_full() -> None:
    completed = settled(OURS, EntryStatus.COMPLETED, sent=AT, provider_id="p-1")
    entry = entry_of({**completed, "meta": META}, AT.timestamp() + 10.5)
    assert entry.reference == "Communication/9"
    assert entry.version_id == "2"
    assert entry.status is EntryStatus.COMPLETED
    assert entry.message_id == MESSAGE_ID
    assert entry.attempt == "mine"
    assert entry.message_digest == a_draft().message_digest
    assert entry.verdict == "send"
    assert entry.receipt_digest == a_draft().decision.receipt_digest()
    assert entry.provider_id == "p-1"
    assert entry.platform == "messenger"
    assert entry.channel == "sms"
    assert entry.sent == entry.opened_at == "2026-11-24T10:00:00.000Z"
    assert entry.age_seconds == 10.0
    assert entry.sender == "A12345"
    assert entry.subject == entry.recipient == "Patient/amara"
    assert entry.text == builders.a_request().content.body
    assert entry.fidelity == "exact"


def test_the_text_is_not_in_its_print() -> None:
    assert builders.a_request().content.body not in repr(entry_of(OURS, None))


@pytest.mark.parametrize("status", ["preparation", "entered-in-error", "banana", None, 7, []])
def test_a_status_we_do_not_write_is_none(status: Any) -> None:
    assert entry_of({**OURS, "status": status}, None).status is None


@pytest.mark.parametrize(
    ("last_updated", "date"),
    [(None, 1.0), ("yesterday", 1.0), ("2026-11-24T10:00:00", 1.0), (META["lastUpdated"], None)],
)
def test_without_both_of_the_servers_times_there_is_no_age(last_updated: Any, date: Any) -> None:
    resource = {**OURS, "meta": {"lastUpdated": last_updated}}
    assert entry_of(resource, date).age_seconds is None


def test_somebody_elses_communication_is_an_entry_with_little_in_it() -> None:
    entry = entry_of({"resourceType": "Communication", "id": "1", "status": "completed"}, None)
    assert entry.status is EntryStatus.COMPLETED
    assert (entry.message_id, entry.version_id) == ("", "")
    assert entry.attempt is entry.message_digest is entry.text is entry.recipient is None


def test_an_identifier_of_another_system_is_not_the_message_id() -> None:
    others = [{"system": "urn:x", "value": MESSAGE_ID}, *OURS["identifier"]]
    assert entry_of({**OURS, "identifier": others[:1]}, None).message_id == ""
    assert entry_of({**OURS, "identifier": others}, None).message_id == MESSAGE_ID


@given(damaged(OURS) | json_values(20).filter(lambda value: isinstance(value, dict)))
def test_whatever_it_is_a_communication_is_read(resource: dict[str, Any]) -> None:
    entry_of(resource, AT.timestamp())
