"""From the second read to the end: judge once more, hand over, record what became of it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NoReturn, TypeVar

from fhirmsg import answers, clock
from fhirmsg.answers import Answer, RecordState, Retry, State
from fhirmsg.breaker import regardless_of_breakers
from fhirmsg.calls import Call, Times
from fhirmsg.clock import Deadline
from fhirmsg.errors import StillRunning, TryLater
from fhirmsg.following_up import FollowUp, ask_for_evidence
from fhirmsg.guidance.case import Case
from fhirmsg.guidance.decision import Decision, Verdict
from fhirmsg.guidance.request import NO_EVIDENCE
from fhirmsg.judging import Judge, audit_of, outbound
from fhirmsg.marks import Marks
from fhirmsg.ports import (
    NO_METER,
    AuditDraft,
    CommunicationLog,
    Entry,
    EntryStatus,
    Meter,
    OutboundMessage,
    Outcome,
    Provider,
    ProviderKind,
    ReadResult,
    Receipt,
    TellsReceipts,
)
from fhirmsg.standing import comes_first, others

audit = logging.getLogger("fhirmsg.audit")
T = TypeVar("T")

_TRIES = 2
# How long the first of several entries waits for the others to give way, look by look.
_PATIENCE = (0.1, 0.3, 0.6, 1.0, 1.0, 0.0)
UNKNOWN = (
    "The message may have left, and the provider cannot tell. It is not sent again by itself: "
    "find out whether it arrived."
)
_REFUSED = "The provider refused the message for good."
_WENT_UNREAD = (
    "The FHIR server is away: the message went on what the request brought, without a look at "
    "safety restrictions."
)
_RECORDED_LATER = (
    "The FHIR server takes no record entry now; it is kept on this host and follows when it does."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """An open entry that is ours, and until when its hand-off may start.

    `first` is the case it was opened on. It is None when an abandoned entry was taken over: then
    an earlier attempt may have handed the message off, and `began` is the entry as that one left
    it.
    """

    call: Call
    entry: Entry
    provider: Provider
    start_by: Deadline
    first: Case | None
    began: Entry | None = None

    @property
    def may_have_left(self) -> bool:
        """Whether an earlier attempt may have posted the message, and nobody can be asked."""
        return self.first is None and self.provider.kind is ProviderKind.REJECTS_REPEATS


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What a message was handed off on: the last case, and what was decided about it."""

    case: Case
    decision: Decision


class HandOff:
    """Takes an open entry to its end. Thread-safe; keeps nothing between two attempts."""

    def __init__(
        self,
        *,
        read: Callable[[Call], ReadResult],
        log: CommunicationLog,
        follow_up: FollowUp,
        judge: Judge,
        times: Times,
        failing: Callable[[Entry], None] = lambda entry: None,
        marks: Marks | None = None,
        pause: Callable[[float], None] = time.sleep,
        meter: Meter = NO_METER,
    ) -> None:
        """Read afresh with `read`; `pause` waits between two looks.

        failing: told of an entry that another channel may follow, before it is said to have failed.
        marks: say which emergencies this host has handed off.
        """
        self._failing = failing
        self._marks = marks or Marks(None)
        self._read = read
        self._log = log
        self._follow_up = follow_up
        self._judge = judge
        self._times = times
        self._pause = pause
        self._meter = meter

    def go(self, attempt: Attempt) -> Answer:
        """Read and decide again, hand off, record what became of it."""
        call, provider = attempt.call, attempt.provider
        deadline = Deadline(self._times.handoff)
        expected = attempt.first
        pending = False
        for _ in range(_TRIES):
            case, decision = self._decide_again(attempt)
            if decision.verdict is not Verdict.SEND:
                return self._stopped_by_second_look(attempt, case, decision)
            if expected is not None and case.contact_point != expected.contact_point:
                return self._contact_point_changed(attempt, Ground(case=case, decision=decision))
            if decision.emergency and not self._marks.begin(attempt.entry, self._lease(attempt)):
                # Somebody on this host is sending it by the other way, or has.
                self._leave_unsent(attempt)
                still_running(2)
            with regardless_of_breakers(decision.emergency):
                receipt = self._hand_over(
                    provider, outbound(call, case), attempt.start_by, deadline
                )
            if receipt.outcome is not Outcome.RETRYABLE:
                return self.handed_off(attempt, receipt, Ground(case=case, decision=decision))
            expected, pending = case, pending or receipt.pending
            # Who asks to be left alone for a while is not tried again at once.
            if attempt.start_by.passed or deadline.passed or receipt.retry_after:
                break
        note(call, "not accepted", reason=receipt.reason)
        if not pending:
            self._marks.end(attempt.entry, EntryStatus.NOT_DONE)
            self._leave_unsent(attempt)
        raise TryLater(
            "The provider did not take the message. This call sent nothing.",
            receipt.retry_after or 60,
        )

    def _hand_over(
        self,
        provider: Provider,
        message: OutboundMessage,
        start_by: Deadline,
        deadline: Deadline,
    ) -> Receipt:
        began = clock.elapsed_clock()
        try:
            receipt = provider.send(message, start_by=start_by, deadline=deadline)
        except Exception as error:
            # A provider is not to raise. One that does has told nobody whether the message left.
            audit.error("provider failed", extra={"kind": type(error).__name__})
            receipt = Receipt(outcome=Outcome.MAY_HAVE_LEFT, reason="provider-fault")
        seconds = clock.elapsed_clock() - began
        self._meter.handed_off(provider.name, receipt.outcome, seconds)
        audit.info(
            "handed over",
            extra={
                "message_id": message.reference,
                "provider": provider.name,
                "outcome": receipt.outcome.word,
                "milliseconds": round(seconds * 1000, 1),
            },
        )
        return receipt

    def _lease(self, attempt: Attempt) -> float:
        return self._times.lease(attempt.provider.settle_seconds)

    def _decide_again(self, attempt: Attempt) -> tuple[Case, Decision]:
        try:
            read = self._alone(attempt, self._read(attempt.call))
            held = read.entries
            own = [each for each in held or () if each.reference == attempt.entry.reference]
            if own and own[0].attempt != attempt.entry.attempt:
                still_running(2)
            openable = attempt.entry.on_server and (held is None or bool(own))
            return self._judge(attempt.call, read, openable=openable)
        except StillRunning:
            raise
        except Exception:
            # The entry is open and nothing has left: it must not stay open for want of a read.
            self._leave_unsent(attempt)
            raise

    def _alone(self, attempt: Attempt, read: ReadResult) -> ReadResult:
        """Make sure that no other entry of this message is being sent or was sent.

        The one with the lower id waits for the others to give way and goes on only when they
        have; whoever finds a lower one, or one handed off, gives way at once. One that saw nobody
        beside it goes on, and the others see what became of it.
        """
        for wait in _PATIENCE:
            beside = others(read.entries or (), attempt.entry)
            if not beside:
                return read
            if attempt.start_by.passed or not comes_first(attempt.entry, beside):
                break
            self._pause(wait)
            read = self._read(attempt.call)
        if attempt.first is not None:
            # Version-checked, so that a process that was asleep cannot end what another one has
            # taken over; and never deleted, since by then it may be the record of a message.
            self._end_unsent(attempt)
        still_running(1)

    def _stopped_by_second_look(self, attempt: Attempt, case: Case, decision: Decision) -> Answer:
        note(attempt.call, "stopped at the second look", decision)
        ground = Ground(case=case, decision=decision)
        if attempt.may_have_left:
            return self.unknown(attempt, ground)
        written = self._end_unsent(attempt, ground)
        self._follow_up.not_sent(attempt.call, case, decision)
        return replace(
            answers.for_decision(attempt.call, decision),
            record=RecordState.COMPLETE
            if written and attempt.entry.on_server
            else RecordState.PENDING,
            communication=attempt.entry.reference if attempt.entry.on_server else None,
        )

    def _contact_point_changed(self, attempt: Attempt, ground: Ground) -> Answer:
        note(attempt.call, "contact point changed", ground.decision)
        if attempt.may_have_left:
            return self.unknown(attempt, ground)
        written = self._end_unsent(attempt, ground)
        return answers.for_entry(
            attempt.call,
            attempt.entry,
            status=State.NOT_SENT,
            decision=ground.decision,
            written=written,
            retry=Retry.NOW,
            note="The contact point changed while the message was being sent. Nothing was sent.",
        )

    def _end_unsent(self, attempt: Attempt, ground: Ground | None = None) -> bool:
        """End an entry that was handed to nobody; tell whether it was written.

        `ground` is what ended it, where a decision did.
        """
        self._marks.end(attempt.entry, EntryStatus.NOT_DONE)
        ended = self._written(
            attempt,
            lambda: self._log.settle(
                attempt.entry,
                EntryStatus.NOT_DONE,
                decision=None if ground is None else ground.decision,
                audit=_audit(attempt, ground, "stopped"),
            ),
        )
        if ended is None:
            return False
        before = attempt.began.attempt if attempt.began else None
        self._follow_up.ended_unsent(attempt.call, attempt.entry, (attempt.entry.attempt, before))
        return True

    def _written(self, attempt: Attempt, write: Callable[[], T]) -> T | None:
        """Write what became of an entry; whatever goes wrong in that, the caller gets an answer."""
        try:
            # What has happened is written down even if nothing else is asked of the server now.
            with regardless_of_breakers():
                return write()
        except Exception as error:
            audit.error(
                "entry not settled",
                extra={"message_id": attempt.call.message_id, "kind": type(error).__name__},
            )
            return None

    def _leave_unsent(self, attempt: Attempt) -> None:
        """Leave an entry for the call that is to come again.

        Where an earlier attempt may have posted it, it stays open: posted again under the same
        reference it is sent at most once, and only so does anybody learn what became of it.
        """
        if not attempt.may_have_left:
            self._end_unsent(attempt)

    def handed_off(self, attempt: Attempt, receipt: Receipt, ground: Ground | None) -> Answer:
        """Record what the provider said; `ground` is None when it said so to somebody else."""
        if receipt.outcome is Outcome.MAY_HAVE_LEFT:
            return self.unknown(attempt, ground)
        decision = None if ground is None else ground.decision
        accepted = receipt.outcome is Outcome.ACCEPTED
        self._marks.end(
            attempt.entry,
            EntryStatus.COMPLETED if accepted else EntryStatus.STOPPED,
            sent=receipt.at,
            provider_id=receipt.provider_id,
        )
        if not accepted and attempt.entry.sealed is not None:
            self._written(attempt, lambda: self._failing(attempt.entry))
        if accepted and decision is None:
            # First, since nobody looks again at an entry that has its end.
            brings = attempt.call.request.evidence != NO_EVIDENCE
            ask_for_evidence(self._log, attempt.began or attempt.entry, surely=brings)
        own_time = clock.now() if decision is not None else _opened_at(attempt.began)
        settled = self._written(
            attempt,
            lambda: self._log.settle(
                attempt.entry,
                EntryStatus.COMPLETED if accepted else EntryStatus.STOPPED,
                sent=(receipt.at or own_time) if accepted else None,
                provider_id=receipt.provider_id,
                decision=decision,
                grounds=attempt.call.request,
                audit=_audit(attempt, ground, "sent" if accepted else "failed"),
                closed=accepted and not tells_receipts(attempt.provider),
            ),
        )
        entry = settled or attempt.entry
        self._follow_up.handed_off(attempt.call, entry, decision)
        if attempt.first is None:
            self._follow_up.ended_by_retry(attempt.call)
        if accepted:
            self._follow_up.sent(attempt.call)
        what = "accepted" if accepted else "refused by the provider"
        note(attempt.call, what, decision, reason=receipt.reason)
        return answers.for_entry(
            attempt.call,
            entry,
            status=State.ACCEPTED if accepted else State.FAILED,
            decision=decision,
            written=settled is not None,
            note=_note_on(entry, ground) if accepted else _REFUSED,
        )

    def unknown(self, attempt: Attempt, ground: Ground | None) -> Answer:
        """Record that nobody knows; a decision against it is told, and is not what it left on."""
        decision = None if ground is None else ground.decision
        sending = decision if decision and decision.verdict is Verdict.SEND else None
        self._marks.end(attempt.entry, EntryStatus.UNKNOWN)
        # First, since nobody looks again at an entry that says unknown.
        self._log.ask_a_person(attempt.entry, "unknown", UNKNOWN)
        settled = self._written(
            attempt,
            lambda: self._log.settle(
                attempt.entry,
                EntryStatus.UNKNOWN,
                decision=sending,
                grounds=attempt.call.request,
                audit=_audit(attempt, ground, "unknown"),
            ),
        )
        self._follow_up.handed_off(attempt.call, settled or attempt.entry, sending)
        note(attempt.call, "may have left", decision)
        answer = answers.for_entry(
            attempt.call,
            settled or attempt.entry,
            status=State.UNKNOWN,
            decision=decision,
            written=settled is not None,
            note=UNKNOWN,
        )
        return replace(answer, replayed=False)


def tells_receipts(provider: Provider) -> bool:
    """Tell whether a provider calls back; one behind a breaker is looked at itself."""
    return isinstance(getattr(provider, "bare", provider), TellsReceipts)


def note(call: Call, what: str, decision: Decision | None = None, *, reason: str = "") -> None:
    findings = () if decision is None else decision.findings
    audit.info(
        what,
        extra={
            "message_id": call.message_id,
            "verdict": None if decision is None else str(decision.verdict),
            "codes": [f"{each.code}:{each.effect.word}" for each in findings],
            "correlation_id": call.correlation_id,
            "reason": reason or None,
        },
    )


def _note_on(entry: Entry, ground: Ground | None) -> str | None:
    if entry.on_server:
        return None
    read = ground is not None and ground.case.record.versions
    return _RECORDED_LATER if read else f"{_WENT_UNREAD} {_RECORDED_LATER}"


def _audit(attempt: Attempt, ground: Ground | None, result: str) -> AuditDraft | None:
    if ground is None:
        return None
    reference = attempt.entry.reference if attempt.entry.on_server else None
    return audit_of(attempt.call, ground.case, ground.decision, result, reference)


def _opened_at(entry: Entry | None) -> datetime | None:
    try:
        return datetime.fromisoformat((entry and entry.opened_at) or "")
    except ValueError:
        return None


def still_running(seconds: float) -> NoReturn:
    raise StillRunning(
        "This message is being sent by another call. Ask again later under the same "
        "Idempotency-Key.",
        max(1, round(seconds)),
    )
