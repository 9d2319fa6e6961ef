"""The shapes in which national proxy Consents have been published, written from a description.

Each lets Ben, known by his NHS number, act for Amara on a best-interests decision, where the
shape has a place for the ground at all.
"""

from __future__ import annotations

import copy
from typing import Any

from tests.fhir.resources import (
    AMARA_NUMBER,
    MESSAGES,
    TERMINOLOGY,
    a_consent_resource,
    concept,
    number,
    organisation,
    v3,
)

HTTPS = TERMINOLOGY.replace("http:", "https:")
BASIS = "https://fhir.nhs.uk/England/CodeSystem/England-NHSProxyLegalBasis"
R5 = "https://hl7.org/fhir/5.0/StructureDefinition/extension-Consent"
PERIOD = {"start": "2026-01-01", "end": "2026-12-31"}


def basis(code: str = "best-interest") -> dict[str, Any]:
    """Give a national ground."""
    return concept((BASIS, code))


def grantee(url: str = f"{R5}.grantee") -> dict[str, Any]:
    return {"url": url, "valueReference": number()}


def grantor(code: str = "A12345") -> dict[str, Any]:
    return {"url": f"{R5}.grantor", "valueReference": organisation(code)}


def regulatory_basis() -> dict[str, Any]:
    url = f"{R5}.regulatoryBasis".replace("https:", "http:")
    return {"url": url, "valueCodeableConcept": basis()}


def status_reason(code: str = "ROLE_CREATED") -> dict[str, Any]:
    system = "https://fhir.nhs.uk/England/CodeSystem/England-ConsentStatusReason"
    url = "https://fhir.nhs.uk/England/StructureDefinition/Extension-England-Consent-Status-Reason"
    return {"url": url, "valueCodeableConcept": concept((system, code))}


def _actor(**more: Any) -> list[dict[str, Any]]:
    return [{"reference": number(), **more}]


def _provision(**changes: Any) -> dict[str, Any]:
    return {"type": "permit", "period": PERIOD, "actor": _actor(), **changes}


def _national(*extensions: dict[str, Any], **elements: Any) -> dict[str, Any]:
    consent = a_consent_resource(
        scope=concept((f"{HTTPS}/consentscope", "patient-privacy")),
        category=[concept((f"{HTTPS}/v3-ActCode", "INFA"))],
        patient=number(AMARA_NUMBER, type="Patient"),
        policy=[{"authority": "https://www.england.nhs.uk", "uri": "https://example.org/policy"}],
        extension=[status_reason(), *extensions],
        provision=_provision(),
    )
    merged = {**consent, **elements}
    return {name: value for name, value in merged.items() if value is not None}


def _untyped(**changes: Any) -> dict[str, Any]:
    return {name: value for name, value in _provision(**changes).items() if name != "type"}


PERFORMER = [number()]

# Newest first; what each is called says where it names the proxy and the ground.
GENERATIONS: dict[str, dict[str, Any]] = {
    "performer, policyRule": _national(grantor(), performer=PERFORMER, policyRule=basis()),
    "performer, policyRule list": _national(performer=PERFORMER, policyRule=[basis()]),
    "grantee extension, policyRule list": _national(grantee(), policyRule=[basis()]),
    "grantee extension, ground extension": _national(grantee(), grantor(), regulatory_basis()),
    "grantee extension, role": _national(
        grantee(), provision=_provision(actor=_actor(role=basis()))
    ),
    "performer, role": _national(
        performer=PERFORMER, provision=_provision(actor=_actor(role=basis()))
    ),
    "performer, role, untyped": _national(
        performer=PERFORMER, provision=_untyped(actor=_actor(role=basis()))
    ),
    "performer, relationship, untyped": _national(
        performer=PERFORMER,
        provision=_untyped(actor=_actor(role=concept(v3("RoleCode", "PRN")))),
    ),
    "performer alone": _national(
        performer=PERFORMER, provision=None, verification=[{"verified": True}]
    ),
}

# The newest shape, as it is ingested: with a literal reference beside each number.
INGESTED = _national(
    patient={"reference": "Patient/amara", **number(AMARA_NUMBER)},
    performer=[{"reference": "RelatedPerson/ben", **number()}],
    policyRule=basis(),
    provision=_provision(
        actor=[
            {
                "role": concept(v3("RoleCode", "DELEGATEE")),
                "reference": {"reference": "RelatedPerson/ben", **number()},
            }
        ]
    ),
)


def a_national_consent(**changes: Any) -> dict[str, Any]:
    """Give the newest shape, changed."""
    return {**copy.deepcopy(GENERATIONS["performer, policyRule"]), **changes}


def naming(reference: dict[str, Any], *, role: str | None = None, **more: Any) -> dict[str, Any]:
    """Give a grant for messages on Amara's explicit consent to whom this reference names.

    The ground is the national code, or the role when one is given.
    """
    actor = {"reference": reference}
    if role is not None:
        actor["role"] = concept(v3("RoleCode", role))
    elements = {
        "policyRule": None if role else basis("consent"),
        "performer": [{"reference": "Patient/amara"}],
        "provision": {"type": "permit", "actor": [actor], "class": MESSAGES},
        **more,
    }
    return a_consent_resource(**{name: each for name, each in elements.items() if each is not None})
