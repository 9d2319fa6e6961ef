"""Assessments of capacity and of a child's competence, as our extensions record them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, tzinfo

from fhirmsg.fhir.elements import (
    Element,
    coded_value,
    extensions,
    local_day,
    part_of,
    value_of,
)
from fhirmsg.guidance.record import Assessment

_CAPACITY = {"has-capacity": True, "lacks-capacity": False}
_COMPETENCE = {"competent": True, "not-competent": False}


def capacity_on(resource: Element, zone: tzinfo) -> Assessment | None:
    """Give the latest assessment of capacity recorded on a Consent."""
    return _latest(resource, "/capacity-assessment", _CAPACITY, zone)


def competence_on(resource: Element, zone: tzinfo) -> Assessment | None:
    """Give the latest assessment of competence recorded on a Consent or a Patient."""
    return _latest(resource, "/competence-assessment", _COMPETENCE, zone)


def _latest(
    resource: Element, ending: str, outcomes: Mapping[str, bool], zone: tzinfo
) -> Assessment | None:
    """Give the latest of several; one without a day may be the latest, so it counts as that.

    Where two are equally late and disagree, nobody knows the outcome.
    """
    found = [_assessment(each, outcomes, zone) for each in extensions(resource, ending)]
    if not found:
        return None
    last_day = max(each.on or date.max for each in found)
    latest = [each for each in found if (each.on or date.max) == last_day]
    answers = {each.able for each in latest}
    return replace(
        latest[0],
        able=answers.pop() if len(answers) == 1 else None,
        until=min((each.until for each in latest if each.until), default=None),
    )


def _assessment(extension: Element, outcomes: Mapping[str, bool], zone: tzinfo) -> Assessment:
    answers = {outcomes.get(code) for code in coded_value(part_of(extension, "outcome"))}
    until = part_of(extension, "until")
    # An end that cannot be read has to count as passed.
    last = (local_day(value_of(until, "Date", "DateTime"), zone) or date.min) if until else None
    return Assessment(
        able=answers.pop() if len(answers) == 1 else None,
        on=local_day(value_of(part_of(extension, "assessed"), "Date", "DateTime"), zone),
        until=last,
    )
