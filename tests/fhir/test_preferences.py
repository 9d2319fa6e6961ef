"""Contact preferences in every shape in which they are met."""

from __future__ import annotations

from typing import Any

import pytest

from fhirmsg.fhir.people import related_person_facts
from fhirmsg.fhir.preferences import preferences_of
from fhirmsg.guidance.record import Preferences
from fhirmsg.guidance.terms import Channel
from tests.fhir.resources import a_context, a_related_resource, concept

URL = "https://fhir.hl7.org.uk/StructureDefinition/Extension-UKCore-ContactPreference"
METHOD = "https://fhir.hl7.org.uk/CodeSystem/UKCore-PreferredContactMethod"


def preferring(*codes: str, **times: Any) -> dict[str, Any]:
    """Give the extension with these methods, and times under a value's name."""
    parts: list[dict[str, Any]] = [
        {"url": "PreferredContactMethod", "valueCodeableConcept": concept((METHOD, code))}
        for code in codes
    ]
    parts += [{"url": "PreferredContactTimes", name: value} for name, value in times.items()]
    return {"url": URL, "extension": parts}


def read(*extensions: dict[str, Any]) -> Preferences:
    return preferences_of({"resourceType": "Patient", "extension": list(extensions)})


@pytest.mark.parametrize(
    ("code", "channel"),
    [("1", Channel.LETTER), ("3", Channel.VOICE), ("4", Channel.EMAIL), ("9", Channel.SMS)],
)
def test_a_method_that_is_a_channel_is_preferred(code: str, channel: Channel) -> None:
    assert read(preferring(code)) == Preferences(channels=frozenset({channel}))


@pytest.mark.parametrize("code", ["2", "5", "6", "7"])
def test_a_method_that_is_no_channel_is_given_in_words(code: str) -> None:
    found = read(preferring(code))
    assert len(found.other) == 1
    assert not found.channels
    assert not found.unknown


def test_no_telephone_is_a_prohibition_and_no_preferred_way() -> None:
    assert read(preferring("8")) == Preferences(no_telephone=True)


@pytest.mark.parametrize("part", [{"valueCodeableConcept": {"text": "pigeon"}}, {}])
def test_a_method_nobody_understands_is_unknown(part: Any) -> None:
    extension = {"url": URL, "extension": [{"url": "PreferredContactMethod", **part}]}
    assert read(extension) == Preferences(unknown=True)
    assert read(preferring("77")) == Preferences(unknown=True)


def test_several_methods_are_all_preferred() -> None:
    both = Preferences(channels=frozenset({Channel.SMS, Channel.EMAIL}))
    assert read(preferring("4", "9")) == read(preferring("4"), preferring("9")) == both


def test_a_code_counts_under_any_base_and_system() -> None:
    older = preferring("4")
    older["url"] = "https://fhir.nhs.uk/R4/StructureDefinition/Extension-UKCore-ContactPreference"
    older["extension"][0]["valueCodeableConcept"] = concept(("urn:older", "4"))
    assert read(older).channels == {Channel.EMAIL}


def test_none_are_none() -> None:
    assert read() == Preferences()


def test_a_related_person_has_preferences_too() -> None:
    ben = a_related_resource(extension=[preferring("4")])
    assert related_person_facts(ben, a_context()).preferences.channels == {Channel.EMAIL}


# --- times -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("times", "words"),
    [
        ({"valueString": "Not after 7pm"}, "Not after 7pm"),
        ({"valueString": "  Not\nafter \x00 7pm "}, "Not after 7pm"),
        ({"valueString": "only on Mondays, Tuesdays and Wednesdays, before ten in the morning"},
         "only on Mondays, Tuesdays and"),
        ({"valueString": "x" * 60}, "x" * 40),
        ({"valueString": " "}, "certain times, which the record gives"),
        ({"valuePeriod": {"start": "2026-01-01", "end": "2026-06-30"}},
         "from 2026-01-01 to 2026-06-30"),
        ({"valuePeriod": {"end": "2026-06-30T10:00:00Z"}}, "until 2026-06-30"),
        ({"valuePeriod": {}}, "certain times, which the record gives"),
        ({"valueTiming": {"repeat": {"dayOfWeek": ["mon", "tue"], "timeOfDay": ["09:30:00"]}}},
         "mon tue 09:30"),
        ({"valueTiming": {"repeat": {"when": ["MORN"]}}}, "morning"),
        ({"valueTiming": {"code": {"text": "weekends"}}}, "weekends"),
        ({"valueTiming": {"code": concept(("urn:x", "AM"))}}, "AM"),
        ({"valueTiming": {"repeat": {"frequency": 1, "period": 1, "periodUnit": "d"}}},
         "certain times, which the record gives"),
    ],
)  # fmt: skip
def test_preferred_times_are_given_in_a_few_words(times: Any, words: str) -> None:
    [found] = read(preferring(**times)).times
    assert found == words
    assert len(found) <= 40
    assert found.isprintable()
