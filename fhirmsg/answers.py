"""What a call is told: the state of its message, whether to ask again, and the decision."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from fhirmsg.calls import Call
from fhirmsg.guidance.decision import Decision, Verdict
from fhirmsg.guidance.rule import Effect, Finding
from fhirmsg.ports import Entry, EntryStatus


class State(StrEnum):
    """What became of a message; held, refused and allowed are answers rather than states."""

    QUEUED = "queued"
    SENDING = "sending"
    UNKNOWN = "unknown"
    ACCEPTED = "accepted-by-provider"
    FAILED = "failed"
    DELIVERED = "delivered"
    READ = "read"
    NOT_SENT = "not-sent"
    HELD = "held"
    REFUSED = "refused"
    ALLOWED = "allowed"


class Retry(StrEnum):
    """Whether the same call is worth making again."""

    NEVER = "never"
    AFTER = "after"
    NOW = "now"


class RecordState(StrEnum):
    """How far the record entry is: none was opened, it is complete, or an update is still due."""

    NONE = "none"
    COMPLETE = "complete"
    PENDING = "pending"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a call is told.

    `decision` is None for a replay (the record keeps only the receipt's digest and verdict);
    then `verdict` and `receipt_digest` come from the record entry, and `findings` from what was
    told to those who audit, where that can be read. `note` is one plain sentence.
    """

    id: str
    status: State
    retry: Retry
    record: RecordState
    message_digest: str
    communication: str | None = None
    decision: Decision | None = None
    verdict: str | None = None
    receipt_digest: str | None = None
    findings: tuple[Finding, ...] | None = None
    replayed: bool = False
    retry_after: int | None = None
    sent: str | None = None
    note: str | None = None


STATES: dict[EntryStatus | None, State] = {
    EntryStatus.IN_PROGRESS: State.SENDING,
    EntryStatus.COMPLETED: State.ACCEPTED,
    EntryStatus.STOPPED: State.FAILED,
    EntryStatus.UNKNOWN: State.UNKNOWN,
    EntryStatus.NOT_DONE: State.NOT_SENT,
    None: State.UNKNOWN,
}

# What a provider told afterwards outranks that it had accepted the message.
_DELIVERED = {"delivered": State.DELIVERED, "read": State.READ}


def state_of(entry: Entry) -> State:
    """Give the state of a message by its record entry."""
    if entry.status is EntryStatus.COMPLETED and entry.delivered in _DELIVERED:
        return _DELIVERED[entry.delivered]
    return STATES[entry.status]


# Findings that pass by themselves, so that the same call is worth making again.
PASSING = frozenset({"read.incomplete", "record.unavailable"})
_RETRY_AFTER = 30


def for_decision(call: Call, decision: Decision) -> Answer:
    """Answer a call on which nothing was opened: allowed, held or refused."""
    status, retry, after = State.ALLOWED, Retry.NOW, None
    if decision.verdict is not Verdict.SEND:
        refused = decision.verdict is Verdict.REFUSE
        barring = {each.code for each in decision.findings if each.effect >= Effect.HOLD}
        passing = not refused and bool(barring & PASSING)
        status = State.REFUSED if refused else State.HELD
        retry = Retry.AFTER if passing else Retry.NEVER
        after = _RETRY_AFTER if passing else None
    return Answer(
        id=call.message_id,
        status=status,
        retry=retry,
        record=RecordState.NONE,
        message_digest=call.digest,
        decision=decision,
        verdict=str(decision.verdict),
        receipt_digest=decision.receipt_digest(),
        retry_after=after,
    )


def for_entry(
    call: Call,
    entry: Entry,
    *,
    status: State | None = None,
    decision: Decision | None = None,
    written: bool = True,
    retry: Retry = Retry.NEVER,
    note: str | None = None,
) -> Answer:
    """Answer a call by its record entry; without a decision of its own it is a replay."""
    return Answer(
        id=call.message_id,
        status=status or state_of(entry),
        retry=retry,
        record=RecordState.COMPLETE if written and entry.on_server else RecordState.PENDING,
        message_digest=call.digest,
        communication=entry.reference if entry.on_server else None,
        decision=decision,
        verdict=str(decision.verdict) if decision else entry.verdict,
        receipt_digest=decision.receipt_digest() if decision else entry.receipt_digest,
        replayed=decision is None,
        sent=entry.sent,
        note=note,
    )
