"""Is a piece of evidence complete, in time, and bound to this very message?

Merit is never judged here: that is for the people who sign. Blank text is no text.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from fhirmsg.guidance.case import Case
from fhirmsg.guidance.coding import is_same_service
from fhirmsg.guidance.consents import Says
from fhirmsg.guidance.declarations import CLOCK_TOLERANCE, is_named, is_named_by, is_same_person
from fhirmsg.guidance.readable import same_role, says_something
from fhirmsg.guidance.request import (
    Asserted,
    IndividualCheck,
    Override,
    PracticalReason,
)
from fhirmsg.guidance.reviews import faults_of_review, is_code
from fhirmsg.guidance.terms import Declared

LONGEST_OVERRIDE = timedelta(hours=24)


def override_faults(case: Case) -> tuple[str, ...]:
    """Say what is wrong with the override of this request; empty when it is valid.

    Source: "Overriding objections". The message id and digest bind it to one message, and the
    objections with their versions bind it to what was known when it was approved.
    """
    override = case.request.evidence.override
    if override is None:
        return ()
    return (
        *_faults_of_statement(override),
        *_faults_of_approver(case, override),
        *_faults_of_time(case, override),
        *_faults_of_binding(case, override),
    )


def _faults_of_statement(override: Override) -> Iterator[str]:
    if not says_something(override.reason):
        yield "it gives no reason"
    if not says_something(override.circumstances):
        yield "it does not say which circumstances of the patient were considered"


def _faults_of_approver(case: Case, override: Override) -> Iterator[str]:
    approver = override.approver
    if approver is None or not is_named(approver):
        yield "it does not name an approver with identifier, name and role"
        return
    if not same_role(approver.role, case.policy.approve_overrides):
        yield "the approver's role may not approve overrides under the organisation's policy"
    if is_same_person(approver, case.request.requester):
        yield "the approver is the person who asks for the message"


def _faults_of_time(case: Case, override: Override) -> Iterator[str]:
    approved, expires = override.approved_at, override.expires_at
    ours = case.as_of.isoformat()
    if approved is None or expires is None:
        yield "it does not say when it was approved and when it expires"
        return
    if approved > case.as_of + CLOCK_TOLERANCE:
        yield f"it is approved for a time that has not come (our time is {ours})"
    if expires <= case.as_of:
        yield f"it has expired (our time is {ours})"
    if expires - approved > LONGEST_OVERRIDE:
        yield "it would last longer than 24 hours"


def _faults_of_binding(case: Case, override: Override) -> Iterator[str]:
    if override.message_id != case.message_id:
        yield "it was approved for another message id"
    if override.message_digest != case.message_digest:
        yield "it was approved for a message with other content"
    in_force = {
        (reading.consent.version.reference, reading.consent.version.version_id)
        for reading in case.readings_that(Says.ACTIVE)
    }
    cited = {(each.reference, each.version_id) for each in override.objections}
    if not in_force:
        yield "there is no objection for it to override"
    elif cited != in_force:
        yield "the objections and versions it cites are not those in force"
    elif not all(says_something(version) for _, version in in_force):
        yield "an objection has no version on the server, so nothing can be bound to it"
    unexplained = any(
        not reading.consent.reason_recorded for reading in case.readings_that(Says.ACTIVE)
    )
    if unexplained and not _was_talked_over(case, override):
        yield (
            "an objection has no reason recorded, so a conversation with the patient is needed: "
            "by whom and when"
        )


def _was_talked_over(case: Case, override: Override) -> bool:
    talk = override.conversation
    return (
        talk is not None
        and is_named(talk.by)
        and talk.at is not None
        and talk.at <= case.as_of + CLOCK_TOLERANCE
    )


# --- the other pieces ------------------------------------------------------------------------


def evidence_faults(case: Case) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Name each piece of evidence, besides override and emergency, that does not count, and why."""
    evidence = case.request.evidence
    given: list[tuple[str, tuple[str, ...]]] = []
    if evidence.acknowledged and not case.emergency:
        given.append(
            ("acknowledgement", ("no valid declaration of an emergency stands beside it",))
        )
    if evidence.individual_check is not None:
        given.append(("individual check", faults_of_check(case, evidence.individual_check)))
    for review in evidence.reviews:
        given.append((f"review of {_code(review.code)}", faults_of_review(case, review)))
    if evidence.necessity is not None:
        given.append(("necessity", faults_of_assertion(evidence.necessity)))
    if evidence.practical_reason is not None:
        given.append(("practical reason", faults_of_practical_reason(evidence.practical_reason)))
    if evidence.accessible_alternative is not None:
        alternative = evidence.accessible_alternative
        given.append(("accessible alternative", faults_of_assertion(alternative)))
    return ((name, faults) for name, faults in given if faults)


def _code(text: str | None) -> str:
    """Give a code for a sentence; what is none is not repeated, since it may be anything."""
    return text if text is not None and is_code(text) else "a finding that is not named"


def faults_of_check(case: Case, check: IndividualCheck) -> tuple[str, ...]:
    """Say what keeps an individual's answer from counting; empty when nothing does.

    Source: "Services individuals may feel sensitive about". The answer is bound to the proxy and
    the service it was about.
    """
    return tuple(_faults_of_check(case, check))


def _faults_of_check(case: Case, check: IndividualCheck) -> Iterator[str]:
    if check.answer not in (Declared.YES, Declared.NO):
        yield "it does not say whether the answer was yes or no"
    if check.proxy not in case.recipient.closure:
        yield "it is not about this proxy"
    service = case.request.service.code
    if service is None:
        yield "the request names no service that it could be about"
    elif check.service is None or not is_same_service(check.service, service):
        yield "it is not about the service of this message"
    if not is_named(check.by):
        yield "it does not name who asked, with identifier, name and role"
    elif check.by is not None and is_named_by(check.by.identifier, case.recipient.closure):
        yield "it is made by the proxy"
    if check.at is None:
        yield "it does not say when the individual was asked"
    elif check.at > case.as_of + CLOCK_TOLERANCE:
        yield f"it is dated in the future (our time is {case.as_of.isoformat()})"
    elif (
        # A yes has to be fresh; a no stands until it is taken back.
        check.answer is Declared.YES
        and check.at < case.as_of - timedelta(days=case.policy.individual_check_days)
    ):
        yield "it is older than the organisation's policy allows; ask again"


def is_of_another(case: Case, check: IndividualCheck) -> bool:
    """Tell whether an answer is plainly about another proxy, or about another service.

    Completeness is asked of what lifts something; a no lifts nothing, and counts in doubt.
    """
    service = case.request.service.code
    return (check.proxy is not None and check.proxy not in case.recipient.closure) or (
        check.service is not None
        and service is not None
        and not is_same_service(check.service, service)
    )


def faults_of_assertion(assertion: Asserted) -> tuple[str, ...]:
    """Say what is missing in a reason that somebody stands for."""
    faults = []
    if not says_something(assertion.reason):
        faults.append("it gives no reason")
    if not is_named(assertion.by):
        faults.append("it does not name who stands for it, with identifier, name and role")
    return tuple(faults)


def faults_of_practical_reason(reason: PracticalReason) -> tuple[str, ...]:
    """Say what is missing in a reason not to follow a preference; the page asks for both limbs."""
    faults = list(faults_of_assertion(Asserted(reason=reason.reason, by=reason.by)))
    if reason.important_for_care is not True:
        faults.append("it does not say that the message is important for care")
    if reason.only_practical_way is not True:
        faults.append("it does not say that this is the only practical way")
    return tuple(faults)
