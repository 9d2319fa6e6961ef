"""Using acceptable apps, services, platforms and devices: only what the organisation approved."""

from __future__ import annotations

from collections.abc import Iterator

from fhirmsg.guidance.case import Case
from fhirmsg.guidance.rule import Breach, Effect, rule
from fhirmsg.guidance.terms import Role

SECTION = "Using acceptable apps, services, platforms and devices"
_ASK = (Role.DPO, Role.IG_TEAM, Role.SENIOR)


@rule(
    code="platform.unapproved",
    section=SECTION,
    states="The organisation has approved this platform, for this channel, at this time.",
    effect=Effect.REFUSE,
    in_emergency=Effect.WARN,
    ask=_ASK,
)
def platform_is_approved(case: Case) -> Iterator[Breach]:
    # What the supplier may hand the message on to is held to the same.
    others = case.ways.others if case.platform.falls_back else ()
    for platform, channel in ((case.platform, case.request.channel), *others):
        if platform.approval is None:
            yield Breach(
                sentence=f"{platform.name} is on the organisation's register and has no approval."
            )
        elif not platform.approval.covers(case.day):
            yield Breach(
                sentence=f"The organisation's approval of {platform.name} does not cover today."
            )
        if channel not in platform.channels:
            yield Breach(sentence=f"{platform.name} is not approved for {channel}.")


@rule(
    code="platform.device",
    section=SECTION,
    states="The organisation allows the sort of device it is sent from.",
    effect=Effect.REFUSE,
    in_emergency=Effect.WARN,
    ask=_ASK,
)
def device_is_allowed(case: Case) -> Iterator[Breach]:
    if case.request.device not in case.policy.devices:
        yield Breach(
            sentence=f"The organisation's policy does not allow a {case.request.device} device."
        )


@rule(
    code="platform.data-class",
    section=SECTION,
    states="The organisation's policy lets this sort of content go by this channel.",
    effect=Effect.REFUSE,
    in_emergency=Effect.WARN,
    ask=_ASK,
)
def content_may_go_this_way(case: Case) -> Iterator[Breach]:
    forbidden = case.policy.forbidden
    if not forbidden:
        return
    purpose = case.request.purpose
    for channel in sorted(case.ways.content):
        if (purpose, channel) in forbidden:
            yield Breach(
                sentence=f"The organisation's policy forbids messages of the purpose {purpose} "
                f"by {channel}."
            )


RULES = (platform_is_approved, device_is_allowed, content_may_go_this_way)
