"""Which grant lets a proxy receive, and what keeps it from doing so plainly."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta

import pytest

from fhirmsg.guidance.flaws import FLAW_EFFECTS, Flaw, review_due
from fhirmsg.guidance.grants import Grant, basis_of, best_of
from fhirmsg.guidance.provisions import Answer, Direction, Provision
from fhirmsg.guidance.record import Basis, ConsentFacts, ConsentStatus, Scope
from fhirmsg.guidance.rule import Effect
from fhirmsg.guidance.terms import BirthInterval, Channel, Match, Period
from tests.builders import (
    BEN_KEYS,
    THEIRS,
    TODAY,
    a_child,
    a_consent,
    a_grant,
    a_patient,
    a_permission,
    a_person,
    a_policy,
    a_proxy_case,
    an_organisation,
    bens_own_record,
    born,
    days,
    deny,
    permit,
    unknown_code,
    untyped,
)

SMS, EMAIL = Channel.SMS, Channel.EMAIL
PARENTAL, UNLISTED = Basis.PARENTAL_RESPONSIBILITY, Basis.UNLISTED
YESTERDAY, TOMORROW = TODAY - timedelta(days=1), TODAY + timedelta(days=1)
UNKNOWN_BIRTH = BirthInterval()


def grant_from(consent: ConsentFacts, **case: object) -> Grant | None:
    """Give the grant to Ben that a Consent amounts to."""
    return a_proxy_case(consent, **case).grant


# What is said besides of a grant that is written in few words.
BESIDE = {"proxy.no-end", "proxy.capacity-unrecorded"}


def flaws_of(consent: ConsentFacts, **case: object) -> list[str]:
    grant = grant_from(consent, **case)
    assert grant is not None
    return [flaw.code for flaw in grant.flaws if flaw.code not in BESIDE]


# --- candidates --------------------------------------------------------------------------------


def test_a_full_grant_has_no_flaws() -> None:
    assert flaws_of(a_grant()) == []


@pytest.mark.parametrize("status", set(ConsentStatus) - {ConsentStatus.ACTIVE})
def test_only_an_active_consent_is_a_grant(status: ConsentStatus) -> None:
    assert grant_from(a_grant(status=status)) is None


def test_a_grant_to_somebody_else_is_none_to_this_proxy() -> None:
    assert grant_from(a_grant(to=["RelatedPerson/eve"])) is None


def test_any_of_the_proxys_own_keys_is_enough() -> None:
    for key in BEN_KEYS:
        assert flaws_of(a_grant(to=[key])) == []


def test_a_grant_names_the_recipient_itself_and_not_a_namesake_record() -> None:
    case = a_proxy_case(a_grant(to=["Patient/ben"]), own_patient=bens_own_record())
    assert case.grant is None


def test_a_grant_without_an_actor_names_its_grantee() -> None:
    assert flaws_of(a_grant(root=a_permission(actors=()))) == []


def test_a_custodian_among_the_actors_does_not_hide_the_grantee() -> None:
    actors = (a_person(BEN_KEYS), an_organisation(THEIRS))
    assert flaws_of(a_grant(root=a_permission(actors=actors))) == []


@pytest.mark.parametrize(
    ("period", "in_force"),
    [
        (days(end=YESTERDAY), False),
        (days(end=TODAY), True),
        (days(start=TODAY), True),
        (days(start=TOMORROW), False),
        (days(start=TOMORROW, end=YESTERDAY), False),
        (Period(malformed=True), False),
        (None, True),
    ],
)
def test_a_grant_is_in_force_in_its_period_alone(period: Period | None, in_force: bool) -> None:
    grant = grant_from(a_grant(root=a_permission(period=period)))
    assert (grant is not None) == in_force


@pytest.mark.parametrize("fault", ["altered", "flag_record", "refusal_purposes"])
def test_what_changes_or_denies_the_meaning_of_a_consent_makes_it_no_grant(fault: str) -> None:
    assert grant_from(a_grant(**{fault: True})) is None


def test_a_grant_narrowed_to_data_or_labels_is_none_for_messages() -> None:
    assert grant_from(a_grant(root=a_permission(data=True))) is None
    assert grant_from(a_grant(root=a_permission(labels=frozenset({"x|R"})))) is None


def test_research_names_no_proxy() -> None:
    assert grant_from(a_grant(scope=Scope.OTHER)) is None


def test_a_tree_too_large_to_read_is_no_grant() -> None:
    assert grant_from(a_grant(root=a_permission(*[permit()] * 1000))) is None


# --- clarity -----------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", [None, Direction.PERMIT])
def test_an_untyped_root_that_names_the_proxy_is_never_plain(policy: Direction | None) -> None:
    root = untyped(actors=(a_person(BEN_KEYS),))
    assert flaws_of(a_grant(root=root, policy_direction=policy)) == ["proxy.unclear"]


def test_a_grantee_without_any_provision_is_unclear() -> None:
    consent = a_consent(grantees=BEN_KEYS, bases=frozenset({Basis.EXPLICIT_CONSENT}))
    assert flaws_of(consent) == ["proxy.unclear"]


def test_a_type_not_understood_is_unclear() -> None:
    root = Provision(unknown_type=True, actors=(a_person(BEN_KEYS),))
    assert flaws_of(a_grant(root=root)) == ["proxy.unclear"]


def test_different_grounds_a_failed_verification_and_an_unknown_scope_are_unclear() -> None:
    two = frozenset({Basis.EXPLICIT_CONSENT, Basis.BEST_INTERESTS})
    assert flaws_of(a_grant(bases=two)) == ["proxy.unclear"]
    assert flaws_of(a_grant(unverified=True)) == ["proxy.unclear"]
    assert flaws_of(a_grant(scope=Scope.UNKNOWN)) == ["proxy.unclear"]


# --- grounds -----------------------------------------------------------------------------------


@pytest.mark.parametrize("basis", [Basis.EXPLICIT_CONSENT, Basis.BEST_INTERESTS])
def test_a_ground_of_the_guidance_stands_at_any_age(basis: Basis) -> None:
    assert flaws_of(a_grant(basis=basis)) == []


@pytest.mark.parametrize("bases", [frozenset(), frozenset({Basis.UNKNOWN})])
def test_a_ground_that_is_missing_or_not_understood_is_a_flaw(bases: frozenset[Basis]) -> None:
    assert flaws_of(a_grant(bases=bases)) == ["proxy.unknown-basis"]


def test_a_relationship_alone_is_no_ground() -> None:
    assert grant_from(a_grant(basis=Basis.RELATIONSHIP)) is None


def test_a_ground_the_guidance_does_not_list_is_a_flaw_unless_the_policy_accepts_it() -> None:
    lasting_power = a_grant(basis=UNLISTED, unlisted=frozenset({"lpa"}))
    accepting = a_policy(accept_unlisted_bases=frozenset({"lpa"}))
    accepting_other = a_policy(accept_unlisted_bases=frozenset({"deputy"}))
    assert flaws_of(lasting_power) == ["proxy.unlisted-basis"]
    assert flaws_of(lasting_power, policy=accepting_other) == ["proxy.unlisted-basis"]
    assert flaws_of(lasting_power, policy=accepting) == []


def test_a_parent_receives_for_a_child_and_not_for_an_adult() -> None:
    assert flaws_of(a_grant(basis=PARENTAL), patient=a_child(9)) == []
    assert grant_from(a_grant(basis=PARENTAL)) is None


def test_parental_responsibility_ends_with_the_sixteenth_birthday() -> None:
    reviewed = a_grant(basis=PARENTAL, reviewed=YESTERDAY)
    tomorrow = TOMORROW.replace(year=TOMORROW.year - 16)
    assert grant_from(reviewed, patient=a_patient(born=born(tomorrow))) is not None
    assert grant_from(reviewed, patient=a_child(16)) is None


@pytest.mark.parametrize(
    "interval",
    [
        UNKNOWN_BIRTH,
        BirthInterval(earliest=date(2010, 1, 1), latest=date(2010, 12, 31)),
        BirthInterval(latest=date(2020, 1, 1)),
    ],
)
def test_parental_responsibility_needs_a_patient_who_is_certainly_under_sixteen(
    interval: BirthInterval,
) -> None:
    assert grant_from(a_grant(basis=PARENTAL), patient=a_patient(born=interval)) is None


def test_an_unknown_ground_beside_parental_responsibility_does_not_help_an_adults_parent() -> None:
    both = frozenset({PARENTAL, Basis.UNKNOWN})
    assert basis_of(a_grant(bases=both), 31) is None


def test_another_ground_beside_parental_responsibility_outlives_it() -> None:
    both = frozenset({PARENTAL, Basis.EXPLICIT_CONSENT})
    assert basis_of(a_grant(bases=both), 31) is Basis.EXPLICIT_CONSENT
    assert flaws_of(a_grant(bases=both)) == ["proxy.unclear"]


# --- age review --------------------------------------------------------------------------------


def test_a_review_is_due_from_the_milestone_birthday_on() -> None:
    assert flaws_of(a_grant(basis=PARENTAL), patient=a_child(13)) == ["proxy.age-review"]
    before = a_patient(born=born(TOMORROW.replace(year=TOMORROW.year - 13)))
    assert flaws_of(a_grant(basis=PARENTAL), patient=before) == []


def test_a_review_on_the_birthday_counts_and_one_on_the_day_before_does_not() -> None:
    reviewed = a_grant(basis=PARENTAL, reviewed=TODAY)
    early = a_grant(basis=PARENTAL, reviewed=YESTERDAY)
    assert flaws_of(reviewed, patient=a_child(13)) == []
    assert flaws_of(early, patient=a_child(13)) == ["proxy.age-review"]


def test_a_review_is_due_beside_another_ground_too() -> None:
    both = a_grant(bases=frozenset({PARENTAL, Basis.EXPLICIT_CONSENT}))
    assert flaws_of(both, patient=a_child(14)) == [
        "proxy.unclear",
        "proxy.age-review",
        "proxy.competence",
    ]


def test_the_latest_milestone_passed_counts() -> None:
    assert review_due((11, 13), born(date(2013, 3, 1)), TODAY) == date(2026, 3, 1)
    assert review_due((11, 13), born(date(2014, 3, 1)), TODAY) == date(2025, 3, 1)
    assert review_due((11, 13), born(date(2016, 3, 1)), TODAY) is None


def test_somebody_born_on_a_leap_day_has_the_birthday_on_the_first_of_march() -> None:
    assert review_due((13,), born(date(2012, 2, 29)), date(2025, 2, 28)) is None
    assert review_due((13,), born(date(2012, 2, 29)), date(2025, 3, 1)) == date(2025, 3, 1)


def test_a_partial_birth_date_asks_for_a_review_that_suits_every_day_in_it() -> None:
    year = BirthInterval(earliest=date(2013, 1, 1), latest=date(2013, 12, 31))
    assert review_due((13,), year, TODAY) == TODAY
    assert review_due((13,), year, date(2027, 6, 1)) == date(2026, 12, 31)
    assert review_due((13,), UNKNOWN_BIRTH, TODAY) == TODAY


# --- scope -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        {"classes": (Match.NO,)},
        {"classes": (Match.UNKNOWN,)},
        {"purposes": ("TREAT",)},
        {"purposes": (None,)},
        {"codes": (unknown_code(),)},
    ],
)
def test_a_grant_that_does_not_clearly_cover_the_message_is_flawed(
    fields: dict[str, object],
) -> None:
    assert flaws_of(a_grant(root=a_permission(**fields))) == ["proxy.scope"]


def test_a_grant_covers_the_channels_it_names() -> None:
    assert flaws_of(a_grant(root=permit(on=[EMAIL], actors=(a_person(BEN_KEYS),)))) == [
        "proxy.scope"
    ]
    assert flaws_of(a_grant(root=permit(on=[SMS], actors=(a_person(BEN_KEYS),)))) == []


def test_an_access_role_covers_messages_only_by_class_or_by_policy() -> None:
    access = a_grant(access_only=True, root=a_permission(classes=()))
    assert flaws_of(access) == ["proxy.scope"]
    assert flaws_of(access, policy=a_policy(accept_access_roles=True)) == []
    assert flaws_of(a_grant(access_only=True)) == []


def test_an_exception_that_perhaps_excludes_the_message_is_a_flaw() -> None:
    assert flaws_of(a_grant(deny(codes=(unknown_code(),)))) == ["proxy.scope"]


def test_nested_permissions_say_what_is_covered() -> None:
    assert flaws_of(a_grant(permit(on=[EMAIL]))) == ["proxy.scope"]
    assert flaws_of(a_grant(permit(on=[EMAIL]), permit(on=[SMS]))) == []


def test_a_nested_denial_that_matches_leaves_no_grant() -> None:
    case = a_proxy_case(a_grant(deny()))
    assert case.candidates == {"Consent/grant": Answer.DENY}
    assert case.grant is None


# --- several -----------------------------------------------------------------------------------


def _grant(id: str, *codes: str) -> Grant:
    flaws = tuple(Flaw(code=code, sentence="") for code in codes)
    return Grant(consent=a_grant(id=id), basis=Basis.EXPLICIT_CONSENT, flaws=flaws)


def by_effect(*, emergency: bool) -> Callable[[Grant], Effect]:
    return lambda grant: grant.effect(emergency=emergency)


def test_the_grant_with_the_least_against_it_is_used() -> None:
    best = best_of([_grant("1", "proxy.scope"), _grant("2")], by_effect(emergency=False))
    assert best == _grant("2")


def test_on_a_tie_the_lowest_id_is_used_whatever_the_order() -> None:
    grants = [_grant("2", "proxy.scope"), _grant("1", "proxy.unclear")]
    assert best_of(grants, by_effect(emergency=False)) == grants[1]
    assert best_of(grants[::-1], by_effect(emergency=False)) == grants[1]


def test_in_an_emergency_the_emergency_effects_decide() -> None:
    grants = [_grant("1", "proxy.unclear"), _grant("2", "proxy.scope")]
    assert best_of(grants, by_effect(emergency=True)) == grants[1]


def test_without_any_grant_there_is_no_best_one() -> None:
    assert best_of([], by_effect(emergency=False)) is None


def test_every_flaw_has_effects() -> None:
    worst = a_grant(
        bases=frozenset({PARENTAL, UNLISTED, Basis.UNKNOWN}),
        root=untyped(actors=(a_person(BEN_KEYS),), purposes=(None,)),
    )
    assert set(flaws_of(worst, patient=a_child(14))) <= FLAW_EFFECTS.keys()
