"""Which of several grants counts, to the proxy and to others at the same number."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from fhirmsg.guidance.case import Case, newest_versions
from fhirmsg.guidance.consents import Says
from fhirmsg.guidance.record import ConsentFacts, ConsentStatus, Ending, StandingReview
from fhirmsg.guidance.request import Acknowledgement
from fhirmsg.guidance.rule import Effect
from fhirmsg.guidance.terms import Channel, Match
from tests.builders import (
    AMARA_KEYS,
    BEN_KEYS,
    THEIRS,
    TODAY,
    a_case,
    a_consent,
    a_grant,
    a_mobile,
    a_neighbour,
    a_patient,
    a_permission,
    a_person,
    a_policy,
    a_proxy_case,
    an_objection,
    codes_of,
    days,
    deny,
    in_emergency,
    permit,
    reviewed,
    unknown_code,
    with_evidence,
)

SMS, EMAIL = Channel.SMS, Channel.EMAIL
LODGER = "RelatedPerson/lodger"
HERS = "+447700900101"


def used(case: Case) -> str:
    """Give the id of the grant that is used."""
    assert case.grant is not None
    return case.grant.consent.version.reference.partition("/")[2]


def a_standing(code: str) -> StandingReview:
    return StandingReview(
        code=code, by="Practitioner/guardian", role="Caldicott Guardian", at=TODAY
    )


def from_elsewhere(id: str, **fields: Any) -> ConsentFacts:
    """Give a grant by another organisation, which is held."""
    return a_grant(id=id, grantors=frozenset({THEIRS}), **fields)


def without_end(id: str, **fields: Any) -> ConsentFacts:
    """Give a grant without an end, of which is warned."""
    return a_grant(id=id, root=a_permission(period=days(date(2026, 1, 1))), **fields)


# --- the proxy's own ---------------------------------------------------------------------------


def test_a_warning_is_better_than_a_hold_and_nothing_better_than_a_warning() -> None:
    held, warned, plain = from_elsewhere("1"), without_end("2"), a_grant(id="3")
    assert used(a_proxy_case(held, warned)) == "2"
    assert used(a_proxy_case(held, warned, plain)) == "3"


def test_a_flaw_that_a_review_lifted_weighs_as_a_warning() -> None:
    standing = (a_standing("proxy.other-organisation"),)
    lifted = from_elsewhere("1", standing_reviews=standing)
    assert used(a_proxy_case(lifted, from_elsewhere("0"))) == "1"
    assert used(a_proxy_case(lifted, without_end("2"))) == "1"
    assert (
        used(a_proxy_case(replace(lifted, version=a_grant(id="3").version), without_end("2")))
        == "2"
    )
    assert used(a_proxy_case(lifted, a_grant(id="2"))) == "2"


def test_a_review_of_another_finding_lifts_no_flaw() -> None:
    other = from_elsewhere("1", standing_reviews=(a_standing("proxy.scope"),))
    assert used(a_proxy_case(other, from_elsewhere("0"))) == "0"


def test_in_an_emergency_the_emergency_effects_weigh() -> None:
    case = a_proxy_case(unclear("0"), from_elsewhere("1"))
    assert used(case) == "0"
    assert used(in_emergency(case)) == "1"


def test_a_policy_that_narrows_who_reviews_narrows_standing_reviews_too() -> None:
    lifted = from_elsewhere("1", standing_reviews=(a_standing("proxy.other-organisation"),))
    policy = a_policy(review_by_code={"proxy.other-organisation": frozenset({"IG lead"})})
    assert used(a_proxy_case(lifted, from_elsewhere("0"))) == "1"
    assert used(a_proxy_case(lifted, from_elsewhere("0"), policy=policy)) == "0"


def test_a_standing_review_counts_from_its_day_on() -> None:
    tomorrow = replace(a_standing("proxy.other-organisation"), at=TODAY + timedelta(days=1))
    coming = from_elsewhere("1", standing_reviews=(tomorrow,))
    assert used(a_proxy_case(coming, from_elsewhere("0"))) == "0"


def test_a_review_beside_the_request_lifts_the_flaw_of_the_grant_it_cites() -> None:
    alone = a_proxy_case(from_elsewhere("1"))
    given = reviewed(alone, "proxy.other-organisation").request.evidence.reviews
    both = a_proxy_case(from_elsewhere("0"), from_elsewhere("1"))
    assert used(both) == "0"
    assert used(with_evidence(both, reviews=given)) == "1"


def unclear(id: str, version: str = "1") -> ConsentFacts:
    return a_grant(id=id, version=version, unverified=True)


def test_an_acknowledgement_lifts_a_flaw_that_can_be_acknowledged_in_an_emergency() -> None:
    seen = Acknowledgement(code="proxy.unclear", reference="Consent/1", version_id="1")
    both = a_proxy_case(unclear("0"), unclear("1"))
    assert used(both) == "0"
    assert used(in_emergency(both, seen)) == "1"
    assert used(with_evidence(both, acknowledged=(seen,))) == "0"


@pytest.mark.parametrize(
    "seen",
    [
        Acknowledgement(code="proxy.unclear", reference="Consent/1", version_id="2"),
        Acknowledgement(code="proxy.scope", reference="Consent/1", version_id="1"),
        Acknowledgement(reference="Consent/1", version_id="1"),
        Acknowledgement(code="proxy.unclear", reference="Consent/1"),
        Acknowledgement(code="proxy.unclear", version_id="1"),
    ],
)
def test_an_acknowledgement_of_something_else_lifts_nothing(seen: Acknowledgement) -> None:
    both = a_proxy_case(unclear("0"), unclear("1"))
    assert used(in_emergency(both, seen)) == "0"


# --- those of others at the number -------------------------------------------------------------


def shared(*consents: ConsentFacts) -> Case:
    return a_case(neighbours=(a_neighbour(HERS),), consents=consents)


def is_authorised(*consents: ConsentFacts, case: Case | None = None) -> bool:
    return not (case or shared(*consents)).reach.unauthorised_there


def test_somebody_with_a_grant_of_their_own_is_authorised() -> None:
    assert is_authorised(a_grant(to=[LODGER]))
    assert not is_authorised(a_grant(to=BEN_KEYS))
    assert not is_authorised()


def test_somebody_who_is_nobody_to_the_patient_is_never_authorised() -> None:
    grant = a_grant(to=[LODGER])
    for related in (frozenset(), frozenset({"Patient/other"})):
        neighbour = a_neighbour(HERS, related_to=related)
        assert not is_authorised(case=a_case(neighbours=(neighbour,), consents=(grant,)))


def test_a_held_grant_authorises_nobody_and_a_lowered_one_does() -> None:
    case = shared(from_elsewhere("1", to=[LODGER]))
    assert not is_authorised(case=case)
    assert is_authorised(case=in_emergency(case))


def test_a_grant_for_emergencies_authorises_in_one() -> None:
    case = shared(a_grant(to=[LODGER], root=a_permission(to=[LODGER], purposes=("ETREAT",))))
    assert not is_authorised(case=case)
    assert is_authorised(case=in_emergency(case))


def test_a_grant_that_denies_but_in_emergencies_bars_the_number_even_in_one() -> None:
    case = shared(a_grant(deny(permit(purposes=("ETREAT",))), to=[LODGER]))
    for each in (case, in_emergency(case)):
        assert codes_of(each) == {"contact.excluded"}
        assert each.contact_point is None


def test_a_grant_that_was_withdrawn_from_somebody_conflicts_with_their_own() -> None:
    withdrawn = a_grant(
        id="withdrawn", to=[LODGER], status=ConsentStatus.INACTIVE, ended=Ending.AGAINST
    )
    assert is_authorised(a_grant(to=[LODGER]))
    assert not is_authorised(a_grant(to=[LODGER]), withdrawn)
    of_another = replace(withdrawn, grantees=BEN_KEYS)
    assert is_authorised(a_grant(to=[LODGER]), of_another)


def test_a_nested_denial_names_somebody_by_every_name_they_have() -> None:
    number = "https://fhir.nhs.uk/Id/nhs-number|9990000034"
    neighbours = (
        a_neighbour(HERS),
        a_neighbour(id="RelatedPerson/again", keys=frozenset({"RelatedPerson/again", number})),
    )
    same = (replace(neighbours[0], keys=frozenset({LODGER, number})), neighbours[1])
    grant = a_grant(deny(actors=(a_person(["RelatedPerson/again"]),)), to=[LODGER])
    apart = a_case(neighbours=neighbours, consents=(grant,))
    assert is_authorised(case=apart)
    assert apart.contact_point is not None
    assert a_case(neighbours=same, consents=(grant,)).contact_point is None


# --- channels that are objected to -------------------------------------------------------------


def test_an_objection_to_a_channel_is_asked_of_the_one_who_receives() -> None:
    patients = a_case(consents=(an_objection(EMAIL),))
    assert patients.objects_to(EMAIL)
    assert not patients.objects_to(SMS)
    to_ben = a_proxy_case(a_grant(), an_objection(EMAIL))
    assert not to_ben.objects_to(EMAIL)
    bens = a_proxy_case(a_grant(), own_consents=(an_objection(EMAIL),))
    assert bens.objects_to(EMAIL)
    assert not bens.objects_to(SMS)


def test_an_objection_that_names_the_one_who_objects_covers_them() -> None:
    named = an_objection(root=deny(on=[EMAIL], actors=(a_person(AMARA_KEYS),)))
    assert a_case(consents=(named,)).objects_to(EMAIL)
    bens = an_objection(root=deny(on=[EMAIL], actors=(a_person(BEN_KEYS),)))
    assert a_proxy_case(a_grant(), own_consents=(bens,)).objects_to(EMAIL)
    assert not a_proxy_case(a_grant(), own_consents=(named,)).objects_to(EMAIL)


# --- versions ----------------------------------------------------------------------------------


def test_a_version_number_comes_after_none_and_after_words() -> None:
    first = a_consent(version="0")
    for other in (None, "W/abc", ""):
        undated = replace(first.version, version_id=other, last_updated="2027-01-01T00:00:00Z")
        consents = [first, replace(first, version=undated)]
        assert newest_versions(consents) == newest_versions(consents[::-1]) == (first,)


def test_of_one_version_the_later_change_counts() -> None:
    old = a_consent()
    new = replace(old, version=replace(old.version, last_updated="2026-11-02T09:00:00Z"))
    undated = replace(old, version=replace(old.version, last_updated=None))
    assert newest_versions([new, old, undated]) == (new,)
    assert newest_versions([undated, old]) == (old,)


def test_an_objection_for_which_an_emergency_is_an_exception_does_not_count_in_one() -> None:
    case = a_case(consents=(an_objection(root=deny(permit(purposes=("ETREAT",)))),))
    assert [each.says for each in case.readings] == [Says.ACTIVE]
    assert in_emergency(case).readings == ()
    assert "objection.active" in codes_of(case)


def test_a_scope_that_names_messages_only_perhaps_is_a_hold() -> None:
    perhaps = a_grant(id="1", root=a_permission(classes=(Match.UNKNOWN,)))
    case = a_proxy_case(perhaps)
    assert case.grant is not None
    assert case.grant.effect(emergency=False) is Effect.HOLD
    assert case.grant.effect(emergency=True) is Effect.WARN


def test_an_exception_for_emergencies_may_leave_an_objection_unclear() -> None:
    root = deny(permit(purposes=("ETREAT",)), deny(codes=(unknown_code(),)))
    case = a_case(consents=(an_objection(root=root),))
    assert [each.says for each in case.readings] == [Says.ACTIVE]
    assert [each.says for each in in_emergency(case).readings] == [Says.UNCLEAR]


def test_an_emergency_asks_of_the_same_channels_and_the_same_people() -> None:
    assert in_emergency(a_case(consents=(an_objection(EMAIL),))).objects_to(EMAIL)
    named = an_objection(root=deny(on=[EMAIL], actors=(a_person(AMARA_KEYS),)))
    assert in_emergency(a_case(consents=(named,))).objects_to(EMAIL)


def test_an_objection_may_name_an_earlier_record_of_the_patient() -> None:
    old = frozenset({"Patient/old"})
    named = an_objection(root=deny(on=[EMAIL], actors=(a_person(old),)))
    assert a_case(consents=(named,), linked_keys=old).objects_to(EMAIL)
    assert not a_case(consents=(named,)).objects_to(EMAIL)


def test_a_channel_is_open_where_a_contact_point_may_be_used_now() -> None:
    ended = a_mobile(period=days(end=date(2026, 1, 1)))
    assert not a_case(patient=a_patient(contact_points=(ended,))).reach.is_there(SMS)
    current = a_mobile(period=days(start=date(2026, 1, 1)))
    patient = a_patient(contact_points=(current,))
    assert a_case(patient=patient).reach.is_there(SMS)
    assert not a_case(patient=patient).reach.is_there(EMAIL)
    denial = a_consent(root=deny(actors=(a_person([LODGER]),)))
    excluded = a_case(patient=patient, neighbours=(a_neighbour(HERS),), consents=(denial,))
    assert not excluded.reach.is_there(SMS)
