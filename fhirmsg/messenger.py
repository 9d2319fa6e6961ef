"""The use case: decide, and send only what may be sent, with its record entry around it.

Every way in goes through `Messenger`. The order of steps is what keeps the promises: the entry
is opened before anything leaves, the record is read and judged again after the opening, and what
became of the hand-off is written whatever it was.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from uuid import uuid4

from fhirmsg import answers
from fhirmsg.answers import Answer
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
    TryLater,
)
from fhirmsg.following_up import FollowUp
from fhirmsg.guidance.decision import Verdict
from fhirmsg.handing_off import Attempt, HandOff, audit, note, still_running
from fhirmsg.judging import Judge, Language, draft_entry
from fhirmsg.ports import (
    CommunicationLog,
    Entry,
    EntryStatus,
    Opened,
    Provider,
    ProviderKind,
    ReadResult,
    Receipt,
    RecordReader,
)
from fhirmsg.standing import others, standing

_OPEN_AGAIN = 5
_SEVERAL = "Several record entries carry one message id; find out which of them is true."


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
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """Use these ports.

        record_key keys the digest of contents on the record. language names faults of spelling
        and grammar in a message; without it they are not looked for.
        """
        self._reader = reader
        self._log = log
        self._providers = providers
        self._record_key = record_key
        self._judge = Judge(record_key, language)
        self._times = times or Times()
        self._follow_up = FollowUp(log)
        self._hand_off = HandOff(
            read=self._read,
            log=log,
            follow_up=self._follow_up,
            judge=self._judge,
            times=self._times,
            pause=pause,
        )
        self._clocks_apart = False

    def check(self, call: Call) -> Answer:
        """Decide without any effect: nothing is opened, nothing is sent.

        Raises PatientNotFound, RecipientNotFound, PatientAmbiguous or RecordUnavailable.
        """
        _, decision = self._judge(call, self._read(call))
        note(call, "checked", decision)
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
        case, decision = self._judge(call, read)
        if decision.verdict is not Verdict.SEND:
            note(call, "not sent", decision)
            if call.policy.record_refusals and entry is None and read.entries is not None:
                self._log.note_refusal(draft_entry(call, case, decision, self._record_key))
            self._follow_up.not_sent(call, case, decision)
            return answers.for_decision(call, decision)
        draft = draft_entry(call, case, decision, self._record_key)
        start_by = Deadline(self._times.start_within)
        if entry is not None:
            ours = self._log.claim(entry, draft, draft.attempt)
            if ours is None:
                still_running(2)
        else:
            opening = self._log.open(draft)
            if opening.outcome is Opened.OTHERS and opening.entry is not None:
                return self._already_there(call, opening.entry)
            if opening.outcome is Opened.SEVERAL:
                still_running(1)
            if opening.outcome is not Opened.OURS or opening.entry is None:
                return self._not_opened(call, read)
            ours = opening.entry
        self._watch_clocks(ours)
        return self._hand_off.go(
            Attempt(
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
            still_running(1)

    def _not_opened(self, call: Call, read: ReadResult) -> Answer:
        _, decision = self._judge(call, read, openable=False)
        note(call, "not sent", decision)
        if decision.verdict is Verdict.SEND:
            # An emergency may go without an entry, but without one nobody could tell afterwards
            # whether it went, and the same call again would send it twice.
            raise TryLater(
                "The message may be sent, and its record entry could not be opened. This call "
                "sent nothing; try again under the same Idempotency-Key, or use another way, such "
                "as a call.",
                _OPEN_AGAIN,
            )
        return answers.for_decision(call, decision)

    # --- an entry is there already -----------------------------------------------------------

    def _already_there(self, call: Call, entry: Entry) -> Answer:
        if entry.status is EntryStatus.NOT_DONE:
            # It became not-done between our read and now: the next call decides anew.
            still_running(1)
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
            still_running(lease - max(age or 0.0, 0.0))
        start_by = Deadline(self._times.start_within)
        ours = self._log.claim(entry, None, str(uuid4()))
        if ours is None:
            still_running(2)
        self._watch_clocks(ours)
        if self._clocks_apart:
            still_running(lease)
        return self._take_over(
            Attempt(
                call=call,
                entry=ours,
                provider=provider,
                start_by=start_by,
                first=None,
                began=entry,
            )
        )

    def _take_over(self, attempt: Attempt) -> Answer:
        """Go on with an entry whose process has gone, by what its provider lets us find out."""
        provider = attempt.provider
        if provider.kind is ProviderKind.NEITHER:
            return self._hand_off.unknown(attempt, None)
        if provider.kind is ProviderKind.SEARCHABLE:
            try:
                receipt = _look_up(provider, attempt.call.message_id)
            except ProviderSilent:
                still_running(self._times.lease(provider.settle_seconds))
            if receipt is not None:
                return self._hand_off.handed_off(attempt, receipt, None)
        return self._hand_off.go(attempt)

    def _provider(self, call: Call) -> Provider:
        return self._providers[call.policy.platforms[call.request.platform].provider]

    def _watch_clocks(self, entry: Entry) -> None:
        """Notice a server whose Date and lastUpdated disagree about what was written just now."""
        age = entry.age_seconds
        self._clocks_apart = age is not None and abs(age) > self._times.clocks_apart


def _look_up(provider: Provider, reference: str) -> Receipt | None:
    try:
        return provider.find(reference)
    except ProviderSilent:
        raise
    except Exception as error:
        # One that fails in a way of its own has not answered either.
        audit.error("provider failed", extra={"kind": type(error).__name__})
        raise ProviderSilent("The provider could not be asked.") from None
