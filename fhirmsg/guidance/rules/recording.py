"""Recording information: what cannot be recorded is not sent."""

from __future__ import annotations

from collections.abc import Iterator

from fhirmsg.guidance.case import Case
from fhirmsg.guidance.rule import Breach, Effect, rule
from fhirmsg.guidance.terms import Role

SECTION = "Recording information"


@rule(
    code="record.unavailable",
    section=SECTION,
    states="The entry in the patient's record can be opened.",
    effect=Effect.HOLD,
    in_emergency=Effect.WARN,
    ask=(Role.SYSTEM,),
)
def record_entry_can_be_opened(case: Case) -> Iterator[Breach]:
    if not case.record.openable:
        yield Breach(
            sentence="The entry in the patient's record could not be opened, and a message is "
            "to be on the record before it leaves."
        )


RULES = (record_entry_can_be_opened,)
