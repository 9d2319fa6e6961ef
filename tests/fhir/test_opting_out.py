"""Objections that stand on a person's own resource, told as the Consents they amount to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given

from fhirmsg.fhir.opting_out import objections_on_person
from fhirmsg.guidance.provisions import Answer, evaluate
from fhirmsg.guidance.record import ConsentFacts
from fhirmsg.guidance.terms import Channel
from tests import builders
from tests.fhir.resources import AMARA_NUMBER, a_context, concept
from tests.fhir.strategies import damaged
from tests.world import a_patient_resource

OLD = "http://ibm.com/fhir/cdm/StructureDefinition"
NEW = "http://linuxforhealth.org/fhir/cdm/StructureDefinition"
CAREDOVE = "http://help.caredove.com/developer-integrations/contactpoint-message-permission"
VISIBA = "https://schema.visibacare.com/fhir/StructureDefinition/patient-consent-extension"


def opt_out(*modes: str, base: str = NEW, **parts: Any) -> dict[str, Any]:
    """Give LinuxForHealth's opt-out of these modes, with other parts by name."""
    url = f"{base}/communication-opt-out"
    found = [
        {"url": f"{base}/communication-mode", "valueCodeableConcept": concept(("urn:m", mode))}
        for mode in modes
    ]
    found += [{"url": f"{base}/{name}", **value} for name, value in parts.items()]
    return {"url": url, "extension": found}


def on_patient(*extensions: dict[str, Any], **changes: Any) -> tuple[ConsentFacts, ...]:
    person = a_patient_resource(extension=list(extensions), **changes)
    return objections_on_person(person, a_context())


def on_entry(extension: dict[str, Any], **entry: Any) -> tuple[ConsentFacts, ...]:
    telecom = {"system": "phone", "value": "07700 900123", "extension": [extension], **entry}
    return on_patient(telecom=[{"system": "email", "value": "a@example.com"}, telecom])


def against(objection: ConsentFacts) -> dict[Channel, Answer]:
    """Give what it says on each channel where it says anything."""
    assert objection.root is not None
    query = builders.a_case(consents=(objection,)).queries(builders.AMARA_KEYS)[0]
    answers = {
        channel: evaluate(objection.root, replace(query, channel=channel)) for channel in Channel
    }
    return {channel: answer for channel, answer in answers.items() if answer is not Answer.SILENT}


DENY, UNCLEAR = Answer.DENY, Answer.CANNOT_EXCLUDE_DENIAL


# --- opting out on the person ------------------------------------------------------------------


@pytest.mark.parametrize("base", [OLD, NEW])
@pytest.mark.parametrize(
    ("mode", "said"),
    [
        ("sms", {Channel.SMS: DENY}),
        ("SMS", {Channel.SMS: DENY}),
        ("email", {Channel.EMAIL: DENY}),
        ("mail", {Channel.LETTER: DENY}),
        ("phone", {Channel.VOICE: DENY, Channel.SMS: UNCLEAR}),
        ("chat", {Channel.NHS_APP: UNCLEAR, Channel.SMS: UNCLEAR}),
    ],
)
def test_an_opt_out_objects_to_its_channel(base: str, mode: str, said: Any) -> None:
    [objection] = on_patient(opt_out(mode, base=base))
    assert against(objection) == said
    assert objection.message_marker
    assert objection.version.reference == "Patient/amara"
    assert objection.part == "extension-1"


def test_a_mode_in_words_alone_is_read() -> None:
    said = opt_out()
    said["extension"] = [
        {"url": f"{NEW}/communication-mode", "valueCodeableConcept": {"text": "Email"}}
    ]
    assert against(on_patient(said)[0]) == {Channel.EMAIL: DENY}


def test_an_opt_out_without_a_mode_is_about_every_channel() -> None:
    assert against(on_patient(opt_out())[0]) == dict.fromkeys(Channel, DENY)


def test_a_mode_nobody_knows_may_be_any_channel() -> None:
    assert against(on_patient(opt_out("pigeon"))[0]) == dict.fromkeys(Channel, UNCLEAR)


@pytest.mark.parametrize(
    "narrowing", ["communication-product", "conversation-type", "communication-care-gap"]
)
def test_an_opt_out_of_some_messages_may_be_of_this_one(narrowing: str) -> None:
    said = opt_out("sms", **{narrowing: {"valueString": "x"}})
    assert against(on_patient(said)[0]) == {Channel.SMS: UNCLEAR}


@pytest.mark.parametrize("name", ["effectivePeriod", "effective-period"])
@pytest.mark.parametrize(
    ("period", "said"),
    [
        ({"valuePeriod": {"start": "2026-01-01"}}, {Channel.SMS: DENY}),
        ({"valuePeriod": {"end": "2026-11-23"}}, {}),
        ({"valuePeriod": {"end": "banana"}}, {Channel.SMS: UNCLEAR}),
        ({}, {Channel.SMS: UNCLEAR}),
    ],
)
def test_an_opt_out_counts_in_its_period(name: str, period: Any, said: Any) -> None:
    assert against(on_patient(opt_out("sms", **{name: period}))[0]) == said


def test_the_reason_stated_is_noted_and_one_of_safety_counts() -> None:
    plain = on_patient(opt_out("sms", **{"stated-reason": {"valueCodeableConcept": {"text": "x"}}}))
    grave = {"valueCodeableConcept": concept(("urn:x", "abuse-risk"))}
    [safety] = on_patient(opt_out("sms", **{"statedReason": grave}))
    assert plain[0].reason_recorded
    assert not plain[0].safety
    assert safety.safety
    assert not on_patient(opt_out("sms"))[0].reason_recorded


# --- opting out on a contact point -------------------------------------------------------------


@pytest.mark.parametrize(
    ("system", "said"),
    [
        ("phone", {Channel.SMS: DENY, Channel.VOICE: DENY}),
        ("email", {Channel.EMAIL: DENY}),
        ("other", dict.fromkeys(Channel, UNCLEAR)),
    ],
)
def test_an_opt_out_on_a_contact_point_is_about_its_channels(system: str, said: Any) -> None:
    [objection] = on_entry(opt_out(), system=system)
    assert against(objection) == said
    assert objection.part == "telecom-2.1"


def test_a_mode_on_a_contact_point_counts_as_it_stands() -> None:
    assert against(on_entry(opt_out("sms"))[0]) == {Channel.SMS: DENY}


# --- permissions on a contact point ------------------------------------------------------------


@pytest.mark.parametrize("url", [CAREDOVE, VISIBA])
def test_a_permission_that_is_refused_is_an_objection(url: str) -> None:
    refused = {"url": url, "valueBoolean": False}
    assert against(on_entry(refused)[0]) == {Channel.SMS: DENY}
    assert against(on_entry(refused, system="email")[0]) == {Channel.EMAIL: DENY}


@pytest.mark.parametrize("url", [CAREDOVE, VISIBA])
def test_a_permission_that_is_given_is_none(url: str) -> None:
    assert on_entry({"url": url, "valueBoolean": True}) == ()


@pytest.mark.parametrize("value", [{"valueString": "no"}, {"valueBoolean": "false"}, {}])
@pytest.mark.parametrize("url", [CAREDOVE, VISIBA])
def test_a_permission_that_cannot_be_read_may_be_refused(url: str, value: Any) -> None:
    assert against(on_entry({"url": url, **value})[0]) == {Channel.SMS: UNCLEAR}


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("sms-consent", False, {Channel.SMS: DENY}),
        ("sms-consent", True, None),
        ("sms-opt-out", True, {Channel.SMS: DENY}),
        ("sms-opt-out", False, None),
        ("is-primary", False, None),
        ("verified", False, None),
        ("something-else", False, {Channel.SMS: UNCLEAR}),
        ("something-else", True, None),
    ],
)
def test_other_yes_or_no_extensions_are_read_by_their_name(
    name: str, value: bool, said: Any
) -> None:
    found = on_entry({"url": f"https://example.org/{name}", "valueBoolean": value})
    assert [against(objection) for objection in found] == ([] if said is None else [said])


def test_an_extension_of_another_kind_says_nothing() -> None:
    assert on_entry({"url": "https://example.org/note", "valueString": "x"}) == ()


# --- labels ------------------------------------------------------------------------------------


def labelled(code: str) -> tuple[ConsentFacts, ...]:
    return on_patient(meta={"security": [{"system": "urn:oridashi", "code": code}]})


def test_a_label_opts_out_of_texts() -> None:
    [objection] = labelled("SMSOPTOUT")
    assert against(objection) == {Channel.SMS: DENY}
    assert objection.part == "label"


@pytest.mark.parametrize("code", ["SMSABSTAIN", "R", ""])
def test_another_label_does_not(code: str) -> None:
    assert labelled(code) == ()


# --- all of it ---------------------------------------------------------------------------------


def test_several_objections_are_told_apart() -> None:
    found = on_patient(
        opt_out("sms"),
        opt_out("email"),
        meta={"security": [{"code": "SMSOPTOUT"}]},
        telecom=[
            {
                "system": "phone",
                "value": "07700 900123",
                "extension": [opt_out(), {"url": CAREDOVE, "valueBoolean": False}],
            }
        ],
    )
    assert [each.key for each in found] == [
        "Patient/amara#extension-1",
        "Patient/amara#extension-2",
        "Patient/amara#label",
        "Patient/amara#telecom-1.1",
        "Patient/amara#telecom-1.2",
    ]


def test_an_ordinary_patient_objects_to_nothing() -> None:
    assert objections_on_person(a_patient_resource(), a_context()) == ()


def test_a_preference_against_the_telephone_is_no_objection() -> None:
    code = concept(("https://fhir.hl7.org.uk/CodeSystem/UKCore-PreferredContactMethod", "8"))
    method = {"url": "PreferredContactMethod", "valueCodeableConcept": code}
    url = "https://fhir.hl7.org.uk/StructureDefinition/Extension-UKCore-ContactPreference"
    assert on_patient({"url": url, "extension": [method]}) == ()


@given(
    person=damaged(
        a_patient_resource(
            extension=[opt_out("sms", **{"effective-period": {"valuePeriod": {"end": "2027"}}})],
            meta={"security": [{"code": "SMSOPTOUT"}]},
            telecom=[
                {
                    "system": "phone",
                    "value": "07700 900123",
                    "extension": [{"url": CAREDOVE, "valueBoolean": False}],
                }
            ],
        )
    )
)
def test_no_shape_of_a_person_raises(person: Any) -> None:
    for objection in objections_on_person(person, a_context()):
        assert AMARA_NUMBER not in objection.key
