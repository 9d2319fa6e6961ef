"""Emergencies: safety takes priority, for one message, declared by somebody, talked over after."""

from __future__ import annotations

from collections.abc import Iterator

from fhirmsg.guidance.case import Case
from fhirmsg.guidance.declarations import emergency_faults
from fhirmsg.guidance.rule import Breach, Effect, rule
from fhirmsg.guidance.terms import Role

SECTION = "Emergencies"


@rule(
    code="emergency.invalid",
    section=SECTION,
    states="A declaration of an emergency is complete and made just now.",
    where="has_evidence",
    effect=Effect.HOLD,
    in_emergency=None,
    ask=(Role.SENIOR,),
)
def declaration_is_complete(case: Case) -> Iterator[Breach]:
    faults = emergency_faults(case.request, case.as_of)
    if faults:
        yield Breach(
            sentence="An emergency is declared, and the declaration does not count: "
            f"{'; '.join(faults)}. Correct it and send again; until then the message is judged "
            "like any other."
        )


@rule(
    code="emergency.latency",
    section=SECTION,
    states="The platform delivers at this hour.",
    effect=None,
    in_emergency=Effect.WARN,
    ask=(Role.SENIOR,),
)
def platform_delivers_now(case: Case) -> Iterator[Breach]:
    if not case.platform.delivers_at(case.as_of.astimezone(case.policy.zone)):
        yield Breach(
            sentence=f"{case.platform.name} does not deliver at this hour, so the message would "
            "come too late for an emergency. Telephone, or use another way."
        )


RULES = (declaration_is_complete, platform_delivers_now)
