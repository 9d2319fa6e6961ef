"""The tables for people: they are what is decided, and can be read without knowing the code."""

from __future__ import annotations

from dataclasses import fields

import pytest

from fhirmsg.fhir import cover_table
from fhirmsg.guidance import evidence_table, rule_table
from fhirmsg.guidance.evidence_table import EVIDENCE
from fhirmsg.guidance.request import Evidence
from fhirmsg.guidance.rule import Lift
from fhirmsg.guidance.rules import HEADINGS, RULES
from fhirmsg.guidance.terms import Channel


def test_every_piece_of_evidence_of_a_request_has_its_row() -> None:
    assert [card.name for card in EVIDENCE] != []
    assert {card.name for card in EVIDENCE} == {each.name for each in fields(Evidence)}


def test_every_lift_is_some_evidences() -> None:
    assert {card.lift for card in EVIDENCE} - {None} == set(Lift)


def test_what_evidence_lifts_is_what_the_cards_say() -> None:
    by_name = {line["evidence"]: line["lifts"] for line in evidence_table.as_json()}
    assert by_name["override"] == ["objection.active"]
    assert by_name["emergency"] == []
    assert by_name["practical_reason"] == ["preference.ignored"]
    assert sum(map(len, by_name.values())) == sum(len(each.card.lifted_by) for each in RULES)


def test_every_channel_has_its_row_in_the_cover_table() -> None:
    assert [line["channel"] for line in cover_table.as_json()] == list(Channel)
    (texts,) = (line for line in cover_table.as_json() if line["channel"] == "sms")
    assert texts["covers"]["SNOMED CT declined"] == [
        "513631000000106",
        "911401000000108 (results only)",
    ]
    assert texts["may_cover"]["ContactPoint.system"] == ["phone"]
    assert "WRITTEN" in texts["covers"]["ParticipationMode"]


@pytest.mark.parametrize("table", [rule_table, evidence_table, cover_table])
def test_a_table_has_as_many_cells_in_each_row(table: object) -> None:
    lines = table.as_markdown().splitlines()  # type: ignore[attr-defined]
    assert len(lines) > 5
    assert {line.replace("\\|", "").count("|") for line in lines} == {lines[0].count("|")}


def test_the_rule_table_says_what_the_cards_say() -> None:
    by_code = {line["code"]: line for line in rule_table.as_json()}
    assert list(by_code) == [each.card.code for each in RULES]
    card = next(each.card for each in RULES if each.card.code == "objection.active")
    assert by_code["objection.active"] == {
        "code": "objection.active",
        "section": card.section,
        "states": card.states,
        "effect": "refuse",
        "in_emergency": "refuse",
        "lifted_by": ["override", "acknowledgement"],
        "final": False,
        "ask": [str(role) for role in card.ask],
    }
    assert by_code["objection.safety"]["final"]
    assert by_code["objection.safety"]["lifted_by"] == []
    assert by_code["evidence.invalid"]["effect"] == "note"


def test_an_effect_that_cannot_arise_is_none_in_json_and_blank_for_people() -> None:
    absent = [each.card for each in RULES if None in (each.card.effect, each.card.in_emergency)]
    assert absent
    by_code = {line["code"]: line for line in rule_table.as_json()}
    lines = rule_table.as_markdown().splitlines()
    for card in absent:
        line = by_code[card.code]
        assert (line["effect"] is None) == (card.effect is None)
        assert (line["in_emergency"] is None) == (card.in_emergency is None)
        (shown,) = (line for line in lines if f"`{card.code}`" in line)
        assert "|  |" in shown


def test_the_rule_table_reads_as_one_table_under_the_headings_of_the_page() -> None:
    lines = rule_table.as_markdown().splitlines()
    assert lines[:3] == [
        "| code | holds when | otherwise | in an emergency | lifted by |",
        "| --- | --- | --- | --- | --- |",
        f"| **{HEADINGS[0]}** |  |  |  |  |",
    ]
    assert rule_table.as_markdown().endswith(" |\n")
    shown = {line.split("`")[1]: line for line in lines if "`" in line}
    assert list(shown) == [
        each.card.code for heading in HEADINGS for each in RULES if each.card.section == heading
    ]
    assert shown["objection.active"].endswith("| refuse | refuse | override, acknowledgement |")
    assert shown["objection.safety"].endswith("| refuse | refuse | nothing: final |")
    assert shown["evidence.invalid"].endswith("| note | note |  |")


def test_the_evidence_table_says_what_each_piece_has_to_hold() -> None:
    first, line = EVIDENCE[0], evidence_table.as_json()[0]
    assert line == {
        "evidence": "override",
        "says": first.says,
        "holds": first.holds,
        "bound_to": first.bound_to,
        "lifts": ["objection.active"],
    }
    lines = evidence_table.as_markdown().splitlines()
    assert lines[:2] == [
        "| evidence | says | has to hold | bound to | lifts |",
        "| --- | --- | --- | --- | --- |",
    ]
    assert lines[2].startswith(f"| `override` | {first.says} | ")
    assert lines[2].endswith(" | `objection.active` |")
    assert len(lines) == 2 + len(EVIDENCE)
    (check,) = (line for line in lines if "`individual_check`" in line)
    codes = next(
        e["lifts"] for e in evidence_table.as_json() if e["evidence"] == "individual_check"
    )
    assert check.endswith(" | " + ", ".join(f"`{code}`" for code in codes) + " |")
    assert evidence_table.as_markdown().endswith("|\n")
