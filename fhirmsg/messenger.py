"""The use case: decide, and send only what may be sent, with its record entry around it.

Every way in goes through `Messenger`. The order of steps is what keeps the promises: the entry
is opened before anything leaves, the record is read and judged again after the opening, and what
became of the hand-off is written whatever it was.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NoReturn
from uuid import uuid4

from fhirmsg import answers, clock
from fhirmsg.answers import Answer, RecordState, Retry, State
from fhirmsg.calls import Call, Times
from fhirmsg.clock import Deadline
from fhirmsg.errors import (
    FhirmsgError,
    KeyReused,
    PatientAmbiguous,
    PatientNotFound,
    ProviderSilent,
    RecipientNotFound,
    RecordUnavailable,
    StillRunning,
    TryLater,
)
from fhirmsg.guidance.case import Case
from fhirmsg.guidance.decision import Decision, Verdict
from fhirmsg.guidance.request import SendRequest
from fhirmsg.guidance.rule import Lift
from fhirmsg.judging import draft_entry, judge, outbound
from fhirmsg.ports import (
    CommunicationLog,
    Entry,
    EntryStatus,
    Opened,
    OutboundMessage,
    Outcome,
    Provider,
    ProviderKind,
    ReadResult,
    Receipt,
    RecordReader,
)
from fhirmsg.standing import comes_first, others, standing

audit = logging.getLogger("fhirmsg.audit")

_TRIES = 2
# How long the first of several entries waits for the others to give way, look by look.
_PATIENCE = (0.1, 0.3, 0.6, 1.0, 1.0, 0.0)
_UNKNOWN = (
    "The message may have left, and the provider cannot tell. It is not sent again by itself: "
    "find out whether it arrived."
)
_NO_EVIDENCE = (
    "The message left, and the process that decided on it ended before it could record on what "
    "ground. The call that came after brought an override: write down who approved it and why."
)
_SEVERAL = "Several record entries carry one message id; find out which of them is true."


@dataclass(frozen=True, slots=True, kw_only=True)
class _Attempt:
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


class Messenger:
    """Decides and sends. Thread-safe; keeps no message between two calls."""

    def __init__(
        self,
        *,
        reader: RecordReader,
        log: CommunicationLog,
        providers: Mapping[str, Provider],
        record_key: bytes,
        times: Times | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """Use these ports. `record_key` keys the digest of contents on the record."""
        self._reader = reader
        self._log = log
        self._providers = providers
        self._record_key = record_key
        self._times = times or Times()
        self._pause = pause
        self._clocks_apart = False

    def check(self, call: Call) -> Answer:
        """Decide without any effect: nothing is opened, nothing is sent.

        Raises PatientNotFound, RecipientNotFound, PatientAmbiguous or RecordUnavailable.
        """
        _, decision = judge(call, self._read(call))
        self._note(call, "checked", decision)
        return answers.for_decision(call, decision)

    def send(self, call: Call) -> Answer:
        """Decide, and send if the decision allows it.

        Raises what `check` raises, and StillRunning, KeyReused or TryLater.
        """
        provider = self._provider(call)
        try:
            read = self._read(call)
        except (PatientNotFound, RecipientNotFound, PatientAmbiguous, RecordUnavailable) as failure:
            return self._sent_before(call, failure)
        entry = self._only_entry(read)
        if entry is not None and entry.status is not EntryStatus.NOT_DONE:
            return self._already_there(call, entry)
        case, decision = judge(call, read)
        if decision.verdict is not Verdict.SEND:
            self._note(call, "not sent", decision)
            if call.policy.record_refusals and entry is None and read.entries is not None:
                self._log.note_refusal(draft_entry(call, case, decision, self._record_key))
            return answers.for_decision(call, decision)
        draft = draft_entry(call, case, decision, self._record_key)
        start_by = Deadline(self._times.start_within)
        if entry is not None:
            ours = self._log.claim(entry, draft, draft.attempt)
            if ours is None:
                _still_running(2)
        else:
            opening = self._log.open(draft)
            if opening.outcome is Opened.OTHERS and opening.entry is not None:
                return self._already_there(call, opening.entry)
            if opening.outcome is Opened.SEVERAL:
                _still_running(1)
            if opening.outcome is not Opened.OURS or opening.entry is None:
                return self._not_opened(call, read)
            ours = opening.entry
        self._watch_clocks(ours)
        return self._go(
            _Attempt(
                call=call,
                entry=ours,
                provider=provider,
                start_by=start_by,
                first=case,
            )
        )

    def _read(self, call: Call) -> ReadResult:
        return self._reader.read(call.request, call.policy, call.message_id)

    def _sent_before(self, call: Call, failure: FhirmsgError) -> Answer:
        """Answer by the entry that is there, though the record cannot be read now.

        A message that was sent stays sent when its patient's record is gone or out of reach.
        """
        try:
            found = standing(self._log.find(call.message_id))
        except RecordUnavailable:
            raise failure from None
        if len(found) != 1 or found[0].status in (None, EntryStatus.NOT_DONE):
            raise failure
        return self._already_there(call, found[0])

    def _only_entry(self, read: ReadResult) -> Entry | None:
        """Give the entry that stands, None when there is none or no single plain one."""
        found = standing(read.entries or ())
        if len(found) > 1:
            if all(each.status is EntryStatus.IN_PROGRESS for each in found):
                # Two calls met at the server; one of them is about to give way.
                self._wait_for_one_to_give_way(found)
            self._log.ask_a_person(found[0], "several-entries", _SEVERAL)
        if len(found) != 1 or found[0].status is None:
            return None
        for late in others(read.entries or (), found[0]):
            if late.attempt == found[0].attempt and found[0].status is not EntryStatus.IN_PROGRESS:
                # A create whose answer was lost came through after all, behind its own retry.
                self._log.settle(late, EntryStatus.NOT_DONE)
        return found[0]

    def _wait_for_one_to_give_way(self, running: tuple[Entry, ...]) -> None:
        lease = self._times.lease(0.0)
        if any(each.age_seconds is None or each.age_seconds < lease for each in running):
            _still_running(1)

    def _not_opened(self, call: Call, read: ReadResult) -> Answer:
        _, decision = judge(call, read, openable=False)
        self._note(call, "not sent", decision)
        return answers.for_decision(call, decision)

    # --- an entry is there already -----------------------------------------------------------

    def _already_there(self, call: Call, entry: Entry) -> Answer:
        if entry.status is EntryStatus.NOT_DONE:
            # It became not-done between our read and now: the next call decides anew.
            _still_running(1)
        if entry.message_digest != call.digest:
            raise KeyReused(
                "This Idempotency-Key is bound to another message. Use a new key for a new "
                "message; send the same message again unchanged under its own key."
            )
        if entry.status is not EntryStatus.IN_PROGRESS:
            return answers.for_entry(call, entry)
        provider = self._provider(call)
        lease = self._times.lease(provider.settle_seconds)
        age = entry.age_seconds
        if age is None or age < lease or self._clocks_apart:
            _still_running(lease - max(age or 0.0, 0.0))
        start_by = Deadline(self._times.start_within)
        ours = self._log.claim(entry, None, str(uuid4()))
        if ours is None:
            _still_running(2)
        self._watch_clocks(ours)
        if self._clocks_apart:
            _still_running(lease)
        return self._take_over(
            _Attempt(
                call=call,
                entry=ours,
                provider=provider,
                start_by=start_by,
                first=None,
                began=entry,
            )
        )

    def _take_over(self, attempt: _Attempt) -> Answer:
        """Go on with an entry whose process has gone, by what its provider lets us find out."""
        provider = attempt.provider
        if provider.kind is ProviderKind.NEITHER:
            return self._unknown(attempt, None)
        if provider.kind is ProviderKind.SEARCHABLE:
            try:
                receipt = _look_up(provider, attempt.call.message_id)
            except ProviderSilent:
                _still_running(self._times.lease(provider.settle_seconds))
            if receipt is not None:
                return self._handed_off(attempt, receipt, None)
        return self._go(attempt)

    # --- from the second read to the end -----------------------------------------------------

    def _go(self, attempt: _Attempt) -> Answer:
        """Read and decide again, hand off, record what became of it."""
        call, provider = attempt.call, attempt.provider
        deadline = Deadline(self._times.handoff)
        expected = attempt.first
        reason = ""
        for _ in range(_TRIES):
            case, decision = self._decide_again(attempt)
            if decision.verdict is not Verdict.SEND:
                return self._stopped_by_second_look(attempt, decision)
            if expected is not None and case.contact_point != expected.contact_point:
                return self._contact_point_changed(attempt, decision)
            receipt = _hand_over(provider, outbound(call, case), attempt.start_by, deadline)
            if receipt.outcome is not Outcome.RETRYABLE:
                return self._handed_off(attempt, receipt, decision)
            expected, reason = case, receipt.reason
            if attempt.start_by.passed or deadline.passed:
                break
        self._note(call, "not accepted", reason=reason)
        self._leave_unsent(attempt)
        raise TryLater("The provider did not take the message. This call sent nothing.", 60)

    def _decide_again(self, attempt: _Attempt) -> tuple[Case, Decision]:
        try:
            read = self._alone(attempt, self._read(attempt.call))
            held = read.entries
            own = [each for each in held or () if each.reference == attempt.entry.reference]
            if own and own[0].attempt != attempt.entry.attempt:
                _still_running(2)
            return judge(attempt.call, read, openable=held is None or bool(own))
        except StillRunning:
            raise
        except Exception:
            # The entry is open and nothing has left: it must not stay open for want of a read.
            self._leave_unsent(attempt)
            raise

    def _alone(self, attempt: _Attempt, read: ReadResult) -> ReadResult:
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
            self._settle(attempt, EntryStatus.NOT_DONE)
        _still_running(1)

    def _stopped_by_second_look(self, attempt: _Attempt, decision: Decision) -> Answer:
        self._note(attempt.call, "stopped at the second look", decision)
        if attempt.may_have_left:
            return self._unknown(attempt, decision)
        written = self._end_unsent(attempt)
        return replace(
            answers.for_decision(attempt.call, decision),
            record=RecordState.COMPLETE if written else RecordState.PENDING,
            communication=attempt.entry.reference,
        )

    def _contact_point_changed(self, attempt: _Attempt, decision: Decision) -> Answer:
        self._note(attempt.call, "contact point changed", decision)
        if attempt.may_have_left:
            return self._unknown(attempt, decision)
        written = self._end_unsent(attempt)
        return answers.for_entry(
            attempt.call,
            attempt.entry,
            status=State.NOT_SENT,
            decision=decision,
            written=written,
            retry=Retry.NOW,
            note="The contact point changed while the message was being sent. Nothing was sent.",
        )

    def _end_unsent(self, attempt: _Attempt) -> bool:
        """End an entry that was handed to nobody; tell whether it was written."""
        return self._settle(attempt, EntryStatus.NOT_DONE) is not None

    def _settle(
        self,
        attempt: _Attempt,
        status: EntryStatus,
        *,
        sent: datetime | None = None,
        provider_id: str | None = None,
        decision: Decision | None = None,
        overriding: SendRequest | None = None,
    ) -> Entry | None:
        """Write what became of an entry; whatever goes wrong in that, the caller gets an answer."""
        try:
            return self._log.settle(
                attempt.entry,
                status,
                sent=sent,
                provider_id=provider_id,
                decision=decision,
                overriding=overriding,
            )
        except Exception as error:
            audit.error(
                "entry not settled",
                extra={"message_id": attempt.call.message_id, "kind": type(error).__name__},
            )
            return None

    def _leave_unsent(self, attempt: _Attempt) -> None:
        """Leave an entry for the call that is to come again.

        Where an earlier attempt may have posted it, it stays open: posted again under the same
        reference it is sent at most once, and only so does anybody learn what became of it.
        """
        if not attempt.may_have_left:
            self._end_unsent(attempt)

    def _handed_off(self, attempt: _Attempt, receipt: Receipt, decision: Decision | None) -> Answer:
        """Record what the provider said; `decision` is None when it said so to somebody else."""
        if receipt.outcome is Outcome.MAY_HAVE_LEFT:
            return self._unknown(attempt, decision)
        accepted = receipt.outcome is Outcome.ACCEPTED
        own_time = clock.now() if decision is not None else _opened_at(attempt.began)
        settled = self._settle(
            attempt,
            EntryStatus.COMPLETED if accepted else EntryStatus.STOPPED,
            sent=(receipt.at or own_time) if accepted else None,
            provider_id=receipt.provider_id,
            decision=decision,
            overriding=_overriding(attempt, decision) if accepted else None,
        )
        if accepted and decision is None and attempt.call.request.evidence.override is not None:
            # The decision it left on died with its process, and with it the override's Provenance.
            self._log.ask_a_person(attempt.entry, "completed-without-evidence", _NO_EVIDENCE)
        what = "accepted" if accepted else "refused by the provider"
        self._note(attempt.call, what, decision, reason=receipt.reason)
        return answers.for_entry(
            attempt.call,
            settled or attempt.entry,
            status=State.ACCEPTED if accepted else State.FAILED,
            decision=decision,
            written=settled is not None,
            note=None if accepted else "The provider refused the message for good.",
        )

    def _unknown(self, attempt: _Attempt, decision: Decision | None) -> Answer:
        """Record that nobody knows; a decision against it is told, and is not what it left on."""
        sending = decision if decision and decision.verdict is Verdict.SEND else None
        settled = self._settle(
            attempt,
            EntryStatus.UNKNOWN,
            decision=sending,
            overriding=_overriding(attempt, sending),
        )
        self._log.ask_a_person(attempt.entry, "unknown", _UNKNOWN)
        self._note(attempt.call, "may have left", decision)
        answer = answers.for_entry(
            attempt.call,
            settled or attempt.entry,
            status=State.UNKNOWN,
            decision=decision,
            written=settled is not None,
            note=_UNKNOWN,
        )
        return replace(answer, replayed=False)

    def _provider(self, call: Call) -> Provider:
        return self._providers[call.policy.platforms[call.request.platform].provider]

    def _watch_clocks(self, entry: Entry) -> None:
        """Notice a server whose Date and lastUpdated disagree about what was written just now."""
        age = entry.age_seconds
        self._clocks_apart = age is not None and abs(age) > self._times.clocks_apart

    @staticmethod
    def _note(call: Call, what: str, decision: Decision | None = None, *, reason: str = "") -> None:
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


def _hand_over(
    provider: Provider, message: OutboundMessage, start_by: Deadline, deadline: Deadline
) -> Receipt:
    try:
        return provider.send(message, start_by=start_by, deadline=deadline)
    except Exception as error:
        # A provider is not to raise. One that does has told nobody whether the message left.
        audit.error("provider failed", extra={"kind": type(error).__name__})
        return Receipt(outcome=Outcome.MAY_HAVE_LEFT, reason="provider-fault")


def _look_up(provider: Provider, reference: str) -> Receipt | None:
    try:
        return provider.find(reference)
    except ProviderSilent:
        raise
    except Exception as error:
        # One that fails in a way of its own has not answered either.
        audit.error("provider failed", extra={"kind": type(error).__name__})
        raise ProviderSilent("The provider could not be asked.") from None


def _overriding(attempt: _Attempt, decision: Decision | None) -> SendRequest | None:
    """Give the request if the message left, or may have, on an override in it."""
    overridden = decision is not None and any(
        finding.lifted is not None and finding.lifted.by is Lift.OVERRIDE
        for finding in decision.findings
    )
    return attempt.call.request if overridden else None


def _opened_at(entry: Entry | None) -> datetime | None:
    try:
        return datetime.fromisoformat((entry and entry.opened_at) or "")
    except ValueError:
        return None


def _still_running(seconds: float) -> NoReturn:
    raise StillRunning(
        "This message is being sent by another call. Ask again later under the same "
        "Idempotency-Key.",
        max(1, round(seconds)),
    )
