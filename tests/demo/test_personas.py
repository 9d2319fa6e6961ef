"""The personas themselves: invented for certain, and complete."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime

from fhirmsg.demo.personas import load_personas, resolved
from fhirmsg.guidance.rule_table import cards

PERSONAS = load_personas()
NOON = datetime(2028, 2, 29, 12, tzinfo=UTC)


def everything() -> str:
    """Give all persona files as one text."""
    return json.dumps([persona.resources for persona in PERSONAS])


def is_right(number: str) -> bool:
    """Check an NHS number's last digit (modulus 11)."""
    total = sum(int(digit) * (10 - place) for place, digit in enumerate(number[:9]))
    return (11 - total % 11) % 11 == int(number[9])


def test_there_is_a_persona_for_each_of_at_least_twenty_situations() -> None:
    assert len({persona.situation for persona in PERSONAS}) == len(PERSONAS) >= 20


def test_every_nhs_number_is_a_test_number_with_a_right_check_digit() -> None:
    numbers = re.findall(r'nhs-number", "value": "(\d+)"', everything())
    assert numbers
    assert all(number.startswith("999") and is_right(number) for number in numbers)


def test_every_telephone_number_is_from_the_drama_range() -> None:
    numbers = re.findall(r'"value": "(0[\d ]+)"', everything())
    assert numbers
    assert all(number.startswith("07700 900") for number in numbers)


def test_no_two_personas_share_a_resource_or_a_way_to_be_reached() -> None:
    ids = [(r["resourceType"], r["id"]) for persona in PERSONAS for r in persona.resources]
    assert len(ids) == len(set(ids))


def test_every_resource_carries_the_tag_by_which_it_is_taken_off_again() -> None:
    assert all(
        resource["meta"]["tag"][0]["code"] == "persona"
        for persona in PERSONAS
        for resource in persona.resources
    )


def test_the_codes_expected_are_codes_of_rules() -> None:
    known = {card.code for card in cards()}
    assert {step.code for persona in PERSONAS for step in persona.steps} - {None} <= known


def test_days_are_counted_from_now() -> None:
    assert resolved("@today", NOON) == "2028-02-29"
    assert resolved("@today-1d", NOON) == "2028-02-28"
    assert resolved("@today-1y", NOON) == "2027-02-28"
    assert resolved({"a": ["@now-2h"]}, NOON) == {"a": ["2028-02-29T10:00:00+00:00"]}
    assert resolved("@message_id", NOON) == "@message_id"
