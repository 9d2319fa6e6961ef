"""What speaks against a grant: capacity, competence, origin, conflict, and its end."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from fhirmsg.guidance.case import Case
from fhirmsg.guidance.record import Assessment, Basis, ConsentFacts, ConsentStatus, Ending
from fhirmsg.guidance.rule import Effect
from fhirmsg.guidance.terms import BirthInterval, ResourceVersion
from tests.builders import (
    NOW,
    TODAY,
    a_child,
    a_grant,
    a_mobile,
    a_patient,
    a_permission,
    a_policy,
    a_proxy_case,
    born,
    codes_of,
    days,
    finding_of,
    in_emergency,
    instants,
    verdict_of,
)

YESTERDAY = TODAY - timedelta(days=1)
BEST, PARENT, OWN = (
    Basis.BEST_INTERESTS,
    Basis.PARENTAL_RESPONSIBILITY,
    Basis.EXPLICIT_CONSENT,
)
ASSESSED = Assessment(able=False, on=YESTERDAY)
COMPETENT = Assessment(able=True, on=YESTERDAY)


def codes(*consents: ConsentFacts, **case: Any) -> set[str]:
    return codes_of(a_proxy_case(*consents, **case))


# --- capacity ----------------------------------------------------------------------------------


def test_a_best_interests_decision_with_an_assessment_is_plain() -> None:
    assert codes(a_grant(basis=BEST, capacity=ASSESSED)) == set()
    assert codes(a_grant(basis=BEST, capacity=replace(ASSESSED, until=TODAY))) == set()


@pytest.mark.parametrize(
    "assessed",
    [
        Assessment(able=True, on=YESTERDAY),
        Assessment(able=False, on=date(2026, 1, 1), until=YESTERDAY),
    ],
)
def test_capacity_to_the_contrary_or_out_of_date_holds(assessed: Assessment) -> None:
    case = a_proxy_case(a_grant(basis=BEST, capacity=assessed))
    assert codes_of(case) == {"proxy.capacity"}
    assert verdict_of(case) == "hold"


@pytest.mark.parametrize(
    "assessed", [None, Assessment(able=False), Assessment(able=False, on=date(2030, 1, 1))]
)
def test_capacity_that_nobody_recorded_is_told_or_held_as_the_policy_says(
    assessed: Assessment | None,
) -> None:
    grant = a_grant(basis=BEST, capacity=assessed)
    told = a_proxy_case(grant)
    assert codes_of(told) == {"proxy.capacity-unrecorded"}
    assert verdict_of(told) == "send"
    held = a_proxy_case(grant, policy=a_policy(require_capacity_record=True))
    assert verdict_of(held) == "hold"
    assert finding_of(held, "proxy.capacity-unrecorded").normally is Effect.HOLD
    assert verdict_of(in_emergency(held)) == "send"


def test_capacity_is_no_matter_on_another_ground() -> None:
    assert codes(a_grant(capacity=Assessment(able=True, on=YESTERDAY))) == set()


@pytest.mark.parametrize(
    ("birth", "held"),
    [
        (born(TODAY.replace(year=TODAY.year - 18)), False),
        (born(TODAY.replace(year=TODAY.year - 18) + timedelta(days=1)), True),
        (BirthInterval(), True),
    ],
)
def test_a_power_of_attorney_needs_an_adult_who_gave_it(birth: BirthInterval, held: bool) -> None:
    power = "health-and-welfare-lasting-power-of-attorney"
    grant = a_grant(basis=Basis.UNLISTED, unlisted=frozenset({power}))
    accepting = a_policy(accept_unlisted_bases=frozenset({power}))
    patient = a_patient(born=birth, contact_points=())
    assert codes(grant, patient=patient, policy=accepting) == (
        {"proxy.capacity"} if held else set()
    )


def test_a_deputy_is_no_power_of_attorney() -> None:
    deputy = "court-appointed-personal-welfare-deputy"
    grant = a_grant(basis=Basis.UNLISTED, unlisted=frozenset({deputy}))
    accepting = a_policy(accept_unlisted_bases=frozenset({deputy}))
    assert codes(grant, patient=a_child(10, contact_points=()), policy=accepting) == set()


# --- competence --------------------------------------------------------------------------------


def a_young(age: int = 14, **fields: Any) -> Any:
    return a_child(age, **{"contact_points": (), **fields})


def test_a_childs_own_consent_needs_competence_on_record() -> None:
    assert codes(a_grant(), patient=a_young()) == {"proxy.competence"}
    assert codes(a_grant(competence=COMPETENT), patient=a_young()) == set()
    assert codes(a_grant(), patient=a_young(competence=COMPETENT)) == set()
    assert codes(a_grant(), patient=a_young(16)) == set()


def test_a_child_who_may_be_sixteen_counts_as_younger() -> None:
    year = BirthInterval(earliest=date(TODAY.year - 16, 1, 1), latest=date(TODAY.year - 16, 12, 31))
    assert codes(a_grant(), patient=a_young(born=year)) == {"proxy.competence"}
    assert codes(a_grant(), patient=a_young(born=BirthInterval())) == {"proxy.competence"}


@pytest.mark.parametrize("able", [False, None])
def test_one_assessment_against_it_outweighs_another(able: bool | None) -> None:
    against = Assessment(able=able, on=YESTERDAY)
    grant = a_grant(competence=COMPETENT)
    assert codes(grant, patient=a_young(competence=against)) == {"proxy.competence"}
    assert codes(a_grant(competence=against), patient=a_young()) == {"proxy.competence"}


def test_parental_responsibility_does_not_stand_alone_beside_a_competent_child() -> None:
    parent = {"basis": PARENT, "reviewed": TODAY}
    assert codes(a_grant(**parent), patient=a_young()) == set()
    assert codes(a_grant(**parent, competence=COMPETENT), patient=a_young()) == {"proxy.competence"}
    not_yet = Assessment(able=False, on=YESTERDAY)
    assert codes(a_grant(**parent), patient=a_young(competence=not_yet)) == set()


# --- origin, conflict --------------------------------------------------------------------------


def test_a_grant_of_another_organisation_is_held() -> None:
    assert codes(a_grant(grantors=frozenset({"B67890"}))) == {"proxy.other-organisation"}
    assert codes(a_grant(grantors=frozenset({"B67890", "A12345"}))) == set()


def changed(day: int) -> ResourceVersion:
    stamp = datetime(2026, 10, day, tzinfo=UTC).isoformat()
    return ResourceVersion(reference=f"Consent/{day}", version_id="1", last_updated=stamp)


def beside(**fields: Any) -> Case:
    """Give a case with a grant changed on 10 October, and another one beside it."""
    grant = replace(a_grant(), version=changed(10))
    day = fields.pop("day", 5)
    return a_proxy_case(grant, replace(a_grant(id="other", **fields), version=changed(day)))


@pytest.mark.parametrize(
    "other",
    [
        {"status": ConsentStatus.REJECTED},
        {"status": ConsentStatus.INACTIVE, "ended": Ending.AGAINST},
        {"status": ConsentStatus.INACTIVE, "day": 11},
        {"status": ConsentStatus.INACTIVE, "day": 11, "ended": Ending.OTHER},
    ],
    ids=["rejected", "withdrawn-against", "inactive-later", "ended-later"],
)
def test_a_grant_beside_one_that_was_taken_back_is_held(other: Any) -> None:
    case = beside(**other)
    assert codes_of(case) == {"proxy.conflict"}
    assert len(finding_of(case, "proxy.conflict").evidence) == 2
    assert verdict_of(case) == "hold"


@pytest.mark.parametrize(
    "other",
    [
        {"status": ConsentStatus.INACTIVE},
        {"status": ConsentStatus.INACTIVE, "day": 11, "ended": Ending.HARMLESS},
        {"status": ConsentStatus.REJECTED, "to": frozenset({"RelatedPerson/other"})},
        {"status": ConsentStatus.PROPOSED, "day": 11},
        {"status": ConsentStatus.ENTERED_IN_ERROR, "day": 11},
    ],
    ids=["inactive-before", "ran-out", "of-another", "proposed", "in-error"],
)
def test_a_grant_beside_one_that_says_nothing_against_it_is_plain(other: Any) -> None:
    assert codes_of(beside(**other)) == set()


def test_a_change_of_unknown_date_counts_as_later() -> None:
    other = a_grant(id="other", status=ConsentStatus.INACTIVE)
    undated = replace(other, version=replace(other.version, last_updated=None))
    assert codes(a_grant(), undated) == {"proxy.conflict"}


@pytest.mark.parametrize("ended", list(Ending))
def test_a_grant_in_force_whose_last_reason_says_it_ended_is_held(ended: Ending) -> None:
    assert codes(a_grant(ended=ended)) == {"proxy.conflict"}


def test_one_identifier_with_two_statuses_is_a_conflict() -> None:
    twin = {"identifiers": frozenset({"urn:x|1"})}
    proposed = {"status": ConsentStatus.PROPOSED, "to": frozenset({"RelatedPerson/other"})}
    assert codes(a_grant(**twin), a_grant(id="b", **twin, **proposed)) == {"proxy.conflict"}
    assert codes(a_grant(**twin), a_grant(id="b", **twin)) == set()
    other = {"identifiers": frozenset({"urn:x|2"})}
    assert codes(a_grant(**twin), a_grant(id="b", **other, **proposed)) == set()


# --- its end, and whether it is needed ---------------------------------------------------------


def test_a_grant_without_an_end_is_told() -> None:
    open_ = a_grant(root=a_permission(period=days(date(2026, 1, 1))))
    assert codes(open_) == {"proxy.no-end"}
    assert codes(a_grant(root=a_permission(period=None))) == {"proxy.no-end"}


def test_a_grant_that_ends_within_thirty_days_is_told() -> None:
    def ending(at: timedelta) -> set[str]:
        return codes(a_grant(root=a_permission(period=instants(end=NOW + at))))

    assert ending(timedelta(days=30)) == {"proxy.ends-soon"}
    assert ending(timedelta(days=30, seconds=1)) == set()


def test_an_adult_who_can_be_reached_makes_a_proxy_unnecessary() -> None:
    reachable = a_patient(contact_points=(a_mobile(),))
    assert codes(a_grant(), patient=reachable) == {"proxy.unnecessary"}
    assert codes(a_grant(basis=BEST, capacity=ASSESSED), patient=reachable) == set()
    former = a_patient(contact_points=(a_mobile(use="old"),))
    assert codes(a_grant(), patient=former) == set()


def test_a_child_who_can_be_reached_does_not() -> None:
    parent = a_grant(basis=PARENT, reviewed=TODAY)
    assert codes(parent, patient=a_child(15, contact_points=(a_mobile(),))) == set()


def test_the_grant_with_the_least_against_it_is_the_one_relied_on() -> None:
    worse = a_grant(id="1", grantors=frozenset({"B67890"}))
    assert codes(worse, a_grant(id="2", root=a_permission(period=None))) == {"proxy.no-end"}
