"""Grants to a proxy, read by meaning from every shape in which they have been published."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhirmsg.fhir.consents import consent_facts
from tests.builders import a_policy
from tests.fhir.deciding import a_case_of, sends, to_amara, to_ben
from tests.fhir.national import (
    GENERATIONS,
    INGESTED,
    R5,
    a_national_consent,
    grantee,
    naming,
    status_reason,
)
from tests.fhir.resources import (
    AMARA_NUMBER,
    BASE,
    BEN_NUMBER,
    MESSAGES,
    NHS_NUMBER,
    ODS,
    PRIVACY,
    TERMINOLOGY,
    a_context,
    a_related_resource,
    concept,
    number,
    organisation,
)
from tests.world import an_objection_resource

BEN_KEY = f"http://fhir.nhs.uk/id/nhs-number|{BEN_NUMBER}"
OUR_SHAPE = {
    **INGESTED,
    "scope": PRIVACY,
    "provision": {**INGESTED["provision"], "class": MESSAGES},
}


def facts(consent: dict[str, Any]) -> Any:
    return consent_facts(consent, a_context())


WHAT_THEY_ALLOW = {
    "performer, role, untyped": {"proxy.unclear", "proxy.scope"},
    "performer, relationship, untyped": {"proxy.no-basis"},
    "performer alone": {"proxy.no-basis"},
}


@pytest.mark.parametrize("name", GENERATIONS)
def test_each_national_shape_is_understood_and_is_about_access_alone(name: str) -> None:
    assert to_ben(GENERATIONS[name]) == WHAT_THEY_ALLOW.get(name, {"proxy.scope"})


@pytest.mark.parametrize("name", GENERATIONS)
def test_no_national_shape_stands_in_the_way_of_a_message_to_the_patient(name: str) -> None:
    assert to_amara(GENERATIONS[name]) == set()


@pytest.mark.parametrize("name", [name for name in GENERATIONS if "," in name])
def test_each_national_shape_that_has_an_actor_names_the_proxy(name: str) -> None:
    assert BEN_KEY in facts(GENERATIONS[name]).grantees


@pytest.mark.parametrize(
    "name", [name for name in GENERATIONS if name not in WHAT_THEY_ALLOW] + ["ingested"]
)
def test_where_access_is_taken_for_messages_too_they_let_the_proxy_receive(name: str) -> None:
    consent = GENERATIONS.get(name, INGESTED)
    policy = a_policy(accept_access_roles=True)
    assert sends(a_case_of(consent, related=a_related_resource(), policy=policy))


def with_http(value: Any) -> Any:
    """Give the same with http in the place of https, and the other way round."""
    if isinstance(value, dict):
        return {name: with_http(each) for name, each in value.items()}
    if isinstance(value, list):
        return [with_http(each) for each in value]
    if isinstance(value, str) and value.startswith("http"):
        scheme, _, rest = value.partition("://")
        return f"{'http' if scheme == 'https' else 'https'}://{rest}"
    return value


@pytest.mark.parametrize("name", GENERATIONS)
def test_http_and_https_are_one(name: str) -> None:
    assert facts(with_http(GENERATIONS[name])) == facts(GENERATIONS[name])


def written_anew(value: Any, random: Random, name: str = "") -> Any:
    """Give the same, with each address and reference in one of the ways to write it."""
    if isinstance(value, dict):
        return {key: written_anew(each, random, key) for key, each in value.items()}
    if isinstance(value, list):
        return [written_anew(each, random, name) for each in value]
    if name == "reference" and isinstance(value, str):
        base = random.choice(["", f"{BASE}/", f"{BASE}/".replace("https", "http")])
        return f"{base}{value}{random.choice(['', '/_history/7'])}"
    if name in ("system", "url") and isinstance(value, str):
        ending = random.choice(["", "/"] + (["|4.0.1"] if name == "system" else []))
        return random.choice([value, with_http(value)]) + ending
    return value


@given(
    consent=st.sampled_from([OUR_SHAPE, INGESTED, an_objection_resource(), *GENERATIONS.values()]),
    random=st.randoms(use_true_random=False),
)
def test_whatever_mixture_of_ways_it_is_written_in_it_means_the_same(
    consent: dict[str, Any], random: Random
) -> None:
    assert facts(written_anew(consent, random)) == facts(consent)


def test_a_grant_in_our_own_shape_lets_the_proxy_receive() -> None:
    assert to_ben(OUR_SHAPE) == set()


WAYS_TO_BEN = [
    {"reference": "RelatedPerson/ben"},
    {"reference": "RelatedPerson/ben/_history/4"},
    {"reference": f"{BASE}/RelatedPerson/ben"},
    {"reference": "http://ehr.example/fhir/RelatedPerson/ben/_history/4"},
    number(),
    number(type="RelatedPerson"),
    number("999 000 0026"),
    {"identifier": {"system": "http://fhir.nhs.uk/Id/nhs-number", "value": BEN_NUMBER}},
]


@pytest.mark.parametrize("reference", WAYS_TO_BEN)
@pytest.mark.parametrize("role", [None, "DELEGATEE", "GRANTEE"])
def test_the_proxy_is_the_same_however_the_reference_is_written(
    reference: dict[str, Any], role: str | None
) -> None:
    assert to_ben(naming(reference, role=role)) == set()


@pytest.mark.parametrize(
    "reference",
    [
        {"reference": "RelatedPerson/carl"},
        {"reference": "https://elsewhere.example/fhir/RelatedPerson/ben"},
        number("9990000034"),
        number(AMARA_NUMBER),
        {"reference": "Patient/amara"},
        {"identifier": {"value": BEN_NUMBER}},
        {"identifier": {"system": "urn:other", "value": BEN_NUMBER}},
        {"display": "Ben"},
        organisation(),
        {"reference": "Organization/ben", **number()},
        {"reference": "Practitioner/ben", **number()},
        {"reference": "Group/ben", **number()},
        {"reference": "CareTeam/ben", **number()},
        {"reference": "Device/ben", **number()},
        {"type": "PractitionerRole", **number()},
    ],
)
def test_a_grant_to_somebody_else_is_none(reference: dict[str, Any]) -> None:
    assert "proxy.no-basis" in to_ben(naming(reference))


def test_a_contained_person_is_known_by_their_number() -> None:
    contained = {
        "resourceType": "RelatedPerson",
        "id": "p",
        "identifier": [{"system": NHS_NUMBER, "value": BEN_NUMBER}],
    }
    assert to_ben(naming({"reference": "#p"}, contained=[contained])) == set()
    assert "proxy.no-basis" in to_ben(naming({"reference": "#q"}, contained=[contained]))


# --- what a grant is not -----------------------------------------------------------------------

FLAG = concept(("https://fhir.nhs.uk/CodeSystem/UKCore-PatientFlagCategory", "NRAF"))


def test_a_flag_record_never_makes_a_proxy() -> None:
    rule = concept(("https://fhir.nhs.uk/England/CodeSystem/FlagProxyRole", "001"))
    record = naming(number(), category=[FLAG], policyRule=rule)
    assert to_ben(record) == {"proxy.no-basis"}
    assert to_amara(record) == set()


@pytest.mark.parametrize("purpose", ["RADISSENT", "RAREVOKED"])
def test_a_record_of_dissent_is_no_grant(purpose: str) -> None:
    record = naming(number())
    record["provision"]["purpose"] = [{"system": "urn:ra", "code": purpose}]
    assert to_ben(record) == {"proxy.no-basis"}


@pytest.mark.parametrize("status", ["draft", "proposed", "rejected", "inactive", "banana", None])
def test_a_grant_that_is_not_active_is_none(status: str | None) -> None:
    assert "proxy.no-basis" in to_ben(naming(number(), status=status or ""))


@pytest.mark.parametrize("code", ["research", "treatment", "adr"])
def test_a_consent_to_something_else_is_no_grant(code: str) -> None:
    scope = concept((f"{TERMINOLOGY}/consentscope", code))
    assert to_ben(naming(number(), scope=scope)) == {"proxy.no-basis"}


@pytest.mark.parametrize(
    "change",
    [
        {"modifierExtension": [{"url": "urn:x"}]},
        {"implicitRules": "urn:x"},
        {"verification": [{"verified": True, "modifierExtension": [{"url": "urn:x"}]}]},
    ],
)
def test_a_grant_that_is_altered_in_an_unknown_way_is_none(change: dict[str, Any]) -> None:
    assert to_ben(naming(number(), **change)) == {"proxy.no-basis"}


def test_an_actor_that_is_altered_in_an_unknown_way_is_not_sure() -> None:
    consent = naming(number())
    consent["provision"]["actor"][0]["modifierExtension"] = [{"url": "urn:not-this-one"}]
    assert to_ben(consent) == {"proxy.no-basis"}


@pytest.mark.parametrize(
    "verification",
    [
        [{"verified": False}],
        [{"verified": True, "verificationDate": "2026-01-01"}, {"verified": False}],
        [
            {"verified": False, "verificationDate": "2026-02-01"},
            {"verified": True, "verificationDate": "2026-01-01"},
        ],
    ],
)
def test_a_grant_marked_as_not_verified_is_unclear(verification: list[dict[str, Any]]) -> None:
    assert to_ben(naming(number(), verification=verification)) == {"proxy.unclear"}


def test_a_later_verification_counts() -> None:
    verification = [
        {"verified": True, "verificationDate": "2026-02-01"},
        {"verified": False, "verificationDate": "2026-01-01"},
    ]
    assert to_ben(naming(number(), verification=verification)) == set()


def test_the_status_decides_and_the_reason_beside_it_is_display() -> None:
    ended = a_national_consent(status="inactive", extension=[status_reason("ROLE_CREATED")])
    assert to_ben(ended) == {"proxy.no-basis"}


def test_several_grantees_in_extensions_all_count() -> None:
    other = {"url": f"{R5}.grantee", "valueReference": number("9990000034")}
    consent = a_national_consent(extension=[other, grantee()], performer=[])
    del consent["provision"]["actor"]
    assert BEN_KEY in facts(consent).grantees
    assert len(facts(consent).grantees) == 2


def test_the_performer_is_the_proxy_under_a_national_ground_only() -> None:
    national = a_national_consent()
    del national["provision"]["actor"]
    assert facts(national).grantees == {BEN_KEY}
    assert facts({**national, "policyRule": concept(("urn:x", "consent"))}).grantees == frozenset()


def test_custodians_among_the_actors_are_no_proxies() -> None:
    consent = a_national_consent()
    consent["provision"]["actor"] += [
        {"reference": {"identifier": {"system": ODS, "value": "B67890"}}},
        {"reference": {"reference": "PractitionerRole/1"}},
    ]
    assert facts(consent).grantees == {BEN_KEY}
