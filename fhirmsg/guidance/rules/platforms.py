"""Using acceptable apps, services, platforms and devices: only what the organisation approved."""

from __future__ import annotations

from collections.abc import Iterator

from fhirmsg.guidance.case import Case
from fhirmsg.guidance.rule import Breach, Effect, rule
from fhirmsg.guidance.terms import Role

SECTION = "Using acceptable apps, services, platforms and devices"


@rule(
    code="platform.unapproved",
    section=SECTION,
    states="The organisation has approved this platform, for this channel, at this time.",
    effect=Effect.REFUSE,
    in_emergency=Effect.WARN,
    ask=(Role.DPO, Role.IG_TEAM, Role.SENIOR),
)
def platform_is_approved(case: Case) -> Iterator[Breach]:
    platform = case.platform
    if platform.approval is None:
        yield Breach(
            sentence=f"{platform.name} is on the organisation's register and has no approval."
        )
    elif not platform.approval.covers(case.day):
        yield Breach(
            sentence=f"The organisation's approval of {platform.name} does not cover today."
        )
    if case.request.channel not in platform.channels:
        yield Breach(sentence=f"{platform.name} is not approved for {case.request.channel}.")


RULES = (platform_is_approved,)
