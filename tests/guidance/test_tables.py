"""The tables for people: they are what is decided, and can be read by somebody who does not code."""

from __future__ import annotations

from dataclasses import fields

import pytest

from fhirmsg.fhir import cover_table
from fhirmsg.guidance import evidence_table, rule_table
from fhirmsg.guidance.evidence_table import EVIDENCE
from fhirmsg.guidance.request import Evidence
from fhirmsg.guidance.rule import Lift
from fhirmsg.guidance.rules import RULES
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
