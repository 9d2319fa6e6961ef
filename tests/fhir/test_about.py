"""What a message is about: whom it concerns, and whether it is sensitive."""

from __future__ import annotations

from typing import Any

import pytest

from fhirmsg.fhir.occasions import (
    about_facts,
)
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
