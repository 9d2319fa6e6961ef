"""What holds of emergencies: they relax the method, never who may be told or what is dangerous."""

from __future__ import annotations

from hypothesis import assume, given
from hypothesis import strategies as st

from fhirmsg.guidance.case import Case
from fhirmsg.guidance.decision import decide
from fhirmsg.guidance.rule import Effect
from fhirmsg.guidance.rules import RULES
from tests.builders import codes_of, verdict_of
from tests.guidance import strategies as some
from tests.guidance.invariants.changing import for_any_purpose, said, weight

_CARDS = {each.card.code: each.card for each in RULES}


# 19
@given(some.bare_cases)
def test_an_emergency_never_makes_a_decision_heavier(case: Case) -> None:
    assume(case.request.contact_point is None)
    case = for_any_purpose(case)
    declared = some.with_evidence(case, some.DECLARED)
    latency = {"emergency.latency"}
    assert weight(declared, leaving_out=latency) <= weight(case, leaving_out=latency)


# 19
@given(some.bare_cases)
def test_an_emergency_never_raises_the_effect_of_a_finding(case: Case) -> None:
    case = for_any_purpose(case)
    declared = decide(some.with_evidence(case, some.DECLARED))
    before = {
        (each.code, each.sentence, each.evidence): each.effect for each in decide(case).findings
    }
    for each in declared.findings:
        if not each.code.startswith("emergency."):
            normal = _CARDS[each.code].effect
            seen = before.get((each.code, each.sentence, each.evidence), normal)
            assert seen is not None
            assert each.effect <= seen


# 20
@given(some.bare_cases, some.plans)
def test_an_emergency_leaves_what_is_refused_for_good_refused(case: Case, plan: some.Plan) -> None:
    case = for_any_purpose(case)
    for_good = {
        "proxy.denied",
        "objection.safety",
        "person.deceased",
        "contact.none",
        "contact.excluded",
    }
    if case.request.contact_point is not None:
        # The contact point that is brought takes the place of those on the record.
        for_good -= {"contact.none", "contact.excluded"}
    judged = some.with_evidence(case, {**plan, **some.GONE_ON})
    kept = for_good & codes_of(case)
    assert kept <= codes_of(judged)
    assert verdict_of(judged) == "refuse" or not kept


# 19
@given(some.bare_cases, st.sampled_from(sorted(some.EMERGENCIES)))
def test_a_declaration_that_does_not_count_holds_and_changes_nothing_else(
    case: Case, way: str
) -> None:
    declared = some.with_evidence(case, {"emergency": way})
    if not declared.emergency:
        own = {"emergency.invalid"}
        assert said(decide(declared), leaving_out=own) == said(decide(case))
        assert weight(declared) >= Effect.HOLD


# 40
@given(some.bare_cases)
def test_what_an_emergency_lowered_is_listed_and_nothing_else(case: Case) -> None:
    decision = decide(some.with_evidence(case, some.GONE_ON))
    for each in decision.findings:
        lower = each.effect < each.normally
        assert (each in decision.lowered) == lower
    assert decide(case).lowered == ()
