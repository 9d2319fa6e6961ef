"""Raw FHIR JSON for the tests of the FHIR side. Everybody is invented."""

from __future__ import annotations

from typing import Any

from fhirmsg.fhir.provisions import Context
from tests.builders import AMARA_KEYS, LONDON

BASE = "https://ehr.example/fhir"
AMARA_NUMBER, BEN_NUMBER = "9990000018", "9990000026"

NHS_NUMBER = "https://fhir.nhs.uk/Id/nhs-number"
ODS = "https://fhir.nhs.uk/Id/ods-organization-code"
TERMINOLOGY = "http://terminology.hl7.org/CodeSystem"
OWN = "https://fhirmsg.example"


def a_context(**changes: Any) -> Context:
    """Give what Consents on Amara's record are read with."""
    keys = frozenset(key.replace(NHS_NUMBER, NHS_NUMBER.lower()) for key in AMARA_KEYS)
    normal = frozenset(key.replace("https://fhir.nhs.uk", "http://fhir.nhs.uk") for key in keys)
    return Context(**{"base": BASE, "zone": LONDON, "patient": normal, **changes})


def bundle_of(kind: str, *resources: Any, **changes: Any) -> dict[str, Any]:
    """Give a Bundle; the entries of a batch answer all say 200."""
    entries = [{"resource": resource} for resource in resources]
    if kind == "batch-response":
        for entry in entries:
            entry["response"] = {"status": "200 OK"}
    return {"resourceType": "Bundle", "type": kind, "entry": entries, **changes}


def concept(*codings: tuple[str, str], **changes: Any) -> dict[str, Any]:
    """Give a CodeableConcept of these (system, code)."""
    return {"coding": [{"system": system, "code": code} for system, code in codings], **changes}


def v3(system: str, code: str) -> tuple[str, str]:
    """Give a code of one of HL7's v3 systems, such as `v3("ActCode", "INFA")`."""
    return f"{TERMINOLOGY}/v3-{system}", code


def number(value: str = BEN_NUMBER, **changes: Any) -> dict[str, Any]:
    """Give a reference by NHS number alone."""
    return {"identifier": {"system": NHS_NUMBER, "value": value}, **changes}


def organisation(code: str = "A12345") -> dict[str, Any]:
    """Give a reference to an organisation by ODS code."""
    return {"identifier": {"system": ODS, "value": code}}


PRIVACY = concept((f"{TERMINOLOGY}/consentscope", "patient-privacy"))
ACCESS = concept(v3("ActCode", "INFA"))
MESSAGES = [{"system": "http://hl7.org/fhir/resource-types", "code": "Communication"}]


def channel(*names: str) -> list[dict[str, Any]]:
    """Give `provision.code` with channels of our own."""
    return [concept((f"{OWN}/CodeSystem/channel", name)) for name in names]


def a_consent_resource(**changes: Any) -> dict[str, Any]:
    """Give an active privacy Consent of Amara's that says nothing else."""
    return {
        "resourceType": "Consent",
        "id": "consent",
        "meta": {"versionId": "3", "lastUpdated": "2026-11-01T09:00:00Z"},
        "status": "active",
        "scope": PRIVACY,
        "category": [concept(("http://loinc.org", "59284-0"))],
        "patient": {"reference": "Patient/amara"},
        **changes,
    }


def a_related_resource(**changes: Any) -> dict[str, Any]:
    """Give Ben, who is related to Amara."""
    return {
        "resourceType": "RelatedPerson",
        "id": "ben",
        "identifier": [{"system": NHS_NUMBER, "value": BEN_NUMBER}],
        "patient": {"reference": "Patient/amara"},
        "telecom": [
            {
                "system": "phone",
                "use": "mobile",
                "value": "07700 900456",
                "period": {"start": "2025-01-01"},
            }
        ],
        **changes,
    }
