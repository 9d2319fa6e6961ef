"""Objections to messages, from our own shape and from what others write."""

from __future__ import annotations

from typing import Any

import pytest

from fhirmsg.fhir.consents import consent_facts
from fhirmsg.guidance.terms import Channel, Purpose
from tests import builders
from tests.fhir.deciding import to_amara
from tests.fhir.objecting import (
    ACTIVE,
    EMAIL_DECLINED,
    MARK,
    RESULTS_DECLINED,
    SMS_DECLINED,
    SMS_GIVEN,
    TEXT_PERMISSION,
    UNCLEAR,
    coded,
    deny,
    denying,
    purpose,
)
from tests.fhir.resources import (
    MESSAGES,
    OWN,
    TERMINOLOGY,
    a_consent_resource,
    a_context,
    concept,
    organisation,
    v3,
)
from tests.world import an_objection_resource


def to_amara_by(wanted: str, *consents: dict[str, Any], **request: Any) -> set[str]:
    """Give what is found for a message on another channel."""
    asked = builders.a_request(channel=Channel(wanted), **request)
    return to_amara(*consents, request=asked)


# --- our own shape -----------------------------------------------------------------------------


def test_our_own_objection_covers_its_channel_and_no_other() -> None:
    assert to_amara(an_objection_resource()) == ACTIVE
    assert to_amara(an_objection_resource("o", "email")) == set()
    assert to_amara_by("email", an_objection_resource("o", "sms", "email")) == ACTIVE


def test_an_objection_without_a_channel_covers_all_of_them() -> None:
    objection = an_objection_resource()
    del objection["provision"]["code"]
    assert to_amara(objection) == ACTIVE
    assert to_amara_by("email", objection) == ACTIVE


def test_an_objection_with_an_exception_for_emergencies_stands_outside_of_them() -> None:
    permit = {"type": "permit", "purpose": [purpose("ETREAT")]}
    assert to_amara(coded(("x", "y"), category=[MARK], provision=deny(provision=[permit]))) == (
        ACTIVE
    )


@pytest.mark.parametrize("code", ["abuse-risk", "serious-harm"])
def test_a_reason_of_safety_makes_a_safety_restriction(code: str) -> None:
    reason = concept((f"{OWN}/CodeSystem/objection-reason", code))
    url = f"{OWN}/StructureDefinition/objection-reason"
    extension = [{"url": url, "valueCodeableConcept": reason}]
    assert to_amara(an_objection_resource(extension=extension)) == {"objection.safety"}


def test_a_safety_restriction_entered_by_a_relative_waits_to_be_confirmed() -> None:
    url = f"{OWN}/StructureDefinition"
    reason = concept((f"{OWN}/CodeSystem/objection-reason", "abuse-risk"))
    extensions = [{"url": f"{url}/objection-reason", "valueCodeableConcept": reason}]
    relative = [{"reference": "RelatedPerson/ben"}]
    entered = an_objection_resource(extension=extensions, performer=relative)
    assert to_amara(entered) == {"objection.safety-by-proxy"}
    confirmed = {"url": f"{url}/confirmed-with-patient", "valueDateTime": "2026-11-01T10:00:00Z"}
    entered["extension"].append(confirmed)
    assert to_amara(entered) == {"objection.safety", "objection.by-proxy"}


@pytest.mark.parametrize(
    ("concept_", "recorded"),
    [({"text": "shared telephone"}, True), (concept(("x", "other")), True)]
    + [({"text": text}, False) for text in ("", "  ", "\u200b", "\u2800")],
)
def test_a_reason_is_recorded_when_it_says_something(concept_: Any, recorded: bool) -> None:
    extension = {
        "url": f"{OWN}/StructureDefinition/objection-reason",
        "valueCodeableConcept": concept_,
    }
    objection = an_objection_resource(extension=[extension])
    assert consent_facts(objection, a_context()).reason_recorded is recorded


# --- what others write -------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["category", "code", "policyRule"])
@pytest.mark.parametrize("direction", ["deny", "permit"])
def test_a_code_that_declines_texts_objects_to_texts_wherever_it_stands(
    place: str, direction: str
) -> None:
    consent = a_consent_resource(provision={"type": direction})
    if place == "code":
        consent["provision"]["code"] = [concept(SMS_DECLINED)]
    else:
        consent[place] = concept(SMS_DECLINED) if place == "policyRule" else [concept(SMS_DECLINED)]
    assert to_amara(consent) == ACTIVE
    assert to_amara_by("email", consent) == set()


def test_a_code_that_declines_without_a_direction_is_unclear() -> None:
    assert to_amara(coded(SMS_DECLINED, provision={})) == UNCLEAR
    assert to_amara(coded(SMS_DECLINED, provision=None)) == UNCLEAR


def test_a_code_that_declines_results_covers_results_alone() -> None:
    consent = coded(RESULTS_DECLINED)
    assert to_amara(consent) == set()
    assert to_amara_by("sms", consent, purpose=Purpose.TEST_RESULT) == ACTIVE


def test_email_declined_covers_email() -> None:
    assert to_amara_by("email", coded(EMAIL_DECLINED)) == ACTIVE
    assert to_amara(coded(EMAIL_DECLINED)) == set()


@pytest.mark.parametrize("code", [SMS_GIVEN, TEXT_PERMISSION])
def test_a_code_of_permission_with_a_denial_objects(code: tuple[str, str]) -> None:
    assert to_amara(coded(code)) == ACTIVE
    assert to_amara_by("email", coded(code)) == set()


@pytest.mark.parametrize("code", [SMS_GIVEN, TEXT_PERMISSION])
def test_a_permission_for_one_channel_leaves_the_others_unclear(code: tuple[str, str]) -> None:
    permission = coded(code, provision={"type": "permit"})
    assert to_amara(permission) == set()
    assert to_amara_by("email", permission) == UNCLEAR


def test_a_denial_in_the_shape_of_r5_is_one() -> None:
    assert to_amara(coded(TEXT_PERMISSION, decision="deny", provision=None)) == ACTIVE
    assert to_amara(coded(TEXT_PERMISSION, decision="permit", provision=None)) == set()
    assert "objection.active" in to_amara(
        coded(TEXT_PERMISSION, decision="deny", provision=[{"type": "permit"}])
    )


def test_an_inactive_denial_of_texts_is_unclear_because_some_store_a_refusal_so() -> None:
    assert to_amara(coded(TEXT_PERMISSION, status="inactive")) == UNCLEAR
    assert to_amara(coded(TEXT_PERMISSION, status="inactive", decision="deny")) == UNCLEAR
    assert to_amara(coded(SMS_DECLINED, status="inactive")) == set()


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("SMSWRIT", ACTIVE),
        ("WRITTEN", ACTIVE),
        ("ELECTRONIC", ACTIVE),
        ("REMOTE", ACTIVE),
        ("PHONE", UNCLEAR),
        ("MMSWRIT", UNCLEAR),
        ("NEWWRIT", UNCLEAR),
        ("EMAILWRIT", set()),
        ("FACE", set()),
    ],
)
def test_a_v3_mode_covers_what_is_below_it(code: str, found: set[str]) -> None:
    consent = denying(code=[concept(v3("ParticipationMode", code))], **{"class": MESSAGES})
    assert to_amara(consent) == found


@pytest.mark.parametrize(
    ("system", "code", "found"),
    [
        ("http://hl7.org/fhir/contact-point-system", "sms", ACTIVE),
        ("http://hl7.org/fhir/contact-point-system", "phone", UNCLEAR),
        ("http://hl7.org/fhir/contact-point-system", "email", set()),
        ("https://fhir.hl7.org.uk/CodeSystem/UKCore-PreferredContactMethod", "9", ACTIVE),
        ("https://fhir.hl7.org.uk/CodeSystem/UKCore-PreferredContactMethod", "8", UNCLEAR),
        ("http://hl7.org/fhir/v3/ParticipationMode", "SMSWRIT", ACTIVE),
        ("urn:unknown", "sms", UNCLEAR),
    ],
)
def test_other_codes_for_a_channel_are_understood(system: str, code: str, found: set[str]) -> None:
    assert to_amara(denying(code=[concept((system, code))], **{"class": MESSAGES})) == found


def test_a_denial_of_messages_by_class_alone_objects() -> None:
    assert to_amara(denying(**{"class": MESSAGES})) == ACTIVE


@pytest.mark.parametrize("code", ["Comunication", "Resource", "banana"])
def test_a_class_that_is_no_resource_leaves_a_marked_denial_unclear(code: str) -> None:
    classes = [{"system": "http://hl7.org/fhir/resource-types", "code": code}]
    consent = coded(("x", "y"), category=[MARK], provision={"type": "deny", "class": classes})
    assert to_amara(consent) == UNCLEAR


def test_a_denial_about_another_class_does_not_reach_messages() -> None:
    classes = [{"system": "http://hl7.org/fhir/resource-types", "code": "DocumentReference"}]
    consent = coded(("x", "y"), category=[MARK], provision={"type": "deny", "class": classes})
    assert to_amara(consent) == set()


def test_a_denial_that_is_solely_about_collecting_data_is_none() -> None:
    collect = concept((f"{TERMINOLOGY}/consentaction", "collect"))
    assert to_amara(denying(action=[collect], **{"class": MESSAGES})) == set()


@pytest.mark.parametrize(
    "other", [concept((f"{TERMINOLOGY}/consentaction", "use")), {"text": "contact"}, {}]
)
def test_a_denial_that_is_also_about_something_else_than_collecting_stays_one(other: Any) -> None:
    collect = concept((f"{TERMINOLOGY}/consentaction", "collect"))
    assert to_amara(denying(action=[collect, other], **{"class": MESSAGES})) == ACTIVE


@pytest.mark.parametrize(
    "named", [{"organization": [organisation("B67890")]}, {"actor": [organisation("B67890")]}]
)
def test_an_objection_made_to_another_organisation_is_shown(named: dict[str, Any]) -> None:
    objection = an_objection_resource()
    if "actor" in named:
        objection["provision"]["actor"] = [{"reference": each} for each in named["actor"]]
    else:
        objection |= named
    assert to_amara(objection) == {"objection.other-organisation"}


@pytest.mark.parametrize(
    "reference",
    [
        organisation(),
        organisation("a12345"),
        {"reference": "Organization/1"},
        {"reference": "Organization/unknown"},
        {"display": "a surgery"},
    ],
)
def test_an_objection_made_to_us_or_to_nobody_known_is_ours(reference: dict[str, Any]) -> None:
    assert to_amara(an_objection_resource(organization=[reference])) == ACTIVE
