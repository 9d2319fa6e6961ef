"""Sending messages to people acting on someone else's behalf: three grounds, all recorded."""

from __future__ import annotations

from collections.abc import Iterator

from fhirmsg.guidance.case import Case
from fhirmsg.guidance.consents import Denied
from fhirmsg.guidance.rule import Breach, Effect, Lift, rule
from fhirmsg.guidance.terms import Match, Role

SECTION = "Sending messages to people acting on someone else\N{RIGHT SINGLE QUOTATION MARK}s behalf"
_ASK = (Role.CALDICOTT_GUARDIAN, Role.IG_TEAM)


@rule(
    code="proxy.link",
    section=SECTION,
    states="The related person is recorded as related to this patient.",
    effect=Effect.REFUSE,
    in_emergency=Effect.REFUSE,
    ask=(Role.RECORDS,),
)
def related_person_belongs_to_the_patient(case: Case) -> Iterator[Breach]:
    related = case.recipient.related
    if related is not None and not related.patient_keys & case.record.patient.keys:
        yield Breach(
            sentence="The related person is not recorded as related to this patient.",
            evidence=(related.version,),
        )


@rule(
    code="proxy.inactive",
    section=SECTION,
    states="The related person's entry is in use now and the person is living.",
    effect=Effect.REFUSE,
    in_emergency=Effect.REFUSE,
    ask=(Role.RECORDS,),
)
def related_person_is_in_use(case: Case) -> Iterator[Breach]:
    related = case.recipient.related
    if related is None:
        return
    if not related.active:
        yield Breach(
            sentence="The related person's entry is marked as not in use.",
            evidence=(related.version,),
        )
    period = related.period
    if period is not None and period.contains(case.as_of) is not Match.YES:
        yield Breach(
            sentence="The relationship is not recorded as lasting at this time.",
            evidence=(related.version,),
        )
    own = case.recipient.own_patient
    if own is not None and own.died is not None:
        yield Breach(
            sentence="The related person is recorded as having died.", evidence=(own.version,)
        )


@rule(
    code="proxy.denied",
    section=SECTION,
    states="Nothing on the record refuses this person this message.",
    effect=Effect.REFUSE,
    in_emergency=Effect.REFUSE,
    ask=_ASK,
)
def nothing_denies_this_proxy(case: Case) -> Iterator[Breach]:
    if not case.to_proxy:
        return
    for denial in case.denials:
        if denial.denied is Denied.YES:
            yield Breach(
                sentence="A Consent in force says that this person is not to receive this.",
                evidence=(denial.consent.version,),
            )


@rule(
    code="proxy.no-basis",
    section=SECTION,
    states="A Consent on the record lets this person receive, on a ground the guidance names.",
    effect=Effect.REFUSE,
    in_emergency=Effect.HOLD,
    lifted_by=(Lift.ACKNOWLEDGEMENT,),
    ask=_ASK,
)
def proxy_has_a_basis(case: Case) -> Iterator[Breach]:
    if not case.to_proxy or case.grant is not None or case.candidates_denied:
        return
    related = case.recipient.related
    yield Breach(
        sentence="No Consent in force lets this person receive messages for the patient. Being "
        "related is not enough: parental responsibility for a child under 16, a best-interests "
        "decision or the patient's explicit consent has to be on the record.",
        evidence=() if related is None else (related.version,),
    )


def _flaws(case: Case, code: str) -> Iterator[Breach]:
    grant = case.grant if case.to_proxy else None
    if grant is not None:
        for flaw in grant.flaws:
            if flaw.code == code:
                yield Breach(sentence=flaw.sentence, evidence=(grant.consent.version,))


@rule(
    code="proxy.unclear",
    section=SECTION,
    states="The Consent that names the person plainly permits, on one ground, and is verified.",
    effect=Effect.HOLD,
    in_emergency=Effect.HOLD,
    lifted_by=(Lift.REVIEW, Lift.ACKNOWLEDGEMENT),
    ask=_ASK,
)
def grant_is_plain(case: Case) -> Iterator[Breach]:
    yield from _flaws(case, "proxy.unclear")
    if not case.to_proxy:
        return
    for denial in case.denials:
        if denial.denied is Denied.PERHAPS:
            yield Breach(
                sentence="A Consent may deny this person this message; it cannot be excluded.",
                evidence=(denial.consent.version,),
            )


@rule(
    code="proxy.unknown-basis",
    section=SECTION,
    states="The ground on which the person acts is recorded in a code that is understood.",
    effect=Effect.HOLD,
    in_emergency=Effect.HOLD,
    lifted_by=(Lift.REVIEW, Lift.ACKNOWLEDGEMENT),
    ask=_ASK,
)
def basis_is_understood(case: Case) -> Iterator[Breach]:
    yield from _flaws(case, "proxy.unknown-basis")


@rule(
    code="proxy.unlisted-basis",
    section=SECTION,
    states="The ground is one of the guidance's three, or one the organisation accepts.",
    effect=Effect.HOLD,
    in_emergency=Effect.WARN,
    lifted_by=(Lift.REVIEW,),
    ask=_ASK,
)
def basis_is_listed(case: Case) -> Iterator[Breach]:
    yield from _flaws(case, "proxy.unlisted-basis")


@rule(
    code="proxy.age-review",
    section=SECTION,
    states="Parental access was reviewed since the child passed the latest review age.",
    effect=Effect.HOLD,
    in_emergency=Effect.WARN,
    lifted_by=(Lift.REVIEW,),
    ask=(Role.CALDICOTT_GUARDIAN, Role.SENIOR),
)
def parental_access_was_reviewed(case: Case) -> Iterator[Breach]:
    yield from _flaws(case, "proxy.age-review")


@rule(
    code="proxy.scope",
    section=SECTION,
    states="The grant covers messages of this purpose, on this channel, about this service.",
    effect=Effect.HOLD,
    in_emergency=Effect.WARN,
    lifted_by=(Lift.REVIEW,),
    ask=_ASK,
)
def grant_covers_the_message(case: Case) -> Iterator[Breach]:
    yield from _flaws(case, "proxy.scope")


RULES = (
    related_person_belongs_to_the_patient,
    related_person_is_in_use,
    nothing_denies_this_proxy,
    proxy_has_a_basis,
    grant_is_plain,
    basis_is_understood,
    basis_is_listed,
    parental_access_was_reviewed,
    grant_covers_the_message,
)
