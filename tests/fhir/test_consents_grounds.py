"""The ground on which a proxy acts, read from each of the places where it is found."""

from __future__ import annotations

from typing import Any

import pytest

from fhirmsg.fhir.consents import consent_facts
from fhirmsg.guidance.record import Basis
from tests.fhir.deciding import to_ben
from tests.fhir.national import a_national_consent, basis, naming
from tests.fhir.resources import (
    AMARA_NUMBER,
    TERMINOLOGY,
    a_consent_resource,
    a_context,
    concept,
    number,
    organisation,
    v3,
)


@pytest.mark.parametrize(
    ("rule", "bases"),
    [
        (basis("parental-responsibility"), {Basis.PARENTAL_RESPONSIBILITY}),
        (basis("best-interest"), {Basis.BEST_INTERESTS}),
        (basis("consent"), {Basis.EXPLICIT_CONSENT}),
        (basis("health-and-welfare-lasting-power-of-attorney"), {Basis.UNLISTED}),
        (basis("court-appointed-personal-welfare-deputy"), {Basis.UNLISTED}),
        (basis("something-new"), {Basis.UNKNOWN}),
        (concept(v3("NullFlavor", "UNK")), {Basis.UNKNOWN}),
        (
            concept(("https://fhir.nhs.uk/STU3/CodeSystem/RARecord-ProxyRole-1", "001")),
            {"unlisted"},
        ),
        (concept(v3("RoleCode", "HPOWATT")), {Basis.UNLISTED}),
        (concept(v3("RoleCode", "MTH")), {Basis.RELATIONSHIP}),
        ({"text": "best interests"}, set()),
        (None, set()),
    ],
)
def test_the_ground_is_read_from_its_code(rule: Any, bases: set[Any]) -> None:
    expected = {Basis.UNLISTED} if bases == {"unlisted"} else bases
    assert consent_facts(a_national_consent(policyRule=rule), a_context()).bases == expected


@pytest.mark.parametrize("rule", [{"text": "best interests"}, None, concept(("urn:x", "y"))])
def test_a_ground_without_a_code_holds(rule: Any) -> None:
    assert to_ben(naming(number(), policyRule=rule or {})) == {"proxy.unknown-basis"}


def test_two_grounds_in_two_places_are_unclear() -> None:
    consent = naming(number(), policyRule=basis("consent"))
    consent["provision"]["actor"][0]["role"] = basis("best-interest")
    assert to_ben(consent) == {"proxy.unclear"}


@pytest.mark.parametrize("grantor", [None, {"reference": "RelatedPerson/ben"}, organisation()])
def test_a_delegate_whom_the_patient_did_not_name_has_no_known_ground(grantor: Any) -> None:
    consent = naming(number(), role="DELEGATEE", performer=[grantor] if grantor else [])
    assert to_ben(consent) == {"proxy.unknown-basis"}


def test_the_role_of_another_actor_is_no_ground_for_this_one() -> None:
    shared = naming({"reference": "RelatedPerson/ben"}, policyRule={})
    shared["provision"]["actor"] = [
        {"reference": organisation(), "role": concept(v3("RoleCode", "GRANTEE"))},
        {
            "reference": {"reference": "RelatedPerson/ben"},
            "role": concept(v3("RoleCode", "MTH")),
        },
    ]
    assert "proxy.no-basis" in to_ben(shared)


def test_the_patient_as_delegate_of_themselves_authorises_nobody() -> None:
    odd = naming({"reference": "RelatedPerson/ben"}, policyRule={})
    odd["provision"]["actor"].append(
        {"reference": number(AMARA_NUMBER), "role": concept(v3("RoleCode", "DELEGATEE"))}
    )
    assert to_ben(odd) == {"proxy.unknown-basis"}


def test_a_mother_who_consented_for_her_infant_is_no_proxy_for_messages() -> None:
    infant = a_consent_resource(
        performer=[{"reference": "RelatedPerson/ben"}], provision={"type": "permit"}
    )
    assert to_ben(infant) == {"proxy.no-basis"}


def test_a_grantor_who_stands_among_the_actors_is_not_sure_to_be_the_proxy() -> None:
    mixed = a_consent_resource(
        performer=[number(), {"reference": "Practitioner/1"}],
        policyRule=concept((f"{TERMINOLOGY}/consentpolicycodes", "ssa-827")),
        provision={
            "actor": [{"reference": number(), "role": concept(v3("RoleCode", "GRANTOR"))}],
        },
    )
    assert to_ben(mixed) == {"proxy.unclear", "proxy.unknown-basis"}


# --- verification, and grounds of several people -------------------------------------------------


def verified(*given: tuple[str | None, bool]) -> dict[str, Any]:
    """Give a grant that was verified at these times, or not."""
    entries = [
        {"verified": each, **({} if date is None else {"verificationDate": date})}
        for date, each in given
    ]
    return a_national_consent(verification=entries)


@pytest.mark.parametrize(
    ("given", "unclear"),
    [
        ([("2026-05-10T09:00:00Z", True), ("2026-05-10T16:00:00Z", False)], True),
        ([("2026-05-10T09:00:00Z", False), ("2026-05-10T16:00:00Z", True)], False),
        ([("2026-05-10", True), ("2026-05-10", False)], True),
        ([("2026-03-10", True), ("2026", False)], True),
        ([("2026", True), ("2026-03-10", False)], True),
        ([("2026-03-10", False), ("2026-03-11", True)], False),
        ([(None, False), ("2026-05-10", True)], True),
        ([(None, True), ("2026-05-10", False)], True),
        ([(None, True)], False),
    ],
)
def test_the_latest_word_on_verification_counts_and_a_no_in_doubt(
    given: list[tuple[str | None, bool]], unclear: bool
) -> None:
    assert ("proxy.unclear" in to_ben(verified(*given))) is unclear


def test_the_ground_of_somebody_else_in_the_same_consent_is_not_the_proxys() -> None:
    def actor(reference: str, system: str, code: str) -> dict[str, Any]:
        return {
            "reference": {"reference": reference},
            "role": {"coding": [{"system": system, "code": code}]},
        }

    legal = "https://fhir.nhs.uk/England/CodeSystem/England-NHSProxyLegalBasis"
    role = "http://terminology.hl7.org/CodeSystem/v3-RoleCode"
    other = actor("RelatedPerson/other", legal, "best-interest")
    ben = actor("RelatedPerson/ben", role, "PRN")
    consent = a_national_consent()
    consent.pop("policyRule", None)
    consent["provision"]["actor"] = [other, ben]
    assert "proxy.unknown-basis" in to_ben(consent)
    consent["provision"]["actor"] = [actor("RelatedPerson/ben", legal, "best-interest")]
    assert "proxy.unknown-basis" not in to_ben(consent)
