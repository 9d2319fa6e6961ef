"""What is no objection, what is too large to be one, and what is damaged."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given

from fhirmsg.fhir.consents import consent_facts
from fhirmsg.fhir.provisions import TooLarge
from fhirmsg.guidance.provisions import MAX_DEPTH, MAX_NODES
from fhirmsg.guidance.record import ConsentStatus
from tests.fhir.deciding import a_case_of, sends, to_amara, to_ben
from tests.fhir.national import GENERATIONS, INGESTED
from tests.fhir.objecting import (
    ACTIVE,
    LOINC,
    SMS_DECLINED,
    SNOMED,
    UNCLEAR,
    coded,
    deny,
    denying,
    purpose,
)
from tests.fhir.resources import (
    ACCESS,
    TERMINOLOGY,
    a_consent_resource,
    a_context,
    channel,
    concept,
    number,
    organisation,
    v3,
)
from tests.fhir.strategies import damaged, json_values, paths_in, with_value
from tests.world import an_objection_resource

# --- what is no objection ----------------------------------------------------------------------


@pytest.mark.parametrize("code", ["research", "treatment", "adr"])
def test_consents_to_something_else_are_no_bar(code: str) -> None:
    scope = concept((f"{TERMINOLOGY}/consentscope", code))
    assert to_amara(denying() | {"scope": scope}) == set()


@pytest.mark.parametrize(
    "category",
    [
        concept(v3("ActCode", "RESEARCH")),
        concept(v3("ActCode", "ICOL")),
        concept((LOINC, "64292-6")),
        concept((SNOMED, "887031000000108")),
        concept((SNOMED, "320011000000108")),
        concept(("https://fhir.nhs.uk/CodeSystem/UKCore-PatientFlagCategory", "NRAF")),
        ACCESS,
        concept(v3("ActCode", "IDSCL")),
    ],
)
def test_denials_known_to_be_about_something_else_are_no_bar_to_the_patient(category: Any) -> None:
    assert to_amara(denying() | {"category": [category]}) == set()


def test_a_denial_of_disclosure_bars_the_proxy() -> None:
    denial = denying() | {"id": "denial", "category": [concept(v3("ActCode", "IDSCL"))]}
    assert to_ben(INGESTED, denial) >= {"proxy.denied"}


def test_a_denial_that_does_not_say_what_it_is_about_is_unclear() -> None:
    assert to_amara(denying()) == UNCLEAR
    assert to_amara(a_consent_resource(provision={})) == UNCLEAR
    assert to_amara(a_consent_resource(policyRule=concept(v3("ActCode", "OPTOUT")))) == UNCLEAR
    assert to_amara(a_consent_resource(policyRule=concept(v3("ActCode", "OPTIN")))) == set()


def test_a_denial_of_somebody_else_is_nothing_to_the_patient() -> None:
    assert to_amara(denying(actor=[{"reference": number()}])) == set()
    assert "proxy.denied" in to_ben(denying(actor=[{"reference": number()}]))


@pytest.mark.parametrize(
    ("status", "found"),
    [
        ("draft", {"objection.pending"}),
        ("proposed", {"objection.pending"}),
        ("inactive", set()),
        ("rejected", set()),
        ("entered-in-error", set()),
        ("banana", UNCLEAR),
        (None, UNCLEAR),
    ],
)
def test_the_status_decides_whether_an_objection_is_in_force(
    status: str | None, found: set[str]
) -> None:
    assert to_amara(an_objection_resource(status=status)) == found


@pytest.mark.parametrize("status", [[], {}, 7, True])
def test_a_status_of_another_kind_is_not_known(status: object) -> None:
    assert consent_facts({"status": status}, a_context()).status is ConsentStatus.UNKNOWN


# --- too large ---------------------------------------------------------------------------------


def nested(depth: int) -> dict[str, Any]:
    """Give a denial of messages with so many provisions one in the other."""
    node: dict[str, Any] = deny()
    for _ in range(depth - 1):
        node = deny(provision=[node])
    return a_consent_resource(provision=node)


def wide(nodes: int) -> dict[str, Any]:
    """Give a denial of messages with so many provisions in all."""
    return a_consent_resource(provision=deny(provision=[deny() for _ in range(nodes - 1)]))


def test_a_tree_of_the_largest_size_is_read() -> None:
    assert to_amara(nested(MAX_DEPTH)) == to_amara(wide(MAX_NODES)) == ACTIVE


@pytest.mark.parametrize("consent", [nested(MAX_DEPTH + 1), wide(MAX_NODES + 1), nested(900)])
def test_a_tree_that_is_too_large_holds(consent: dict[str, Any]) -> None:
    with pytest.raises(TooLarge):
        consent_facts(consent, a_context())
    assert to_amara(consent) == {"read.incomplete"}


# --- damage ------------------------------------------------------------------------------------

WHOLE = an_objection_resource(
    organization=[organisation()],
    provision=deny(
        code=channel("sms"),
        period={"start": "2026-01-01", "end": "2027-01-01"},
        purpose=[purpose("TREAT")],
        actor=[{"reference": organisation()}],
        provision=[{"type": "permit", "purpose": [purpose("ETREAT")]}],
    ),
)
JUNK = [None, True, 7, "banana", "", [], {}, ["banana"], [{}], {"x": 1}, [[]], [7]]


# Without its purpose the exception is for every purpose, and nothing is damaged.
EXCEPTION = ("provision", "provision", 0, "purpose")


@pytest.mark.parametrize(
    ("consent", "path"),
    [(WHOLE, path) for path in paths_in(WHOLE) if path != EXCEPTION]
    + [(coded(SMS_DECLINED), path) for path in paths_in(coded(SMS_DECLINED))],
    ids=lambda value: str(value) if isinstance(value, tuple) else value["id"],
)
def test_an_objection_with_anything_else_in_the_place_of_one_value_lets_nothing_through(
    consent: dict[str, Any], path: Any
) -> None:
    passing = [junk for junk in JUNK if sends(a_case_of(with_value(consent, path, junk)))]
    assert passing == []


@pytest.mark.parametrize(
    ("element", "value"),
    [
        ("category", concept(("x", "y"))),
        ("category", ["banana"]),
        ("category.coding.code", [{"coding": [{"code": 513631000000106}]}]),
        ("category.coding", [{"coding": "banana"}]),
        ("scope", [concept(("x", "y"))]),
        ("performer", number()),
        ("performer.identifier.value", [{"identifier": {"value": 9990000018}}]),
        ("extension", {}),
        ("provision", [{"type": "deny"}]),
        ("provision.type", {"type": True}),
        ("provision.actor", {"actor": {"reference": number()}}),
        ("provision.provision", {"provision": {"type": "deny"}}),
    ],
)
def test_an_element_of_the_wrong_shape_is_named_and_holds(element: str, value: Any) -> None:
    consent = an_objection_resource("o", "email", **{element.partition(".")[0]: value})
    case = a_case_of(consent)
    assert f"Consent.{element} " in case.record.gaps[0].sentence
    assert not sends(case)


def test_the_wrong_shape_of_something_entered_in_error_does_not_matter() -> None:
    assert to_amara(an_objection_resource(status="entered-in-error", provision="x")) == set()


@given(damaged(WHOLE) | damaged(INGESTED) | damaged(GENERATIONS["grantee extension, role"]))
def test_whatever_is_damaged_a_consent_is_read_or_too_large(consent: dict[str, Any]) -> None:
    with contextlib.suppress(TooLarge):
        consent_facts(consent, a_context())


@given(json_values(20).filter(lambda value: isinstance(value, dict)))
def test_whatever_it_is_a_consent_is_read_or_too_large(consent: dict[str, Any]) -> None:
    with contextlib.suppress(TooLarge):
        consent_facts(consent, a_context())
