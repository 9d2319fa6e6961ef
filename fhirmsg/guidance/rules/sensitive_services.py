"""Services individuals may feel sensitive about: ask the individual before a proxy hears."""

from __future__ import annotations

from collections.abc import Iterator

from fhirmsg.guidance.case import Case
from fhirmsg.guidance.rule import Breach, Effect, Lift, rule
from fhirmsg.guidance.terms import Declared, Role

SECTION = "Services individuals may feel sensitive about"


@rule(
    code="sensitive.proxy",
    section=SECTION,
    states="A proxy hears of a sensitive service only after the individual was asked.",
    effect=Effect.HOLD,
    in_emergency=Effect.HOLD,
    lifted_by=(Lift.INDIVIDUAL_CHECK, Lift.REVIEW, Lift.ACKNOWLEDGEMENT),
    ask=(Role.CALDICOTT_GUARDIAN,),
)
def individual_was_asked(case: Case) -> Iterator[Breach]:
    if not case.to_proxy or case.service_is_plain:
        return
    unknown = case.request.service.sensitive is Declared.UNKNOWN
    yield Breach(
        sentence=(
            "Nobody has said whether this service is one the patient may feel sensitive about, "
            if unknown
            else "The service is one the patient may feel sensitive about, "
        )
        + "and the message would tell a proxy of it, however plain its words. Ask the patient "
        "first.",
        evidence=tuple(
            dict.fromkeys(about.version for about in case.record.about if about.sensitive_labels)
        ),
    )


RULES = (individual_was_asked,)
