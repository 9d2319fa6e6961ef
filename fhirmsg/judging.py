"""From a read to a decision, and from a decision to the entry that is opened on it."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import replace
from uuid import uuid4

from fhirmsg import clock
from fhirmsg.calls import Call
from fhirmsg.following_up import review_of
from fhirmsg.guidance.case import Case
from fhirmsg.guidance.consents import Kind
from fhirmsg.guidance.contact import tail, usable
from fhirmsg.guidance.decision import Decision, decide
from fhirmsg.guidance.record import ConsentStatus, Gap, PatientFacts
from fhirmsg.guidance.request import SendRequest
from fhirmsg.guidance.terms import Channel
from fhirmsg.ports import NO_METER, AuditDraft, EntryDraft, Meter, OutboundMessage, ReadResult
from fhirmsg.standing import is_confused

_TOO_OLD = "The record was read too long ago to decide on it; try again."
_SENT_BEFORE = (
    "It could not be looked up whether this message was sent before. This call sent nothing; try "
    "again under the same Idempotency-Key."
)
_SEVERAL = (
    "The record holds several entries for this message, or one in a state that is not understood. "
    "A person has to look at them."
)

# Names the faults of spelling and grammar in the words of a request about a patient.
Language = Callable[[SendRequest, PatientFacts], tuple[str, ...]]

# Findings whose very existence could tell a proxy something: that the patient objects or has a
# service they may not want known; that somebody's role was taken away from them, for
# safeguarding perhaps; that a number is kept from a message because of whose it is or was, or
# that confidential words went to one that is not the patient's alone.
_TELLING = (
    *("objection.", "override.", "sensitive."),
    *("person.restricted", "proxy.denied", "proxy.conflict", "contact.excluded"),
)
# The same with a plain message is no secret: everybody at that number can read it anyway.
_TELLING_EXACTLY = frozenset({"contact.shared"})


def judge(
    call: Call,
    read: ReadResult,
    *,
    record_key: bytes | None = None,
    openable: bool = True,
    language: tuple[str, ...] = (),
) -> tuple[Case, Decision]:
    """Judge what was read, now. What is doubtful about the read itself becomes a gap.

    record_key: keys the digest by which the same words are recognised on earlier messages; none
    are without it. language: faults of spelling and grammar in the words.
    """
    gaps = list(read.record.gaps)
    if clock.elapsed_clock() - read.clock_at > call.policy.freshness_seconds:
        gaps.append(Gap(sentence=_TOO_OLD))
    if read.entries is None:
        gaps.append(Gap(sentence=_SENT_BEFORE))
    elif is_confused(read.entries):
        gaps.append(Gap(sentence=_SEVERAL))
    case = Case(
        request=call.request,
        record=replace(read.record, gaps=tuple(gaps), openable=openable),
        policy=call.policy,
        as_of=clock.now(),
        message_id=call.message_id,
        message_digest=call.digest,
        content_digest=None if record_key is None else content_digest(call, record_key),
        language=language,
    )
    return case, decide(case)


class Judge:
    """Judges with this service's key and language checker. Thread-safe."""

    def __init__(
        self, record_key: bytes, language: Language | None = None, *, meter: Meter = NO_METER
    ) -> None:
        """Use them; without a checker the language of a message is not looked at."""
        self._record_key = record_key
        self._language = language
        self._meter = meter

    def __call__(
        self, call: Call, read: ReadResult, *, openable: bool = True
    ) -> tuple[Case, Decision]:
        """Judge what was read, now (see `judge`)."""
        faults: tuple[str, ...] = ()
        if self._language is not None:
            faults = self._language(call.request, read.record.patient)
        case, decision = judge(
            call, read, record_key=self._record_key, openable=openable, language=faults
        )
        self._meter.decided(decision.verdict, [each.code for each in decision.findings])
        return case, decision


def draft_entry(
    call: Call,
    case: Case,
    decision: Decision,
    record_key: bytes,
    *,
    fallback: str | None = None,
) -> EntryDraft:
    """Give what is written when the entry is opened, under a new attempt.

    fallback: what a next leg needs, sealed.
    """
    point = case.contact_point
    consent = case.grant.consent.version if case.to_proxy and case.grant else None
    patient = case.record.patient.version.reference
    attempt = str(uuid4())
    return EntryDraft(
        message_id=call.message_id,
        attempt=attempt,
        attempt_at=case.as_of,
        message_digest=call.digest,
        content_digest=content_digest(call, record_key),
        patient=patient,
        recipient=case.recipient.reference,
        request=call.request,
        decision=decision,
        contact_tail=tail(point.value if point else None),
        label_restricted=needs_restricted_label(case, decision),
        correlation_id=call.correlation_id,
        proxy_consent=None if consent is None else consent.versioned,
        copy_body=call.policy.record_copy,
        review=review_of(call, decision, patient=patient, attempt=attempt),
        part_of=call.part_of,
        fallback=fallback,
    )


def audit_of(
    call: Call, case: Case, decision: Decision, result: str, communication: str | None = None
) -> AuditDraft:
    """Give what those who audit are told about a decision and what followed."""
    return AuditDraft(
        message_id=call.message_id,
        at=case.as_of,
        request=call.request,
        decision=decision,
        patient=case.record.patient.version.reference,
        recipient=case.recipient.reference,
        result=result,
        communication=communication,
        client_id=call.client_id,
        correlation_id=call.correlation_id,
    )


def content_digest(call: Call, record_key: bytes) -> str:
    """Give the keyed digest (HMAC-SHA-256, hex) of subject line and body."""
    content = call.request.content
    text = f"{content.subject or ''}\n{content.body}"
    return hmac.new(record_key, text.encode(), hashlib.sha256).hexdigest()


def needs_restricted_label(case: Case, decision: Decision) -> bool:
    """Tell whether the entry carries the confidentiality label R from its opening on.

    It does when its very existence beside an objection, an override or a sensitive service could
    tell a proxy something, and for every patient with a safety restriction or a denied person.
    So it does in an emergency: it says so, and may be about the very person who reads it.
    """
    if decision.emergency or any(
        finding.code.startswith(_TELLING) or finding.code in _TELLING_EXACTLY
        for finding in decision.findings
    ):
        return True
    return any(
        consent.status is ConsentStatus.ACTIVE
        and (
            consent.safety
            or consent.restricted_digests
            or Kind.DENIAL_OF_PERSON in case.kinds[consent.key]
        )
        for consent in case.consents_with_linked
    )


def outbound(call: Call, case: Case) -> OutboundMessage:
    """Give the message as the provider gets it, to the contact point of this very case."""
    point = case.contact_point
    content = call.request.content
    return OutboundMessage(
        reference=call.message_id,
        channel=call.request.channel,
        to=(point.value if point else None) or "",
        body=content.body,
        subject=content.subject,
        platform=call.request.platform,
        sender_name=call.policy.name,
        nhs_number=_nhs_number(case),
    )


def _nhs_number(case: Case) -> str | None:
    """Give the recipient's own NHS number, where the record has exactly one that was verified."""
    person = case.recipient.own_patient if case.to_proxy else case.record.patient
    points = () if person is None else person.contact_points
    found = {point.value for point in usable(points, Channel.NHS_APP, case.as_of)}
    return found.pop() if len(found) == 1 else None
