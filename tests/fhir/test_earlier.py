"""Messages of ours that are on the record already."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from fhirmsg.fhir.earlier import search_for_earlier
from fhirmsg.guidance.record import EarlierMessage
from fhirmsg.ports import ReadResult
from tests import builders
from tests.fhir.reads import MESSAGE_ID, gaps, read, read_with, searchset
from tests.fhir.resources import OWN, concept
from tests.world import put

OTHER = "5e0e0002-0000-5000-8000-000000000002"


def own(name: str, **value: Any) -> dict[str, Any]:
    return {"url": f"{OWN}/StructureDefinition/{name}", **value}


def a_communication(**changes: Any) -> dict[str, Any]:
    """Give a text of ours to Amara that went out."""
    return {
        "resourceType": "Communication",
        "id": "earlier",
        "extension": [
            own("content-digest", valueString="ab" * 32),
            own("contact-point-tail", valueString="123"),
        ],
        "identifier": [{"system": f"{OWN}/Id/message", "value": OTHER}],
        "status": "completed",
        "medium": [concept((f"{OWN}/CodeSystem/channel", "sms"))],
        "subject": {"reference": "Patient/amara"},
        "recipient": [{"reference": "Patient/amara"}],
        "sent": "2026-11-24T09:00:00Z",
        **changes,
    }


def found(base: str, **changes: Any) -> tuple[EarlierMessage, ...]:
    """Read what is told of one Communication."""
    answer = searchset(a_communication(**changes))
    result = read_with(base, {"Communication?subject": answer})
    assert gaps(result) == []
    return result.record.earlier


def test_a_message_on_the_record_is_told(base: str) -> None:
    put(base, a_communication())
    result = read(base)
    [earlier] = result.record.earlier
    assert earlier == EarlierMessage(
        version=earlier.version,
        message_id=OTHER,
        recipient="Patient/amara",
        channel="sms",
        at=datetime(2026, 11, 24, 9, tzinfo=UTC),
        content_digest="ab" * 32,
        tail="123",
    )
    assert earlier.version.reference == "Communication/earlier"
    assert "Communication/earlier" in {each.reference for each in result.record.versions}
    assert gaps(result) == []


def test_this_very_message_is_not_an_earlier_one(base: str) -> None:
    put(
        base,
        a_communication(identifier=[{"system": f"{OWN}/Id/message", "value": MESSAGE_ID}]),
    )
    assert read(base).record.earlier == ()


@pytest.mark.parametrize("identifier", [[], [{"system": "urn:other", "value": OTHER}]])
def test_a_message_of_somebody_else_is_none_of_ours(base: str, identifier: Any) -> None:
    assert found(base, identifier=identifier) == ()


@pytest.mark.parametrize(
    ("status", "left"),
    [
        ("completed", True),
        ("in-progress", True),
        ("unknown", True),
        ("stopped", True),
        ("not-done", False),
        ("entered-in-error", False),
    ],
)
def test_what_was_not_handed_off_did_not_leave(base: str, status: str, left: bool) -> None:
    [earlier] = found(base, status=status)
    assert earlier.left is left


REASON = "http://terminology.hl7.org/CodeSystem/communication-not-done-reason"


@pytest.mark.parametrize(
    ("code", "unreachable"), [("invalid-phone-number", True), ("system-error", False)]
)
def test_an_invalid_number_is_unreachable(base: str, code: str, unreachable: bool) -> None:
    [earlier] = found(base, status="stopped", statusReason=concept((REASON, code)))
    assert earlier.unreachable is unreachable


@pytest.mark.parametrize(
    ("states", "unreachable"),
    [(["failed"], True), (["accepted", "failed"], True), (["failed", "delivered"], False)],
)
def test_a_delivery_that_failed_for_an_invalid_number_is_unreachable(
    base: str, states: list[str], unreachable: bool
) -> None:
    deliveries = [
        own(
            "delivery",
            extension=[
                {"url": "state", "valueCode": state},
                {"url": "reason", "valueCode": "invalid-phone-number"},
            ],
        )
        for state in states
    ]
    [earlier] = found(base, extension=deliveries)
    assert earlier.unreachable is unreachable


def test_without_a_sent_time_the_last_change_counts(base: str) -> None:
    meta = {"lastUpdated": "2026-11-24T08:00:00Z"}
    [earlier] = found(base, sent=None, meta=meta)
    assert earlier.at == datetime(2026, 11, 24, 8, tzinfo=UTC)


def test_one_without_any_time_may_have_gone_a_moment_ago(base: str) -> None:
    [earlier] = found(base, sent=None)
    assert abs((datetime.now(UTC) - earlier.at).total_seconds()) < 60


def test_what_is_missing_of_it_is_empty(base: str) -> None:
    [earlier] = found(base, extension=[], medium=[], recipient=[])
    assert (earlier.content_digest, earlier.tail, earlier.channel, earlier.recipient) == (
        None,
        "",
        "",
        "",
    )


def test_a_message_to_somebody_else_is_told_and_not_cited(base: str) -> None:
    put(base, a_communication(recipient=[{"display": "Ben"}]))
    result = read(base)
    assert len(result.record.earlier) == 1
    assert "Communication/earlier" not in {each.reference for each in result.record.versions}


# --- the search --------------------------------------------------------------------------------


def test_the_window_of_the_policy_is_searched(base: str) -> None:
    policy = builders.a_policy(repeat_window_hours=2)
    search = search_for_earlier("Patient/amara", policy, builders.NOW, 50)
    assert search is not None
    assert "_lastUpdated=ge2026-11-24T07%3A50%3A00Z&" in search


@pytest.mark.parametrize("hours", [0, -1])
def test_without_a_window_nothing_is_searched(hours: float) -> None:
    policy = builders.a_policy(repeat_window_hours=hours)
    assert search_for_earlier("Patient/amara", policy, builders.NOW, 50) is None


def test_a_search_that_fails_is_a_gap(base: str) -> None:
    result: ReadResult = read_with(base, {"Communication?subject": 500})
    assert len(gaps(result)) == 1
    assert result.entries == ()


def test_a_message_about_another_patient_shows_that_the_filter_was_ignored(base: str) -> None:
    answer = searchset(a_communication(subject={"reference": "Patient/other"}))
    result = read_with(base, {"Communication?subject": answer})
    assert result.record.earlier == ()
    assert "not about this patient" in gaps(result)[0]
