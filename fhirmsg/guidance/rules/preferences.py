"""Contact preferences: details that are on the record, and usable now."""

from __future__ import annotations

from collections.abc import Iterator

from fhirmsg.guidance.case import Case
from fhirmsg.guidance.record import RecipientKind
from fhirmsg.guidance.rule import Breach, Effect, rule
from fhirmsg.guidance.terms import Role

SECTION = "Contact preferences"


@rule(
    code="contact.none",
    section=SECTION,
    states="The recipient has a contact point for this channel that may be used now.",
    effect=Effect.REFUSE,
    in_emergency=Effect.REFUSE,
    ask=(Role.RECORDS,),
)
def recipient_can_be_reached(case: Case) -> Iterator[Breach]:
    if case.recipient.kind is RecipientKind.OTHER or case.contact_point is not None:
        return
    related = case.recipient.related
    yield Breach(
        sentence="The record holds no contact point of the recipient's own that "
        f"{case.request.channel} can use now. Emergency contacts, ended entries and earlier "
        "messages are not used instead.",
        evidence=(case.record.patient.version if related is None else related.version,),
    )


RULES = (recipient_can_be_reached,)
