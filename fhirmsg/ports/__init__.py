"""What the use case needs from the outside: a record, ways out, and a journal of what is owed.

The FHIR side, the providers and the journal implement these protocols; tests put fakes in their
place.
"""

from __future__ import annotations

from fhirmsg.ports.journal import Journal, JournalItem, Owed
from fhirmsg.ports.metering import NO_METER, Meter
from fhirmsg.ports.providers import (
    Callback,
    ChecksItself,
    Delivery,
    DeliveryReceipt,
    KnownMessage,
    ListsMessages,
    OutboundMessage,
    Outcome,
    Provider,
    ProviderKind,
    Receipt,
    Reply,
    TakesReplies,
    TellsByItsId,
    TellsReceipts,
)
from fhirmsg.ports.record import (
    AuditDraft,
    CommunicationLog,
    Declined,
    Entry,
    EntryDraft,
    EntryStatus,
    HistoryPage,
    MessageHistory,
    Opened,
    Opening,
    ReadResult,
    RecordReader,
    TaskDraft,
    UnreadRecords,
    task_key,
)

__all__ = [
    "NO_METER",
    "AuditDraft",
    "Callback",
    "ChecksItself",
    "CommunicationLog",
    "Declined",
    "Delivery",
    "DeliveryReceipt",
    "Entry",
    "EntryDraft",
    "EntryStatus",
    "HistoryPage",
    "Journal",
    "JournalItem",
    "KnownMessage",
    "ListsMessages",
    "MessageHistory",
    "Meter",
    "Opened",
    "Opening",
    "OutboundMessage",
    "Outcome",
    "Owed",
    "Provider",
    "ProviderKind",
    "ReadResult",
    "Receipt",
    "RecordReader",
    "Reply",
    "TakesReplies",
    "TaskDraft",
    "TellsByItsId",
    "TellsReceipts",
    "UnreadRecords",
    "task_key",
]
