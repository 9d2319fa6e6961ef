"""Objections to receiving messages: always looked for, generally respected."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from fhirmsg.guidance.case import Case
from fhirmsg.guidance.consents import (
    Denied,
    Kind,
    Reading,
    Says,
    belongs_elsewhere,
    permits,
    would_deny,
)
from fhirmsg.guidance.evidence import evidence_faults, override_faults
from fhirmsg.guidance.record import ConsentFacts
from fhirmsg.guidance.rule import Breach, Effect, Lift, rule
from fhirmsg.guidance.terms import Channel, Match, Period, Role

SECTION = "Objections to receiving messages"
# An objection that has ended is spoken of for this long, so that staff can ask again.
_SHOWN_FOR = timedelta(days=366)
_ASK = (Role.DPO, Role.CALDICOTT_GUARDIAN, Role.IG_TEAM, Role.SENIOR)


def _by(reading: Reading, sentence: str, ask: tuple[Role, ...] = ()) -> Breach:
    return Breach(sentence=sentence, evidence=(reading.consent.version,), ask=ask)


@rule(
    code="objection.safety",
    section="Objections relating to serious harm",
    states="No channel the message can reach is recorded as dangerous to the patient.",
    where="is_objected_to",
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
    states="A safety restriction that somebody else entered or proposed was confirmed.",
    effect=Effect.HOLD,
    in_emergency=Effect.HOLD,
    lifted_by=(Lift.REVIEW, Lift.ACKNOWLEDGEMENT),
    ask=(Role.CALDICOTT_GUARDIAN,),
)
def safety_restriction_is_the_patients_own(case: Case) -> Iterator[Breach]:
    for reading in case.readings_that(Says.SAFETY_BY_PROXY):
        yield _by(
            reading,
            f"There is a safety restriction that covers {reading.channel}, and nobody has "
            "confirmed it with the patient. It may protect the patient, or cut them off.",
        )
    for consent in case.reach.unconfirmed_restrictions:
        yield Breach(
            sentence="There is a safety restriction of this contact point that a related person "
            "entered and nobody has confirmed with the patient. It may protect the patient, or "
            "cut them off.",
            evidence=(consent.version,),
        )


@rule(
    code="objection.active",
    section=SECTION,
    states="No objection in force reaches a channel this message may come out of.",
    where="is_objected_to",
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
    where="is_objected_to",
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
    code="objection.no-reason",
    section=SECTION,
    states="The reason for an objection is recorded, so that it can be understood.",
    where="is_objected_to",
    effect=Effect.NOTE,
    in_emergency=Effect.NOTE,
    ask=_ASK,
)
def reason_is_recorded(case: Case) -> Iterator[Breach]:
    for reading in case.readings_that(Says.ACTIVE):
        if not reading.consent.reason_recorded:
            yield _by(
                reading,
                "The objection has no reason recorded. Have a discreet conversation with the "
                "patient; an override needs one.",
            )


@rule(
    code="objection.other-organisation",
    section=SECTION,
    states="Objections made to other organisations alone are shown.",
    where="is_objected_to",
    effect=Effect.NOTE,
    in_emergency=Effect.NOTE,
    ask=(Role.IG_TEAM,),
)
def objections_to_others_are_shown(case: Case) -> Iterator[Breach]:
    for reading in case.readings_that(Says.OTHER_ORGANISATION):
        yield _by(reading, "There is an objection on the record that was made to others only.")


@rule(
    code="objection.by-proxy",
    section=SECTION,
    states="Objections that a related person entered for the patient are shown as such.",
    where="is_objected_to",
    effect=Effect.NOTE,
    in_emergency=Effect.NOTE,
    ask=(Role.CALDICOTT_GUARDIAN,),
)
def objections_by_others_are_shown(case: Case) -> Iterator[Breach]:
    for reading in case.readings_that(Says.ACTIVE, Says.SAFETY, Says.PENDING):
        if reading.consent.performer_related:
            yield _by(
                reading,
                "The objection was entered by a related person. It is honoured; find out whether "
                "it is the patient's own wish.",
            )


@rule(
    code="objection.conflict",
    section=SECTION,
    states="A later permission for the same messages is shown beside the objection.",
    where="is_objected_to",
    effect=Effect.NOTE,
    in_emergency=Effect.NOTE,
    ask=_ASK,
)
def later_permissions_are_shown(case: Case) -> Iterator[Breach]:
    latest: dict[Channel | None, ConsentFacts | None] = {}
    for reading in case.readings_that(Says.ACTIVE):
        if reading.channel not in latest:
            latest[reading.channel] = _latest_permission(case, reading.channel)
        permission = latest[reading.channel]
        if permission is None or permission is reading.consent:
            continue
        signed, objected = permission.signed, reading.consent.signed
        # Where a date is missing it may be later.
        if signed is None or objected is None or signed > objected:
            yield Breach(
                sentence="A permission for these messages was recorded after the objection. "
                "The objection still counts; ask the patient which one is meant.",
                evidence=(reading.consent.version, permission.version),
            )


def _latest_permission(case: Case, channel: Channel | None) -> ConsentFacts | None:
    """Give the permission signed last, one without a date before all others."""
    queries = [query for query in case.queries_to_recipient if query.channel is channel]
    found = [
        consent
        for consent, kinds in case.bearing_on_recipient
        if any(permits(consent, kinds, query) for query in queries)
    ]
    return max(found, key=lambda each: (each.signed is None, _moment(each), each.key), default=None)


def _moment(consent: ConsentFacts) -> float:
    return consent.signed.timestamp() if consent.signed is not None else 0.0


@rule(
    code="objection.expired",
    section=SECTION,
    states="Objections that ended within the last twelve months are shown.",
    effect=Effect.NOTE,
    in_emergency=Effect.NOTE,
    ask=_ASK,
)
def ended_objections_are_shown(case: Case) -> Iterator[Breach]:
    for consent, kinds in case.bearing_on_recipient:
        period = _period(consent)
        end = None if period is None else period.end
        lately = end is not None and case.as_of - _SHOWN_FOR <= end < case.as_of
        if lately and end is not None and _bore_on_this(case, consent, kinds, end):
            yield Breach(
                sentence="An objection to such messages ended within the last twelve months. "
                "Ask whether it is to be renewed.",
                evidence=(consent.version,),
            )


@rule(
    code="objection.future",
    section=SECTION,
    states="Objections that begin later are shown.",
    effect=Effect.NOTE,
    in_emergency=Effect.NOTE,
    ask=_ASK,
)
def coming_objections_are_shown(case: Case) -> Iterator[Breach]:
    for consent, kinds in case.bearing_on_recipient:
        period = _period(consent)
        start = None if period is None else period.start
        if start is not None and start > case.as_of and _bore_on_this(case, consent, kinds, start):
            yield Breach(
                sentence="An objection to such messages begins later.",
                evidence=(consent.version,),
            )


def _period(consent: ConsentFacts) -> Period | None:
    return consent.root.period if consent.root is not None else None


def _bore_on_this(case: Case, consent: ConsentFacts, kinds: frozenset[Kind], at: datetime) -> bool:
    """Tell whether an objection out of force now covers such messages at its own time."""
    period = _period(consent)
    return (
        period is not None
        and period.contains(case.as_of, denial=True) is Match.NO
        and would_deny(consent, kinds, case.queries_to_recipient, at)
        and not belongs_elsewhere(consent, case.organisations)
    )


@rule(
    code="objection.patient-on-proxy",
    section=SECTION,
    states="The patient's objections to a channel are shown when a proxy is written to on it.",
    where="to_proxy",
    effect=Effect.WARN,
    in_emergency=Effect.NOTE,
    ask=_ASK,
)
def patients_objections_are_shown_for_proxies(case: Case) -> Iterator[Breach]:
    for reading in case.not_binding_the_proxy:
        if reading.says is not Says.OTHER_ORGANISATION:
            yield _by(
                reading,
                f"The patient objects to {reading.channel}. That is about the patient's own "
                "telephone or address; the message goes to the proxy's.",
            )


@rule(
    code="override.invalid",
    section="Overriding objections",
    states="An override that is given is complete and bound to this message.",
    where="has_evidence",
    effect=Effect.NOTE,
    in_emergency=Effect.NOTE,
    ask=_ASK,
)
def override_is_valid(case: Case) -> Iterator[Breach]:
    faults = override_faults(case)
    if faults:
        yield Breach(sentence=f"The override does not count: {'; '.join(faults)}.")


@rule(
    code="evidence.invalid",
    section="Overriding objections",
    states="Every other piece of evidence that is given is complete and bound to this message.",
    where="has_evidence",
    effect=Effect.NOTE,
    in_emergency=Effect.NOTE,
    ask=_ASK,
)
def evidence_is_valid(case: Case) -> Iterator[Breach]:
    for name, faults in evidence_faults(case):
        yield Breach(sentence=f"The {name} does not count: {'; '.join(faults)}.")


RULES = (
    no_objection_is_in_force,
    no_objection_is_pending,
    every_objection_is_plain,
    reason_is_recorded,
    objections_to_others_are_shown,
    objections_by_others_are_shown,
    later_permissions_are_shown,
    ended_objections_are_shown,
    coming_objections_are_shown,
    patients_objections_are_shown_for_proxies,
    override_is_valid,
    evidence_is_valid,
    no_channel_endangers_the_patient,
    safety_restriction_is_the_patients_own,
)
