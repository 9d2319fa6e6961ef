"""Ways out: what a provider is asked, and what it tells, at once and afterwards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, StrEnum
from typing import Any, Protocol, runtime_checkable

from fhirmsg.clock import Deadline
from fhirmsg.guidance.terms import Channel


class ProviderKind(Enum):
    """What a provider lets us find out after a lost answer."""

    REJECTS_REPEATS = "rejects a repeated reference"
    SEARCHABLE = "searchable by reference"
    NEITHER = "neither"


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboundMessage:
    """One message as it goes to a provider; `reference` is the message id.

    nhs_number: of the person it goes to, ten digits, where the record has it: a provider that
    addresses people by it needs it.
    """

    reference: str
    channel: Channel
    to: str = field(repr=False)
    body: str = field(repr=False)
    subject: str | None = field(default=None, repr=False)
    platform: str = ""
    sender_name: str = ""
    nhs_number: str | None = field(default=None, repr=False)


class Outcome(Enum):
    """How a hand-off ended, as far as it is known."""

    ACCEPTED = "accepted"
    RETRYABLE = "surely not accepted, may be tried again"
    REFUSED = "refused for good"
    MAY_HAVE_LEFT = "may have left"

    @property
    def word(self) -> str:
        """One word for logs and figures."""
        return self.name.lower().replace("_", "-")


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """A provider's answer. `reason` is a short code or status line without patient data.

    `at` is the provider's own time of acceptance, where it tells one. `silent`: it gave no answer
    that tells anything (no connection, a time-out, a 5xx over HTTP); says nothing about whether
    the message left. `retry_after`: seconds that the provider asks to wait for. `pending`: an
    earlier hand-off under this reference is still being worked on there, so that the entry must
    not end as not done.
    """

    outcome: Outcome
    provider_id: str | None = None
    reason: str = ""
    at: datetime | None = None
    silent: bool = field(default=False, compare=False)
    retry_after: int | None = None
    pending: bool = False


class Provider(Protocol):
    """One way out. An implementation is safe to call from several threads."""

    name: str
    kind: ProviderKind
    settle_seconds: float
    """Seconds after which `find` is complete for anything accepted before."""
    retention_seconds: float | None
    """Seconds for which a reference is known, to `find` or to be rejected when it is repeated;
    None for ever, or where nobody can ask."""

    def send(self, message: OutboundMessage, *, start_by: Deadline, deadline: Deadline) -> Receipt:
        """Hand one message over.

        The implementation checks `start_by` with its connection up, immediately before the write
        that can make the message leave, and answers RETRYABLE when it has passed. Everything
        ends by `deadline`. Never raises for what a network or a server does.
        """
        ...

    def find(self, reference: str) -> Receipt | None:
        """Tell what became of a message, None when it is surely not there (SEARCHABLE only).

        Raises ProviderSilent when the provider does not answer.
        """
        ...


class Delivery(StrEnum):
    """What a provider tells afterwards about a message that it had accepted, lowest first."""

    ACCEPTED = "accepted"
    FAILED = "failed"
    DELIVERED = "delivered"
    READ = "read"


@dataclass(frozen=True, slots=True, kw_only=True)
class Callback:
    """A request that a provider made to us, as it came in.

    headers: names in lower case. body: the raw bytes, over which signatures are computed.
    """

    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryReceipt:
    """What a provider says later about one message.

    reference: our message id. reason: a short code or status of the provider, no patient data.
    at: the provider's own time of that event, aware; None when it tells none. channel: the one it
    is about, where a provider tries several.
    """

    reference: str
    delivery: Delivery
    at: datetime | None = None
    reason: str = ""
    provider_id: str | None = None
    channel: Channel | None = None

    def as_json(self) -> dict[str, Any]:
        """Give it as JSON, for the journal."""
        return {
            "reference": self.reference,
            "delivery": str(self.delivery),
            "at": None if self.at is None else self.at.isoformat(),
            "reason": self.reason,
            "provider_id": self.provider_id,
            "channel": None if self.channel is None else str(self.channel),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> DeliveryReceipt:
        """Read it back. Raises ValueError or KeyError for what is none."""
        at, channel = content["at"], content["channel"]
        return cls(
            reference=content["reference"],
            delivery=Delivery(content["delivery"]),
            at=None if at is None else datetime.fromisoformat(at),
            reason=content["reason"],
            provider_id=content["provider_id"],
            channel=None if channel is None else Channel(channel),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A message that a person sent back. id: the provider's own, unique with it.

    sender: the number or address it came from, as written by the provider. at: aware.
    reference: our message id, where the provider says to which message it answers.
    """

    id: str
    channel: Channel
    sender: str = field(repr=False)
    text: str = field(repr=False)
    at: datetime | None = None
    reference: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Give it as JSON, for the journal."""
        return {
            "id": self.id,
            "channel": str(self.channel),
            "sender": self.sender,
            "text": self.text,
            "at": None if self.at is None else self.at.isoformat(),
            "reference": self.reference,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Reply:
        """Read it back. Raises ValueError or KeyError for what is none."""
        at = content["at"]
        return cls(
            id=content["id"],
            channel=Channel(content["channel"]),
            sender=content["sender"],
            text=content["text"],
            at=None if at is None else datetime.fromisoformat(at),
            reference=content["reference"],
        )


@runtime_checkable
class TellsReceipts(Protocol):
    """A provider that calls back with receipts."""

    def receipts(self, callback: Callback) -> tuple[DeliveryReceipt, ...]:
        """Authenticate a callback and read it; empty when it is about nothing of ours.

        Raises CallbackRefused when it is not authentic, CallbackUnreadable when it is authentic
        and not understood. An event that is understood and tells nothing new is left out.
        """
        ...


@runtime_checkable
class TakesReplies(Protocol):
    """A provider that calls back with what people answer."""

    def replies(self, callback: Callback) -> tuple[Reply, ...]:
        """Authenticate a callback and read it. Raises what `TellsReceipts.receipts` raises."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownMessage:
    """A message that a provider says it has. reference: ours, empty when it has none."""

    reference: str
    provider_id: str
    delivery: Delivery
    at: datetime | None = None


@runtime_checkable
class ListsMessages(Protocol):
    """A provider that tells every message it has."""

    def known_since(self, since: datetime) -> Iterator[KnownMessage]:
        """Give each message accepted at or after `since`, in any order.

        Raises ProviderSilent when the list cannot be had whole.
        """
        ...


@runtime_checkable
class TellsByItsId(Protocol):
    """A provider that can be asked about a message by the id it gave."""

    def known_by_id(self, provider_id: str) -> KnownMessage | None:
        """Give the message, None when it is surely not there. Raises ProviderSilent."""
        ...


@runtime_checkable
class ChecksItself(Protocol):
    """A provider that can be tried without sending anything."""

    def why_unusable(self) -> str | None:
        """Tell in one sentence what would keep a message from leaving, None when nothing.

        Asks the provider (credentials, templates, address); sends nothing. Never raises.
        """
        ...
