"""The record: what is read for a decision, and the entries, Tasks and denials that are written."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, StrEnum
from typing import Any, Protocol

from fhirmsg.guidance.decision import Decision
from fhirmsg.guidance.policy import LocalPolicy
from fhirmsg.guidance.record import PatientRecord
from fhirmsg.guidance.request import SendRequest
from fhirmsg.guidance.rule import Finding
from fhirmsg.guidance.terms import Person


class EntryStatus(StrEnum):
    """FHIR R4 Communication.status as far as we write it (https://hl7.org/fhir/R4/communication.html)."""

    IN_PROGRESS = "in-progress"
    COMPLETED = "completed"
    STOPPED = "stopped"
    NOT_DONE = "not-done"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A record entry: one Communication of ours, as it stood on the server.

    `resource` is the Communication itself, kept for the next version-checked update.
    `on_evidence`: the decision it was opened on stood on evidence, whatever that was.
    `age_seconds` is the server's own Date less its own lastUpdated, None when either is missing.
    `emergency`: it says that it was opened in an emergency. `delivered`: the highest of what the
    provider told afterwards, a `Delivery`. `sealed`: the request less its evidence, under this
    service's key, while another channel may be tried. `part_of`: the leg before this one.
    """

    reference: str
    version_id: str
    status: EntryStatus | None
    message_id: str
    attempt: str | None
    message_digest: str | None
    verdict: str | None = None
    receipt_digest: str | None = None
    on_evidence: bool = False
    provider_id: str | None = None
    platform: str | None = None
    channel: str | None = None
    sent: str | None = None
    opened_at: str | None = None
    last_updated: str | None = None
    age_seconds: float | None = None
    sender: str | None = None
    subject: str | None = None
    recipient: str | None = None
    text: str | None = field(default=None, repr=False)
    fidelity: str | None = None
    emergency: bool = False
    delivered: str | None = None
    sealed: str | None = field(default=None, repr=False)
    part_of: str | None = None
    resource: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def on_server(self) -> bool:
        """Whether the FHIR server has it; one that was opened in an outage waits in the journal."""
        return self.reference.startswith("Communication/")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadResult:
    """One fresh read: the facts, and the entries already there under this message id.

    `entries` is None when that look-up failed: then nobody knows whether it was sent before.
    `clock_at` is the elapsed clock when the read was sent, for the freshness rule.
    """

    record: PatientRecord
    entries: tuple[Entry, ...] | None
    clock_at: float


class RecordReader(Protocol):
    """Reads a patient's record for one decision."""

    def read(self, request: SendRequest, policy: LocalPolicy, message_id: str) -> ReadResult:
        """Read fresh and whole.

        Raises PatientNotFound, RecipientNotFound, PatientAmbiguous or RecordUnavailable.
        """
        ...


class UnreadRecords(RecordReader, Protocol):
    """Reads as far as it can while the FHIR server is away; `read` never raises for that."""

    def unread(self, request: SendRequest, policy: LocalPolicy, message_id: str) -> ReadResult:
        """Give the facts of a record of which nothing can be read."""
        ...


def task_key(message_id: str, code: str) -> str:
    """Give the business identifier of the Task of a message with this code."""
    return f"{message_id}:{code}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskDraft:
    """Something for a person to do about one patient: no message text, reason or contact detail.

    key: its business identifier; there is one Task of a key. patient, focus: literal references,
    empty or None when there is none. findings: (code, sentence) of each. roles: who is to be
    asked. requester: on whose account it is there. attempt: the one of the entry it belongs to.
    """

    key: str
    code: str
    text: str
    patient: str = ""
    focus: str | None = None
    findings: tuple[tuple[str, str], ...] = ()
    roles: tuple[str, ...] = ()
    requester: Person | None = None
    urgent: bool = True
    attempt: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Declined:
    """An individual's "no" to one proxy hearing of one service.

    patient, proxy: literal references. proxy_keys: identity keys of the proxy. service:
    `system|code` or a bare code. by: who asked, at: when.
    """

    patient: str
    proxy: str
    proxy_keys: frozenset[str]
    service: str
    at: datetime
    by: Person | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryDraft:
    """What is written when an entry is opened or claimed.

    `patient` and `recipient` are literal references as resolved by the read. `contact_tail` is a
    masked hint of the contact point, `label_restricted` asks for the confidentiality label R,
    `proxy_consent` is the grant a proxy receives on (`Consent/1/_history/2`). `review` is the
    Task that is opened with it in an emergency.
    """

    message_id: str
    attempt: str
    attempt_at: datetime
    message_digest: str
    content_digest: str
    patient: str
    recipient: str
    request: SendRequest
    decision: Decision
    contact_tail: str
    label_restricted: bool
    correlation_id: str | None = None
    proxy_consent: str | None = None
    copy_body: bool = True
    review: TaskDraft | None = None
    fallback: str | None = field(default=None, repr=False)
    part_of: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditDraft:
    """What is to be told of one decision to those who audit: never a word of the message.

    patient, recipient: literal references as read, empty when nothing could be read.
    communication: the record entry, where there is one. result: in a word or two what followed
    ("sent", "not-sent", "stopped", "failed", "unknown"). client_id: the API client that asked.
    """

    message_id: str
    at: datetime
    request: SendRequest
    decision: Decision
    patient: str
    recipient: str
    result: str
    communication: str | None = None
    client_id: str | None = None
    correlation_id: str | None = None


class Opened(Enum):
    """How an attempt to open or claim an entry ended."""

    OURS = "ours"
    OTHERS = "others"
    SEVERAL = "several"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """Result of opening: `entry` is ours, or the one that was there first.

    `reviewed`: the draft's review was written in the same transaction.
    """

    outcome: Opened
    entry: Entry | None = None
    reviewed: bool = False


class CommunicationLog(Protocol):
    """Writes and finds the record entries. Each method makes its own retries."""

    def open(self, draft: EntryDraft) -> Opening:
        """Create the entry unless one with this message id exists, its review Task with it.

        The two are written in one transaction. Where the server takes none, the Task follows; it
        may then be missing, which is logged, and `keep_task` makes up for it.
        """
        ...

    def note_refusal(self, draft: EntryDraft) -> bool:
        """Write an entry `not-done`, without text or reason, unless one with this id exists."""
        ...

    def claim(self, entry: Entry, draft: EntryDraft | None, attempt: str) -> Entry | None:
        """Take over an entry by a version-checked update; None when somebody else was faster.

        With a draft the content is written anew, without one only the attempt changes.
        """
        ...

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
        """Record how the hand-off ended; None when that could not be written, or not yet.

        With `grounds`, what the decision stands on in the evidence of that request is written
        beside it as a Provenance: an override, an emergency, a review, a reason. `audit` is told
        to those who audit, by whoever writes the ending.
        """
        ...

    def findings_told(self, entry: Entry) -> tuple[Finding, ...] | None:
        """Give the findings on which an entry was written, from what was told to those who audit.

        None when that cannot be read. Never raises.
        """
        ...

    def end_fallback(self, entry: Entry) -> bool:
        """Take the sealed request off an entry: no other channel follows it from now on.

        Tells whether it is off. Raises RecordUnavailable.
        """
        ...

    def note_decision(self, audit: AuditDraft) -> bool:
        """Have a decision audited on which nothing was opened; tells whether it is.

        Never raises; a failure is logged.
        """
        ...

    def find(self, message_id: str) -> tuple[Entry, ...]:
        """Give every entry with this message id, read past every cache."""
        ...

    def ask_a_person(self, entry: Entry, code: str, text: str) -> None:
        """Open a Task about this entry, unless one with this code is there already."""
        ...

    def keep_task(self, task: TaskDraft) -> bool:
        """Have this Task stand as drafted; tell whether it does. A failure is logged.

        It is created unless one of its key is there, and brought up to date if that one is still
        open. One that belongs to an attempt is opened again if it was cancelled. One that
        somebody has completed stays as it is.
        """
        ...

    def close_task(
        self, key: str, *, done: bool, note: str, attempts: frozenset[str] | None = None
    ) -> bool:
        """Complete the open Task of this key, or cancel it; tell whether none is open any more.

        With `attempts`, only one that belongs to one of them. A failure is logged.
        """
        ...

    def remember(self, declined: Declined) -> bool:
        """Put the "no" on record as a Consent that denies this proxy this service.

        Once, until it is withdrawn. Tells whether it is there; a failure is logged.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryPage:
    """One page of a patient's record entries, newest first; `next` is an opaque cursor or None."""

    entries: tuple[Entry, ...]
    next: str | None = None


class MessageHistory(Protocol):
    """Shows what is on the record."""

    def find(self, message_id: str) -> tuple[Entry, ...]:
        """Give every entry with this message id. Raises RecordUnavailable."""
        ...

    def legs(self, entry: Entry) -> tuple[Entry, ...]:
        """Give the legs that followed an entry that failed, in order. Raises RecordUnavailable."""
        ...

    def page(self, patient: str, *, count: int, cursor: str | None = None) -> HistoryPage:
        """Give entries about a patient (`Patient/id`).

        Raises RecordUnavailable, PatientNotFound, or CursorRefused for a cursor not given here.
        """
        ...
