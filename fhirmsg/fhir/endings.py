"""How an entry ends: a change to put on any version of it, now or out of the journal."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from fhirmsg.fhir import codes
from fhirmsg.fhir.client import Resource
from fhirmsg.fhir.communication import (
    LABEL_RESTRICTED,
    copy_for_update,
    decision_extension,
    delivery_extension,
    instant,
    is_restricted,
    put_extension,
    put_reasons,
    reasons_of,
    simple_extension,
)
from fhirmsg.guidance.decision import Decision
from fhirmsg.guidance.request import SendRequest
from fhirmsg.ports import EntryStatus

# What an entry that ends unsent loses, and what a fallback leaves when there is none any more.
_OF_THE_MESSAGE = ("payload", "note", "sent", "reasonCode")
FALLBACK = codes.own_extension("fallback-request")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """What became of a hand-off, as it is written on the Communication.

    sent: instant as FHIR writes it. decision: our extension about the decision it was handed off
    on. reasons: our reasonCodes of that decision, None to leave those that stand. attempt: our
    extension about the attempt that ended so; an entry of another attempt is somebody else's.
    closed: no receipt will tell more, so no other channel can follow.
    """

    status: EntryStatus
    sent: str | None = None
    provider_id: str | None = None
    decision: Resource | None = None
    reasons: list[Resource] | None = None
    attempt: Resource | None = None
    closed: bool = False

    @classmethod
    def of(
        cls,
        status: EntryStatus,
        *,
        sent: datetime | None = None,
        provider_id: str | None = None,
        decision: Decision | None = None,
        grounds: SendRequest | None = None,
        attempt: Resource | None = None,
        closed: bool = False,
    ) -> Ending:
        """Say how it ended; `grounds` is the request whose evidence the decision stands on."""
        told = decision is not None and grounds is not None and status is not EntryStatus.NOT_DONE
        return cls(
            status=status,
            sent=None if sent is None else instant(sent),
            provider_id=provider_id,
            decision=None if decision is None else decision_extension(decision),
            reasons=reasons_of(decision, grounds) if told and decision and grounds else None,
            attempt=attempt,
            closed=closed,
        )

    def as_json(self) -> dict[str, Any]:
        """Give it as JSON, for the journal."""
        return {**asdict(self), "status": str(self.status)}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Ending:
        """Read it back."""
        return cls(**{**content, "status": EntryStatus(content["status"])})

    def put_on(self, resource: Resource) -> Resource:
        """Give the entry with this ending.

        One that ends `not-done` loses its text and says no reason: who may read the record must
        not learn from it why nothing was sent.
        """
        copy = copy_for_update(resource)
        copy["status"] = str(self.status)
        copy.pop("statusReason", None)
        if self.attempt is not None:
            put_extension(copy, self.attempt)
        if self.decision is not None:
            put_extension(copy, self.decision)
        if self.status is EntryStatus.NOT_DONE:
            _made_silent(copy)
            return copy
        if self.sent is not None:
            copy["sent"] = self.sent
            accepted = delivery_extension("accepted", self.sent)
            if accepted not in copy.get("extension", []):
                copy["extension"] = [*copy.get("extension", []), accepted]
        if self.provider_id:
            put_extension(copy, simple_extension("provider-id", "valueString", self.provider_id))
        if self.reasons is not None:
            put_reasons(copy, self.reasons)
        if self.status is EntryStatus.UNKNOWN or self.closed:
            without_fallback(copy)
        return copy


def _made_silent(copy: Resource) -> None:
    for name in _OF_THE_MESSAGE:
        copy.pop(name, None)
    without_fallback(copy)
    labels = [*copy.get("meta", {}).get("security", [])]
    if not any(is_restricted(label) for label in labels):
        labels.append(LABEL_RESTRICTED)
    copy["meta"] = {**copy.get("meta", {}), "security": labels}


def without_fallback(copy: Resource) -> None:
    """Take the sealed request off a copy: no other channel will be tried from this entry."""
    if "extension" in copy:
        copy["extension"] = [each for each in copy["extension"] if each.get("url") != FALLBACK]


def settled(resource: Resource, status: EntryStatus, **told: Any) -> Resource:
    """Give the entry as it ends; `told` as in `Ending.of`."""
    return Ending.of(status, **told).put_on(resource)
