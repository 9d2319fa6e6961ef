"""What holds of time: growing up, bounds of periods, last days, summer time and winter time."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from fhirmsg.guidance.case import Case
from fhirmsg.guidance.decision import decide
from fhirmsg.guidance.policy import Approval, LocalPolicy
from fhirmsg.guidance.provisions import Provision
from fhirmsg.guidance.record import Assessment, Basis, ConsentFacts, ConsentStatus
from fhirmsg.guidance.terms import BirthInterval, Period, age_on, birthday
from tests.builders import (
    LONDON,
    TODAY,
    a_case,
    a_grant,
    a_patient,
    a_permission,
    a_platform,
    a_policy,
    a_proxy_case,
    an_objection,
    born,
    codes_of,
    days,
    deny,
    local,
    verdict_of,
)
from tests.guidance import strategies as some
from tests.guidance.invariants.changing import said, weight, with_consents

always = a_policy(a_platform(approval=Approval(start=date.min)))


def as_parent(
    interval: BirthInterval,
    as_of: datetime,
    reviewed: date | None = None,
    policy: LocalPolicy = always,
    **fields: Any,
) -> Case:
    """Give a message to Ben on the ground of parental responsibility without an end."""
    grant = a_grant(
        basis=Basis.PARENTAL_RESPONSIBILITY,
        root=a_permission(period=None),
        reviewed=reviewed,
        **fields,
    )
    return a_proxy_case(grant, patient=a_patient(born=interval), as_of=as_of, policy=policy)


def at_ten(day: date) -> datetime:
    """Give ten in the morning of a local day."""
    return datetime.combine(day, time(10), LONDON).astimezone(UTC)


birth_days = st.one_of(
    st.dates(date(1990, 1, 1), TODAY),
    st.sampled_from([date(2008, 2, 29), date(2012, 2, 29), date(2016, 2, 29)]),
)
reviews = st.one_of(st.none(), st.dates(date(2010, 1, 1), TODAY))
competence = st.sampled_from([None, *(Assessment(able=able) for able in (True, False, None))])


# 14
@given(
    birth_days,
    st.lists(st.integers(0, 18 * 366), min_size=2, max_size=8),
    reviews,
    competence,
    st.sampled_from(["", "emergency", "emergency acknowledged"]),
)
def test_a_parents_position_never_improves_as_the_child_grows_up(
    day: date,
    ages_in_days: list[int],
    reviewed: date | None,
    assessed: Assessment | None,
    mode: str,
) -> None:
    moments = [day + timedelta(days=age) for age in sorted(ages_in_days)]
    reviewed = None if reviewed is None else min(reviewed, moments[0])
    plan = {piece: way for piece, way in some.GONE_ON.items() if piece in mode}

    def at(moment: date) -> Case:
        case = as_parent(born(day), at_ten(moment), reviewed, competence=assessed)
        return some.with_evidence(case, plan)

    weights = [weight(at(moment)) for moment in moments]
    assert weights == sorted(weights)


# 15
@given(birth_days, some.records, reviews, some.departures(), some.plans)
def test_the_sixteenth_birthday_changes_the_basis_and_nothing_else(
    day: date,
    others: tuple[ConsentFacts, ...],
    reviewed: date | None,
    departures: list[some.Departure],
    plan: some.Plan,
) -> None:
    before, on = local(birthday(day, 16)) - timedelta(seconds=1), local(birthday(day, 16))
    timeless = tuple(
        each
        for each in others
        if each.root is None and each.status is ConsentStatus.ACTIVE and not each.grantees
    )
    # What is approved, past or over at some instant may change at this one; so may a review,
    # which names the versions of the grant.
    kept = [
        each
        for each in departures
        if each.part not in ("platform", "related")
        and each.name not in ("about", "earlier", "not_after", "recipient", "neighbours")
    ]
    plan = {piece: way for piece, way in plan.items() if piece not in ("reviews", "acknowledged")}

    def at(instant: datetime) -> Case:
        case = some.depart(as_parent(born(day), instant, reviewed), kept)
        return some.with_evidence(with_consents(case, *timeless), plan)

    younger, older = at(before), at(on)

    def others_found(case: Case) -> list[dict[str, Any]]:
        # The sentence about faulty evidence tells our time.
        return [
            {**each, "sentence": ""}
            for each in said(decide(case))
            if not each["code"].startswith("proxy.")
        ]

    assert others_found(younger) == others_found(older)
    assert "proxy.no-basis" in codes_of(older) - codes_of(younger)


# 15
@given(birth_days, birth_days, reviews, st.sampled_from([(13,), (11, 13), (0, 5, 15)]), st.data())
def test_a_partial_birth_date_is_never_more_permissive_than_a_day_within_it(
    day: date, as_of: date, reviewed: date | None, ages: tuple[int, ...], data: st.DataObject
) -> None:
    year = some.whole_year(day)
    within = data.draw(st.dates(year.earliest, year.latest))
    policy = replace(always, parental_review_ages=ages)
    whole = as_parent(born(within), at_ten(as_of), reviewed, policy=policy)
    partial = as_parent(year, at_ten(as_of), reviewed, policy=policy)
    assert weight(partial) >= weight(whole)
    assert age_on(year.earliest, as_of) >= age_on(within, as_of)


# 15
@given(some.bare_to_proxies, st.data())
def test_a_partial_birth_date_of_any_proxys_patient_is_never_more_permissive(
    case: Case, data: st.DataObject
) -> None:
    day = data.draw(some.birth_days)
    year = some.whole_year(day)

    def of(interval: BirthInterval) -> Case:
        patient = replace(case.record.patient, born=interval)
        return replace(case, record=replace(case.record, patient=patient))

    assert weight(of(year)) >= weight(of(born(day)))
    assert weight(of(BirthInterval())) >= weight(of(year))


def _bounds_of(root: Provision | None) -> set[datetime]:
    if root is None:
        return set()
    found = set[datetime]().union(*(_bounds_of(node) for node in root.nested))
    return found | _bounds(root.period)


def _bounds(period: Period | None) -> set[datetime]:
    """Give the instants at which a period, or the notice of its end, makes a difference."""
    found: set[datetime] = set()
    for bound in (period.start, period.end) if period is not None else ():
        if bound is not None and bound.year not in (1, 9999):
            found |= {bound + timedelta(minutes=shift) for shift in (-10, 0, 10)}
            found |= {bound - timedelta(days=30), bound + timedelta(days=366)}
    return found


def _bounds_of_case(case: Case) -> set[datetime]:
    record = case.record
    recipient = record.recipient
    found = set[datetime]()
    for consent in (*record.consents, *record.linked_consents, *recipient.own_consents):
        found |= _bounds_of(consent.root)
    points = [*record.patient.contact_points, record.brought]
    if recipient.related is not None:
        points += recipient.related.contact_points
        found |= _bounds(recipient.related.period)
    for point in points:
        found |= _bounds(point.period) if point is not None else set()
    window = timedelta(hours=case.policy.repeat_window_hours)
    found |= {earlier.at + window for earlier in record.earlier}
    found |= {about.starts for about in record.about if about.starts is not None}
    return found | ({case.request.not_after} if case.request.not_after else set())


# 16
@given(some.bare_cases, st.integers(0, 86_399), st.integers(0, 86_399))
def test_between_two_bounds_of_periods_the_decision_stays_the_same(
    case: Case, one: int, other: int
) -> None:
    first, last = sorted(local(TODAY) + timedelta(seconds=second) for second in (one, other))
    assume(not any(first <= bound <= last for bound in _bounds_of_case(case)))
    assert said(decide(replace(case, as_of=first))) == said(decide(replace(case, as_of=last)))


# 16
@given(st.dates(date(2025, 1, 1), date(2029, 12, 31)))
def test_a_last_day_counts_whole_through_summer_time_and_winter_time(day: date) -> None:
    last = local(day, hour=23, minute=59, second=59)
    after = local(day + timedelta(days=1))
    grant = a_grant(root=a_permission(period=days(end=day)))
    objection = an_objection(root=deny(period=days(end=day)))
    assert verdict_of(a_proxy_case(grant, as_of=last)) == "send"
    assert verdict_of(a_proxy_case(grant, as_of=after)) == "refuse"
    assert verdict_of(a_case(consents=(objection,), as_of=last)) == "refuse"
    assert verdict_of(a_case(consents=(objection,), as_of=after)) == "send"


# 16
@given(st.dates(date(2025, 1, 2), date(2029, 12, 31)))
def test_a_last_day_of_an_assessment_or_an_approval_counts_whole(day: date) -> None:
    last = local(day, hour=23, minute=59, second=59)
    after = local(day + timedelta(days=1))
    capacity = Assessment(able=False, on=date(2025, 1, 1), until=day)
    grant = a_grant(basis=Basis.BEST_INTERESTS, capacity=capacity, root=a_permission(period=None))
    approved = a_policy(a_platform(approval=Approval(start=date(2025, 1, 1), end=day)))
    assert verdict_of(a_proxy_case(grant, as_of=last)) == "send"
    assert "proxy.capacity" in codes_of(a_proxy_case(grant, as_of=after))
    assert verdict_of(a_case(policy=approved, as_of=last)) == "send"
    assert verdict_of(a_case(policy=approved, as_of=after)) == "refuse"
