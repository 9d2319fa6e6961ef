"""An emergency while the FHIR server is away: decided on what the request brings, and journalled.

Nothing can be read then, so the facts are empty and say so: the decision holds until the sender
has acknowledged that. The record entry is opened in the journal instead of on the server, and
goes there when the server is back (`backlog.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from math import inf
from typing import Any

from fhirmsg.clock import elapsed_clock, now
from fhirmsg.errors import RecordUnavailable
from fhirmsg.fhir import communication
from fhirmsg.fhir.client import Resource
from fhirmsg.fhir.contacts import brought_point
from fhirmsg.fhir.elements import element, text_of
from fhirmsg.fhir.endings import Ending, settled
from fhirmsg.fhir.entries import entry_of, own_extension
from fhirmsg.fhir.owing import CLOSE_TASK, TASK, Owing
from fhirmsg.fhir.provenance import activities, provenance
from fhirmsg.fhir.resources import InvalidResource, validated
from fhirmsg.fhir.settling import ALLOWED, Auditing
from fhirmsg.fhir.tasks import about, as_json
from fhirmsg.guidance.decision import Decision
from fhirmsg.guidance.policy import LocalPolicy
from fhirmsg.guidance.record import (
    Gap,
    PatientFacts,
    PatientRecord,
    Recipient,
    RecipientKind,
)
from fhirmsg.guidance.request import SendRequest
from fhirmsg.guidance.rule import Finding
from fhirmsg.guidance.terms import ResourceVersion
from fhirmsg.ports import (
    AuditDraft,
    Declined,
    Entry,
    EntryDraft,
    EntryStatus,
    Journal,
    JournalItem,
    Opened,
    Opening,
    Owed,
    ReadResult,
    RecordReader,
    TaskDraft,
)

log = logging.getLogger("fhirmsg.record")

_MANY = 1000
# Where entries in the journal are said to be, until they are on the server.
IN_JOURNAL = "journal/"

_NOTHING_READ = (
    "The FHIR server cannot be reached, so nothing of the record could be read: no objection, no "
    "safety restriction, not whether the person lives. Think of what may be known otherwise, and "
    "telephone if that is safe."
)


class OutageReader:
    """Reads the record if it can be read after all, and gives empty facts if not. Thread-safe."""

    def __init__(
        self, reader: RecordReader, log: OutageLog, *, clock: Callable[[], datetime] = now
    ) -> None:
        """Try `reader` first; the entries of the message in `log` are told with either."""
        self._reader = reader
        self._log = log
        self._clock = clock

    def read(self, request: SendRequest, policy: LocalPolicy, message_id: str) -> ReadResult:
        """Read what there is to be read; raises what `ports.RecordReader.read` raises, but for
        RecordUnavailable."""
        try:
            read = self._reader.read(request, policy, message_id)
        except RecordUnavailable:
            return self.unread(request, policy, message_id)
        kept = self._log.find(message_id)
        return replace(read, entries=(*(read.entries or ()), *kept))

    def unread(self, request: SendRequest, policy: LocalPolicy, message_id: str) -> ReadResult:
        """Give what is known without the server."""
        return ReadResult(
            record=nothing_read(request, policy, self._clock()),
            entries=self._log.find(message_id),
            clock_at=elapsed_clock(),
        )


def nothing_read(request: SendRequest, policy: LocalPolicy, at: datetime) -> PatientRecord:
    """Give the facts of a record that cannot be read: the patient's name for it, and a gap."""
    keys = frozenset({request.patient})
    brought = request.contact_point
    return PatientRecord(
        patient=PatientFacts(version=ResourceVersion(reference=request.patient), keys=keys),
        recipient=Recipient(
            kind=RecipientKind.PATIENT, reference=request.patient, keys=keys, closure=keys
        ),
        gaps=(Gap(sentence=_NOTHING_READ),),
        brought=None if brought is None else brought_point(brought, policy.zone),
        read_at=at.isoformat(timespec="milliseconds"),
    )


class OutageLog:
    """A CommunicationLog in the journal. Thread-safe.

    What it opens and settles is synced to disk first. Raises JournalUnavailable.
    """

    def __init__(self, journal: Journal, *, auditing: Auditing | None = None) -> None:
        """Keep entries in this journal; `auditing` writes the AuditEvents that go with them."""
        self._journal = journal
        self._auditing = auditing
        self._owing = Owing(journal)

    def open(self, draft: EntryDraft) -> Opening:
        """Keep the entry unless one of this message id is kept."""
        try:
            opened = validated(_of_patient(communication.opened(draft)))
        except InvalidResource as error:
            log.error("entry cannot be written", extra={"reason": str(error)})
            return Opening(outcome=Opened.UNAVAILABLE)
        payload: dict[str, Any] = {
            "communication": opened,
            "review": None if draft.review is None else as_json(draft.review),
            "beside": [],
        }
        item = self._journal.keep(
            Owed.EMERGENCY,
            draft.message_id,
            payload,
            state=str(EntryStatus.IN_PROGRESS),
            attempt=draft.attempt,
        )
        if item is not None:
            return Opening(outcome=Opened.OURS, entry=entry_in_journal(item), reviewed=True)
        there = self.find(draft.message_id)
        return Opening(outcome=Opened.OTHERS, entry=there[0] if there else None)

    def note_refusal(self, draft: EntryDraft) -> bool:
        """Keep that something was not sent, to be noted on the record later."""
        resource = settled(_of_patient(communication.opened(draft)), EntryStatus.NOT_DONE)
        return self._owing.create(resource)

    def claim(self, entry: Entry, draft: EntryDraft | None, attempt: str) -> Entry | None:
        """Take an entry over; None when somebody else was faster."""
        item = self._item(entry)
        if item is None:
            return None
        payload = dict(item.payload)
        if draft is None:
            payload["communication"] = communication.reclaimed(
                payload["communication"], attempt, now()
            )
        else:
            payload["communication"] = validated(_of_patient(communication.opened(draft)))
            payload["review"] = None if draft.review is None else as_json(draft.review)
        changed = self._journal.change(
            item, payload=payload, state=str(EntryStatus.IN_PROGRESS), attempt=attempt
        )
        return None if changed is None else entry_in_journal(changed)

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
        """Keep how the hand-off ended; None when somebody else has the entry."""
        item = self._item(entry)
        if item is None or item.state not in ALLOWED[status]:
            return None
        resource = item.payload["communication"]
        ending = Ending.of(
            status,
            sent=sent,
            provider_id=provider_id,
            decision=decision,
            grounds=grounds,
            attempt=own_extension(resource, "attempt") or None,
        )
        payload = {
            **item.payload,
            "communication": validated(ending.put_on(resource), known=resource),
            "beside": self._beside(decision, grounds, audit),
        }
        changed = self._journal.change(item, payload=payload, state=str(status))
        return None if changed is None else entry_in_journal(changed)

    def _beside(
        self, decision: Decision | None, grounds: SendRequest | None, audit: AuditDraft | None
    ) -> list[Resource]:
        """Give what is to be written beside it; their target is set when it is known."""
        beside = []
        if decision is not None and grounds is not None and activities(decision):
            try:
                written = provenance("Communication/0", grounds, decision, now())
                beside.append(validated(written))
            except (InvalidResource, ValueError):
                log.error("provenance cannot be written", extra={"kind": "emergency"})
        if audit is not None and self._auditing is not None:
            event = self._auditing.resource_for(audit)
            if event is None:
                self._auditing.record(audit)
            else:
                beside.append(event)
        return beside

    def findings_told(self, entry: Entry) -> tuple[Finding, ...] | None:
        """Say nothing: what was told to those who audit waits in the journal too."""
        return None

    def end_fallback(self, entry: Entry) -> bool:
        """Say that there is nothing to take off: an emergency is followed by no other channel."""
        return True

    def note_decision(self, audit: AuditDraft) -> bool:
        """Have a decision audited, now or when the server is back."""
        if self._auditing is None:
            return True
        event = self._auditing.resource_for(audit)
        return self._auditing.record(audit) if event is None else self._owing.create(event)

    def in_progress(self) -> list[Entry]:
        """Give the entries that are open here."""
        return [
            entry_in_journal(item)
            for item in self._journal.due([Owed.EMERGENCY], limit=_MANY)
            if item.state == EntryStatus.IN_PROGRESS
        ]

    def find(self, message_id: str) -> tuple[Entry, ...]:
        """Give the entry of this message id that is kept, if there is one."""
        item = self._journal.find(Owed.EMERGENCY, message_id)
        return () if item is None else (entry_in_journal(item),)

    def ask_a_person(self, entry: Entry, code: str, text: str) -> None:
        """Keep a Task that asks somebody."""
        self._keep(about(entry, code, text), renew=False)

    def keep_task(self, task: TaskDraft) -> bool:
        """Keep a Task; the review of an emergency goes with its entry."""
        message_id = task.key.removesuffix(f":{task.code}")
        item = self._journal.find(Owed.EMERGENCY, message_id)
        if item is not None and (item.payload["review"] or {}).get("key") == task.key:
            payload = {**item.payload, "review": as_json(replace(task, focus=None))}
            return self._journal.change(item, payload=payload) is not None
        return self._keep(task, renew=True)

    def _keep(self, task: TaskDraft, *, renew: bool) -> bool:
        content = {"task": as_json(replace(task, focus=None)), "renew": renew}
        return self._owing.keep(TASK, task.key, content)

    def close_task(
        self, key: str, *, done: bool, note: str, attempts: frozenset[str] | None = None
    ) -> bool:
        """Keep that a Task is to be closed; a review that goes with an entry goes away with it."""
        item = self._journal.find(Owed.EMERGENCY, key.rpartition(":")[0])
        if item is not None and (item.payload["review"] or {}).get("key") == key:
            return self._journal.change(item, payload={**item.payload, "review": None}) is not None
        content = {"key": key, "done": done, "note": note}
        known = None if attempts is None else sorted(attempts)
        return self._owing.keep(CLOSE_TASK, key, {**content, "attempts": known})

    def remember(self, declined: Declined) -> bool:
        """Say no: an individual's answer is about a proxy, and no proxy is written to unread."""
        return False

    def _item(self, entry: Entry) -> JournalItem | None:
        """Give the item of an entry if it is as it was seen."""
        item = self._journal.find(Owed.EMERGENCY, entry.message_id)
        if item is None or f"{item.number}.{item.revision}" != entry.version_id:
            return None
        return item


def _of_patient(resource: Resource) -> Resource:
    """Have a patient named by identifier stand as one; a literal reference is set when known."""
    written = text_of(element(resource.get("subject")).get("reference"))
    if "|" not in written:
        return resource
    system, _, value = written.rpartition("|")
    logical = {"identifier": {"system": system, "value": value}, "type": "Patient"}
    return {**resource, "subject": logical, "recipient": [logical]}


def entry_in_journal(item: JournalItem) -> Entry:
    """Translate a journal item; its age is by this host's boot clock."""
    resource: Mapping[str, Any] = item.payload["communication"]
    written = entry_of({**resource, "id": "0"}, None)
    return replace(
        written,
        reference=f"{IN_JOURNAL}{item.number}",
        version_id=f"{item.number}.{item.revision}",
        # A host that was started anew since then has nobody left who is at work on it.
        age_seconds=inf if item.age_seconds is None else item.age_seconds,
        resource=dict(resource),
    )
