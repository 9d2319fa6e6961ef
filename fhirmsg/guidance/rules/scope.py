"""Scope: the guidance is about health and care messages to patients and service users."""

from __future__ import annotations

from collections.abc import Iterator

from fhirmsg.guidance.case import Case
from fhirmsg.guidance.record import RecipientKind
from fhirmsg.guidance.rule import Breach, Effect, Lift, rule
from fhirmsg.guidance.terms import Purpose, Role

SECTION = "Scope"


@rule(
    code="scope.recipient",
    section=SECTION,
    states="The recipient is a patient or a person related to the patient.",
    effect=Effect.REFUSE,
    in_emergency=Effect.REFUSE,
    ask=(Role.IG_TEAM,),
)
def recipient_is_a_patient_or_related_person(case: Case) -> Iterator[Breach]:
    if case.recipient.kind is RecipientKind.OTHER:
        yield Breach(
            sentence="The recipient is neither a patient nor somebody related to one; messages "
            "between colleagues and to groups do not go this way."
        )


@rule(
    code="scope.not-care",
    section=SECTION,
    states="The message is about care or services, not about raising money or selling.",
    effect=Effect.REFUSE,
    in_emergency=Effect.REFUSE,
    ask=(Role.IG_TEAM,),
)
def message_is_about_care(case: Case) -> Iterator[Breach]:
    if case.request.purpose in (Purpose.FUNDRAISING, Purpose.MARKETING):
        yield Breach(
            sentence=f"The purpose is {case.request.purpose}, which is direct marketing under "
            "other rules and not a message about care."
        )


@rule(
    code="scope.research",
    section=SECTION,
    states="The message is not an approach about research.",
    effect=Effect.HOLD,
    in_emergency=Effect.HOLD,
    lifted_by=(Lift.REVIEW,),
    ask=(Role.IG_TEAM, Role.CALDICOTT_GUARDIAN),
)
def message_is_not_about_research(case: Case) -> Iterator[Breach]:
    if case.request.purpose is Purpose.RESEARCH:
        yield Breach(
            sentence="Messages about research lie outside this guidance; somebody has to say "
            "that this approach is in order."
        )


RULES = (
    recipient_is_a_patient_or_related_person,
    message_is_about_care,
    message_is_not_about_research,
)
