"""Rules under their cards, and facts that are worked out once."""

from __future__ import annotations

from collections.abc import Iterator

from fhirmsg.guidance.case import Case
from fhirmsg.guidance.derived import derived
from fhirmsg.guidance.rule import Breach, Card, Effect, Finding, Lift, Rule, rule
from fhirmsg.guidance.terms import Role


def nothing_is_wrong(case: Case) -> Iterator[Breach]:
    yield Breach(sentence="")


def test_a_rule_is_its_function_under_its_card() -> None:
    made = rule(
        code="scope.test",
        section="Scope",
        states="Nothing is wrong.",
        effect=Effect.HOLD,
        in_emergency=Effect.WARN,
        lifted_by=(Lift.REVIEW,),
        ask=(Role.DPO,),
        where="to_proxy",
    )(nothing_is_wrong)
    card = Card(
        code="scope.test",
        section="Scope",
        states="Nothing is wrong.",
        effect=Effect.HOLD,
        in_emergency=Effect.WARN,
        lifted_by=(Lift.REVIEW,),
        ask=(Role.DPO,),
    )
    assert made == Rule(card=card, check=nothing_is_wrong, where="to_proxy")


def test_a_finding_names_whom_to_ask_by_their_roles() -> None:
    finding = Finding(
        code="scope.test",
        section="Scope",
        effect=Effect.WARN,
        sentence="",
        ask=(Role.CALDICOTT_GUARDIAN, Role.IG_TEAM),
    )
    assert finding.as_json()["ask"] == ["Caldicott Guardian", "IG team"]


class Counted:
    times = 0

    def work_out(self) -> int:
        """Count how often it was asked."""
        self.times += 1
        return self.times

    fact = derived(work_out)


def test_a_fact_is_worked_out_once_and_kept_under_its_name() -> None:
    counted = Counted()
    assert (counted.fact, counted.fact, counted.times) == (1, 1, 1)
    assert vars(counted)["fact"] == 1
    assert Counted().fact == 1


def test_a_fact_tells_what_it_is() -> None:
    assert isinstance(Counted.fact, derived)
    assert Counted.fact.__doc__ == "Count how often it was asked."


def test_a_fact_of_a_class_made_later_is_kept_as_well() -> None:
    fact = derived(Counted.work_out)
    later = type("Later", (Counted,), {"other": fact})()
    assert (later.other, later.other) == (1, 1)
    assert vars(later)["other"] == 1
