"""What holds of the policy and the table of rules: stricter is never weaker, all is explained."""

from __future__ import annotations

from dataclasses import replace
from datetime import time
from typing import Any

from hypothesis import Phase, given, settings

from fhirmsg.guidance.case import Case
from fhirmsg.guidance.decision import decide
from fhirmsg.guidance.policy import LocalPolicy, Window
from fhirmsg.guidance.rule import Effect
from fhirmsg.guidance.rules import RULES
from fhirmsg.guidance.terms import Channel, Device, Purpose
from fhirmsg.guidance.wording import Lexicon
from tests.guidance import strategies as some
from tests.guidance.invariants.changing import weight, with_platform, without_preferences


def without_platform(policy: LocalPolicy, name: str) -> LocalPolicy:
    """Give the policy with a platform that is registered and not approved any more."""
    platform = replace(policy.platforms[name], approval=None)
    return replace(policy, platforms={**policy.platforms, name: platform})


_STRICTER_LEXICON = Lexicon.from_mapping(
    {
        "version": "2",
        "categories": {
            "hiv": {
                "label": "sexual health",
                "conditions": ["hiv"],
                "services": ["gum clinic", "appointment"],
            },
            "scam": {"label": "pressure", "pressure": ["act now"], "money": ["pay"]},
        },
    }
)


def stricter_policies(case: Case) -> list[LocalPolicy]:
    """Give the policy with each thing in it stricter by itself."""
    policy = case.policy
    changes: list[dict[str, Any]] = [
        {"parental_review_ages": (*policy.parental_review_ages, 11)},
        {"parental_review_ages": (*policy.parental_review_ages, 15)},
        {"approve_overrides": frozenset()},
        {"review": frozenset()},
        {"review_by_code": dict.fromkeys((each.card.code for each in RULES), frozenset())},
        {"accept_access_roles": False},
        {"accept_unlisted_bases": frozenset()},
        {"sensitive_services": policy.sensitive_services | {some.SERVICE}},
        {"forbidden": policy.forbidden | {(each, Channel.SMS) for each in Purpose}},
        {"devices": policy.devices - {Device.PERSONAL}},
        {"devices": frozenset()},
        {"require_capacity_record": True},
        {"individual_check_days": 0},
        {"repeat_window_hours": policy.repeat_window_hours + 24},
        {"link_hosts": frozenset()},
        {"lexicon": _STRICTER_LEXICON},
    ]
    return [
        *(replace(policy, **each) for each in changes),
        *(without_platform(policy, name) for name in policy.platforms),
    ]


# 48
@given(some.cases)
def test_a_stricter_policy_never_weakens_the_decision(case: Case) -> None:
    # A platform less can make a preferred channel one that need not be used.
    case = without_preferences(case)
    before = weight(case)
    for policy in stricter_policies(case):
        assert weight(replace(case, policy=policy)) >= before


# 48
@given(some.cases)
def test_a_platform_approved_for_less_never_weakens_the_decision(case: Case) -> None:
    before = weight(case)
    hours = (Window(weekdays=frozenset(), start=time(8), end=time(9)),)
    for fields in (
        {"confidential": False},
        {"requires_login": False},
        {"lock_screen": True},
        {"windows": hours},
    ):
        assert weight(with_platform(case, **fields)) >= before


# 41
@given(some.cases)
def test_whatever_is_not_sent_has_a_finding_that_says_whom_to_ask(case: Case) -> None:
    decision = decide(case)
    stopping = [each for each in decision.findings if each.effect >= Effect.HOLD]
    assert bool(stopping) == (decision.verdict != "send")
    assert all(each.ask and each.sentence for each in stopping)
    cards = {each.card.code: each.card for each in RULES}
    for each in stopping:
        # A way round that would not help is not offered: then there is none.
        assert each.as_json()["lifted_by"] in ([*cards[each.code].lifted_by], [])
    assert all(each.lifted is None for each in stopping)


# 49
def test_in_an_emergency_nothing_is_graver_and_what_is_final_has_no_lift() -> None:
    for rule in RULES:
        card = rule.card
        if not card.code.startswith("emergency."):
            assert card.effect is not None
            assert card.in_emergency is not None
            assert card.in_emergency <= card.effect
        both = card.effect is card.in_emergency is Effect.REFUSE
        assert card.is_final == (both and not card.lifted_by)


def test_the_strategies_reach_every_finding_and_every_verdict() -> None:
    reached: set[str] = set()

    def collect(case: Case) -> None:
        decision = decide(case)
        reached.update(finding.code for finding in decision.findings)
        reached.add(str(decision.verdict))

    # What needs several things at once is built, so that luck does not decide.
    for case in (*some.LONE, *some.RARE):
        collect(case)
    drawn = settings(phases=[Phase.generate], max_examples=300, derandomize=False, database=None)
    wanted = {each.card.code for each in RULES} | {"send", "hold", "refuse"}
    for _ in range(8):
        drawn(given(some.cases)(collect))()
        if wanted <= reached:
            break
    assert wanted - reached == set()
