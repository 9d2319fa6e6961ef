"""Objections to receiving messages: always looked for, generally respected."""

from __future__ import annotations

from collections.abc import Iterator

from fhirmsg.guidance.case import Case
from fhirmsg.guidance.consents import Denied, Reading, Says
from fhirmsg.guidance.evidence import override_faults
from fhirmsg.guidance.rule import Breach, Effect, Lift, rule
from fhirmsg.guidance.terms import Role

SECTION = "Objections to receiving messages"
_ASK = (Role.DPO, Role.CALDICOTT_GUARDIAN, Role.IG_TEAM, Role.SENIOR)


def _by(reading: Reading, sentence: str, ask: tuple[Role, ...] = ()) -> Breach:
    return Breach(sentence=sentence, evidence=(reading.consent.version,), ask=ask)


@rule(
    code="objection.safety",
    section="Objections relating to serious harm",
    states="No channel the message can reach is recorded as dangerous to the patient.",
    effect=Effect.REFUSE,
    in_emergency=Effect.REFUSE,
    ask=(Role.CALDICOTT_GUARDIAN, Role.SENIOR),
)
def no_channel_endangers_the_patient(case: Case) -> Iterator[Breach]:
    for reading in case.readings_that(Says.SAFETY):
        yield _by(
            reading,
            f"A safety restriction covers {reading.channel}, which this message can reach. Use "
            "another way, such as a call, and talk with the patient about taking the contact "
            "detail off the record.",
        )


@rule(
    code="objection.safety-by-proxy",
    section="Objections relating to serious harm",
    states="A safety restriction entered by a relative was confirmed with the patient.",
    effect=Effect.HOLD,
    in_emergency=Effect.HOLD,
    lifted_by=(Lift.REVIEW, Lift.ACKNOWLEDGEMENT),
    ask=(Role.CALDICOTT_GUARDIAN,),
)
def safety_restriction_is_the_patients_own(case: Case) -> Iterator[Breach]:
    for reading in case.readings_that(Says.SAFETY_BY_PROXY):
        yield _by(
            reading,
            f"A related person entered a safety restriction that covers {reading.channel}, and "
            "nobody has confirmed it with the patient. It may protect the patient or cut them "
            "off.",
        )


@rule(
    code="objection.active",
    section=SECTION,
    states="No objection in force reaches a channel this message may come out of.",
    effect=Effect.REFUSE,
    in_emergency=Effect.REFUSE,
    lifted_by=(Lift.OVERRIDE, Lift.ACKNOWLEDGEMENT),
    ask=_ASK,
)
def no_objection_is_in_force(case: Case) -> Iterator[Breach]:
    for reading in case.readings_that(Says.ACTIVE):
        yield _by(
            reading,
            f"There is an objection in force to messages by {reading.channel}. Understand its "
            "reason and talk it over; only a very strong reason, approved for this one message, "
            "sets it aside.",
        )


@rule(
    code="objection.pending",
    section=SECTION,
    states="No objection is waiting to be confirmed.",
    effect=Effect.HOLD,
    in_emergency=Effect.WARN,
    lifted_by=(Lift.REVIEW,),
    ask=_ASK,
)
def no_objection_is_pending(case: Case) -> Iterator[Breach]:
    for reading in case.readings_that(Says.PENDING):
        yield _by(
            reading,
            f"An objection that covers {reading.channel} has been raised and not yet dealt with.",
        )
    if case.to_proxy:
        for denial in case.denials:
            if denial.denied is Denied.PENDING:
                yield Breach(
                    sentence="A refusal of this person as proxy has been raised and not yet dealt "
                    "with.",
                    evidence=(denial.consent.version,),
                )


@rule(
    code="objection.unclear",
    section=SECTION,
    states="Every Consent that may be about messages is plain in direction and reach.",
    effect=Effect.HOLD,
    in_emergency=Effect.WARN,
    lifted_by=(Lift.REVIEW,),
    ask=_ASK,
)
def every_objection_is_plain(case: Case) -> Iterator[Breach]:
    for reading in case.readings_that(Says.UNCLEAR):
        yield _by(
            reading,
            f"A Consent may object to messages by {reading.channel}; what it says cannot be "
            "worked out. Read it, and have it put into a form that is understood.",
        )


@rule(
    code="objection.other-organisation",
    section=SECTION,
    states="Objections made to other organisations alone are shown.",
    effect=Effect.NOTE,
    in_emergency=Effect.NOTE,
    ask=(Role.IG_TEAM,),
)
def objections_to_others_are_shown(case: Case) -> Iterator[Breach]:
    for reading in case.readings_that(Says.OTHER_ORGANISATION):
        yield _by(reading, "There is an objection on the record that was made to others only.")


@rule(
    code="override.invalid",
    section="Overriding objections",
    states="An override that is given is complete and bound to this message.",
    effect=Effect.NOTE,
    in_emergency=Effect.NOTE,
    ask=_ASK,
)
def override_is_valid(case: Case) -> Iterator[Breach]:
    faults = override_faults(case)
    if faults:
        yield Breach(sentence=f"The override does not count: {'; '.join(faults)}.")


RULES = (
    no_objection_is_in_force,
    no_objection_is_pending,
    every_objection_is_plain,
    objections_to_others_are_shown,
    override_is_valid,
    no_channel_endangers_the_patient,
    safety_restriction_is_the_patients_own,
)
