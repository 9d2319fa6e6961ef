"""What a Consent says beside the plain reading: later, at another time, altered, elsewhere."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from fhirmsg.guidance.consents import (
    Denied,
    Kind,
    Reading,
    Says,
    answer_of,
    belongs_elsewhere,
    denial_by_name,
    is_altered,
    kinds_of,
    permits,
    read_objection,
    would_deny,
)
from fhirmsg.guidance.provisions import (
    Actor,
    ActorKind,
    Answer,
    Direction,
    Query,
)
from fhirmsg.guidance.record import ConsentFacts, ConsentStatus, OrganisationRef
from fhirmsg.guidance.terms import Channel, Match
from tests.builders import (
    AMARA_KEYS,
    BEN_KEYS,
    NOW,
    OURS,
    THEIRS,
    a_case,
    a_consent,
    a_person,
    a_proxy_case,
    an_objection,
    an_organisation,
    channel_code,
    codes_of,
    deny,
    instants,
    made_to,
    permit,
    unknown_code,
    untyped,
)

SMS, EMAIL = Channel.SMS, Channel.EMAIL
DAY = timedelta(days=1)
ABOUT_MESSAGES = frozenset({Kind.OBJECTION})


def queries(channel: Channel = SMS) -> tuple[Query, ...]:
    return a_case().queries(AMARA_KEYS, (channel,))


# --- permitted after it was objected to --------------------------------------------------------


def shows_a_conflict(
    signed: datetime | None, objected: datetime | None = NOW - 2 * DAY, **fields: Any
) -> bool:
    """Tell whether a permission is shown beside an objection to texts."""
    objection = an_objection(SMS, signed=objected)
    later = an_objection(**{"id": "later", "signed": signed, "root": permit(on=[SMS]), **fields})
    return "objection.conflict" in codes_of(a_case(consents=(objection, later)))


def test_a_permission_signed_after_the_objection_is_shown() -> None:
    assert shows_a_conflict(NOW - DAY)


@pytest.mark.parametrize("signed", [NOW - 3 * DAY, NOW - 2 * DAY])
def test_a_permission_signed_before_or_with_the_objection_is_not(signed: datetime) -> None:
    assert not shows_a_conflict(signed)


def test_where_a_date_is_missing_the_permission_may_be_later() -> None:
    assert shows_a_conflict(None)
    assert shows_a_conflict(NOW - DAY, None)
    assert shows_a_conflict(None, None)


def test_only_a_permission_in_force_of_the_same_channel_is_shown() -> None:
    assert not shows_a_conflict(NOW - DAY, status=ConsentStatus.INACTIVE)
    assert not shows_a_conflict(NOW - DAY, root=permit(on=[EMAIL]))
    assert not shows_a_conflict(NOW - DAY, root=deny(on=[SMS]))


def test_a_consent_about_messages_in_force_permits_what_it_says() -> None:
    (query,) = queries()
    permission = an_objection(root=permit(on=[SMS]))
    assert permits(permission, ABOUT_MESSAGES, query)
    assert not permits(permission, frozenset({Kind.OTHER}), query)
    assert not permits(replace(permission, status=ConsentStatus.INACTIVE), ABOUT_MESSAGES, query)
    assert not permits(an_objection(SMS), ABOUT_MESSAGES, query)


# --- at another time ---------------------------------------------------------------------------


def test_an_objection_would_deny_what_it_covers_at_that_time() -> None:
    root = deny(on=[SMS], period=instants(NOW + DAY, NOW + 2 * DAY))
    later = an_objection(root=root)
    assert would_deny(later, ABOUT_MESSAGES, queries(), NOW + DAY)
    assert not would_deny(later, ABOUT_MESSAGES, queries(), NOW)
    assert not would_deny(later, ABOUT_MESSAGES, queries(EMAIL), NOW + DAY)


def test_what_is_no_objection_or_not_in_force_would_deny_nothing() -> None:
    plain = an_objection(SMS)
    assert would_deny(plain, ABOUT_MESSAGES, queries(), NOW)
    assert not would_deny(plain, frozenset({Kind.OTHER}), queries(), NOW)
    inactive = replace(plain, status=ConsentStatus.INACTIVE)
    assert not would_deny(inactive, ABOUT_MESSAGES, queries(), NOW)


# --- altered -----------------------------------------------------------------------------------


def test_an_alteration_is_seen_wherever_it_stands() -> None:
    assert is_altered(a_consent(altered=True))
    assert is_altered(a_consent(altered=True, root=deny(permit())))
    assert is_altered(a_consent(root=deny(altered=True)))
    assert is_altered(a_consent(root=deny(permit(), altered=True)))
    assert is_altered(a_consent(root=deny(permit(deny(altered=True)))))


def test_a_consent_that_nothing_alters_is_not_altered() -> None:
    assert not is_altered(a_consent())
    assert not is_altered(a_consent(root=deny()))
    assert not is_altered(a_consent(root=deny(permit(deny()))))


# --- elsewhere ---------------------------------------------------------------------------------

US = frozenset({OURS})


def test_a_consent_belongs_elsewhere_when_all_it_names_are_others() -> None:
    assert belongs_elsewhere(an_objection(organisations=made_to(THEIRS)), US)
    named = a_consent(root=deny(actors=(an_organisation(THEIRS),)))
    assert belongs_elsewhere(named, US)
    assert not belongs_elsewhere(a_consent(root=deny(actors=(an_organisation(OURS),))), US)
    beside = replace(named, organisations=made_to(OURS))
    assert not belongs_elsewhere(beside, US)


def test_a_consent_that_names_nobody_belongs_here() -> None:
    assert not belongs_elsewhere(a_consent(), US)
    assert not belongs_elsewhere(a_consent(root=deny()), US)
    assert not belongs_elsewhere(a_consent(root=deny(actors=(a_person(AMARA_KEYS),))), US)


def test_an_organisation_that_cannot_be_resolved_may_be_ours() -> None:
    assert not belongs_elsewhere(an_objection(organisations=(OrganisationRef(),)), US)


# --- the answer of a whole Consent -------------------------------------------------------------


def test_an_untyped_root_has_the_direction_of_its_policy() -> None:
    (query,) = queries()
    assert (
        answer_of(a_consent(root=untyped(), policy_direction=Direction.DENY), query) is Answer.DENY
    )
    permitted = a_consent(root=untyped(), policy_direction=Direction.PERMIT)
    assert answer_of(permitted, query) is Answer.PERMIT
    assert answer_of(a_consent(root=untyped()), query) is Answer.CANNOT_EXCLUDE_DENIAL


# --- permitted on another channel alone --------------------------------------------------------


def says(consent: ConsentFacts) -> list[Says]:
    return [reading.says for reading in a_case(consents=(consent,)).readings]


def test_a_permission_without_a_channel_leaves_none_unclear() -> None:
    assert says(an_objection(root=permit())) == []


def test_a_permission_for_another_channel_that_is_ending_still_leaves_this_one_unclear() -> None:
    # Seen as a denial it is in force: two clocks differ.
    just_over = instants(NOW - DAY, NOW - timedelta(minutes=5))
    period = replace(just_over, timed_start=True, timed_end=True)
    assert says(an_objection(root=permit(on=[EMAIL], period=period))) == [Says.UNCLEAR]


def test_a_declined_channel_under_a_permission_is_no_permission_of_another() -> None:
    consent = an_objection(root=permit(on=[EMAIL]), declines=True)
    assert says(consent) == []


# --- what a Consent without a subject is -------------------------------------------------------


def test_a_class_that_is_understood_beside_a_code_that_is_not_gives_a_subject() -> None:
    root = deny(classes=(Match.NO,), codes=(unknown_code(),))
    assert kinds_of(a_consent(root=root), AMARA_KEYS) == {Kind.OTHER}


def test_a_code_that_is_understood_beside_a_class_that_is_not_gives_a_subject() -> None:
    root = permit(classes=(Match.UNKNOWN,), codes=(channel_code(SMS),))
    assert kinds_of(a_consent(root=root), AMARA_KEYS) == {Kind.OTHER}


def test_what_is_unclear_and_denies_nothing_here_says_nothing() -> None:
    over = deny(codes=(unknown_code(),), period=instants(NOW - 2 * DAY, NOW - DAY))
    consent = a_consent(root=over)
    assert Kind.UNCLEAR in kinds_of(consent, AMARA_KEYS)
    assert says(consent) == []


# --- untyped roots under a policy --------------------------------------------------------------


def test_a_mark_on_an_untyped_root_that_a_policy_permits_makes_no_objection() -> None:
    root = untyped(classes=(Match.YES,))
    permitted = a_consent(root=root, policy_direction=Direction.PERMIT)
    assert Kind.OBJECTION not in kinds_of(permitted, AMARA_KEYS)
    assert Kind.OBJECTION in kinds_of(a_consent(root=root), AMARA_KEYS)


def test_an_exception_from_a_denial_by_policy_counts_and_one_from_an_opt_in_does_not() -> None:
    root = untyped(permit())
    assert says(a_consent(root=root, policy_direction=Direction.DENY)) == []
    assert says(a_consent(root=root, policy_direction=Direction.PERMIT)) == [Says.UNCLEAR]
    assert says(a_consent(root=untyped(), policy_direction=Direction.DENY)) == [Says.UNCLEAR]


def test_a_proposed_objection_is_pending_even_without_a_direction() -> None:
    proposed = an_objection(root=untyped(), status=ConsentStatus.PROPOSED)
    assert says(proposed) == [Says.PENDING]


# --- several channels --------------------------------------------------------------------------


def reading_on_two(consent: ConsentFacts) -> Reading | None:
    """Read a Consent for a text whose supplier may turn to email."""
    return read_objection(consent, ABOUT_MESSAGES, (*queries(SMS), *queries(EMAIL)))


def test_of_two_channels_the_worse_counts_whichever_comes_first() -> None:
    unclear = deny(codes=(unknown_code(),))
    for sure, unsure in ((SMS, EMAIL), (EMAIL, SMS)):
        mixed = an_objection(
            root=permit(
                deny(on=[sure]),
                deny(codes=(replace(channel_code(), may_cover=frozenset({unsure})),)),
            )
        )
        reading = reading_on_two(mixed)
        assert reading is not None
        assert (reading.says, reading.channel) == (Says.ACTIVE, sure)
    assert reading_on_two(an_objection(root=unclear)) is not None


def test_of_two_channels_alike_the_first_is_named() -> None:
    reading = reading_on_two(an_objection())
    assert reading is not None
    assert reading.channel is SMS
    only_first = reading_on_two(an_objection(SMS))
    assert only_first is not None
    assert only_first.channel is SMS


# --- people named in a denial ------------------------------------------------------------------


def denied(consent: ConsentFacts) -> Denied | None:
    """Tell whether a Consent that names Ben denies him a text."""
    return denial_by_name(consent, a_case().queries(BEN_KEYS, (SMS,)))


def test_a_consent_without_a_provision_names_nobody() -> None:
    assert denied(a_consent()) is None
    assert a_proxy_case(a_consent()).denials == ()


def test_a_root_without_a_type_denies_by_its_policy() -> None:
    ben = (a_person(BEN_KEYS),)
    assert (
        denied(a_consent(root=untyped(actors=ben), policy_direction=Direction.DENY)) is Denied.YES
    )
    assert denied(a_consent(root=untyped(actors=ben), policy_direction=Direction.PERMIT)) is None
    odd = untyped(actors=ben, unknown_type=True)
    assert denied(a_consent(root=odd, policy_direction=Direction.DENY)) is None


def test_a_denial_of_somebody_unnamed_is_not_one_by_name() -> None:
    assert denied(a_consent(root=deny(actors=(Actor(kind=ActorKind.OTHER),)))) is None
    assert denied(a_consent(root=deny(actors=(a_person(BEN_KEYS),)))) is Denied.YES


def test_a_denial_inside_a_provision_that_is_just_over_still_counts() -> None:
    period = replace(
        instants(NOW - DAY, NOW - timedelta(minutes=5)), timed_start=True, timed_end=True
    )
    inner = deny(actors=(a_person(BEN_KEYS),))
    assert denied(a_consent(root=permit(inner, period=period))) is Denied.YES
    long_over = replace(period, end=NOW - timedelta(minutes=11))
    assert denied(a_consent(root=permit(inner, period=long_over))) is None
