"""What holds of contact points, preferences and reach: only the recipient's own, none barred."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from fhirmsg.guidance.case import Case
from fhirmsg.guidance.contact import is_usable, select
from fhirmsg.guidance.decision import decide
from fhirmsg.guidance.record import ContactPoint, PatientFacts, Preferences
from fhirmsg.guidance.terms import Channel
from tests.builders import (
    BEN_KEYS,
    NOW,
    TODAY,
    a_case,
    a_grant,
    a_mobile,
    a_person,
    a_proxy_case,
    an_objection,
    codes_of,
    days,
    deny,
    falls_back_to,
    verdict_of,
)
from tests.guidance import strategies as some
from tests.guidance.invariants.changing import (
    said,
    weight,
    with_consents,
    with_patient,
    with_platform,
    with_record,
)

# --- preferences -------------------------------------------------------------------------------

OF_PREFERENCES = frozenset(
    {
        "preference.ignored",
        "preference.unavailable",
        "preference.no-telephone",
        "preference.times",
    }
)


def preferring(case: Case, preferences: Preferences) -> Case:
    """Give the case of a recipient with these preferences."""
    recipient = case.record.recipient
    if recipient.related is not None:
        related = replace(recipient.related, preferences=preferences)
        return with_record(case, recipient=replace(recipient, related=related))
    return with_patient(case, preferences=preferences)


# 25
@given(some.cases, st.sampled_from(some.PREFERENCES))
def test_a_preference_changes_nothing_but_what_is_said_of_preferences(
    case: Case, preferences: Preferences
) -> None:
    other = preferring(case, preferences)
    before, after = decide(case), decide(other)
    # Evidence that cites a finding about preferences says no more and no less of others.
    assert said(after, leaving_out=OF_PREFERENCES) == said(before, leaving_out=OF_PREFERENCES)
    if before.verdict == "refuse":
        assert after.verdict == "refuse"


# 25
@given(some.clear_cases, st.sampled_from(some.PREFERENCES))
def test_a_preferred_channel_that_is_objected_to_is_refused_all_the_same(
    case: Case, preferences: Preferences
) -> None:
    key = BEN_KEYS if case.to_proxy else frozenset[str]()
    objection = an_objection(case.request.channel, performers=key)
    objected = with_consents(preferring(case, preferences), objection)
    assert verdict_of(objected) == "refuse"


# --- reach -------------------------------------------------------------------------------------


# 30
@given(some.cases, st.sampled_from(sorted(Channel)), st.sampled_from(["falls_back", "notifies_by"]))
def test_one_more_channel_a_platform_may_use_never_weakens_the_decision(
    case: Case, channel: Channel, name: str
) -> None:
    platform = case.platform
    more = {
        "falls_back": (*platform.falls_back, falls_back_to(channel)),
        "notifies_by": platform.notifies_by | {channel},
    }
    assert weight(with_platform(case, **{name: more[name]})) >= weight(case)


def restricting(case: Case, *values: str) -> Case:
    """Give the case with a safety restriction of these values, on a channel nobody uses."""
    restriction = an_objection(
        Channel.FAX,
        safety=True,
        restricted_digests=frozenset(map(some.digest_of, values)),
    )
    return with_consents(with_record(case, digests=some.DIGESTS), restriction)


# 29
@given(some.bare_cases, some.plans)
def test_a_contact_point_that_is_restricted_is_used_for_nobody(case: Case, plan: some.Plan) -> None:
    point = case.contact_point
    if point is None or point.value is None:
        return
    judged = some.with_evidence(restricting(case, point.value), plan)
    used = judged.contact_point
    assert used is None or used.value != point.value


# 29
@given(some.bare_cases, some.plans)
def test_where_every_contact_point_is_restricted_nothing_is_ever_sent(
    case: Case, plan: some.Plan
) -> None:
    judged = some.with_evidence(restricting(case, *some.VALUES, "+447700900707"), plan)
    judged = with_record(
        judged,
        digests={**some.DIGESTS, "+447700900707": some.digest_of("+447700900707")},
    )
    assert judged.contact_point is None
    assert verdict_of(judged) == "refuse" or judged.recipient.reference == "Organization/1"


# 29
@given(
    st.sampled_from([Channel.EMAIL, Channel.NHS_APP]),
    st.sampled_from(["falls_back", "notifies_by"]),
    st.booleans(),
)
def test_a_platform_that_may_turn_to_a_restricted_telephone_is_not_used(
    channel: Channel, name: str, to_proxy: bool
) -> None:
    plain = a_proxy_case(a_grant()) if to_proxy else a_case()
    case = replace(plain, request=replace(plain.request, channel=channel))
    reaches = {
        "falls_back": (falls_back_to(Channel.SMS),),
        "notifies_by": frozenset({Channel.SMS}),
    }
    case = with_platform(case, channels=frozenset(some.CHANNELS), **{name: reaches[name]})
    assert verdict_of(case) == "send"
    assert verdict_of(restricting(case, some.AMARAS, some.BENS)) == "refuse"


# 29
@given(some.bare_cases)
def test_a_number_that_a_denied_person_shares_is_not_used(case: Case) -> None:
    point = case.contact_point
    if point is None or point.value is None or case.request.contact_point is not None:
        return
    eve = some.a_neighbour(some.EVE, point.value)
    denial = an_objection(message_marker=False, root=deny(actors=(a_person(some.EVE_KEYS),)))
    there = with_consents(with_record(case, neighbours=(eve,)), denial)
    used = there.contact_point
    assert used is None or used.value != point.value
    if used is None:
        assert "contact.excluded" in codes_of(there)


# --- selection ---------------------------------------------------------------------------------

points = st.lists(some.contact_points, max_size=5)


# 32
@given(points, st.sampled_from(some.CHANNELS))
def test_the_contact_point_used_is_a_usable_one_of_those_there_are(
    there: list[ContactPoint], channel: Channel
) -> None:
    chosen = select(there, channel, NOW)
    usable = [point for point in there if is_usable(point, channel, NOW)]
    assert chosen in usable if usable else chosen is None


# 32
@given(some.cases)
def test_the_contact_point_of_a_case_is_the_recipients_own_or_the_one_that_was_brought(
    case: Case,
) -> None:
    recipient = case.recipient
    own = list(case.record.patient.contact_points if recipient.related is None else ())
    if recipient.related is not None:
        own += recipient.related.contact_points
        own += recipient.own_patient.contact_points if recipient.own_patient is not None else ()
    if case.emergency and case.request.contact_point is not None:
        own = [case.record.brought or ContactPoint()]
    assert case.contact_point is None or case.contact_point in own


# 32
@given(points, st.sampled_from(some.CHANNELS))
def test_removing_a_contact_point_that_is_not_used_changes_nothing(
    there: list[ContactPoint], channel: Channel
) -> None:
    chosen = select(there, channel, NOW)
    for point in there:
        if point != chosen:
            rest = [each for each in there if each != point]
            assert select(rest, channel, NOW) == chosen


# 33
@given(points, st.sampled_from(some.CHANNELS))
def test_a_contact_point_that_becomes_old_or_ends_is_never_used(
    there: list[ContactPoint], channel: Channel
) -> None:
    ended = days(end=TODAY - timedelta(days=1))
    for point in there:
        for gone in (replace(point, use="old"), replace(point, period=ended)):
            rest = [gone if each == point else each for each in there]
            assert select(rest, channel, NOW) != gone


# 33
@given(some.cases, st.permutations([a_mobile(), a_mobile(some.OTHER)]))
def test_a_contact_point_that_is_over_never_comes_to_be_used(
    case: Case, both: list[ContactPoint]
) -> None:
    first, second = both
    over = replace(second, use="old")
    whole = with_patient(case, contact_points=(first, second))
    less = with_patient(case, contact_points=(first, over))
    assert less.contact_point != over
    assert whole.contact_point != first or less.contact_point == first


# 32
@given(some.to_patients)
def test_a_patient_without_contact_points_is_never_messaged(case: Case) -> None:
    bare = with_patient(case, contact_points=())
    if bare.reach.brought is None and bare.recipient.reference != "Organization/1":
        assert "contact.none" in codes_of(bare)
        assert verdict_of(bare) == "refuse"


# --- life --------------------------------------------------------------------------------------


def died(patient: PatientFacts, statement: str | None) -> PatientFacts:
    """Give the patient with a statement of their death, or without one."""
    return replace(patient, died=statement)


# 34
@given(some.cases, st.sampled_from(["a date of death", "an informal notice", ""]))
def test_a_patient_who_has_died_is_never_messaged(case: Case, statement: str) -> None:
    dead = with_record(case, patient=died(case.record.patient, statement))
    assert "person.deceased" in codes_of(dead)
    assert verdict_of(dead) == "refuse"


# 34
@given(some.cases)
def test_a_patient_of_whom_nothing_says_so_has_not_died(case: Case) -> None:
    living = with_record(case, patient=died(case.record.patient, None))
    assert "person.deceased" not in codes_of(living)
    assert weight(living) <= weight(with_record(case, patient=died(case.record.patient, "so")))
