"""The use case: decide, and send only what may be sent, with its record entry around it.

Every way in goes through `Messenger`. The order of steps is what keeps the promises: the entry
is opened before anything leaves, the record is read and judged again after the opening, and what
became of the hand-off is written whatever it was.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from uuid import uuid4

from fhirmsg import answers, clock
from fhirmsg.answers import Answer, State
from fhirmsg.breaker import regardless_of_breakers
from fhirmsg.calls import Call, Times
from fhirmsg.clock import Deadline
from fhirmsg.errors import (
    KeyReused,
    PatientAmbiguous,
    PatientNotFound,
    ProviderSilent,
    RecipientNotFound,
    RecordUnavailable,
    RecordUnreachable,
    TryLater,
)
from fhirmsg.fallback import Fallback
from fhirmsg.following_up import FollowUp
from fhirmsg.guidance.case import Case
from fhirmsg.guidance.decision import Decision, Verdict
from fhirmsg.handing_off import UNKNOWN, Attempt, HandOff, audit, note, still_running
from fhirmsg.judging import Judge, Language, audit_of, draft_entry
from fhirmsg.marks import Marks
from fhirmsg.ports import (
    NO_METER,
    CommunicationLog,
    Entry,
    EntryDraft,
    EntryStatus,
    Meter,
    Opened,
    Opening,
    Provider,
    ProviderKind,
    ReadResult,
    Receipt,
    RecordReader,
    UnreadRecords,
)
from fhirmsg.standing import others, standing

_OPEN_AGAIN = 5
_NOT_UNREAD = (
    "The record cannot be read, so objections and safety restrictions are not known. In a declared "
    "emergency a message to the patient can go all the same, to a contact_point that the request "
    "brings, once read.incomplete and contact.unrecorded are acknowledged. This call sent nothing; "
    "telephone if safety cannot wait."
)
_REUSED = (
    "This Idempotency-Key is bound to another message. Use a new key for a new message; send the "
    "same message again unchanged under its own key."
)
_NOT_KEPT = (
    "The message may be sent, and its record entry could not be opened. This call sent nothing; "
    "try again under the same Idempotency-Key, or use another way, such as a call."
)
_NOT_ASKED = (
    "The provider does not answer whether it has this message already, and the record is out of "
    "reach. This call sent nothing; try again under the same Idempotency-Key, or telephone."
)
_SEVERAL = "Several record entries carry one message id; find out which of them is true."


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """What an emergency goes by while the FHIR server is away."""

    reader: UnreadRecords
    log: CommunicationLog
    marks: Marks


@dataclass(frozen=True, slots=True, kw_only=True)
class _Desk:
    """Where an entry is kept, and what takes it to its end there."""

    log: CommunicationLog
    follow_up: FollowUp
    hand_off: HandOff


class Messenger:
    """Decides and sends. Thread-safe; keeps no message between two calls."""

    def __init__(
        self,
        *,
        reader: RecordReader,
        log: CommunicationLog,
        providers: Mapping[str, Provider],
        record_key: bytes,
        language: Language | None = None,
        times: Times | None = None,
        outage: Outage | None = None,
        fallback: Fallback | None = None,
        failing: Callable[[Entry], None] = lambda entry: None,
        pause: Callable[[float], None] = time.sleep,
        meter: Meter = NO_METER,
    ) -> None:
        """Use these ports.

        record_key keys the digest of contents on the record. language names faults of spelling
        and grammar in a message; without it they are not looked for. Without `outage` nothing
        goes while the FHIR server is away, without `fallback` no channel follows another; failing
        is told of an entry that one may follow, before it is said to have failed.
        """
        self._reader = reader
        self._providers = providers
        self._record_key = record_key
        self._judge = Judge(record_key, language, meter=meter)
        self._meter = meter
        self._times = times or Times()
        self._fallback = fallback
        self._failing = failing
        self._pause = pause
        self._outage = outage
        self._desk = self._desk_for(log, reader)
        self._journal = None if outage is None else self._desk_for(outage.log, outage.reader)
        self._clocks_apart = False

    def _desk_for(self, log: CommunicationLog, reader: RecordReader) -> _Desk:
        follow_up = FollowUp(log)
        hand_off = HandOff(
            read=lambda call: reader.read(call.request, call.policy, call.message_id),
            log=log,
            follow_up=follow_up,
            judge=self._judge,
            times=self._times,
            failing=self._failing,
            marks=None if self._outage is None else self._outage.marks,
            pause=self._pause,
            meter=self._meter,
        )
        return _Desk(log=log, follow_up=follow_up, hand_off=hand_off)

    def check(self, call: Call) -> Answer:
        """Decide without any effect: nothing is opened, nothing is sent.

        Raises PatientNotFound, RecipientNotFound, PatientAmbiguous or RecordUnavailable.
        """
        away = False
        try:
            read = self._read(call)
        except RecordUnreachable:
            if self._outage is None or not call.declares_emergency(clock.now()):
                raise
            read = self._outage.reader.unread(call.request, call.policy, call.message_id)
            away = True
        _, decision = self._judge(call, read, openable=not away)
        note(call, "checked", decision)
        return answers.for_decision(call, decision)

    def send(self, call: Call) -> Answer:
        """Decide, and send if the decision allows it.

        Raises what `check` raises, and StillRunning, KeyReused, TryLater or JournalUnavailable.
        """
        provider = self._provider(call)
        kept = self._kept(call)
        if kept is not None and self._journal is not None:
            return self._already_there(call, kept, self._journal)
        try:
            # In an emergency whoever has not answered for some time is asked all the same, once:
            # a server that stalls would otherwise take the time that is left.
            with regardless_of_breakers(call.declares_emergency(clock.now())):
                read = self._read(call)
        except (PatientNotFound, RecipientNotFound, PatientAmbiguous, RecordUnavailable) as failure:
            before = self._sent_before(call)
            if before is not None:
                return self._already_there(call, before, self._desk)
            if self._outage is None or not isinstance(failure, RecordUnreachable):
                raise
            if not call.declares_emergency(clock.now()):
                raise
            return self._send_unread(call, provider, self._outage)
        return self._send(call, provider, read)

    def _send(self, call: Call, provider: Provider, read: ReadResult) -> Answer:
        desk = self._desk
        entry = self._only_entry(read)
        if entry is not None and entry.status is not EntryStatus.NOT_DONE:
            return self._already_there(call, entry, desk)
        case, decision = self._judge(call, read)
        if decision.verdict is not Verdict.SEND:
            if call.policy.record_refusals and entry is None and read.entries is not None:
                desk.log.note_refusal(draft_entry(call, case, decision, self._record_key))
            return self._not_sent(call, case, decision, desk)
        draft = self._draft(call, case, decision)
        start_by = Deadline(self._times.start_within)
        if entry is not None:
            ours = desk.log.claim(entry, draft, draft.attempt)
            if ours is None:
                still_running(2)
        else:
            opening = desk.log.open(draft)
            found = opening.entry
            if found is not None and found.status is EntryStatus.NOT_DONE:
                # One that the read did not show: it is claimed like any that was not done.
                found = desk.log.claim(found, draft, draft.attempt)
                if found is None:
                    still_running(2)
                opening = Opening(outcome=Opened.OURS, entry=found)
            if opening.outcome is Opened.OTHERS and found is not None:
                return self._already_there(call, found, desk)
            if opening.outcome is Opened.SEVERAL:
                still_running(1)
            if opening.outcome is not Opened.OURS or opening.entry is None:
                return self._not_opened(call, provider, read, draft.attempt)
            ours = opening.entry
        self._watch_clocks(ours)
        return desk.hand_off.go(
            Attempt(
                call=call,
                entry=ours,
                provider=provider,
                start_by=start_by,
                first=case,
            )
        )

    def _draft(self, call: Call, case: Case, decision: Decision) -> EntryDraft:
        sealed = None if self._fallback is None else self._fallback.sealed_for(call)
        return draft_entry(call, case, decision, self._record_key, fallback=sealed)

    def _not_sent(self, call: Call, case: Case, decision: Decision, desk: _Desk) -> Answer:
        note(call, "not sent", decision)
        desk.log.note_decision(audit_of(call, case, decision, "not-sent"))
        desk.follow_up.not_sent(call, case, decision)
        return answers.for_decision(call, decision)

    def _read(self, call: Call) -> ReadResult:
        return self._reader.read(call.request, call.policy, call.message_id)

    # --- the FHIR server is away -------------------------------------------------------------

    def _kept(self, call: Call) -> Entry | None:
        """Give the entry of this message in the journal, if one stands there."""
        if self._journal is None:
            return None
        found = self._journal.log.find(call.message_id)
        return next((each for each in found if each.status is not EntryStatus.NOT_DONE), None)

    def _send_unread(self, call: Call, provider: Provider, outage: Outage) -> Answer:
        """Decide an emergency on what the request brings, and let it go by the journal."""
        if call.request.recipient != call.request.patient or call.request.contact_point is None:
            raise RecordUnavailable(_NOT_UNREAD)
        marked = outage.marks.find(call.message_id)
        if marked is not None and marked.status is not EntryStatus.NOT_DONE:
            answer = self._by_mark(call, provider, marked, outage)
            if answer is not None:
                return answer
        read = outage.reader.unread(call.request, call.policy, call.message_id)
        return self._by_journal(call, provider, read)

    def _by_mark(
        self, call: Call, provider: Provider, marked: Entry, outage: Outage
    ) -> Answer | None:
        """Answer by what this host remembers of an earlier hand-off; None when it may go on."""
        if marked.message_digest != call.digest:
            raise KeyReused(_REUSED)
        if marked.status is not EntryStatus.IN_PROGRESS:
            return answers.for_entry(call, marked, written=False)
        lease = self._times.lease(provider.settle_seconds)
        age = marked.age_seconds or 0.0
        if age < lease:
            still_running(lease - age)
        if provider.kind is not ProviderKind.NEITHER:
            # It can be asked, or takes a repeat once: going on is safe.
            return None
        outage.marks.end(marked, EntryStatus.UNKNOWN)
        outage.log.ask_a_person(marked, "unknown", UNKNOWN)
        return answers.for_entry(call, marked, status=State.UNKNOWN, written=False, note=UNKNOWN)

    def _by_journal(
        self, call: Call, provider: Provider, read: ReadResult, attempt_id: str | None = None
    ) -> Answer:
        """Send an emergency whose entry is opened in the journal, synced before the hand-off.

        attempt_id: of the entry that this call may have opened on the server without an answer,
        so that the two are known for one.
        """
        desk = self._journal
        if desk is None:
            raise RecordUnavailable(_NOT_UNREAD)
        case, decision = self._judge(call, read, openable=False)
        if decision.verdict is not Verdict.SEND:
            return self._not_sent(call, case, decision, desk)
        # Another host may have sent it: hosts share nothing while the server is away.
        known = _known(provider, call.message_id)
        start_by = Deadline(self._times.start_within)
        gone = next(iter(desk.log.find(call.message_id)), None)
        draft = self._draft(call, case, decision)
        if attempt_id is not None:
            draft = replace(draft, attempt=attempt_id)
        if gone is not None:
            if gone.status is not EntryStatus.NOT_DONE:
                # Another process of this host opened it while this one read and asked.
                return self._already_there(call, gone, desk)
            ours = desk.log.claim(gone, draft, draft.attempt)
            if ours is None:
                still_running(2)
        else:
            opening = desk.log.open(draft)
            if opening.outcome is Opened.OTHERS and opening.entry is not None:
                return self._already_there(call, opening.entry, desk)
            if opening.outcome is not Opened.OURS or opening.entry is None:
                raise TryLater(_NOT_KEPT, _OPEN_AGAIN)
            ours = opening.entry
        attempt = Attempt(call=call, entry=ours, provider=provider, start_by=start_by, first=case)
        if known is not None:
            return desk.hand_off.handed_off(attempt, known, None)
        return desk.hand_off.go(attempt)

    def _sent_before(self, call: Call) -> Entry | None:
        """Give the entry that is there, though the record cannot be read now.

        A message that was sent stays sent when its patient's record is gone or out of reach.
        """
        try:
            found = standing(self._desk.log.find(call.message_id))
        except RecordUnavailable:
            return None
        if len(found) != 1 or found[0].status in (None, EntryStatus.NOT_DONE):
            return None
        return found[0]

    def _only_entry(self, read: ReadResult) -> Entry | None:
        """Give the entry that stands, None when there is none or no single plain one."""
        found = standing(read.entries or ())
        log = self._desk.log
        if len(found) > 1:
            if all(each.status is EntryStatus.IN_PROGRESS for each in found):
                # Two calls met at the server; one of them is about to give way.
                self._wait_for_one_to_give_way(found)
            log.ask_a_person(found[0], "several-entries", _SEVERAL)
        if len(found) != 1 or found[0].status is None:
            return None
        for late in others(read.entries or (), found[0]):
            if late.attempt == found[0].attempt and found[0].status is not EntryStatus.IN_PROGRESS:
                # A create whose answer was lost came through after all, behind its own retry.
                log.settle(late, EntryStatus.NOT_DONE)
        return found[0]

    def _wait_for_one_to_give_way(self, running: tuple[Entry, ...]) -> None:
        lease = self._times.lease(0.0)
        if any(each.age_seconds is None or each.age_seconds < lease for each in running):
            still_running(1)

    def _not_opened(
        self, call: Call, provider: Provider, read: ReadResult, attempt_id: str
    ) -> Answer:
        """Go on where the server answers reads and takes no entry."""
        case, decision = self._judge(call, read, openable=False)
        if decision.verdict is Verdict.SEND:
            # An emergency may go without an entry there, but not without any: nobody could tell
            # afterwards whether it went, and the same call again would send it twice.
            if self._journal is not None:
                return self._by_journal(call, provider, read, attempt_id)
            note(call, "not sent", decision)
            raise TryLater(_NOT_KEPT, _OPEN_AGAIN)
        note(call, "not sent", decision)
        self._desk.log.note_decision(audit_of(call, case, decision, "not-sent"))
        return answers.for_decision(call, decision)

    # --- an entry is there already -----------------------------------------------------------

    def _already_there(self, call: Call, entry: Entry, desk: _Desk) -> Answer:
        if entry.status is EntryStatus.NOT_DONE:
            # It became not-done between our read and now: the next call decides anew.
            still_running(1)
        if entry.message_digest != call.digest:
            raise KeyReused(_REUSED)
        if entry.status is not EntryStatus.IN_PROGRESS:
            return replace(answers.for_entry(call, entry), findings=desk.log.findings_told(entry))
        provider = self._provider(call)
        lease = self._times.lease(provider.settle_seconds)
        age = entry.age_seconds
        if age is None or age < lease or self._clocks_apart:
            still_running(lease - max(age or 0.0, 0.0))
        start_by = Deadline(self._times.start_within)
        ours = desk.log.claim(entry, None, str(uuid4()))
        if ours is None:
            still_running(2)
        self._watch_clocks(ours)
        if self._clocks_apart:
            still_running(lease)
        attempt = Attempt(
            call=call,
            entry=ours,
            provider=provider,
            start_by=start_by,
            first=None,
            began=entry,
        )
        return self._take_over(attempt, desk.hand_off)

    def _take_over(self, attempt: Attempt, hand_off: HandOff) -> Answer:
        """Go on with an entry whose process has gone, by what its provider lets us find out."""
        provider = attempt.provider
        keeps, age = provider.retention_seconds, (attempt.began or attempt.entry).age_seconds
        forgotten = keeps is not None and age is not None and age >= keeps
        if provider.kind is ProviderKind.NEITHER or forgotten:
            return hand_off.unknown(attempt, None)
        if provider.kind is ProviderKind.SEARCHABLE:
            try:
                receipt = look_up(provider, attempt.call.message_id)
            except ProviderSilent:
                still_running(self._times.lease(provider.settle_seconds))
            if receipt is not None:
                return hand_off.handed_off(attempt, receipt, None)
        return hand_off.go(attempt)

    def _provider(self, call: Call) -> Provider:
        return self._providers[call.policy.platforms[call.request.platform].provider]

    def _watch_clocks(self, entry: Entry) -> None:
        """Notice a server whose Date and lastUpdated disagree about what was written just now."""
        if not entry.on_server:
            return
        age = entry.age_seconds
        self._clocks_apart = age is not None and abs(age) > self._times.clocks_apart


def _known(provider: Provider, reference: str) -> Receipt | None:
    """Ask a provider that can be asked. Raises TryLater when it does not answer."""
    if provider.kind is not ProviderKind.SEARCHABLE:
        return None
    try:
        with regardless_of_breakers():
            return look_up(provider, reference)
    except ProviderSilent:
        raise TryLater(_NOT_ASKED, _OPEN_AGAIN) from None


def look_up(provider: Provider, reference: str) -> Receipt | None:
    """Ask a provider about a message, None when it is surely not there. Raises ProviderSilent."""
    try:
        return provider.find(reference)
    except ProviderSilent:
        raise
    except Exception as error:
        # One that fails in a way of its own has not answered either.
        audit.error("provider failed", extra={"kind": type(error).__name__})
        raise ProviderSilent("The provider could not be asked.") from None
