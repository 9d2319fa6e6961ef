"""Services individuals may feel sensitive about: ask the individual before a proxy hears."""

from __future__ import annotations

from collections.abc import Iterator

from fhirmsg.guidance.case import Case
from fhirmsg.guidance.evidence import is_of_another
from fhirmsg.guidance.rule import Breach, Effect, Lift, rule
from fhirmsg.guidance.terms import Declared, ResourceVersion, Role

SECTION = "Services individuals may feel sensitive about"


@rule(
    code="sensitive.proxy",
    section=SECTION,
    states="A proxy hears of a sensitive service only after the individual was asked.",
    where="to_proxy",
    effect=Effect.HOLD,
    in_emergency=Effect.HOLD,
    lifted_by=(Lift.INDIVIDUAL_CHECK, Lift.REVIEW, Lift.ACKNOWLEDGEMENT),
    ask=(Role.CALDICOTT_GUARDIAN,),
)
def individual_was_asked(case: Case) -> Iterator[Breach]:
    if not case.to_proxy or case.service_is_plain:
        return
    unknown = not case.service_is_known_sensitive
    yield Breach(
        sentence=(
            "Nobody has said whether this service is one the patient may feel sensitive about, "
            if unknown
            else "The service is one the patient may feel sensitive about, "
        )
        + "and the message would tell a proxy of it, however plain its words. Ask the patient "
        "first.",
        evidence=_labelled(case),
    )


@rule(
    code="sensitive.declined",
    section=SECTION,
    states="The individual did not say no when asked whether the proxy may hear of this.",
    where="to_proxy",
    effect=Effect.REFUSE,
    in_emergency=Effect.REFUSE,
    ask=(Role.CALDICOTT_GUARDIAN,),
)
def individual_did_not_decline(case: Case) -> Iterator[Breach]:
    check = case.request.evidence.individual_check if case.to_proxy else None
    if check is not None and check.answer is Declared.NO and not is_of_another(case, check):
        yield Breach(
            sentence="The individual was asked whether this proxy may hear of this service, and "
            "said no."
        )


@rule(
    code="sensitive.shared",
    section=SECTION,
    states="A message about a sensitive service does not go to a contact point that is shared.",
    where="is_shared",
    effect=Effect.HOLD,
    in_emergency=Effect.WARN,
    lifted_by=(Lift.REVIEW,),
    ask=(Role.CALDICOTT_GUARDIAN,),
)
def sensitive_message_arrives_alone(case: Case) -> Iterator[Breach]:
    if case.to_proxy or not case.service_is_known_sensitive or not case.reach.others_there:
        return
    yield Breach(
        sentence="The service is one the patient may feel sensitive about, and somebody else is "
        "recorded at the same contact point.",
        evidence=(*_labelled(case), *(each.version for each in case.reach.others_there)),
    )


def _labelled(case: Case) -> tuple[ResourceVersion, ...]:
    """Give what carries a label of sensitivity, so that a review is bound to it."""
    patient = case.record.patient
    own = (patient.version,) if patient.sensitive_labels else ()
    labelled = (about.version for about in case.record.about if about.sensitive_labels)
    return tuple(dict.fromkeys((*own, *labelled)))


RULES = (individual_was_asked, individual_did_not_decline, sensitive_message_arrives_alone)
