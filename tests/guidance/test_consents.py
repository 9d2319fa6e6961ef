"""What a Consent is, and what it says about one message."""

from __future__ import annotations

from datetime import timedelta

import pytest

from fhirmsg.guidance.consents import Kind, Says, kinds_of
from fhirmsg.guidance.provisions import Actor, ActorKind, Direction, Provision
from fhirmsg.guidance.record import ConsentFacts, ConsentStatus, OrganisationRef, Scope
from fhirmsg.guidance.terms import Channel, Match
from tests.builders import (
    AMARA_KEYS,
    BEN_KEYS,
    NOW,
    OURS,
    THEIRS,
    a_case,
    a_consent,
    a_grant,
    a_person,
    a_proxy_case,
    an_objection,
    an_organisation,
    bens_own_record,
    channel_code,
    deny,
    instants,
    made_to,
    permit,
    unknown_code,
    untyped,
)

SMS, EMAIL = Channel.SMS, Channel.EMAIL


def kinds(consent: ConsentFacts) -> set[Kind]:
    return set(kinds_of(consent, AMARA_KEYS))


def says(*consents: ConsentFacts) -> list[Says]:
    """Give what Consents on the record say about a text to the patient."""
    return [reading.says for reading in a_case(consents=consents).readings]


def says_to_proxy(*consents: ConsentFacts) -> list[Says]:
    return [reading.says for reading in a_proxy_case(*consents).readings]


# --- what a Consent is -------------------------------------------------------------------------


def test_a_permission_for_another_person_is_a_grant() -> None:
    assert kinds(a_grant()) == {Kind.GRANT}


def test_an_untyped_root_for_another_person_is_a_grant_too() -> None:
    assert kinds(a_grant(root=untyped(actors=(a_person(BEN_KEYS),)))) == {Kind.GRANT}


def test_a_grant_stays_a_grant_whatever_is_nested_in_it() -> None:
    inner = deny(classes=(Match.YES,), actors=(a_person(["RelatedPerson/eve"]),))
    assert kinds(a_grant(inner)) == {Kind.GRANT}


def test_research_treatment_and_advance_directives_are_no_grants() -> None:
    root = permit(actors=(a_person(BEN_KEYS),))
    assert kinds(a_grant(scope=Scope.OTHER, root=root)) == {Kind.OTHER}


def test_a_denial_that_names_another_person_is_a_denial_of_that_person() -> None:
    root = deny(actors=(a_person(BEN_KEYS),), classes=(Match.YES,))
    assert kinds(a_consent(root=root, scope=Scope.OTHER)) == {Kind.DENIAL_OF_PERSON}


def test_a_denial_that_names_the_patient_beside_another_is_not_one_of_a_person() -> None:
    root = deny(actors=(a_person(BEN_KEYS), a_person(AMARA_KEYS)), classes=(Match.YES,))
    assert kinds(a_consent(root=root)) == {Kind.OBJECTION}


def test_a_nested_actor_never_makes_a_denial_of_a_person() -> None:
    root = deny(permit(actors=(a_person(BEN_KEYS),)))
    assert Kind.DENIAL_OF_PERSON not in kinds(a_consent(root=root))


@pytest.mark.parametrize("root", [deny(classes=(Match.YES,)), deny(on=[SMS])])
def test_a_mark_of_messages_on_a_denying_node_makes_an_objection(root: Provision) -> None:
    assert kinds(a_consent(root=root, scope=Scope.OTHER)) == {Kind.OBJECTION}


def test_a_mark_of_messages_on_a_nested_denial_makes_an_objection() -> None:
    assert kinds(a_consent(root=permit(deny(on=[SMS])))) == {Kind.OBJECTION}


def test_a_mark_of_messages_on_a_permission_makes_none() -> None:
    assert kinds(a_consent(root=permit(on=[SMS]), policy_rule=True)) == {Kind.OTHER}


def test_a_mark_on_the_consent_itself_makes_an_objection_whatever_its_scope() -> None:
    assert kinds(an_objection(scope=Scope.OTHER, other_category=True)) == {Kind.OBJECTION}


def test_a_disclosure_denial_is_no_objection_and_stays_beside_one() -> None:
    assert kinds(a_consent(root=deny(), disclosure=True)) == {Kind.DENIAL_OF_DISCLOSURE}
    both = an_objection(root=deny(), disclosure=True)
    assert kinds(both) == {Kind.OBJECTION, Kind.DENIAL_OF_DISCLOSURE}


def test_a_bare_denial_is_one_of_disclosure_and_unclear_to_the_patient() -> None:
    assert kinds(a_consent(root=deny())) == {Kind.DENIAL_OF_DISCLOSURE, Kind.UNCLEAR}
    opted_out = a_consent(policy_direction=Direction.DENY, policy_rule=True)
    assert kinds(opted_out) == {Kind.DENIAL_OF_DISCLOSURE, Kind.UNCLEAR}


def test_a_denial_under_another_category_or_scope_is_about_something_else() -> None:
    assert kinds(a_consent(root=deny(), other_category=True)) == {Kind.OTHER}
    assert kinds(a_consent(root=deny(), scope=Scope.OTHER)) == {Kind.OTHER}


def test_a_denial_narrowed_to_staff_or_to_data_is_about_something_else() -> None:
    clinician = Actor(kind=ActorKind.STAFF, keys=frozenset({"Practitioner/1"}))
    assert kinds(a_consent(root=deny(actors=(clinician,)))) == {Kind.OTHER}
    assert Kind.UNCLEAR not in kinds(a_consent(root=deny(data=True)))


def test_an_untyped_root_that_says_nothing_is_unclear() -> None:
    assert kinds(a_consent(root=untyped())) == {Kind.UNCLEAR}
    opted_in = a_consent(root=untyped(), policy_direction=Direction.PERMIT, policy_rule=True)
    assert kinds(opted_in) == {Kind.UNCLEAR}


def test_a_consent_without_a_provision_or_a_rule_says_nothing() -> None:
    assert kinds(a_consent()) == {Kind.OTHER}
    assert kinds(a_consent(policy_direction=Direction.PERMIT, policy_rule=True)) == {Kind.OTHER}


@pytest.mark.parametrize("root", [untyped(classes=(Match.YES,)), untyped(on=[SMS])])
def test_a_mark_of_messages_on_an_untyped_root_makes_an_unclear_objection(root: Provision) -> None:
    assert says(a_consent(root=root)) == [Says.UNCLEAR]


@pytest.mark.parametrize("root", [deny(codes=(unknown_code(),)), deny(classes=(Match.UNKNOWN,))])
def test_a_denial_of_something_not_understood_is_unclear(root: Provision) -> None:
    assert says(a_consent(root=root)) == [Says.UNCLEAR]


def test_a_denial_that_names_the_patient_and_nothing_else_is_unclear() -> None:
    assert says(a_consent(root=deny(actors=(a_person(AMARA_KEYS),)))) == [Says.UNCLEAR]


def test_a_denial_of_another_kind_of_record_is_no_objection() -> None:
    assert says(a_consent(root=deny(classes=(Match.NO,)))) == []


def test_a_consent_that_says_declined_is_no_grant_even_where_its_root_permits() -> None:
    declined = a_grant(message_marker=True, declines=True, root=permit(on=[SMS]))
    assert says(declined) == [Says.ACTIVE]


def test_an_objection_that_names_an_earlier_record_of_the_patient_is_the_patients_own() -> None:
    earlier = frozenset({"Patient/amara-before"})
    objection = an_objection(root=deny(actors=(a_person(earlier),)))
    case = a_case(consents=(objection,), linked_keys=earlier)
    assert [reading.says for reading in case.readings] == [Says.ACTIVE]


# --- what it says, by status -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (ConsentStatus.ACTIVE, [Says.ACTIVE]),
        (ConsentStatus.DRAFT, [Says.PENDING]),
        (ConsentStatus.PROPOSED, [Says.PENDING]),
        (ConsentStatus.INACTIVE, []),
        (ConsentStatus.REJECTED, []),
        (ConsentStatus.ENTERED_IN_ERROR, []),
        (ConsentStatus.UNKNOWN, [Says.UNCLEAR]),
    ],
)
def test_an_objection_counts_by_its_status(status: ConsentStatus, expected: list[Says]) -> None:
    assert says(an_objection(SMS, status=status)) == expected


def test_a_refusal_of_texts_stored_as_inactive_is_unclear() -> None:
    refused = an_objection(SMS, status=ConsentStatus.INACTIVE, text_permission=True)
    permitted = an_objection(
        status=ConsentStatus.INACTIVE, text_permission=True, root=permit(on=[SMS])
    )
    assert says(refused) == [Says.UNCLEAR]
    assert says(permitted) == []


def test_a_proposed_denial_without_a_mark_is_pending_and_a_proposed_untyped_one_is_not() -> None:
    assert says(a_consent(root=deny(), status=ConsentStatus.PROPOSED)) == [Says.PENDING]
    assert says(a_consent(root=untyped(), status=ConsentStatus.PROPOSED)) == []


# --- what it says, by content ------------------------------------------------------------------


def test_an_objection_to_another_channel_says_nothing() -> None:
    assert says(an_objection(EMAIL)) == []


def test_an_objection_to_every_message_covers_every_channel() -> None:
    assert says(an_objection()) == [Says.ACTIVE]


def test_a_declined_code_under_a_permission_counts_as_the_denial_it_names() -> None:
    assert says(an_objection(root=permit(on=[SMS]), declines=True)) == [Says.ACTIVE]


def test_a_marked_consent_without_a_direction_is_unclear() -> None:
    assert says(an_objection(root=untyped(on=[SMS]))) == [Says.UNCLEAR]
    assert says(an_objection(root=untyped(on=[EMAIL]))) == []


def test_a_permission_for_one_channel_leaves_another_unclear() -> None:
    assert says(an_objection(root=permit(on=[EMAIL]))) == [Says.UNCLEAR]
    assert says(an_objection(root=permit(on=[SMS, EMAIL]))) == []


def test_a_permission_for_results_by_text_is_not_one_for_another_channel() -> None:
    results = channel_code(SMS)
    results = type(results)(covers_results=frozenset({SMS}), understood=True)
    assert says(an_objection(root=permit(codes=(results,)))) == []


def test_an_ended_permission_for_another_channel_says_nothing() -> None:
    ended = instants(end=NOW - timedelta(days=1))
    assert says(an_objection(root=permit(on=[EMAIL], period=ended))) == []


def test_a_safety_reason_counts_in_doubt_too() -> None:
    assert says(an_objection(SMS, safety=True)) == [Says.SAFETY]
    vague = an_objection(root=deny(codes=(unknown_code(),)), safety=True)
    assert says(vague) == [Says.SAFETY]


def test_a_safety_restriction_by_a_relative_waits_for_the_patients_word() -> None:
    by_relative = an_objection(SMS, safety=True, performer_related=True)
    confirmed = an_objection(SMS, safety=True, performer_related=True, confirmed_with_patient=True)
    assert says(by_relative) == [Says.SAFETY_BY_PROXY]
    assert says(confirmed) == [Says.SAFETY]


def test_the_worst_of_the_reachable_channels_counts() -> None:
    partly = an_objection(root=deny(permit(on=[EMAIL])))
    assert says(partly) == [Says.ACTIVE]


def test_every_objection_has_its_own_reading() -> None:
    assert says(an_objection(id="1"), an_objection(id="2")) == [Says.ACTIVE, Says.ACTIVE]


def _bottomless(levels: int = 3000) -> Provision:
    node = deny()
    for _ in range(levels):
        node = deny(node)
    return node


def test_a_tree_too_deep_to_read_is_unclear_and_breaks_nothing() -> None:
    assert says(an_objection(root=_bottomless())) == [Says.UNCLEAR]
    assert says(a_consent(root=_bottomless())) == [Says.UNCLEAR]


def test_a_safety_restriction_too_large_to_read_still_protects() -> None:
    assert says(an_objection(root=_bottomless(), safety=True)) == [Says.SAFETY]


# --- organisations -----------------------------------------------------------------------------


def test_an_objection_to_other_organisations_alone_is_not_one_to_us() -> None:
    assert says(an_objection(organisations=made_to(THEIRS))) == [Says.OTHER_ORGANISATION]
    by_actor = an_objection(root=deny(actors=(an_organisation(THEIRS),)))
    assert says(by_actor) == [Says.OTHER_ORGANISATION]


def test_an_organisation_that_is_not_known_counts_as_ours() -> None:
    assert says(an_objection(organisations=(OrganisationRef(),))) == [Says.ACTIVE]
    assert says(an_objection(root=deny(actors=(an_organisation(),)))) == [Says.ACTIVE]


def test_an_objection_that_names_us_among_others_is_one_to_us() -> None:
    assert says(an_objection(organisations=made_to(THEIRS, OURS))) == [Says.ACTIVE]
    both = deny(actors=(an_organisation(THEIRS), an_organisation(OURS)))
    assert says(an_objection(root=both)) == [Says.ACTIVE]


def test_a_safety_restriction_binds_us_whoever_recorded_it() -> None:
    assert says(an_objection(safety=True, organisations=made_to(THEIRS))) == [Says.SAFETY]
    by_actor = an_objection(safety=True, root=deny(actors=(an_organisation(THEIRS),)))
    assert says(by_actor) == [Says.SAFETY]


def test_an_organisation_below_the_root_only_narrows() -> None:
    narrowed = an_objection(root=deny(permit(actors=(an_organisation(OURS),))))
    assert says(narrowed) == []


def test_a_consent_without_a_subject_that_names_others_alone_says_nothing() -> None:
    assert says(a_consent(root=untyped(), organisations=made_to(THEIRS))) == []
    assert says(a_consent(root=deny(), organisations=made_to(THEIRS))) == []
    assert says(a_consent(root=untyped(), organisations=made_to(OURS))) == [Says.UNCLEAR]


# --- whose objections count --------------------------------------------------------------------


def test_objections_on_linked_records_count_for_the_patient() -> None:
    case = a_case(linked_consents=(an_objection(),), linked_keys=frozenset({"Patient/old"}))
    assert [reading.says for reading in case.readings] == [Says.ACTIVE]


def test_a_consent_read_on_both_records_counts_once() -> None:
    case = a_case(consents=(an_objection(),), linked_consents=(an_objection(),))
    assert len(case.readings) == 1


def test_the_patients_objection_to_a_channel_does_not_bind_the_proxys_own_phone() -> None:
    assert says_to_proxy(an_objection(SMS)) == []


def test_the_patients_objection_to_every_message_binds_the_proxy_too() -> None:
    assert says_to_proxy(an_objection()) == [Says.ACTIVE]


def test_the_patients_objection_to_a_subject_on_every_channel_binds_the_proxy_too() -> None:
    subject = an_objection(root=deny(codes=(unknown_code(),)))
    assert says_to_proxy(subject) == [Says.UNCLEAR]


def test_an_exception_for_a_channel_opens_it_to_the_proxy_too() -> None:
    assert says_to_proxy(an_objection(root=deny(permit(on=[SMS])))) == []


@pytest.mark.parametrize("root", [untyped(), deny()])
@pytest.mark.parametrize("policy", [None, Direction.PERMIT])
def test_what_is_unclear_to_the_patient_is_unclear_to_the_proxy(
    root: Provision, policy: Direction | None
) -> None:
    unclear = a_consent(root=root, policy_direction=policy, policy_rule=True)
    assert says(unclear) == says_to_proxy(unclear) == [Says.UNCLEAR]


def test_a_safety_restriction_binds_the_proxy_on_that_channel() -> None:
    assert says_to_proxy(an_objection(SMS, safety=True)) == [Says.SAFETY]
    assert says_to_proxy(an_objection(EMAIL, safety=True)) == []


@pytest.mark.parametrize(
    "status", [ConsentStatus.UNKNOWN, ConsentStatus.PROPOSED, ConsentStatus.DRAFT]
)
def test_a_safety_restriction_not_in_force_yet_holds_the_proxys_message_too(
    status: ConsentStatus,
) -> None:
    restriction = an_objection(SMS, safety=True, status=status)
    assert says_to_proxy(restriction) == says(restriction) == [Says.SAFETY_BY_PROXY]


def test_the_proxys_own_objection_counts_wherever_it_stands() -> None:
    on_patients_record = an_objection(SMS, performers=BEN_KEYS)
    assert says_to_proxy(on_patients_record) == [Says.ACTIVE]
    case = a_proxy_case(own_patient=bens_own_record(), own_consents=(an_objection(SMS),))
    assert [reading.says for reading in case.readings] == [Says.ACTIVE]


def test_the_proxys_own_objections_do_not_bind_the_patient() -> None:
    assert says() == []
    assert says(an_objection(EMAIL, performers=BEN_KEYS)) == []
