"""Provision trees: matching in three values, evaluation in four."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from fhirmsg.guidance.provisions import (
    ROOT_CONTENT_APART,
    Actor,
    ActorKind,
    Answer,
    CodeTerm,
    Direction,
    Provision,
    Query,
    evaluate,
    is_too_large,
    match_node,
    with_effective_types,
)
from fhirmsg.guidance.terms import Channel, Match, Period
from tests.builders import (
    AMARA_KEYS,
    BEN_KEYS,
    NOW,
    OURS,
    THEIRS,
    TODAY,
    a_person,
    an_organisation,
    channel_code,
    days,
    deny,
    instants,
    local,
    permit,
    unknown_code,
    untyped,
)

SMS, EMAIL = Channel.SMS, Channel.EMAIL
YESTERDAY, TOMORROW = TODAY - timedelta(days=1), TODAY + timedelta(days=1)


def a_query(**fields: Any) -> Query:
    defaults = {
        "now": NOW,
        "channel": SMS,
        "recipient": AMARA_KEYS,
        "organisations": frozenset({OURS}),
        "purposes_permit": frozenset({"PATADMIN"}),
        "purposes_deny": frozenset({"PATADMIN", "TREAT", "CAREMGT", "ETREAT"}),
    }
    return Query(**{**defaults, **fields})


def match(node: Provision, *, denial: bool = False, **query: Any) -> Match:
    return match_node(node, a_query(**query), denial=denial)


def answer(node: Provision, inherited: Direction | None = None, **query: Any) -> Answer:
    return evaluate(node, a_query(**query), inherited=inherited)


# --- matching ----------------------------------------------------------------------------------


def test_a_node_without_dimensions_matches_everything() -> None:
    assert match(permit()) is Match.YES


def test_one_known_value_is_enough_within_a_dimension() -> None:
    assert match(deny(codes=(channel_code(EMAIL), unknown_code(), channel_code(SMS)))) is Match.YES


def test_an_unknown_value_makes_a_dimension_unknown_when_no_other_matches() -> None:
    assert match(deny(codes=(channel_code(EMAIL), unknown_code()))) is Match.UNKNOWN


def test_a_no_in_one_dimension_outweighs_an_unknown_in_another() -> None:
    assert match(deny(on=[EMAIL], classes=(Match.UNKNOWN,))) is Match.NO


@pytest.mark.parametrize("node", [deny(labels=frozenset({"x|R"})), deny(data=True)])
def test_what_a_label_or_a_data_reference_narrows_to_cannot_be_told(node: Provision) -> None:
    assert match(node) is Match.UNKNOWN


def test_a_modifier_on_a_node_makes_its_match_unknown() -> None:
    assert match(deny(altered=True)) is Match.UNKNOWN


def test_a_rule_about_collecting_data_alone_is_about_no_message() -> None:
    assert match(deny(other_action=True)) is Match.NO


def test_a_code_that_perhaps_covers_the_channel_is_unknown() -> None:
    perhaps = CodeTerm(may_cover=frozenset({SMS}), understood=True)
    assert match(deny(codes=(perhaps,))) is Match.UNKNOWN


def test_a_code_for_results_by_text_covers_results_alone() -> None:
    results = CodeTerm(covers_results=frozenset({SMS}), understood=True)
    assert match(deny(codes=(results,)), about_result=True) is Match.YES
    assert match(deny(codes=(results,))) is Match.NO


def test_a_code_of_the_service_matches_as_a_topic() -> None:
    topic = CodeTerm(tokens=frozenset({"urn:s|42", "42"}))
    assert match(deny(codes=(topic,)), topics=frozenset({"urn:s|42"})) is Match.YES


def test_an_actor_is_matched_by_any_of_its_keys() -> None:
    assert match(deny(actors=(a_person(["Patient/other", min(AMARA_KEYS)]),))) is Match.YES
    assert match(deny(actors=(a_person(BEN_KEYS),))) is Match.NO


def test_an_actor_that_names_nobody_is_unknown() -> None:
    assert match(deny(actors=(a_person([]),))) is Match.UNKNOWN
    assert match(deny(actors=(Actor(kind=ActorKind.STAFF),))) is Match.UNKNOWN


def test_a_group_may_include_the_recipient_and_a_clinician_may_not() -> None:
    group = Actor(kind=ActorKind.OTHER, keys=frozenset({"Group/1"}))
    clinician = Actor(kind=ActorKind.STAFF, keys=frozenset({"Practitioner/1"}))
    assert match(deny(actors=(group,))) is Match.UNKNOWN
    assert match(deny(actors=(clinician,))) is Match.NO


def test_an_organisation_is_matched_by_its_code() -> None:
    assert match(deny(actors=(an_organisation(OURS),))) is Match.YES
    assert match(deny(actors=(an_organisation(THEIRS),))) is Match.NO
    assert match(deny(actors=(an_organisation(),))) is Match.UNKNOWN


# --- purposes ----------------------------------------------------------------------------------


def test_a_permission_for_treatment_does_not_reach_its_administration() -> None:
    assert match(permit(purposes=("TREAT",))) is Match.NO


def test_a_denial_for_treatment_reaches_its_administration_too() -> None:
    assert match(deny(purposes=("TREAT",)), denial=True) is Match.YES


def test_a_denial_for_emergencies_alone_matches() -> None:
    assert match(deny(purposes=("ETREAT",)), denial=True) is Match.YES


def test_a_purpose_covers_those_below_it_and_none_above_it() -> None:
    assert match(permit(purposes=("HOPERAT",))) is Match.YES
    assert match(permit(purposes=("BTG",)), purposes_permit=frozenset({"ETREAT"})) is Match.NO


def test_an_unknown_purpose_is_unknown_unless_another_one_matches() -> None:
    assert match(permit(purposes=(None,))) is Match.UNKNOWN
    assert match(permit(purposes=(None, "PATADMIN"))) is Match.YES


# --- periods -----------------------------------------------------------------------------------


def test_a_date_only_end_includes_that_whole_local_day() -> None:
    lasting = deny(period=days(end=TODAY))
    assert match(lasting, now=local(TODAY, hour=23, minute=59, second=59)) is Match.YES
    assert match(lasting, now=local(TOMORROW)) is Match.NO


def test_a_date_only_start_includes_that_day_and_nothing_before() -> None:
    lasting = deny(period=days(start=TODAY))
    assert match(lasting, now=local(TODAY)) is Match.YES
    assert match(lasting, now=local(TODAY) - timedelta(seconds=1), denial=True) is Match.NO


@pytest.mark.parametrize("day", [date(2026, 3, 29), date(2026, 10, 25), date(2026, 7, 1)])
def test_a_date_only_end_follows_the_local_clock_through_summer_time(day: date) -> None:
    lasting = permit(period=days(end=day))
    assert match(lasting, now=local(day, hour=23, minute=59, second=59)) is Match.YES
    assert match(lasting, now=local(day + timedelta(days=1))) is Match.NO


def test_both_ends_written_with_a_time_are_included() -> None:
    lasting = permit(period=instants(NOW, NOW))
    assert match(lasting) is Match.YES


def test_a_denial_with_times_is_stretched_by_ten_minutes_and_a_permission_is_not() -> None:
    ended = instants(end=NOW - timedelta(minutes=10))
    begins = instants(start=NOW + timedelta(minutes=10))
    for period in (ended, begins):
        assert match(deny(period=period), denial=True) is Match.YES
        assert match(permit(period=period)) is Match.NO


def test_a_denial_is_stretched_by_no_more_than_ten_minutes() -> None:
    ended = instants(end=NOW - timedelta(minutes=10, seconds=1))
    assert match(deny(period=ended), denial=True) is Match.NO


def test_a_denial_with_dates_alone_is_not_stretched() -> None:
    ended = deny(period=days(end=YESTERDAY))
    assert match(ended, now=local(TODAY) + timedelta(minutes=5), denial=True) is Match.NO


def test_an_end_that_stands_for_never_is_understood() -> None:
    lasting = instants(NOW.min.replace(tzinfo=NOW.tzinfo), NOW.max.replace(tzinfo=NOW.tzinfo))
    assert match(deny(period=lasting), denial=True) is Match.YES


@pytest.mark.parametrize("period", [days(TOMORROW, YESTERDAY), Period(malformed=True)])
def test_a_reversed_or_malformed_period_is_unknown(period: Period) -> None:
    assert match(deny(period=period)) is Match.UNKNOWN


# --- evaluation --------------------------------------------------------------------------------


def test_a_plain_root_answers_with_its_own_direction() -> None:
    assert answer(permit()) is Answer.PERMIT
    assert answer(deny()) is Answer.DENY


def test_a_root_that_does_not_match_is_silent() -> None:
    assert answer(deny(on=[EMAIL])) is Answer.SILENT


def test_an_untyped_root_takes_the_direction_of_the_policy() -> None:
    assert answer(untyped(), Direction.DENY) is Answer.DENY
    assert answer(untyped(), Direction.PERMIT) is Answer.PERMIT


def test_an_untyped_root_without_a_policy_cannot_be_excluded_as_a_denial() -> None:
    assert answer(untyped()) is Answer.CANNOT_EXCLUDE_DENIAL


def test_a_type_that_is_not_understood_is_not_replaced_by_the_policy() -> None:
    node = Provision(unknown_type=True)
    assert answer(node, Direction.PERMIT) is Answer.CANNOT_EXCLUDE_DENIAL


def test_a_nested_node_without_a_type_cannot_be_excluded_as_a_denial() -> None:
    assert answer(permit(untyped())) is Answer.CANNOT_EXCLUDE_DENIAL


def test_a_permission_inside_a_denial_is_carved_out_of_it() -> None:
    tree = deny(permit(on=[EMAIL]))
    assert answer(tree, channel=EMAIL) is Answer.PERMIT
    assert answer(tree, channel=SMS) is Answer.DENY


def test_a_denial_inside_a_permission_is_taken_from_it() -> None:
    tree = permit(deny(on=[EMAIL]))
    assert answer(tree, channel=EMAIL) is Answer.DENY
    assert answer(tree, channel=SMS) is Answer.PERMIT


def test_a_denial_inside_a_carve_out_stands() -> None:
    tree = deny(permit(deny(on=[SMS])))
    assert answer(tree, channel=SMS) is Answer.DENY
    assert answer(tree, channel=EMAIL) is Answer.PERMIT


def test_a_denial_that_matches_perhaps_cannot_be_excluded() -> None:
    assert answer(deny(codes=(unknown_code(),))) is Answer.CANNOT_EXCLUDE_DENIAL


def test_a_permission_that_matches_perhaps_permits_nothing() -> None:
    assert answer(permit(codes=(unknown_code(),))) is Answer.SILENT
    assert answer(deny(permit(codes=(unknown_code(),)))) is Answer.DENY


def test_a_vague_denial_does_not_weaken_a_definite_one() -> None:
    assert answer(deny(deny(codes=(unknown_code(),)))) is Answer.DENY


def test_a_vague_denial_beside_a_carve_out_leaves_doubt() -> None:
    tree = deny(permit(), deny(codes=(unknown_code(),)))
    assert answer(tree) is Answer.CANNOT_EXCLUDE_DENIAL


def test_a_definite_denial_inside_a_vague_one_leaves_doubt() -> None:
    assert answer(deny(deny(), codes=(unknown_code(),))) is Answer.CANNOT_EXCLUDE_DENIAL


def test_content_judged_apart_counts_as_matched_at_the_root_only() -> None:
    tree = permit(deny(on=[EMAIL]), on=[EMAIL], purposes=("HRESCH",), classes=(Match.NO,))
    assert evaluate(tree, a_query(), lens=ROOT_CONTENT_APART) is Answer.PERMIT
    denied = evaluate(tree, a_query(channel=EMAIL), lens=ROOT_CONTENT_APART)
    assert denied is Answer.DENY


# --- size --------------------------------------------------------------------------------------


def _deep(levels: int) -> Provision:
    node = deny()
    for _ in range(levels - 1):
        node = deny(node)
    return node


def test_sixteen_levels_and_a_thousand_nodes_are_read() -> None:
    assert not is_too_large(_deep(16))
    assert not is_too_large(deny(*[permit()] * 999))


def test_one_level_or_one_node_more_is_too_large() -> None:
    assert is_too_large(_deep(17))
    assert is_too_large(deny(*[permit()] * 1000))


def test_only_the_root_inherits_a_direction() -> None:
    directions = [each for _, each in with_effective_types(untyped(untyped()), Direction.DENY)]
    assert directions == [Direction.DENY, None]
