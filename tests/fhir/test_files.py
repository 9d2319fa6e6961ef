"""A record read from resources at hand, by the same code as from a server."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from fhirmsg.clock import Deadline
from fhirmsg.errors import PatientNotFound, RecordUnavailable
from fhirmsg.fhir.files import FhirFiles
from fhirmsg.fhir.reader import FhirRecordReader
from fhirmsg.guidance.record import PatientRecord
from fhirmsg.guidance.terms import Declared
from tests import builders
from tests.fhir.national import a_national_consent
from tests.fhir.reads import KEY, MESSAGE_ID, a_link, by_number
from tests.fhir.reads import read as read_from_server
from tests.fhir.resources import AMARA_NUMBER, BEN_NUMBER, NHS_NUMBER, a_related_resource
from tests.fhir.test_earlier import a_communication
from tests.fhir.test_needs import a_flag
from tests.fhir.test_objections_elsewhere import a_request_not_to
from tests.world import a_patient_resource, an_objection_resource, put

BEN = "RelatedPerson/ben"


def a_record() -> list[dict[str, Any]]:
    """Give resources of every kind that a decision looks at, everybody's among them."""
    own = {"reference": "Patient/bens-own"}
    shared = [{"system": "phone", "use": "mobile", "value": "+447700900456"}]
    return [
        a_patient_resource(id="old", identifier=by_number("9990000034")),
        a_patient_resource(link=[a_link("replaces", "old")]),
        a_related_resource(),
        a_patient_resource(id="bens-own", identifier=by_number(BEN_NUMBER)),
        a_patient_resource(id="somebody", identifier=[], telecom=shared),
        an_objection_resource(),
        an_objection_resource("old-objection", patient="Patient/old"),
        an_objection_resource("bens-objection", patient="Patient/bens-own"),
        a_request_not_to(),
        a_flag("936741000000100"),
        a_flag("936741000000100", id="bens-flag", subject=own),
        a_communication(),
        {
            "resourceType": "Task",
            "id": "task",
            "status": "cancelled",
            "intent": "order",
            "for": {"reference": "Patient/amara"},
        },
    ]


def read(*resources: dict[str, Any], at: datetime = builders.NOW, **request: Any) -> PatientRecord:
    reader = FhirRecordReader(FhirFiles(resources), contact_key=KEY, clock=lambda: at)
    asked = builders.a_request(**request)
    return reader.read(asked, builders.a_policy(), MESSAGE_ID).record


def without_versions(record: PatientRecord) -> str:
    """Give a record in words, its instants and versions left out."""
    said = repr(replace(record, versions=(), read_at=""))
    return re.sub(r"version_id=[^,]+, last_updated=[^)]+", "", said)


def test_files_give_the_facts_a_server_gives(base: str) -> None:
    put(base, *a_record())
    asked = {"recipient": BEN, "about": ("Task/task",), "confidential": Declared.UNKNOWN}
    served = read_from_server(base, **asked).record
    at_hand = read(*a_record(), at=datetime.fromisoformat(served.read_at), **asked)
    assert {each.reference for each in at_hand.versions} == {
        each.reference for each in served.versions
    }
    assert without_versions(at_hand) == without_versions(served)
    assert at_hand.gaps == ()


def test_versions_are_those_in_the_files() -> None:
    meta = {"versionId": "7", "lastUpdated": "2026-11-01T09:00:00Z"}
    record = read(a_patient_resource(meta=meta))
    [version] = record.versions
    assert (version.version_id, version.last_updated) == ("7", "2026-11-01T09:00:00Z")


def test_a_patient_is_found_by_number() -> None:
    record = read(a_patient_resource(), patient=f"{NHS_NUMBER}|{AMARA_NUMBER}")
    assert record.patient.version.reference == "Patient/amara"


def test_a_consent_that_names_the_patient_by_number_alone_is_found() -> None:
    record = read(a_patient_resource(), a_national_consent())
    assert len(record.consents) == 1


def test_who_is_not_among_the_files_is_not_found() -> None:
    with pytest.raises(PatientNotFound):
        read(a_related_resource())


def test_a_search_that_is_not_understood_fails_instead_of_answering_everything() -> None:
    files = FhirFiles([a_patient_resource()])
    _, [answer] = files.batch(["Patient?birthdate=1984-03-02"], deadline=Deadline(1))
    assert answer.status == 400


def test_there_are_no_further_pages() -> None:
    with pytest.raises(RecordUnavailable):
        FhirFiles([]).follow("https://files.invalid/fhir?_getpages=1", deadline=Deadline(1))
