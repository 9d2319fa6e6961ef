"""What holds of evidence: it lifts what it is for, for this very message, and nothing else."""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass, replace
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from fhirmsg.guidance.case import Case
from fhirmsg.guidance.consents import Says
from fhirmsg.guidance.decision import decide
from fhirmsg.guidance.request import Content, Evidence
from fhirmsg.guidance.rule import Effect, Lift
from fhirmsg.guidance.terms import Channel, Person
from tests.builders import (
    GUARDIAN,
    a_case,
    a_consent,
    an_objection,
    an_override,
    codes_of,
    untyped,
    with_override,
)
from tests.guidance import strategies as some
from tests.guidance.invariants.changing import (
    FINAL,
    asking,
    changed,
    for_any_purpose,
    found,
    said,
    weight,
    with_consents,
    with_evidence_of,
)


# 17
@given(some.bare_cases, some.plans)
def test_no_evidence_takes_a_final_refusal_away(case: Case, plan: some.Plan) -> None:
    assume(case.request.contact_point is None)
    case = for_any_purpose(case)

    def final(judged: Case) -> list[dict[str, Any]]:
        # The individual's own no is evidence, and final.
        findings = said(decide(judged), leaving_out={"sensitive.declined"})
        return [each for each in findings if each["code"] in FINAL]

    assert final(some.with_evidence(case, plan)) == final(case)


# 17
@given(some.bare_cases)
def test_an_override_leaves_every_final_refusal_as_it_is(case: Case) -> None:
    def final(judged: Case) -> list[dict[str, Any]]:
        return [each for each in said(decide(judged)) if each["code"] in FINAL]

    assert final(with_override(case)) == final(case)


# 18
@given(some.bare_cases, some.good_plans)
def test_valid_evidence_never_makes_a_decision_heavier(case: Case, plan: some.Plan) -> None:
    case = for_any_purpose(case)
    with_brought_point = case.request.contact_point is not None and "emergency" in plan
    # A contact point that is brought counts in an emergency, and may be one that must not be used.
    beside = {"contact.none", "contact.excluded"} if with_brought_point else set()
    brought = some.with_evidence(case, plan)
    assert weight(brought, leaving_out=beside) <= weight(case, leaving_out=beside)


# 18
@given(some.bare_cases, some.good_plans, st.sampled_from(sorted(some.NORMAL)))
def test_a_valid_piece_more_never_makes_a_decision_heavier(
    case: Case, plan: some.Plan, piece: str
) -> None:
    less = {name: way for name, way in plan.items() if name != piece}
    more = {**less, piece: some.NORMAL[piece]}
    assert weight(some.with_evidence(case, more)) <= weight(some.with_evidence(case, less))


# 21
@given(some.cases)
def test_an_override_touches_objections_in_force_and_nothing_else(case: Case) -> None:
    own = {"objection.active", "override.invalid"}
    case = with_evidence_of(case, override=None)
    overridden = with_evidence_of(case, override=an_override(case))
    assert said(decide(overridden), leaving_out=own) == said(decide(case), leaving_out=own)
    valid = "override.invalid" not in codes_of(overridden)
    for before, after in zip(
        found(case, "objection.active"), found(overridden, "objection.active"), strict=True
    ):
        if valid:
            assert after.lifted is not None
        else:
            assert after == before


# 21
@given(some.cases, st.sampled_from(sorted(some.OVERRIDES)))
def test_an_override_that_does_not_count_is_said_and_changes_nothing_else(
    case: Case, way: str
) -> None:
    case = with_evidence_of(case, override=None)
    broken = replace(an_override(case), **some.OVERRIDES[way](case))
    overridden = with_evidence_of(case, override=broken)
    if "override.invalid" in codes_of(overridden):
        invalid = {"override.invalid"}
        assert said(decide(overridden), leaving_out=invalid) == said(decide(case))


def overridable(case: Case) -> bool:
    """Tell whether an override of this case can be valid."""
    return "override.invalid" not in codes_of(with_override(case))


objected = some.records.map(
    lambda consents: a_case(consents=(*consents, an_objection(id="certain")))
)


# 22
@given(objected)
def test_an_override_of_one_message_is_no_override_of_another(case: Case) -> None:
    assume(overridable(case))
    override = an_override(case)
    others = [
        asking(case, channel=Channel.EMAIL),
        asking(case, platform="app"),
        asking(case, content=Content(body="Something else.")),
        asking(case, patient="Patient/x"),
        asking(case, recipient="RelatedPerson/ben"),
        replace(case, message_id="another"),
    ]
    for other in others:
        assert "override.invalid" in codes_of(with_override(other, override))


# 22
@given(some.bare_cases)
def test_a_review_of_one_message_is_no_review_of_another(case: Case) -> None:
    reviews = some.with_evidence(case, {"reviews": "whole"}).request.evidence.reviews
    for other in (
        asking(case, content=Content(body="Something else altogether.")),
        replace(case, message_id="another"),
    ):
        judged = with_evidence_of(other, reviews=reviews)
        by = [each.lifted.by for each in decide(judged).findings if each.lifted is not None]
        standing = [each.lifted.by for each in decide(other).findings if each.lifted is not None]
        assert by == standing


# 23
@given(objected, st.data())
def test_an_override_ends_when_an_objection_changes_or_another_comes(
    case: Case, data: st.DataObject
) -> None:
    assume(overridable(case))
    override = an_override(case)
    consent = data.draw(st.sampled_from([each.consent for each in case.readings_that(Says.ACTIVE)]))
    version = replace(consent.version, version_id="next")
    later = changed(case, consent, replace(consent, version=version))
    more = with_consents(case, an_objection())
    for other in (later, more):
        assert "override.invalid" in codes_of(with_override(other, override))


# 23
@given(objected, st.data())
def test_an_acknowledgement_ends_when_the_objection_changes(
    case: Case, data: st.DataObject
) -> None:
    seen = some.with_evidence(case, some.GONE_ON)
    consent = data.draw(st.sampled_from([each.consent for each in case.readings_that(Says.ACTIVE)]))
    version = replace(consent.version, version_id="next")
    later = changed(seen, consent, replace(consent, version=version))
    assert all(
        each.lifted is None
        for each in found(later, "objection.active")
        if each.evidence[0].version_id == "next"
    )


# --- evidence that does not count says why ------------------------------------------------------


@given(some.bare_cases, st.sampled_from(sorted(some.REVIEWS)))
def test_a_review_that_lifts_nothing_says_why(case: Case, way: str) -> None:
    reviewed = some.with_evidence(case, {"reviews": way})
    given_for = {each.code for each in reviewed.request.evidence.reviews}
    for each in decide(reviewed).findings:
        if each.code in given_for and each.lifted is None and each.effect >= Effect.HOLD:
            assert "evidence.invalid" in codes_of(reviewed)


@given(some.bare_cases, st.sampled_from(sorted(some.ACKNOWLEDGED)))
def test_an_acknowledgement_that_lifts_nothing_says_why(case: Case, way: str) -> None:
    declared = some.with_evidence(case, {"emergency": "whole", "acknowledged": way})
    given_for = {each.code for each in declared.request.evidence.acknowledged}
    # Nobody can go on for a proxy without what could not be read.
    given_for -= {"read.incomplete"} if case.to_proxy else set()
    for each in decide(declared).findings:
        if each.code in given_for and each.lifted is None and each.effect >= Effect.HOLD:
            assert "evidence.invalid" in codes_of(declared)


def test_a_review_binds_to_nothing_where_the_server_gives_no_version() -> None:
    case = a_case(consents=(a_consent(root=untyped(), version=None),), policy=some.POLICY)
    reviewed = some.with_evidence(case, {"reviews": "whole"})
    assert [each.lifted for each in found(reviewed, "objection.unclear")] == [None]


# --- 24: text that says nothing ----------------------------------------------------------------

nothings = st.text(
    alphabet=" \t\n\u00a0\u2003\u200b\u200d\u2060\ufeff\ufe0f\u115f\u3164\x00", max_size=6
)


def _blanked(evidence: Evidence, piece: str, name: str, nothing: str) -> Evidence:
    """Give the evidence with one text of one piece blank, in every person of it too."""

    def blank(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(map(blank, value))
        if not is_dataclass(value):
            return value
        changes = {
            each.name: nothing if each.name == name else blank(getattr(value, each.name))
            for each in fields(value)
            if each.name == name or is_dataclass(getattr(value, each.name))
        }
        return replace(value, **changes)

    return replace(evidence, **{piece: blank(getattr(evidence, piece))})


_TEXTS = {
    "emergency": ("reason", "name", "role"),
    "override": ("reason", "circumstances", "identifier", "name", "role", "message_id"),
    "individual_check": ("service", "proxy", "identifier", "name", "role"),
    "reviews": ("code", "note", "identifier", "name", "role", "message_id", "message_digest"),
    "necessity": ("reason", "identifier", "name", "role"),
    "practical_reason": ("reason", "identifier", "name", "role"),
    "accessible_alternative": ("reason", "identifier", "name", "role"),
}
_LIFT_OF = {
    "emergency": Lift.ACKNOWLEDGEMENT,
    "override": Lift.OVERRIDE,
    "individual_check": Lift.INDIVIDUAL_CHECK,
    "reviews": Lift.REVIEW,
    "necessity": Lift.NECESSITY,
    "practical_reason": Lift.PRACTICAL_REASON,
    "accessible_alternative": Lift.ACCESSIBLE_ALTERNATIVE,
}


# 24
@given(
    some.bare_cases,
    st.sampled_from([(piece, name) for piece, names in _TEXTS.items() for name in names]),
    nothings,
)
def test_text_that_says_nothing_never_lifts_anything(
    case: Case, text: tuple[str, str], nothing: str
) -> None:
    piece, name = text
    plan = some.ALL if piece == "emergency" else some.NORMAL
    case = some.with_evidence(case, plan)
    evidence = _blanked(case.request.evidence, piece, name, nothing)
    judged = replace(case, request=replace(case.request, evidence=evidence))
    standing = {"Practitioner/guardian"} if piece == "reviews" else set()
    if piece == "reviews":
        # A review that stands on the Consent itself is another one.
        no_reviews = with_evidence_of(case, reviews=())
        standing = {each.lifted.who for each in decide(no_reviews).findings if each.lifted}
    lifted = [each.lifted for each in decide(judged).findings if each.lifted is not None]
    assert all(each.by is not _LIFT_OF[piece] or each.who in standing for each in lifted)
    if piece == "emergency":
        assert not judged.emergency
        assert "emergency.invalid" in codes_of(judged)


# 24
@given(objected, st.sampled_from(["identifier", "name", "role"]), nothings)
def test_an_approver_who_is_not_named_approves_nothing(case: Case, name: str, nothing: str) -> None:
    judged = with_override(case, approver=replace(GUARDIAN, **{name: nothing}))
    assert not any(finding.lifted for finding in decide(judged).findings)


def test_nobody_at_all_is_nobody() -> None:
    case = a_case(consents=(an_objection(),))
    assert "override.invalid" in codes_of(with_override(case, approver=Person()))


# 26
@given(some.cases, st.sampled_from(sorted(some.REASONS)))
def test_a_practical_reason_touches_the_preference_and_nothing_else(case: Case, way: str) -> None:
    own = {"preference.ignored", "evidence.invalid"}
    without = with_evidence_of(case, practical_reason=None)
    reason = some.with_evidence(case, {"practical_reason": way}).request.evidence.practical_reason
    brought = with_evidence_of(case, practical_reason=reason)
    assert said(decide(brought), leaving_out=own) == said(decide(without), leaving_out=own)


# --- 38: what is never repeated ----------------------------------------------------------------

_UNTOLD = (
    *some.VALUES,
    "+447700900707",
    "07700 900707",
    "It is night.",
    "She may come to harm",
    "There is no other way",
    "No call is answered",
    "Talked over with",
    "An urgent result",
    "The shared telephone",
    "quetzal",
)


# 38
@given(some.cases)
def test_no_finding_repeats_a_contact_detail_a_reason_or_the_words(case: Case) -> None:
    body = f"{case.request.content.body} quetzal 9990000018 +447700900101"
    content = replace(case.request.content, body=body, subject="quetzal", summary="quetzal")
    decision = decide(asking(case, content=content))
    # An NHS number is in the keys of the patient and in no finding.
    told = json.dumps(decision.as_json()) + decision.receipt().decode()
    assert not [each for each in _UNTOLD if each in told]
