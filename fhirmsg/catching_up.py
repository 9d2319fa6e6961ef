"""Catching up: what the journal owes is written, receipts are applied, failures followed, entries
recovered. In `serve` a thread does it; `fhirmsg recover` does it once."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from fhirmsg.answers import Retry, State
from fhirmsg.clock import Deadline, now
from fhirmsg.errors import (
    FhirmsgError,
    JournalUnavailable,
    KeyReused,
    RecordUnavailable,
)
from fhirmsg.fallback import Fallback
from fhirmsg.following_up import ask_for_evidence, ask_for_review
from fhirmsg.guidance.terms import Role
from fhirmsg.marks import Marks
from fhirmsg.messenger import Messenger
from fhirmsg.ports import (
    CommunicationLog,
    Entry,
    EntryStatus,
    Journal,
    JournalItem,
    Owed,
    TaskDraft,
    task_key,
)
from fhirmsg.recovering import Recovery
from fhirmsg.standing import standing

log = logging.getLogger("fhirmsg.catching_up")

_MANY = 200
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 300.0
# A receipt can come before the entry of an emergency that waits in the journal of another host.
_NOT_OURS_AFTER_TRIES = 12
# What does not pass by itself in about ten minutes is for a person.
_NO_LEG_AFTER_TRIES = 9
_NOTHING_LEFT_TEXT = (
    "A message failed, and no other channel that the policy allows could carry it. Find out "
    "whether it still matters, and reach the person in another way."
)


class Drains(Protocol):
    """Writes owed writes and emergencies (`fhirmsg.fhir.backlog`)."""

    def drain(self, *, limit: int = 100, patient: bool = True) -> int:
        """Write what is due; gives how many items left.

        Raises JournalUnavailable, and RecordUnavailable while the server is away.
        """
        ...

    def answers(self) -> bool:
        """Tell whether the server answers."""
        ...


class AppliedReceipts(Protocol):
    """What became of some receipts (`fhirmsg.fhir.receipts.Applied`)."""

    done: list[JournalItem]
    later: list[JournalItem]
    unknown: list[JournalItem]
    failed: list[Entry]
    proven: list[Entry]


class AppliesReceipts(Protocol):
    """Puts receipts on the record (`fhirmsg.fhir.receipts`)."""

    def apply(self, items: Collection[JournalItem]) -> AppliedReceipts:
        """Apply them. Raises RecordUnavailable."""
        ...


class CatchUp:
    """One round after the other over what is owed. One at a time in a process."""

    def __init__(
        self,
        *,
        journal: Journal,
        log: CommunicationLog,
        backlog: Drains,
        receipts: AppliesReceipts,
        reply: Callable[[JournalItem], bool],
        recoveries: Sequence[Recovery],
        messenger: Messenger,
        fallback: Fallback,
        marks: Marks,
    ) -> None:
        """Use these parts; `reply` puts one reply on the record and tells whether it is there."""
        self._journal = journal
        self._log = log
        self._backlog = backlog
        self._receipts = receipts
        self._reply = reply
        self._recoveries = recoveries
        self._messenger = messenger
        self._fallback = fallback
        self._marks = marks
        self._one_at_a_time = threading.Lock()
        self._away = False

    def drain(self, *, sending: bool = True) -> int:
        """Write what the journal owes, as far as the FHIR server takes it; gives how much went.

        sending: try next channels too, which sends. Raises JournalUnavailable.
        """
        with self._one_at_a_time:
            if self._away:
                if not self._backlog.answers():
                    return 0
                # Nothing waits out a pause that it was given while the server was away.
                self._away = False
                self._journal.hurry()
            try:
                gone = self._backlog.drain(limit=_MANY, patient=sending)
                gone += self._apply_receipts()
                gone += self._each(Owed.REPLY, self._reply)
                return gone + (self._each(Owed.FALLBACK, self._go_on) if sending else 0)
            except RecordUnavailable:
                self._away = not self._backlog.answers()
                return 0

    def recover(self) -> Counter[str]:
        """Bring abandoned entries to an end; gives how many to which.

        Raises RecordUnavailable or JournalUnavailable.
        """
        with self._one_at_a_time:
            ends: Counter[str] = Counter()
            for recovery in self._recoveries:
                ends.update(recovery.run().ends)
            self._marks.forget(now())
            return ends

    def _apply_receipts(self) -> int:
        items = self._journal.due([Owed.RECEIPT], limit=_MANY)
        if not items:
            return 0
        try:
            applied = self._receipts.apply(items)
        except RecordUnavailable:
            if not self._backlog.answers():
                raise
            for item in items:
                self._journal.postpone(item, pause_after(item.tries))
            return 0
        for entry in applied.failed:
            # Kept before the receipt leaves: who dies in between loses neither.
            if entry.sealed is not None:
                keep_fallback(self._journal, entry)
            elif entry.part_of is not None:
                self._ask_about_the_end(entry)
        for entry in applied.proven:
            ask_for_review(self._log, entry)
            ask_for_evidence(self._log, entry)
        for item in applied.later:
            self._journal.postpone(item, pause_after(item.tries))
        gone = [*applied.done]
        for item in applied.unknown:
            waiting = self._journal.find(Owed.EMERGENCY, str(item.payload["reference"]))
            if item.tries < _NOT_OURS_AFTER_TRIES or waiting is not None:
                self._journal.postpone(item, pause_after(item.tries))
            else:
                log.error("receipt of no message", extra={"provider": item.payload["provider"]})
                gone.append(item)
        return self._journal.done(gone)

    def _each(self, owed: Owed, follow: Callable[[JournalItem], bool]) -> int:
        gone = 0
        for item in self._journal.due([owed], limit=_MANY):
            try:
                done = follow(item)
            except JournalUnavailable:
                raise
            except RecordUnavailable:
                # One item that the server does not answer about must not keep the rest waiting.
                if not self._backlog.answers():
                    raise
                done = False
            except (FhirmsgError, ValueError, KeyError, TypeError) as error:
                log.warning("item not followed", extra={"kind": type(error).__name__})
                done = False
            if done:
                gone += self._journal.done([item])
            else:
                self._journal.postpone(item, pause_after(item.tries))
        return gone

    def _go_on(self, item: JournalItem) -> bool:
        """Try the next channels of a message that failed; tells whether there is no more to do.

        Raises what `Messenger.send` raises: then nothing was sent, and it is tried again.
        """
        found = standing(self._log.find(str(item.payload["message_id"])))
        if len(found) == 1 and found[0].status is EntryStatus.IN_PROGRESS:
            # Refused just now, and about to be written so.
            return False
        if len(found) != 1 or found[0].status is not EntryStatus.STOPPED:
            # It arrived after all, or somebody has to look at it: no other channel is tried.
            return True
        entry = found[0]
        if entry.sealed is None:
            # Followed already, by somebody who could not say so any more.
            return True
        for call in self._fallback.next_legs(entry):
            try:
                answer = self._messenger.send(call)
            except KeyReused:
                # Another channel took this leg under an earlier policy.
                return self._log.end_fallback(entry)
            if answer.retry is Retry.AFTER and item.tries < _NO_LEG_AFTER_TRIES:
                return False
            # A leg that failed has a fallback of its own.
            if answer.status not in (State.HELD, State.REFUSED, State.NOT_SENT):
                return self._log.end_fallback(entry)
        return self._ask_about_the_end(entry) and self._log.end_fallback(entry)

    def _ask_about_the_end(self, entry: Entry) -> bool:
        return self._log.keep_task(
            TaskDraft(
                key=task_key(entry.message_id, "fallback-ended"),
                code="fallback-ended",
                text=_NOTHING_LEFT_TEXT,
                patient=entry.subject or "",
                focus=entry.reference,
                roles=(str(Role.SENIOR),),
            )
        )


def keep_fallback(journal: Journal, entry: Entry) -> None:
    """Keep that the next channel is to be tried. Raises JournalUnavailable."""
    journal.keep(Owed.FALLBACK, entry.message_id, {"message_id": entry.message_id})


def pause_after(tries: int) -> float:
    """Give how long to leave an item alone after so many tries, in seconds."""
    return min(_FIRST_PAUSE * 2.0 ** min(tries, 16), _LONGEST_PAUSE)


class CatchingUp:
    """The thread that catches up while the service runs."""

    def __init__(
        self, catch_up: CatchUp, *, look_every: float = 1.0, recover_every: float = 30.0
    ) -> None:
        """Look into the journal at least every so many seconds, and recover every so many."""
        self._catch_up = catch_up
        self._look_every = look_every
        self._recover_every = recover_every
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self._run, name="catching-up", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Have it end after the item at hand."""
        self._stopped.set()

    def join(self, timeout: float) -> bool:
        """Wait for its end; tells whether it has ended."""
        if self._thread is None:
            return True
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        next_recovery = Deadline(self._recover_every)
        while not self._stopped.is_set():
            busy = self._safely(self._catch_up.drain)
            if next_recovery.passed:
                self._safely(self._catch_up.recover)
                next_recovery = Deadline(self._recover_every)
            if not busy:
                self._stopped.wait(self._look_every)

    def _safely(self, work: Callable[[], object]) -> object:
        """Work; whatever goes wrong is told and tried again."""
        try:
            return work()
        except (JournalUnavailable, RecordUnavailable) as error:
            log.warning("catching up later", extra={"kind": type(error).__name__})
        except Exception as error:
            log.error("catching up failed", extra={"kind": type(error).__name__}, exc_info=error)
        return None
