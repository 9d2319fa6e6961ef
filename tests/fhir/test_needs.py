"""Accessible-information needs, and the channels that meet each."""

from __future__ import annotations

from typing import Any

import pytest

from fhirmsg.fhir.needs import needs_of, needs_of_flag
from fhirmsg.guidance.record import Need
from fhirmsg.guidance.terms import Channel
from tests.builders import NOW
from tests.fhir.objecting import SNOMED
from tests.fhir.resources import a_context, concept
from tests.fhir.test_preferences import URL, preferring
from tests.world import a_patient_resource

COMMUNICATION = "https://fhir.hl7.org.uk/StructureDefinition/Extension-UKCore-NHSCommunication"
INTERPRETER = "http://hl7.org/fhir/StructureDefinition/patient-interpreterRequired"


def needs(*extensions: dict[str, Any]) -> tuple[Need, ...]:
    return needs_of(a_patient_resource(extension=list(extensions)))


def names(*extensions: dict[str, Any]) -> list[str]:
    return [need.name for need in needs(*extensions)]


def written_in(code: str) -> dict[str, Any]:
    format_ = {"valueCodeableConcept": concept(("urn:format", code))}
    return {
        "url": URL,
        "extension": [{"url": "PreferredWrittenCommunicationFormat", **format_}],
    }


@pytest.mark.parametrize("code", ["11", "12", "13", "99"])
def test_a_written_format_is_a_need_that_no_channel_meets_by_itself(code: str) -> None:
    [need] = needs(written_in(code))
    assert need.met_by == frozenset()
    assert need.version.reference == "Patient/amara"


def test_a_textphone_and_sign_language_are_needs() -> None:
    textphone, signing = needs(preferring("5", "7"))
    assert textphone.met_by == frozenset()
    assert signing.met_by == {Channel.VIDEO}


@pytest.mark.parametrize("code", ["1", "4", "6", "8", "9"])
def test_other_preferences_are_no_needs(code: str) -> None:
    assert needs(preferring(code)) == ()


@pytest.mark.parametrize("value", [{"valueBoolean": True}, {"valueBoolean": "true"}, {}])
def test_an_interpreter_is_a_need_unless_plainly_none_is_wanted(value: Any) -> None:
    spoken = {"url": COMMUNICATION, "extension": [{"url": "interpreterRequired", **value}]}
    assert names(spoken) == ["an interpreter"]
    assert names({"url": INTERPRETER, **value}) == ["an interpreter"]
    assert names(spoken, {"url": INTERPRETER, **value}) == ["an interpreter"]


def test_no_interpreter_is_no_need() -> None:
    no = {"valueBoolean": False}
    spoken = {"url": COMMUNICATION, "extension": [{"url": "interpreterRequired", **no}]}
    language = {"url": COMMUNICATION, "extension": [{"url": "language"}]}
    assert needs(spoken, language, {"url": INTERPRETER, **no}) == ()


# --- Flags -------------------------------------------------------------------------------------


def a_flag(*codes: str, **changes: Any) -> dict[str, Any]:
    """Give an active Flag of Amara's with these SNOMED codes."""
    return {
        "resourceType": "Flag",
        "id": "flag",
        "status": "active",
        "code": concept(*((SNOMED, code) for code in codes)),
        "subject": {"reference": "Patient/amara"},
        **changes,
    }


def flagged(flag: dict[str, Any]) -> tuple[Need, ...]:
    return needs_of_flag(flag, a_context(), NOW)


@pytest.mark.parametrize(
    ("code", "channel"),
    [
        ("936741000000100", Channel.EMAIL),
        ("936701000000103", Channel.SMS),
        ("936721000000107", Channel.LETTER),
        ("795661000000104", Channel.VOICE),
        ("936581000000101", Channel.EMAIL),
    ],
)
def test_a_flagged_need_is_met_by_its_channel(code: str, channel: Channel) -> None:
    [need] = flagged(a_flag(code))
    assert need.met_by == {channel}
    assert need.version.reference == "Flag/flag"


@pytest.mark.parametrize("code", ["719561001", "796081000000106"])
def test_a_carer_or_a_text_relay_is_no_channel(code: str) -> None:
    [need] = flagged(a_flag(code))
    assert need.met_by == frozenset()


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "inactive"},
        {"status": "entered-in-error"},
        {"period": {"end": "2026-11-23"}},
        {"period": {"start": "2026-11-25"}},
        {"code": concept((SNOMED, "22298006"))},
        {"code": concept(("urn:x", "936741000000100"))},
    ],
)
def test_what_is_not_in_force_or_not_known_is_no_need(changes: dict[str, Any]) -> None:
    assert flagged(a_flag("936741000000100", **changes)) == ()


def test_an_odd_period_does_not_end_a_need() -> None:
    assert len(flagged(a_flag("936741000000100", period={"end": "banana"}))) == 1
