"""The person and the record: is this a living, identified person whose record was read whole?"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from fhirmsg.guidance.case import Case
from fhirmsg.guidance.consents import Kind, is_altered
from fhirmsg.guidance.record import ConsentFacts, ConsentStatus, RecipientKind
from fhirmsg.guidance.rule import Breach, Effect, Lift, rule
from fhirmsg.guidance.terms import Occasion, Role

SECTION = "The person and the record"


@rule(
    code="person.mismatch",
    section=SECTION,
    states="Everything in the request is about one and the same patient.",
    effect=Effect.REFUSE,
    in_emergency=Effect.REFUSE,
    ask=(Role.RECORDS,),
)
def everything_is_about_the_same_patient(case: Case) -> Iterator[Breach]:
    recipient, patient = case.recipient, case.record.patient
    if recipient.kind is RecipientKind.PATIENT and not recipient.keys & patient.keys:
        yield Breach(
            sentence="The recipient is another patient than the one the message is about.",
            evidence=(patient.version,),
        )
    for about in case.record.about:
        if not about.subject_keys & case.patient_keys:
            yield Breach(
                sentence="Something the message is said to be about belongs to another patient.",
                evidence=(about.version,),
            )


@rule(
    code="person.deceased",
    section=SECTION,
    states="The patient is not recorded as having died.",
    effect=Effect.REFUSE,
    in_emergency=Effect.REFUSE,
    ask=(Role.RECORDS,),
)
def patient_is_living(case: Case) -> Iterator[Breach]:
    patient = case.record.patient
    if patient.died is not None:
        yield Breach(
            sentence=f"The patient is recorded as having died ({patient.died}).",
            evidence=(patient.version,),
        )


@rule(
    code="person.replaced",
    section=SECTION,
    states="The record has not been replaced by another one.",
    effect=Effect.REFUSE,
    in_emergency=Effect.REFUSE,
    ask=(Role.RECORDS,),
)
def record_is_not_replaced(case: Case) -> Iterator[Breach]:
    patient = case.record.patient
    if patient.replaced_by is not None:
        surviving = patient.replaced_by or "a record the server does not name"
        yield Breach(
            sentence=f"This record has been replaced by {surviving}: ask again for that one.",
            evidence=(patient.version,),
        )


@rule(
    code="person.inactive",
    section=SECTION,
    states="The patient's record is in active use.",
    effect=Effect.HOLD,
    in_emergency=Effect.HOLD,
    lifted_by=(Lift.REVIEW, Lift.ACKNOWLEDGEMENT),
    ask=(Role.RECORDS, Role.SENIOR),
)
def record_is_active(case: Case) -> Iterator[Breach]:
    patient = case.record.patient
    if not patient.active:
        yield Breach(
            sentence="The patient's record is marked as not in use, so its contact details may "
            "not be this person's any more.",
            evidence=(patient.version,),
        )


@rule(
    code="person.restricted",
    section=SECTION,
    states="The record is not restricted.",
    effect=Effect.HOLD,
    in_emergency=Effect.HOLD,
    lifted_by=(Lift.REVIEW, Lift.ACKNOWLEDGEMENT),
    ask=(Role.CALDICOTT_GUARDIAN, Role.SENIOR),
)
def record_is_not_restricted(case: Case) -> Iterator[Breach]:
    patient = case.record.patient
    if patient.restricted:
        yield Breach(
            sentence="The patient's record is restricted. Contact details that are still on it "
            "may be unsafe to use until somebody has confirmed them.",
            evidence=(patient.version,),
        )


@rule(
    code="person.left",
    section=SECTION,
    states="The patient has not left registration.",
    effect=Effect.HOLD,
    in_emergency=Effect.WARN,
    lifted_by=(Lift.REVIEW,),
    ask=(Role.RECORDS, Role.SENIOR),
)
def patient_has_not_left(case: Case) -> Iterator[Breach]:
    patient = case.record.patient
    if patient.left is not None:
        yield Breach(
            sentence=f"The patient has left registration (exit code {patient.left}), so the "
            "contact details may be out of date.",
            evidence=(patient.version,),
        )


@rule(
    code="read.incomplete",
    section=SECTION,
    states="The record was read whole, just now, and all of it was understood.",
    effect=Effect.HOLD,
    in_emergency=Effect.HOLD,
    lifted_by=(Lift.ACKNOWLEDGEMENT,),
    ask=(Role.SYSTEM,),
)
def record_was_read_whole(case: Case) -> Iterator[Breach]:
    # Nobody can acknowledge for a proxy what was not read of the patient's record.
    for gap in case.record.gaps:
        yield Breach(
            sentence=gap.sentence,
            evidence=() if gap.evidence is None else (gap.evidence,),
            liftable=not case.to_proxy,
        )
    for consent in _consents_that_bear(case):
        if is_altered(consent):
            yield Breach(
                sentence="A Consent carries a modifier that is not understood, so it may mean "
                "something else than it seems to.",
                evidence=(consent.version,),
                liftable=not case.to_proxy,
            )


@rule(
    code="read.blind",
    section=SECTION,
    states="Nothing suggests that Consents are hidden from this service.",
    effect=Effect.HOLD,
    in_emergency=Effect.HOLD,
    lifted_by=(Lift.ACKNOWLEDGEMENT,),
    ask=(Role.SYSTEM,),
)
def no_consents_are_hidden(case: Case) -> Iterator[Breach]:
    for sign in case.record.blind:
        yield Breach(
            sentence=sign.sentence, evidence=() if sign.evidence is None else (sign.evidence,)
        )


@rule(
    code="read.proxy-unknown",
    section=SECTION,
    states="The proxy's own record can be found, so that their own objections are seen.",
    where="to_proxy",
    effect=Effect.WARN,
    in_emergency=Effect.NOTE,
    ask=(Role.RECORDS,),
)
def proxys_own_record_can_be_found(case: Case) -> Iterator[Breach]:
    related = case.recipient.related
    if related is not None and not related.identified:
        yield Breach(
            sentence="The related person carries no NHS number, so objections of their own could "
            "not be looked up.",
            evidence=(related.version,),
        )


_NO_BAR = frozenset({Kind.GRANT, Kind.OTHER})
_MAY_OBJECT = frozenset({Kind.OBJECTION, Kind.UNCLEAR})


def _consents_that_bear(case: Case) -> Iterator[ConsentFacts]:
    gone = (ConsentStatus.INACTIVE, ConsentStatus.REJECTED)
    for consent, kinds in case.classified:
        if consent.status not in gone and not kinds <= _NO_BAR:
            yield consent
    for consent, kinds in case.own_kinds if case.to_proxy else ():
        if consent.status not in gone and kinds & _MAY_OBJECT:
            yield consent


@rule(
    code="request.stale",
    section=SECTION,
    states="The message is still wanted at this time.",
    effect=Effect.REFUSE,
    in_emergency=Effect.REFUSE,
    ask=(Role.SENIOR,),
)
def message_is_still_wanted(case: Case) -> Iterator[Breach]:
    limit = case.request.not_after
    if limit is not None and case.as_of > limit:
        yield Breach(
            sentence="The time after which the sender did not want this message sent has passed."
        )


# Words for which an occasion that will not take place makes a message wrong.
_ANNOUNCING = frozenset({Occasion.REMINDER, Occasion.INVITATION})


@rule(
    code="about.cancelled",
    section=SECTION,
    states="What a reminder or invitation is about is still going to take place.",
    effect=Effect.REFUSE,
    in_emergency=Effect.WARN,
    lifted_by=(Lift.REVIEW,),
    ask=(Role.SENIOR,),
)
def occasion_is_still_to_come(case: Case) -> Iterator[Breach]:
    if case.request.occasion not in _ANNOUNCING:
        return
    for about in case.record.about:
        past = about.starts is not None and about.starts < case.as_of
        if about.off is not None or past:
            yield Breach(
                sentence=f"The message is a {case.request.occasion}, and what it is about "
                + (f"is {about.off}." if about.off is not None else "is in the past."),
                evidence=(about.version,),
            )


@rule(
    code="request.repeated",
    section=SECTION,
    states="The same words were not sent to the same person a short while ago.",
    effect=Effect.HOLD,
    in_emergency=Effect.WARN,
    lifted_by=(Lift.REVIEW,),
    ask=(Role.SENIOR, Role.SYSTEM),
)
def message_is_not_a_repeat(case: Case) -> Iterator[Breach]:
    if not case.record.earlier or case.content_digest is None:
        return
    since = case.as_of - timedelta(hours=case.policy.repeat_window_hours)
    for earlier in case.record.earlier:
        if (
            earlier.left
            and earlier.content_digest == case.content_digest
            and earlier.message_id != case.message_id
            and earlier.recipient in case.recipient.keys
            and earlier.at >= since
        ):
            yield Breach(
                sentence="The same words went to the same person a short while ago, or may have, "
                "under another message id.",
                evidence=(earlier.version,),
            )


RULES = (
    everything_is_about_the_same_patient,
    patient_is_living,
    record_is_not_replaced,
    record_is_active,
    record_is_not_restricted,
    patient_has_not_left,
    record_was_read_whole,
    no_consents_are_hidden,
    occasion_is_still_to_come,
    message_is_still_wanted,
    message_is_not_a_repeat,
    proxys_own_record_can_be_found,
)
