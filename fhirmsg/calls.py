"""One call of the use case, and the times it may take."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from uuid import UUID, uuid5

from fhirmsg.guidance.declarations import emergency_faults
from fhirmsg.guidance.policy import LocalPolicy
from fhirmsg.guidance.request import SendRequest, message_digest
from fhirmsg.guidance.terms import Channel

# Fixed for ever: message ids of all time hang on it.
_UUID_LENGTH = 36
_NAMESPACE = UUID("5b1f2f0a-6a1c-5e0e-9a52-0c6a2f3d7e11")


def message_id_for(client_id: str, idempotency_key: str) -> str:
    """Give the message id: the same for one client and key, different for any other pair."""
    return str(uuid5(uuid5(_NAMESPACE, client_id), idempotency_key))


def is_of(message_id: str | None, other: str) -> bool:
    """Tell whether two ids are of one message, on whichever leg."""
    return (message_id or "")[:_UUID_LENGTH] == other[:_UUID_LENGTH]


def leg_id(message_id: str, further: int) -> str:
    """Give the id of the leg that comes so many after this one; the first has no number."""
    first, number = message_id[:_UUID_LENGTH], message_id[_UUID_LENGTH + 1 :]
    return f"{first}-{(int(number) if number.isdecimal() else 1) + further}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """How long each part of a send may take, in seconds.

    start_within: a hand-off starts at most so long after its entry was opened. handoff: the whole
    hand-off. margin: on top of both, before anybody may take an open entry over. clocks_apart:
    the FHIR server's Date and lastUpdated may differ by this much before ages mean nothing.
    """

    start_within: float = 30.0
    handoff: float = 20.0
    margin: float = 60.0
    clocks_apart: float = 5.0

    def lease(self, settle_seconds: float) -> float:
        """Give the age after which an open entry is taken for abandoned."""
        return self.start_within + self.handoff + settle_seconds + self.margin


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call: the request, the policy that judges it, and its ids.

    client_id: the API client that asked. part_of: the reference of the record entry that failed
    before this one, where this is the next leg of a fallback; tried: the channels before it.
    """

    request: SendRequest
    policy: LocalPolicy
    message_id: str
    correlation_id: str | None = None
    client_id: str | None = None
    part_of: str | None = None
    tried: tuple[Channel, ...] = ()

    def declares_emergency(self, at: datetime) -> bool:
        """Tell whether an emergency is declared completely at this instant ("Emergencies")."""
        declared = self.request.evidence.emergency is not None
        return declared and not emergency_faults(self.request, at)

    @cached_property
    def digest(self) -> str:
        """The message digest, which leaves the evidence out."""
        return message_digest(self.request)
