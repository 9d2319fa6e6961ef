"""Fakes at the ports of the use case: a record in memory, a log, a provider that obeys a script."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from fhirmsg import clock
from fhirmsg.clock import Deadline, elapsed_clock
from fhirmsg.guidance.case import Case
from fhirmsg.guidance.decision import Decision
from fhirmsg.guidance.policy import LocalPolicy
from fhirmsg.guidance.request import SendRequest
from fhirmsg.guidance.rule import Finding
from fhirmsg.ports import (
    AuditDraft,
    Declined,
    Entry,
    EntryDraft,
    EntryStatus,
    Opened,
    Opening,
    OutboundMessage,
    Outcome,
    ProviderKind,
    ReadResult,
    Receipt,
    TaskDraft,
)


@dataclass
class FakeReader:
    """Reads one case's record and the entries of a log.

    `then` holds what the reads after the first one find instead, in turn; the last one stays.
    A failure in it is raised. `reads` counts.
    """

    case: Case
    log: FakeLog
    then: list[Case | Exception | Callable[[], Any]] = field(default_factory=list)
    entries_fail: Callable[[int], bool] = lambda read: False
    seconds_ago: float = 0.0
    reads: int = 0

    def read(self, request: SendRequest, policy: LocalPolicy, message_id: str) -> ReadResult:
        """Read."""
        self.reads += 1
        found: Any = self.case
        if self.reads > 1 and self.then:
            found = self.then[min(self.reads - 2, len(self.then) - 1)]
        if isinstance(found, Exception):
            raise found
        if not isinstance(found, Case):
            found = found() or self.case
        failed = self.entries_fail(self.reads)
        return ReadResult(
            record=found.record,
            entries=None if failed else self.log.find(message_id),
            clock_at=elapsed_clock() - self.seconds_ago,
        )


@dataclass
class FakeLog:
    """Keeps entries in memory. `events` tells what was done, in order.

    `age` is how old entries seem, `write_age` how old one seems that was written just now.
    `follows_up` says how writing Tasks and Consents ends; a failure in it is raised.
    """

    entries: list[Entry] = field(default_factory=list)
    opening: Opening | None = None
    claimable: bool = True
    settles: bool = True
    age: float | None = 0.0
    write_age: float | None = 0.0
    events: list[str] = field(default_factory=list)
    tasks: list[str] = field(default_factory=list)
    drafts: list[EntryDraft] = field(default_factory=list)
    settled: list[dict[str, Any]] = field(default_factory=list)
    kept: list[TaskDraft] = field(default_factory=list)
    closed: list[tuple[str, bool, frozenset[str] | None]] = field(default_factory=list)
    remembered: list[Declined] = field(default_factory=list)
    audited: list[AuditDraft] = field(default_factory=list)
    follows_up: bool | Exception = True

    def open(self, draft: EntryDraft) -> Opening:
        """Open, or answer as the test says."""
        self.events.append("open")
        self.drafts.append(draft)
        if self.opening is not None:
            return self.opening
        if self.entries:
            return Opening(outcome=Opened.OTHERS, entry=self.entries[0])
        return Opening(outcome=Opened.OURS, entry=self._write(an_entry(draft)))

    def note_refusal(self, draft: EntryDraft) -> bool:
        """Note what was not sent."""
        self.events.append("note refusal")
        self.drafts.append(draft)
        return True

    def claim(self, entry: Entry, draft: EntryDraft | None, attempt: str) -> Entry | None:
        """Claim, unless somebody else is faster."""
        self.events.append("claim" if draft is None else "claim anew")
        if not self.claimable:
            return None
        taken = replace(entry, attempt=attempt, opened_at=clock.now().isoformat())
        if draft is not None:
            taken = replace(an_entry(draft), reference=entry.reference, attempt=attempt)
        return self._write(taken)

    def _write(self, entry: Entry) -> Entry:
        others = [each for each in self.entries if each.reference != entry.reference]
        self.entries = [entry, *others]
        return replace(entry, age_seconds=self.write_age)

    def settle(
        self,
        entry: Entry,
        status: EntryStatus,
        *,
        sent: datetime | None = None,
        provider_id: str | None = None,
        decision: Decision | None = None,
        grounds: SendRequest | None = None,
        audit: AuditDraft | None = None,
    ) -> Entry | None:
        """Write the end of a hand-off."""
        if audit is not None:
            self.audited.append(audit)
        self.events.append(f"settle {status}")
        self.settled.append({"sent": sent, "decision": decision, "grounds": grounds})
        if not self.settles:
            return None
        done = replace(entry, status=status, provider_id=provider_id)
        return self._write(replace(done, sent=None if sent is None else sent.isoformat()))

    def findings_told(self, entry: Entry) -> tuple[Finding, ...] | None:
        """Give none."""
        return None

    def end_fallback(self, entry: Entry) -> bool:
        """Forget what a next leg would need."""
        self.entries = [replace(each, sealed=None) for each in self.entries]
        return True

    def note_decision(self, audit: AuditDraft) -> bool:
        """Remember what was decided."""
        self.audited.append(audit)
        return True

    def find(self, message_id: str) -> tuple[Entry, ...]:
        """Find."""
        return tuple(
            replace(entry, age_seconds=self.age)
            for entry in self.entries
            if entry.message_id == message_id
        )

    def ask_a_person(self, entry: Entry, code: str, text: str) -> None:
        """Remember the reason."""
        self.tasks.append(code)

    def keep_task(self, task: TaskDraft) -> bool:
        """Keep the Task."""
        self.kept.append(task)
        return self._follow_up()

    def close_task(
        self, key: str, *, done: bool, note: str, attempts: frozenset[str] | None = None
    ) -> bool:
        """Remember what was closed."""
        self.closed.append((key, done, attempts))
        return self._follow_up()

    def remember(self, declined: Declined) -> bool:
        """Remember the "no"."""
        self.remembered.append(declined)
        return self._follow_up()

    def _follow_up(self) -> bool:
        if isinstance(self.follows_up, Exception):
            raise self.follows_up
        return self.follows_up

    @property
    def status(self) -> EntryStatus | None:
        """The status of the one entry there is."""
        [entry] = self.entries
        return entry.status


def an_entry(draft: EntryDraft, **changes: Any) -> Entry:
    """Give the entry that a draft opens."""
    written = Entry(
        reference="Communication/1",
        version_id="1",
        status=EntryStatus.IN_PROGRESS,
        message_id=draft.message_id,
        attempt=draft.attempt,
        message_digest=draft.message_digest,
        verdict=str(draft.decision.verdict),
        receipt_digest=draft.decision.receipt_digest(),
        opened_at=draft.attempt_at.isoformat(),
        age_seconds=0.0,
        subject=draft.patient,
        emergency=draft.decision.emergency,
    )
    return replace(written, **changes)


@dataclass
class FakeProvider:
    """Answers as the script says, the last answer again and again; keeps what it was given.

    `found` is what a look-up gives; a failure in it, or in `script`, is raised.
    """

    script: list[Receipt | Exception] = field(default_factory=list)
    found: Receipt | Exception | None = None
    kind: ProviderKind = ProviderKind.SEARCHABLE
    name: str = "outbox"
    settle_seconds: float = 0.0
    retention_seconds: float | None = None
    messages: list[OutboundMessage] = field(default_factory=list)
    deadlines: list[tuple[float, float]] = field(default_factory=list)
    before_sending: Callable[[], object] = lambda: None

    def send(self, message: OutboundMessage, *, start_by: Deadline, deadline: Deadline) -> Receipt:
        """Take a message."""
        self.before_sending()
        self.messages.append(message)
        self.deadlines.append((start_by.left, deadline.left))
        turn = min(len(self.messages), len(self.script)) - 1
        answer = self.script[turn] if self.script else ACCEPTED
        if isinstance(answer, Exception):
            raise answer
        return answer

    def find(self, reference: str) -> Receipt | None:
        """Look a message up."""
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


ACCEPTED = Receipt(outcome=Outcome.ACCEPTED, provider_id="p-1")
RETRYABLE = Receipt(outcome=Outcome.RETRYABLE, reason="busy")
REFUSED = Receipt(outcome=Outcome.REFUSED, reason="invalid-number")
MAY_HAVE_LEFT = Receipt(outcome=Outcome.MAY_HAVE_LEFT, reason="lost-answer")
