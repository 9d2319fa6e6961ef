"""What a message is about: whom it concerns, and whether it is sensitive."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from fhirmsg.fhir.occasions import (
    about_facts,
)
from fhirmsg.guidance.record import AboutFacts
from tests.fhir.resources import (
    AMARA_NUMBER,
    BASE,
    a_context,
    number,
    v3,
)

AMARA_KEY = f"http://fhir.nhs.uk/id/nhs-number|{AMARA_NUMBER}"


def about(**resource: Any) -> frozenset[str]:
    return about_facts({"id": "1", **resource}, a_context()).subject_keys


@pytest.mark.parametrize(
    "resource",
    [
        {
            "resourceType": "Appointment",
            "participant": [
                {"actor": {"reference": "Practitioner/1"}},
                {"actor": {"reference": "Patient/amara"}},
            ],
        },
        {"resourceType": "Task", "for": {"reference": "Patient/amara"}},
        {"resourceType": "ServiceRequest", "subject": {"reference": "Patient/amara"}},
        {"resourceType": "Consent", "patient": {"reference": f"{BASE}/Patient/amara"}},
        {"resourceType": "Coverage", "beneficiary": {"reference": "Patient/amara"}},
        {"resourceType": "Patient", "id": "amara"},
    ],
)
def test_what_a_message_is_about_says_whom_it_concerns(resource: dict[str, Any]) -> None:
    assert about(**resource) == {"Patient/amara"}


def test_a_participant_by_number_is_one() -> None:
    assert about(resourceType="Appointment", participant=[{"actor": number(AMARA_NUMBER)}]) == {
        AMARA_KEY
    }


@pytest.mark.parametrize(
    "resource",
    [
        {"resourceType": "Appointment", "participant": [{"actor": {"reference": "Location/1"}}]},
        {"resourceType": "Appointment"},
        {"resourceType": "Location"},
        {"resourceType": "Task", "subject": {"reference": "Patient/amara"}},
        {"resourceType": "ServiceRequest", "subject": "Patient/amara"},
    ],
)
def test_what_does_not_say_whom_it_concerns_concerns_nobody_known(resource: Any) -> None:
    assert about(**resource) == frozenset()


def test_a_sensitive_label_on_what_it_is_about_is_seen() -> None:
    system, code = v3("ActCode", "PSY")
    labelled = {"resourceType": "Task", "meta": {"security": [{"system": system, "code": code}]}}
    assert about_facts(labelled, a_context()).sensitive_labels == {"PSY"}


# --- whether it takes place --------------------------------------------------------------------


def read(**resource: Any) -> AboutFacts:
    return about_facts({"id": "1", **resource}, a_context())


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        *(("Appointment", each) for each in ("cancelled", "noshow", "entered-in-error")),
        *(("Task", each) for each in ("cancelled", "rejected", "failed", "entered-in-error")),
        *(("ServiceRequest", each) for each in ("revoked", "entered-in-error")),
    ],
)
def test_what_will_not_take_place_says_why(kind: str, status: str) -> None:
    assert read(resourceType=kind, status=status).off == status


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("Appointment", "booked"),
        ("Appointment", "failed"),
        ("Task", "requested"),
        ("ServiceRequest", "active"),
        ("Observation", "cancelled"),
        ("Task", ["cancelled"]),
    ],
)
def test_what_goes_on_does_not(kind: str, status: Any) -> None:
    assert read(resourceType=kind, status=status).off is None


@pytest.mark.parametrize(
    ("written", "starts"),
    [
        ("2026-12-01T10:30:00Z", datetime(2026, 12, 1, 10, 30, tzinfo=UTC)),
        ("2026-07-01T10:30:00", datetime(2026, 7, 1, 9, 30, tzinfo=UTC)),
        ("2026-12-01", datetime(2026, 12, 1, 23, 59, 59, 999999, tzinfo=UTC)),
        ("soon", None),
        (7, None),
        (None, None),
    ],
)
def test_an_appointment_says_when_it_begins(written: Any, starts: datetime | None) -> None:
    assert read(resourceType="Appointment", start=written).starts == starts


def test_other_things_have_no_beginning() -> None:
    assert read(resourceType="Task", start="2026-12-01T10:30:00Z").starts is None
