"""The rule table for people, row by row."""

from __future__ import annotations

from fhirmsg.guidance.rule_table import as_json, as_markdown
from fhirmsg.guidance.rules import HEADINGS, RULES

LINES = as_markdown().splitlines()


def test_it_begins_with_its_columns() -> None:
    assert LINES[0] == "| code | holds when | otherwise | in an emergency | lifted by |"
    assert LINES[1] == "| --- | --- | --- | --- | --- |"
    assert as_markdown().endswith("|\n")


def test_every_heading_has_a_row_and_every_rule_stands_under_its_own() -> None:
    headings = [line for line in LINES if line.startswith("| **")]
    assert headings == [f"| **{heading}** |  |  |  |  |" for heading in HEADINGS]
    assert len(LINES) == 2 + len(HEADINGS) + len(RULES)


def test_a_row_says_code_rule_effects_and_lifts() -> None:
    assert (
        "| `person.deceased` | The patient is not recorded as having died. | refuse | refuse | "
        "nothing: final |"
    ) in LINES
    assert (
        "| `objection.active` | No objection in force reaches a channel this message may come out "
        "of. | refuse | refuse | override, acknowledgement |"
    ) in LINES
    assert ("| `emergency.latency` | The platform delivers at this hour. |  | warn |  |") in LINES
    assert (
        "| `emergency.invalid` | A declaration of an emergency is complete and made just now. | "
        "hold |  |  |"
    ) in LINES


def test_as_data_each_card_is_whole() -> None:
    by_code = {row["code"]: row for row in as_json()}
    assert by_code["emergency.latency"] == {
        "code": "emergency.latency",
        "section": "Emergencies",
        "states": "The platform delivers at this hour.",
        "effect": None,
        "in_emergency": "warn",
        "lifted_by": [],
        "final": False,
        "ask": ["senior member of staff"],
    }
    assert by_code["person.deceased"]["final"] is True
    assert by_code["preference.ignored"]["lifted_by"] == ["practical-reason"]
