"""Assessments of capacity and competence, and what is left of one in an odd shape."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from fhirmsg.fhir.assessments import capacity_on, competence_on
from fhirmsg.guidance.record import Assessment
from tests.builders import LONDON
from tests.fhir.resources import OWN, concept


def assessed(outcome: Any, **parts: Any) -> dict[str, Any]:
    """Give an assessment of either kind; parts are dates or values as they are."""
    shown = [{"url": "outcome", **({"valueCode": outcome} if outcome else {})}]
    shown += [{"url": name, "valueDate": value} for name, value in parts.items()]
    return {"extension": shown}


def capacity(*found: dict[str, Any]) -> Assessment | None:
    url = f"{OWN}/StructureDefinition/capacity-assessment"
    return capacity_on({"extension": [{"url": url, **each} for each in found]}, LONDON)


def competence(*found: dict[str, Any]) -> Assessment | None:
    url = f"{OWN}/StructureDefinition/competence-assessment"
    return competence_on({"extension": [{"url": url, **each} for each in found]}, LONDON)


def test_an_assessment_of_capacity_is_read() -> None:
    found = capacity(assessed("lacks-capacity", assessed="2026-03-01", until="2027-02-28"))
    assert found == Assessment(able=False, on=date(2026, 3, 1), until=date(2027, 2, 28))
    assert capacity(assessed("has-capacity")) == Assessment(able=True)


def test_an_assessment_of_competence_is_read() -> None:
    assert competence(assessed("competent", assessed="2026-03-01")) == Assessment(
        able=True, on=date(2026, 3, 1)
    )
    assert competence(assessed("not-competent")) == Assessment(able=False)


def test_none_is_none() -> None:
    assert capacity() is None
    assert competence() is None


@pytest.mark.parametrize("outcome", ["competent", "unknown", "", 7])
def test_an_outcome_that_is_not_understood_says_neither(outcome: Any) -> None:
    assert capacity(assessed(outcome)) == Assessment(able=None)


def test_an_outcome_may_be_a_concept() -> None:
    said = {"url": "outcome", "valueCodeableConcept": concept(("urn:x", "has-capacity"))}
    assert capacity({"extension": [said]}) == Assessment(able=True)


def test_the_latest_of_several_counts() -> None:
    older = assessed("has-capacity", assessed="2025-03-01")
    newer = assessed("lacks-capacity", assessed="2026-03-01")
    assert capacity(older, newer) == capacity(newer, older) == capacity(newer)


def test_one_without_a_day_may_be_the_latest() -> None:
    dated = assessed("lacks-capacity", assessed="2026-03-01")
    assert capacity(dated, assessed("has-capacity")) == Assessment(able=True)


def test_of_two_on_one_day_that_disagree_nobody_knows() -> None:
    day = {"assessed": "2026-03-01"}
    found = capacity(assessed("has-capacity", **day), assessed("lacks-capacity", **day))
    assert found == Assessment(able=None, on=date(2026, 3, 1))


def test_an_end_that_cannot_be_read_has_passed() -> None:
    assert capacity(assessed("lacks-capacity", until="later")) == Assessment(
        able=False, until=date.min
    )


def test_an_instant_lies_on_a_local_day() -> None:
    late = {"url": "assessed", "valueDateTime": "2026-06-30T23:30:00Z"}
    found = capacity({"extension": [late]})
    assert found is not None
    assert found.on == date(2026, 7, 1)
