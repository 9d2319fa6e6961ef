"""The overview of a patient on the embedded store: each line is a decision."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from fhirmsg.fhir.client import FhirClient, FhirServer
from fhirmsg.fhir.reader import FhirRecordReader
from fhirmsg.http import make_session
from fhirmsg.judging import Judge
from fhirmsg.overview import ContactOverview, Overview
from fhirmsg.sandbox import Store, serve_in_thread
from tests import builders
from tests.world import a_patient_resource, an_objection_resource, put

POLICY = replace(builders.a_policy(), default_platform={"sms": "messenger", "email": "messenger"})


@pytest.fixture
def base() -> Iterator[str]:
    with serve_in_thread(Store()) as serving:
        yield serving.base_url


def overview(base: str) -> Overview:
    client = FhirClient(FhirServer(base_url=base), make_session())
    judge = Judge(b"k" * 32)
    return ContactOverview(FhirRecordReader(client), judge).of("Patient/amara", POLICY, "A12345")


def a_relative(**changes: Any) -> dict[str, Any]:
    return {
        "resourceType": "RelatedPerson",
        "id": "ben",
        "patient": {"reference": "Patient/amara"},
        "telecom": [{"system": "phone", "use": "mobile", "value": "07700 900456"}],
        **changes,
    }


def a_grant(**changes: Any) -> dict[str, Any]:
    return {
        "resourceType": "Consent",
        "id": "grant",
        "status": "active",
        "scope": {
            "coding": [
                {
                    "system": "http://terminology.hl7.org/CodeSystem/consentscope",
                    "code": "patient-privacy",
                }
            ]
        },
        "category": [{"text": "proxy"}],
        "patient": {"reference": "Patient/amara"},
        "policyRule": {
            "coding": [
                {
                    "system": "https://fhir.nhs.uk/England/CodeSystem/England-NHSProxyLegalBasis",
                    "code": "consent",
                }
            ]
        },
        "provision": {
            "type": "permit",
            "period": {"end": "2999-12-31"},
            "actor": [
                {
                    "role": {"text": "proxy"},
                    "reference": {"reference": "RelatedPerson/ben"},
                }
            ],
            "class": [{"system": "http://hl7.org/fhir/resource-types", "code": "Communication"}],
        },
        **changes,
    }


def open_channels(channels: Any) -> set[str]:
    return {str(each.channel) for each in channels if each.open}


def test_each_channel_is_open_or_says_why_not(base: str) -> None:
    put(base, a_patient_resource(), an_objection_resource())
    found = overview(base)
    assert found.patient == "Patient/amara"
    assert open_channels(found.channels) == {"email"}
    by_channel = {str(each.channel): each for each in found.channels}
    assert by_channel["sms"].ends_in == "123"
    assert next(each.code for each in by_channel["sms"].findings) == "objection.active"
    assert by_channel["letter"].platform is None
    assert "contact.none" in {each.code for each in by_channel["letter"].findings}
    assert not found.incomplete


def test_objections_are_listed_with_the_reason_for_those_who_may_know_it(base: str) -> None:
    put(base, a_patient_resource(), an_objection_resource())
    (objection,) = overview(base).objections
    assert objection.evidence.reference == "Consent/objection"
    assert (objection.says, str(objection.channel)) == ("active", "sms")
    assert objection.reason == "Somebody else picks up that phone"
    assert "picks up" not in repr(objection.evidence)


def test_somebody_with_a_grant_is_a_proxy_with_ground_consent_and_end(base: str) -> None:
    put(base, a_patient_resource(), a_relative(), a_grant())
    (proxy,) = overview(base).proxies
    assert proxy.reference == "RelatedPerson/ben"
    assert proxy.basis == "explicit consent"
    assert proxy.consent.reference == "Consent/grant"
    assert proxy.until is not None
    assert proxy.until.year == 2999
    assert proxy.held == ()
    assert open_channels(proxy.channels) == {"sms"}


def test_a_relative_without_a_grant_is_no_proxy(base: str) -> None:
    put(base, a_patient_resource(), a_relative())
    assert overview(base).proxies == ()


def test_what_holds_a_grant_is_told(base: str) -> None:
    unclear = a_grant(verification=[{"verified": False}])
    put(base, a_patient_resource(), a_relative(), unclear)
    (proxy,) = overview(base).proxies
    assert {each.code for each in proxy.held} == {"proxy.unclear"}
    assert open_channels(proxy.channels) == set()


def test_what_cannot_be_understood_is_told(base: str) -> None:
    odd = an_objection_resource(implicitRules="https://example.org/rules")
    put(base, a_patient_resource(), odd)
    assert "read.incomplete" in {
        each.code for channel in overview(base).channels for each in channel.findings
    }
