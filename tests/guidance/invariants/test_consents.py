"""What holds of Consents: a denial never weakens a decision, a permission never strengthens it.

Tests of the invariants are numbered as in `table.py`, which says where each one stands.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from fhirmsg.guidance.case import Case
from fhirmsg.guidance.consents import Says, kinds_of
from fhirmsg.guidance.decision import decide
from fhirmsg.guidance.provisions import Answer, Direction, Provision, evaluate
from fhirmsg.guidance.record import ConsentFacts, ConsentStatus, Scope, StandingReview
from fhirmsg.guidance.rule import Effect
from fhirmsg.guidance.terms import Match, Period
from tests.builders import (
    AMARA_KEYS,
    TODAY,
    a_consent,
    a_grant,
    a_permission,
    a_person,
    codes_of,
    deny,
    permit,
    unknown_code,
)
from tests.guidance import strategies as some
from tests.guidance.invariants.changing import (
    alone,
    changed,
    said,
    weight,
    with_consents,
    with_record,
    without,
    without_preferences,
)

_queries = some.clear_cases.map(lambda case: case.queries(case.recipient.closure)[0])


# 1
@given(some.trees, some.denials, _queries, st.sampled_from([None, *Direction]), st.data())
def test_a_denial_hung_anywhere_in_a_tree_never_weakens_its_answer(
    tree: Provision, denial: Provision, query: Any, inherited: Direction | None, data: st.DataObject
) -> None:
    more = data.draw(some.grafted(tree, denial))
    before = evaluate(tree, query, inherited=inherited)
    after = evaluate(more, query, inherited=inherited)
    assert after >= before or (before, after) == (Answer.PERMIT, Answer.SILENT)


# 1
@given(some.cases, some.denials, st.data())
def test_a_denial_hung_anywhere_in_a_consent_never_weakens_the_decision(
    case: Case, denial: Provision, data: st.DataObject
) -> None:
    case = without_preferences(alone(case))
    with_trees = [consent for consent in case.record.consents if consent.root is not None]
    assume(with_trees)
    consent = data.draw(st.sampled_from(with_trees))
    more = replace(consent, root=data.draw(some.grafted(consent.root, denial)))
    # A mark of messages may turn it into a Consent of another kind, which is another matter.
    assume(kinds_of(more, AMARA_KEYS) == kinds_of(consent, AMARA_KEYS))
    assert weight(changed(case, consent, more)) >= weight(case)


# 1
@given(some.cases, some.consents_of(some.denials, st.just(ConsentStatus.ACTIVE)))
def test_one_more_denying_consent_never_weakens_the_decision(
    case: Case, denial: ConsentFacts
) -> None:
    case = without_preferences(alone(case))
    assert weight(with_consents(case, denial)) >= weight(case)


# 2
@given(some.to_patients, some.consents_of(some.permissions))
def test_one_more_permission_that_names_nobody_else_never_weakens_a_message_to_the_patient(
    case: Case, permission: ConsentFacts
) -> None:
    if permission.grantees:
        # A grant to somebody at the same contact point can make it right to write there.
        case = alone(case)
    assert weight(with_consents(case, permission)) >= weight(case)


# 3
@given(some.cases, some.consents_of(some.trees, st.just(ConsentStatus.ENTERED_IN_ERROR)))
def test_a_consent_entered_in_error_changes_nothing(case: Case, consent: ConsentFacts) -> None:
    digests = frozenset(some.DIGESTS.values())
    meant_nowhere = replace(consent, restricted_digests=digests)
    assert said(decide(with_consents(case, meant_nowhere))) == said(decide(case))


def _granting(case: Case) -> list[ConsentFacts]:
    """Give the Consents whose whole answer is that the proxy may receive.

    One that grants and denies the proxy in a part that does not apply is no such Consent.
    """
    denying = {denial.consent.key for denial in case.denials}
    return [
        consent
        for consent in case.consents
        if case.candidates.get(consent.key) is Answer.PERMIT and consent.key not in denying
    ]


# 4
@given(some.to_proxies, st.sampled_from([s for s in ConsentStatus if s.value != "active"]))
def test_a_grant_that_stops_being_active_never_weakens_the_decision(
    case: Case, status: ConsentStatus
) -> None:
    for consent in _granting(case):
        changed_case = changed(case, consent, replace(consent, status=status))
        assert weight(changed_case) >= weight(case)


# 50
@given(some.to_proxies)
def test_a_grant_less_never_weakens_the_decision(case: Case) -> None:
    for consent in _granting(case):
        assert weight(without(case, consent)) >= weight(case)


# 50
@given(some.bare_to_proxies, some.plain_grants)
def test_a_plain_grant_more_never_makes_the_decision_heavier(
    case: Case, grant: ConsentFacts
) -> None:
    assert weight(with_consents(case, grant)) <= weight(case)


# 50
@given(some.to_proxies)
def test_a_review_of_any_grant_never_makes_the_decision_heavier(case: Case) -> None:
    for consent in case.record.consents:
        reviewed = changed(case, consent, replace(consent, reviewed=TODAY))
        assert weight(reviewed) <= weight(case)


# 12
@given(some.to_proxies, some.consents_of(some.permissions, st.just(ConsentStatus.ACTIVE)))
def test_a_grant_to_one_proxy_changes_nothing_for_another(case: Case, consent: Any) -> None:
    case = alone(case)
    eves = replace(
        consent,
        grantees=some.EVE_KEYS,
        root=replace(consent.root, actors=(a_person(some.EVE_KEYS),), nested=()),
        declines=False,
        scope=Scope.PRIVACY,
    )
    assert said(decide(with_consents(case, eves))) == said(decide(case))


# --- 42: what is not understood ----------------------------------------------------------------


def _garbled(root: Provision) -> list[Provision]:
    return [
        replace(root, type=None, unknown_type=True),
        replace(root, classes=(Match.UNKNOWN,)),
        replace(root, codes=(unknown_code(),)),
        replace(root, purposes=(None,)),
        replace(root, period=Period(malformed=True)),
        replace(root, labels=frozenset({"urn:x|y"})),
        replace(root, altered=True),
    ]


def garbled(consent: ConsentFacts) -> list[ConsentFacts]:
    """Give the Consent with one thing in it that nobody understands, in every way there is."""
    root = consent.root or Provision()
    return [
        *(replace(consent, root=each) for each in _garbled(root)),
        replace(consent, status=ConsentStatus.UNKNOWN),
        replace(consent, altered=True),
    ]


# 42
@given(some.clear_cases)
def test_an_objection_that_is_not_understood_never_lets_a_message_go(case: Case) -> None:
    for reading in case.readings_that(Says.ACTIVE, Says.SAFETY):
        consent = reading.consent
        if consent in case.record.consents and denies_by_itself(consent):
            for each in garbled(consent):
                worse = changed(case, consent, each)
                assert weight(worse) >= max(Effect.HOLD, weight(without(case, consent)))


def denies_by_itself(consent: ConsentFacts) -> bool:
    """Tell whether a Consent is marked as an objection, at its root and for nobody's grant.

    An exception lapses with a permission that is not understood; without a direction, a Consent
    that names a grantee is a grant; one whose only mark is garbled may be about something else.
    """
    denies = consent.root is None or consent.root.type is not Direction.PERMIT
    return denies and consent.message_marker and not consent.grantees


# 42
@given(some.clear_cases, some.consents)
def test_a_bare_denial_that_is_not_understood_never_lets_a_message_go(
    case: Case, other: ConsentFacts
) -> None:
    for each in garbled(a_consent(root=deny())):
        assert weight(with_consents(case, each, other)) >= Effect.HOLD


# 42
@given(some.clear_to_proxies, some.plain_grants)
def test_a_grant_that_is_not_understood_never_lets_a_proxy_receive(
    case: Case, grant: ConsentFacts
) -> None:
    for each in [*garbled(grant), replace(grant, scope=Scope.UNKNOWN)]:
        assert weight(with_record(case, consents=(each,))) >= Effect.HOLD


# 42
@given(some.bare_to_patients)
def test_a_denial_of_a_person_that_is_not_understood_never_lets_their_number_be_used(
    case: Case,
) -> None:
    point = case.contact_point
    if point is None or point.value is None:
        return
    there = with_record(case, neighbours=(some.a_neighbour(some.EVE, point.value),))
    denial = a_consent(root=deny(actors=(a_person(some.EVE_KEYS),)))
    for each in [denial, *garbled(denial)]:
        # A node without a type under no direction makes the Consent one of another kind.
        if each.root.type is Direction.DENY:
            judged = with_consents(there, each)
            used = judged.contact_point
            unused = used is None or used.value != point.value
            assert unused or weight(judged) >= Effect.HOLD


# --- 45, 46: what has nothing to do with it ----------------------------------------------------

unmarked = st.sampled_from(
    [
        deny(),
        deny(permit()),
        permit(deny()),
        permit(purposes=("HRESCH",)),
        deny(codes=(unknown_code(),)),
        deny(classes=(Match.NO,)),
        deny(data=True),
    ]
)


# 45
@given(some.cases, unmarked)
def test_a_consent_about_research_treatment_or_advance_decisions_changes_nothing(
    case: Case, root: Provision
) -> None:
    research = a_consent(scope=Scope.OTHER, root=root)
    assert said(decide(with_consents(case, research))) == said(decide(case))


# 46
@given(some.bare_cases)
def test_taking_an_objection_away_takes_its_findings_away_and_no_others(case: Case) -> None:
    case = without_preferences(alone(case))
    for reading in case.readings:
        if reading.consent not in case.record.consents:
            continue
        reference = reading.consent.version.reference
        others = [each for each in said(decide(case)) if not _cites(each, reference)]
        left = said(decide(without(case, reading.consent)))
        # Whether a secure way is open is told in these sentences.
        assert _coded(left) == _coded(others)


def _cites(finding: dict[str, Any], reference: str) -> bool:
    return reference in {version["reference"] for version in finding["evidence"]}


def _coded(findings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    told = ("confidential.necessity", "confidential.safer-wording")
    return [{**each, "sentence": ""} if each["code"] in told else each for each in findings]


# 50
@given(some.bare_to_proxies, some.grants_to_ben)
def test_a_flawed_grant_never_stands_before_one_that_was_reviewed(
    case: Case, flawed: ConsentFacts
) -> None:
    standing = StandingReview(
        code="proxy.scope", by="Practitioner/guardian", role="Caldicott Guardian", at=TODAY
    )
    root = a_permission(classes=())
    reviewed = a_grant(access_only=True, root=root, standing_reviews=(standing,))
    alone_there = with_record(case, consents=(reviewed,))
    both = with_consents(alone_there, flawed)
    if "proxy.conflict" not in codes_of(both):
        assert weight(both) <= weight(alone_there)


# 50
@given(some.bare_to_proxies)
def test_a_standing_review_of_any_grant_never_makes_the_decision_heavier(case: Case) -> None:
    for consent in case.record.consents:
        for code in ("proxy.scope", "proxy.age-review", "proxy.unlisted-basis"):
            review = StandingReview(
                code=code, by="Practitioner/guardian", role="Caldicott Guardian", at=TODAY
            )
            standing = (*consent.standing_reviews, review)
            reviewed = changed(case, consent, replace(consent, standing_reviews=standing))
            assert weight(reviewed) <= weight(case)


# 50
@given(some.bare_to_proxies, some.plain_grants)
def test_a_plain_grant_never_makes_a_decision_heavier_that_rests_on_a_reviewed_one(
    case: Case, grant: ConsentFacts
) -> None:
    reviewed = some.with_evidence(case, {"reviews": "whole"})
    assert weight(with_consents(reviewed, grant)) <= weight(reviewed)
