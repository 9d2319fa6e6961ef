"""What speaks against a grant, in the very words the sender reads."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from fhirmsg.guidance.flaws import Flaw
from fhirmsg.guidance.record import (
    Assessment,
    Basis,
    ConsentFacts,
    ConsentStatus,
    Ending,
    Scope,
)
from fhirmsg.guidance.rule import Effect
from fhirmsg.guidance.terms import Match
from tests.builders import (
    BEN_KEYS,
    NOW,
    THEIRS,
    TODAY,
    a_child,
    a_grant,
    a_patient,
    a_permission,
    a_person,
    a_policy,
    a_proxy_case,
    born,
    days,
    deny,
    finding_of,
    instants,
    permit,
    unknown_code,
    untyped,
)

PARENTAL, BEST = Basis.PARENTAL_RESPONSIBILITY, Basis.BEST_INTERESTS
EXPLICIT, UNLISTED = Basis.EXPLICIT_CONSENT, Basis.UNLISTED
DAY, TICK = timedelta(days=1), timedelta(microseconds=1)
ABLE, UNABLE = Assessment(able=True, on=TODAY), Assessment(able=False, on=TODAY)
UNCLEAR = "The Consent that names the proxy "

NO_DIRECTION = UNCLEAR + "does not say whether it permits or excludes them."
NO_GROUND = "The Consent does not say, in a code that is understood, on what ground the proxy acts."
NOT_LISTED = (
    "The proxy acts on a ground that is real but is not one of the three the guidance lists, and "
    "the organisation's policy does not accept it."
)
REVIEW_DUE = (
    "The child has passed an age at which parental proxy access is to be reviewed, and no review "
    "since then is recorded."
)
HAS_CAPACITY = (
    "The proxy acts in place of somebody without capacity, and the patient is recorded as having "
    "it: ask the patient."
)
CAPACITY_OVER = (
    "The assessment of capacity behind the best-interests decision counted until a day that has "
    "passed. Have it made anew."
)
NOT_UNDERSTOOD = (
    "The proxy acts in place of somebody without capacity, and what is recorded of the patient's "
    "capacity is not understood."
)
NO_CAPACITY_RECORD = (
    "The proxy acts on a best-interests decision, and no dated assessment of the patient's "
    "capacity is recorded with it."
)
NOT_AN_ADULT = (
    "The proxy acts on a power of attorney, which only an adult can give, and the patient is not "
    "certainly 18."
)
NOT_COMPETENT = (
    "The consent is the patient's own, the patient may be under 16, and it is not plainly "
    "recorded that they were competent to give it."
)
COMPETENT = (
    "The child is, or may be, recorded as competent to decide, so parental responsibility does "
    "not stand alone: the child's own consent is needed."
)
ELSEWHERE = (
    "The grant was made by another organisation, and such a grant is not reusable without an "
    "arrangement."
)
ENDED = (
    "The grant is marked as in force, and its latest status reason says that the role ended "
    f"({Ending.HARMLESS.value})."
)
NO_END = "The grant has no end date, which is for exceptions alone. Agree on one."
ENDS_SOON = "The grant ends within 30 days. Decide in time whether it is to go on."
NOT_IN_LIST = "The grant lists what it covers, and messages are not in the list."
ACCESS_ONLY = (
    "The grant gives access to services; it does not say that messages may go to the proxy."
)
OTHER_PURPOSES = "The grant is limited to purposes that do not clearly include this one."
OTHER_CHANNELS = (
    "The grant is limited to channels or services that do not clearly include this message."
)
EXCEPTION = "The grant has an exception that may exclude this message."
NOT_SPELT_OUT = "The grant spells out what it permits, and this message is not clearly part of it."
TWO_STATUSES = "Two Consents carry one identifier and differ in status."
REJECTED = "A grant to the same person was rejected."
WITHDRAWN_AGAINST = f"A grant to the same person was withdrawn ({Ending.AGAINST.value})."
WITHDRAWN_SINCE = "A grant to the same person was withdrawn after this one was last changed."


def flaws(consent: ConsentFacts, *others: ConsentFacts, **case: Any) -> tuple[Flaw, ...]:
    grant = a_proxy_case(consent, *others, **case).grant
    assert grant is not None
    return grant.flaws


def said(consent: ConsentFacts, *others: ConsentFacts, **case: Any) -> list[tuple[str, str]]:
    """Give the code and sentence of each flaw of a grant."""
    return [(flaw.code, flaw.sentence) for flaw in flaws(consent, *others, **case)]


@pytest.mark.parametrize(
    ("consent", "code", "sentence"),
    [
        (
            a_grant(scope=Scope.UNKNOWN),
            "proxy.unclear",
            UNCLEAR + "has a scope that is not understood.",
        ),
        (
            a_grant(bases=frozenset({EXPLICIT, BEST}), capacity=UNABLE),
            "proxy.unclear",
            UNCLEAR + "gives several different grounds.",
        ),
        (a_grant(unverified=True), "proxy.unclear", UNCLEAR + "is marked as not verified."),
        (a_grant(root=replace(a_permission(), type=None)), "proxy.unclear", NO_DIRECTION),
        (a_grant(basis=Basis.UNKNOWN), "proxy.unknown-basis", NO_GROUND),
        (a_grant(basis=UNLISTED), "proxy.unlisted-basis", NOT_LISTED),
        (a_grant(basis=BEST, capacity=ABLE), "proxy.capacity", HAS_CAPACITY),
        (
            a_grant(basis=BEST, capacity=replace(UNABLE, until=TODAY - DAY)),
            "proxy.capacity",
            CAPACITY_OVER,
        ),
        (a_grant(basis=BEST), "proxy.capacity-unrecorded", NO_CAPACITY_RECORD),
        (
            a_grant(basis=BEST, capacity=Assessment()),
            "proxy.capacity",
            NOT_UNDERSTOOD,
        ),
        (
            a_grant(basis=BEST, capacity=Assessment(on=TODAY)),
            "proxy.capacity",
            NOT_UNDERSTOOD,
        ),
        (
            a_grant(basis=BEST, capacity=Assessment(able=False)),
            "proxy.capacity-unrecorded",
            NO_CAPACITY_RECORD,
        ),
        (a_grant(grantors=frozenset({THEIRS})), "proxy.other-organisation", ELSEWHERE),
        (a_grant(ended=Ending.HARMLESS), "proxy.conflict", ENDED),
        (a_grant(root=a_permission(period=days(date(2026, 1, 1)))), "proxy.no-end", NO_END),
        (a_grant(root=a_permission(period=None)), "proxy.no-end", NO_END),
        (
            a_grant(root=a_permission(period=instants(NOW, NOW + 30 * DAY))),
            "proxy.ends-soon",
            ENDS_SOON,
        ),
        (a_grant(root=a_permission(classes=(Match.UNKNOWN,))), "proxy.scope", NOT_IN_LIST),
        (a_grant(root=a_permission(classes=()), access_only=True), "proxy.scope", ACCESS_ONLY),
        (a_grant(root=a_permission(purposes=("HRESCH",))), "proxy.scope", OTHER_PURPOSES),
        (a_grant(root=a_permission(codes=(unknown_code(),))), "proxy.scope", OTHER_CHANNELS),
        (a_grant(deny(codes=(unknown_code(),))), "proxy.scope", EXCEPTION),
        (a_grant(permit(codes=(unknown_code(),))), "proxy.scope", NOT_SPELT_OUT),
    ],
)
def test_a_grant_says_what_speaks_against_it(
    consent: ConsentFacts, code: str, sentence: str
) -> None:
    assert said(consent) == [(code, sentence)]


def test_a_grant_without_a_provision_says_neither_direction_nor_end() -> None:
    bare = a_grant(root=untyped())
    assert said(replace(bare, root=None)) == [
        ("proxy.unclear", NO_DIRECTION),
        ("proxy.no-end", NO_END),
    ]


def test_the_sentence_of_a_flaw_is_that_of_the_finding() -> None:
    case = a_proxy_case(a_grant(unverified=True))
    assert finding_of(case, "proxy.unclear").sentence == UNCLEAR + "is marked as not verified."


# --- children ----------------------------------------------------------------------------------


def test_a_child_past_a_milestone_asks_for_a_review() -> None:
    parent = a_grant(basis=PARENTAL)
    fourteen = a_child(14)
    assert said(parent, patient=fourteen) == [("proxy.age-review", REVIEW_DUE)]
    assert said(parent, patient=a_child(12)) == []
    birthday = date(TODAY.year - 1, TODAY.month, TODAY.day)
    for reviewed in (birthday, TODAY):
        assert said(replace(parent, reviewed=reviewed), patient=fourteen) == []
    for reviewed in (birthday - DAY, TODAY + DAY):
        assert said(replace(parent, reviewed=reviewed), patient=fourteen) != []


def test_a_child_that_can_decide_decides() -> None:
    parent = a_grant(basis=PARENTAL)
    assert said(replace(parent, competence=ABLE), patient=a_child()) == [
        ("proxy.competence", COMPETENT)
    ]
    assert said(parent, patient=a_child(competence=ABLE)) == [("proxy.competence", COMPETENT)]
    assert said(replace(parent, competence=UNABLE), patient=a_child()) == []


def test_a_childs_own_consent_asks_for_competence() -> None:
    own, lacking = a_grant(), [("proxy.competence", NOT_COMPETENT)]
    assert said(own, patient=a_child(15)) == lacking
    assert said(own, patient=a_child(16)) == []
    assert said(replace(own, competence=ABLE), patient=a_child(15)) == []
    assert said(replace(own, competence=UNABLE), patient=a_child(15)) == lacking
    assert said(replace(own, competence=Assessment()), patient=a_child(15)) == lacking
    both = a_child(15, competence=UNABLE)
    assert said(replace(own, competence=ABLE), patient=both) == lacking
    nobody_knows = a_patient(born=replace(born(TODAY), latest=None))
    assert said(own, patient=nobody_knows) == lacking


def test_a_power_of_attorney_is_an_adults() -> None:
    policy = a_policy(accept_unlisted_bases=frozenset({"POWATT"}))
    power = a_grant(basis=UNLISTED, unlisted=frozenset({"POWATT"}))
    assert said(power, policy=policy, patient=a_child(17)) == [("proxy.capacity", NOT_AN_ADULT)]
    assert said(power, policy=policy, patient=a_child(18)) == []
    unknown = a_patient(born=replace(born(TODAY), earliest=None, latest=None))
    assert said(power, policy=policy, patient=unknown) == [("proxy.capacity", NOT_AN_ADULT)]
    other = replace(power, unlisted=frozenset({"other"}))
    accepts = a_policy(accept_unlisted_bases=frozenset({"other"}))
    assert said(other, policy=accepts, patient=a_child(17)) == []


# --- bounds and policy -------------------------------------------------------------------------


def test_an_assessment_counts_on_its_last_day() -> None:
    assert said(a_grant(basis=BEST, capacity=replace(UNABLE, until=TODAY))) == []
    assert said(a_grant(basis=BEST, capacity=UNABLE)) == []


def test_the_policy_can_hold_what_has_no_assessment() -> None:
    (flaw,) = flaws(a_grant(basis=BEST))
    assert flaw.weight(emergency=False) is Effect.WARN
    (flaw,) = flaws(a_grant(basis=BEST), policy=a_policy(require_capacity_record=True))
    assert flaw.weight(emergency=False) is Effect.HOLD
    assert flaw.weight(emergency=True) is Effect.NOTE


def test_a_grant_that_ends_later_than_in_thirty_days_is_not_spoken_of() -> None:
    root = a_permission(period=instants(NOW, NOW + 30 * DAY + TICK))
    assert said(a_grant(root=root)) == []


def test_the_policy_can_accept_access_roles() -> None:
    access = a_grant(root=a_permission(classes=()), access_only=True)
    assert said(access, policy=a_policy(accept_access_roles=True)) == []


def test_every_class_channel_and_permission_has_to_cover_the_message() -> None:
    one_of_two = a_permission(classes=(Match.UNKNOWN, Match.YES))
    assert said(a_grant(root=one_of_two)) == []
    assert said(a_grant(permit(codes=(unknown_code(),)), permit())) == []
    assert said(a_grant(root=a_permission(purposes=(None,)))) == [("proxy.scope", OTHER_PURPOSES)]
    assert said(a_grant(root=a_permission(purposes=(None, "PurposeOfUse")))) == []


# --- other Consents on the record --------------------------------------------------------------


def another(id: str = "other", **fields: Any) -> ConsentFacts:
    return a_grant(id=id, **fields)


def test_a_flaw_of_conflict_cites_the_other_consent() -> None:
    other = another(status=ConsentStatus.REJECTED)
    (flaw,) = flaws(a_grant(), other)
    assert (flaw.code, flaw.sentence, flaw.others) == ("proxy.conflict", REJECTED, (other.version,))


def test_two_consents_with_one_identifier_differ_in_status() -> None:
    grant = a_grant(identifiers=frozenset({"urn:x|1"}))
    twin = another(identifiers=grant.identifiers, status=ConsentStatus.INACTIVE, to=["Patient/x"])
    assert said(grant, twin) == [("proxy.conflict", TWO_STATUSES)]
    assert said(grant, replace(twin, status=ConsentStatus.ACTIVE)) == []
    assert said(grant, replace(twin, identifiers=frozenset({"urn:x|2"}))) == []


def test_a_grant_to_somebody_else_conflicts_with_nothing() -> None:
    assert said(a_grant(), another(status=ConsentStatus.REJECTED, to=["RelatedPerson/eve"])) == []


@pytest.mark.parametrize(
    ("ended", "sentence"),
    [
        (Ending.AGAINST, WITHDRAWN_AGAINST),
        (Ending.OTHER, WITHDRAWN_SINCE),
        (None, WITHDRAWN_SINCE),
        (Ending.HARMLESS, None),
    ],
)
def test_a_grant_that_was_withdrawn_since_conflicts(
    ended: Ending | None, sentence: str | None
) -> None:
    withdrawn = another(status=ConsentStatus.INACTIVE, ended=ended)
    version = replace(withdrawn.version, last_updated="2026-11-02T09:00:00+00:00")
    expected = [] if sentence is None else [("proxy.conflict", sentence)]
    assert said(a_grant(), replace(withdrawn, version=version)) == expected


@pytest.mark.parametrize(
    ("changed", "conflicts"),
    [
        ("2026-11-01T08:59:59+00:00", False),
        ("2026-11-01T09:00:00+00:00", False),
        ("2026-11-01T09:00:01+00:00", True),
        ("2026-11-01T09:00:01", True),
        ("some day", True),
        ("", True),
        (None, True),
    ],
)
def test_a_withdrawal_is_later_when_nobody_can_tell(changed: str | None, conflicts: bool) -> None:
    withdrawn = another(status=ConsentStatus.INACTIVE)
    version = replace(withdrawn.version, last_updated=changed)
    found = said(a_grant(), replace(withdrawn, version=version))
    assert found == ([("proxy.conflict", WITHDRAWN_SINCE)] if conflicts else [])


def test_a_grant_that_is_active_or_a_draft_conflicts_with_nothing() -> None:
    assert said(a_grant(), another(status=ConsentStatus.DRAFT)) == []
    assert said(a_grant(), another()) == []


def test_an_untyped_root_that_names_the_proxy_is_unclear() -> None:
    root = untyped(actors=(a_person(BEN_KEYS),), period=days(end=date(2027, 12, 31)))
    assert said(a_grant(root=root)) == [("proxy.unclear", NO_DIRECTION)]
