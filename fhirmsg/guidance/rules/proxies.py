"""Sending messages to people acting on someone else's behalf: three grounds, all recorded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from fhirmsg.guidance import contact
from fhirmsg.guidance.case import Case
from fhirmsg.guidance.consents import Denied
from fhirmsg.guidance.flaws import PARENTAL_LIMIT
from fhirmsg.guidance.record import Basis
from fhirmsg.guidance.rule import Breach, Effect, Lift, rule
from fhirmsg.guidance.terms import Match, Role

SECTION = "Sending messages to people acting on someone else\N{RIGHT SINGLE QUOTATION MARK}s behalf"
_ASK = (Role.CALDICOTT_GUARDIAN, Role.IG_TEAM)


@rule(
    code="proxy.link",
    section=SECTION,
    states="The related person is recorded as related to this patient.",
    where="to_proxy",
    effect=Effect.REFUSE,
    in_emergency=Effect.REFUSE,
    ask=(Role.RECORDS,),
)
def related_person_belongs_to_the_patient(case: Case) -> Iterator[Breach]:
    related = case.recipient.related
    if related is not None and not related.patient_keys & case.patient_keys:
        yield Breach(
            sentence="The related person is not recorded as related to this patient.",
            evidence=(related.version,),
        )


@rule(
    code="proxy.inactive",
    section=SECTION,
    states="The related person's entry is in use now and the person is living.",
    where="to_proxy",
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
    where="to_proxy",
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
    where="to_proxy",
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


def _flaws(case: Case, code: str) -> Iterable[Breach]:
    grant = case.grant
    if grant is None:
        return ()
    return [
        Breach(
            sentence=flaw.sentence,
            evidence=(grant.consent.version, *flaw.others),
            effect=flaw.effect,
        )
        for flaw in grant.flaws
        if flaw.code == code
    ]


@rule(
    code="proxy.unclear",
    section=SECTION,
    states="The Consent that names the person plainly permits, on one ground, and is verified.",
    where="to_proxy",
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
    where="grant_has_flaws",
    effect=Effect.HOLD,
    in_emergency=Effect.HOLD,
    lifted_by=(Lift.REVIEW, Lift.ACKNOWLEDGEMENT),
    ask=_ASK,
)
def basis_is_understood(case: Case) -> Iterable[Breach]:
    return _flaws(case, "proxy.unknown-basis")


@rule(
    code="proxy.unlisted-basis",
    section=SECTION,
    states="The ground is one of the guidance's three, or one the organisation accepts.",
    where="grant_has_flaws",
    effect=Effect.HOLD,
    in_emergency=Effect.WARN,
    lifted_by=(Lift.REVIEW,),
    ask=_ASK,
)
def basis_is_listed(case: Case) -> Iterable[Breach]:
    return _flaws(case, "proxy.unlisted-basis")


@rule(
    code="proxy.age-review",
    section=SECTION,
    states="Parental access was reviewed since the child passed the latest review age.",
    where="grant_has_flaws",
    effect=Effect.HOLD,
    in_emergency=Effect.WARN,
    lifted_by=(Lift.REVIEW,),
    ask=(Role.CALDICOTT_GUARDIAN, Role.SENIOR),
)
def parental_access_was_reviewed(case: Case) -> Iterable[Breach]:
    return _flaws(case, "proxy.age-review")


@rule(
    code="proxy.capacity",
    section=SECTION,
    states="What is recorded of the patient's capacity bears out the ground of the grant.",
    where="grant_has_flaws",
    effect=Effect.HOLD,
    in_emergency=Effect.WARN,
    lifted_by=(Lift.REVIEW,),
    ask=(Role.CALDICOTT_GUARDIAN, Role.SENIOR),
)
def capacity_bears_out_the_grant(case: Case) -> Iterable[Breach]:
    return _flaws(case, "proxy.capacity")


@rule(
    code="proxy.capacity-unrecorded",
    section=SECTION,
    states="A best-interests decision comes with a dated assessment of capacity.",
    where="grant_has_flaws",
    effect=Effect.WARN,
    in_emergency=Effect.NOTE,
    lifted_by=(Lift.REVIEW,),
    ask=(Role.CALDICOTT_GUARDIAN, Role.SENIOR),
)
def capacity_was_assessed(case: Case) -> Iterable[Breach]:
    return _flaws(case, "proxy.capacity-unrecorded")


@rule(
    code="proxy.competence",
    section=SECTION,
    states="A child's own consent was given competently, and no competent child is bypassed.",
    where="grant_has_flaws",
    effect=Effect.HOLD,
    in_emergency=Effect.HOLD,
    lifted_by=(Lift.REVIEW, Lift.ACKNOWLEDGEMENT),
    ask=(Role.CALDICOTT_GUARDIAN, Role.SENIOR),
)
def childs_competence_is_respected(case: Case) -> Iterable[Breach]:
    return _flaws(case, "proxy.competence")


@rule(
    code="proxy.scope",
    section=SECTION,
    states="The grant covers messages of this purpose, on this channel, about this service.",
    where="grant_has_flaws",
    effect=Effect.HOLD,
    in_emergency=Effect.WARN,
    lifted_by=(Lift.REVIEW,),
    ask=_ASK,
)
def grant_covers_the_message(case: Case) -> Iterable[Breach]:
    return _flaws(case, "proxy.scope")


@rule(
    code="proxy.other-organisation",
    section=SECTION,
    states="The grant was made by this organisation.",
    where="grant_has_flaws",
    effect=Effect.HOLD,
    in_emergency=Effect.WARN,
    lifted_by=(Lift.REVIEW,),
    ask=_ASK,
)
def grant_is_ours(case: Case) -> Iterable[Breach]:
    return _flaws(case, "proxy.other-organisation")


@rule(
    code="proxy.conflict",
    section=SECTION,
    states="Nothing else on the record contradicts the grant.",
    where="grant_has_flaws",
    effect=Effect.HOLD,
    in_emergency=Effect.HOLD,
    lifted_by=(Lift.REVIEW, Lift.ACKNOWLEDGEMENT),
    ask=_ASK,
)
def grant_is_not_contradicted(case: Case) -> Iterable[Breach]:
    return _flaws(case, "proxy.conflict")


@rule(
    code="proxy.no-end",
    section=SECTION,
    states="The grant has an end date.",
    where="grant_has_flaws",
    effect=Effect.WARN,
    in_emergency=Effect.NOTE,
    ask=_ASK,
)
def grant_has_an_end(case: Case) -> Iterable[Breach]:
    return _flaws(case, "proxy.no-end")


@rule(
    code="proxy.ends-soon",
    section=SECTION,
    states="The grant has more than 30 days to go.",
    where="grant_has_flaws",
    effect=Effect.WARN,
    in_emergency=Effect.NOTE,
    ask=_ASK,
)
def grant_lasts(case: Case) -> Iterable[Breach]:
    return _flaws(case, "proxy.ends-soon")


@rule(
    code="proxy.unnecessary",
    section=SECTION,
    states="The patient is not somebody who could get the message themselves.",
    where="to_proxy",
    effect=Effect.WARN,
    in_emergency=Effect.NOTE,
    ask=_ASK,
)
def patient_could_not_be_told(case: Case) -> Iterator[Breach]:
    grant = case.grant if case.to_proxy else None
    if grant is None or grant.basis is Basis.BEST_INTERESTS:
        return
    patient = case.record.patient
    youngest = patient.born.youngest_age(case.day)
    if (
        youngest is not None
        and youngest >= PARENTAL_LIMIT
        and contact.select(patient.contact_points, case.request.channel, case.as_of) is not None
    ):
        yield Breach(
            sentence="The patient is 16 or over and can be reached on this channel: generally, "
            "messages go to the person they are about.",
            evidence=(patient.version,),
        )


RULES = (
    related_person_belongs_to_the_patient,
    related_person_is_in_use,
    nothing_denies_this_proxy,
    proxy_has_a_basis,
    grant_is_plain,
    basis_is_understood,
    basis_is_listed,
    parental_access_was_reviewed,
    capacity_bears_out_the_grant,
    capacity_was_assessed,
    childs_competence_is_respected,
    grant_covers_the_message,
    grant_is_ours,
    grant_is_not_contradicted,
    grant_has_an_end,
    grant_lasts,
    patient_could_not_be_told,
)
