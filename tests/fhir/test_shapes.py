"""A person's record in an odd shape: what would have stopped the message is never lost in it."""

from __future__ import annotations

from typing import Any

import pytest

from fhirmsg.fhir.shapes import misshapen
from tests.fhir.deciding import a_case_of, sends
from tests.fhir.national import GENERATIONS, INGESTED
from tests.fhir.resources import TERMINOLOGY, a_related_resource, concept
from tests.fhir.strategies import paths_in, with_value
from tests.world import a_patient_resource, an_objection_resource

# No texts and no empty objects: those say something else or nothing, but in the right shape.
JUNK = [True, 7, ["banana"], [[]], [7]]
DEATH = "https://fhir.hl7.org.uk/StructureDefinition/Extension-UKCore-DeathNotificationStatus"
STOPPED: dict[str, tuple[dict[str, Any], str]] = {
    "restricted": (
        {
            "meta": {
                "security": [{"system": f"{TERMINOLOGY}/v3-Confidentiality", "code": "R"}],
            }
        },
        "meta",
    ),
    "dead": (
        {
            "extension": [
                {
                    "url": DEATH,
                    "extension": [
                        {"url": "status", "valueCodeableConcept": concept(("urn:x", "2"))}
                    ],
                }
            ]
        },
        "extension",
    ),
    "replaced": ({"link": [{"type": "replaced-by", "other": {"reference": "Patient/x"}}]}, "link"),
    "moved away": (
        {
            "telecom": [
                {
                    "system": "phone",
                    "use": "old",
                    "value": "07700 900123",
                    "period": {"end": "2020-01-01"},
                }
            ]
        },
        "telecom",
    ),
}


def lets_through(patient: dict[str, Any]) -> bool:
    return sends(a_case_of(patient=patient)) and not misshapen(patient)


@pytest.mark.parametrize("name", STOPPED)
def test_what_stops_a_message_is_not_lost_in_a_value_of_another_shape(name: str) -> None:
    changes, element = STOPPED[name]
    patient = a_patient_resource(**changes)
    assert not lets_through(patient)
    places = [path for path in paths_in(patient) if path[0] == element]
    passing = [
        (path, junk)
        for path in places
        for junk in JUNK
        if lets_through(with_value(patient, path, junk))
    ]
    assert passing == []


@pytest.mark.parametrize(
    "resource",
    [
        a_patient_resource(),
        a_related_resource(),
        an_objection_resource(),
        INGESTED,
        *GENERATIONS.values(),
        *(a_patient_resource(**changes) for changes, _ in STOPPED.values()),
        {"resourceType": "Patient"},
        {"resourceType": "Consent"},
        {},
    ],
    ids=lambda resource: str(resource.get("id")),
)
def test_what_has_the_right_shape_is_not_told(resource: dict[str, Any]) -> None:
    assert misshapen(resource) == []


@pytest.mark.parametrize(
    ("changes", "faults"),
    [
        ({"telecom": {"system": "phone"}}, ["Patient.telecom"]),
        (
            {"telecom": [{"use": ["old"], "value": 7}]},
            ["Patient.telecom.use", "Patient.telecom.value"],
        ),
        (
            {"link": [{"type": 1, "other": "Patient/x"}]},
            ["Patient.link.other", "Patient.link.type"],
        ),
        ({"meta": {"security": ["R"]}}, ["Patient.meta.security"]),
        ({"identifier": "9990000018"}, ["Patient.identifier"]),
        ({"name": "Amara"}, ["Patient.name"]),
        ({"extension": [{"url": 7}]}, ["Patient.extension.url"]),
        (
            {"extension": [{"url": "x", "extension": [{"url": "y", "valuePeriod": "now"}]}]},
            ["Patient.extension.extension.valuePeriod"],
        ),
        ({"telecom": [{"extension": [7]}]}, ["Patient.telecom.extension"]),
    ],
)
def test_each_element_of_the_wrong_shape_is_named_once(
    changes: dict[str, Any], faults: list[str]
) -> None:
    assert misshapen(a_patient_resource(**changes)) == faults


@pytest.mark.parametrize(
    ("resource", "faults"),
    [
        ({"resourceType": "Flag", "status": ["active"]}, ["Flag.status"]),
        ({"resourceType": "Flag", "code": [{}]}, ["Flag.code"]),
        (
            {"resourceType": "CommunicationRequest", "doNotPerform": "true", "medium": {}},
            ["CommunicationRequest.doNotPerform", "CommunicationRequest.medium"],
        ),
        ({"resourceType": "Appointment", "start": 7}, ["Appointment.start"]),
        ({"resourceType": "Task", "status": 7}, ["Task.status"]),
        ({"resourceType": "ServiceRequest", "status": {}}, ["ServiceRequest.status"]),
        ({"resourceType": "Consent", "dateTime": 7}, ["Consent.dateTime"]),
        ({"resourceType": "RelatedPerson", "extension": {}}, ["RelatedPerson.extension"]),
    ],
)
def test_other_resources_are_looked_at_too(resource: dict[str, Any], faults: list[str]) -> None:
    assert misshapen(resource) == faults
