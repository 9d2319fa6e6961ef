"""Is a piece of evidence complete, in time, and bound to this very message?

Merit is never judged here: that is for the people who sign. Blank text is no text.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from fhirmsg.guidance.case import Case
from fhirmsg.guidance.consents import Says
from fhirmsg.guidance.readable import as_read, same_role, says_something
from fhirmsg.guidance.request import Override
from fhirmsg.guidance.terms import Person

# Clocks of the caller and of this host may differ by this much.
CLOCK_TOLERANCE = timedelta(seconds=120)
LONGEST_OVERRIDE = timedelta(hours=24)


def is_named(person: Person | None) -> bool:
    """Tell whether a person has an identifier, a name and a role, none of them blank."""
    return person is not None and all(
        map(says_something, (person.identifier, person.name, person.role))
    )


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
    if as_read(approver.identifier) == as_read(case.request.requester.identifier):
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
    elif cited != in_force or len(cited) != len(override.objections):
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
