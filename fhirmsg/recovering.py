"""Recovery: entries that nobody asks about again are brought to a truthful end. It never sends.

What can be found out from the provider is; what cannot is said to be unknown, and a person is
asked. An entry is touched only after its lease, by the server's own clock.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol
from uuid import uuid4

from fhirmsg.calls import Times
from fhirmsg.errors import ProviderSilent
from fhirmsg.following_up import REVIEW, ask_for_evidence, ask_for_review
from fhirmsg.guidance.policy import LocalPolicy
from fhirmsg.handing_off import UNKNOWN
from fhirmsg.messenger import look_up
from fhirmsg.ports import (
    CommunicationLog,
    Entry,
    EntryStatus,
    Outcome,
    Provider,
    ProviderKind,
    Receipt,
    task_key,
)

audit = logging.getLogger("fhirmsg.audit")

_STILL_OPEN = (
    "A message was being sent when its process ended, and its provider cannot be asked. Send it "
    "again unchanged under the same Idempotency-Key: the provider takes it at most once, and the "
    "answer tells what became of it."
)
_NO_PROVIDER = (
    "A message was being sent when its process ended, over a platform that no policy of this "
    "service names any more. Find out whether it arrived."
)
_NOT_SENT_AFTER_ALL = "The message was not sent after all; the provider does not have it."


class OpenEntries(Protocol):
    """Gives the entries that are open."""

    def in_progress(self) -> Iterable[Entry]:
        """Give every open entry. Raises RecordUnavailable or JournalUnavailable."""
        ...


@dataclass(kw_only=True)
class Recovered:
    """How many entries were brought to which end, and how many were left for what."""

    ends: dict[str, int] = field(default_factory=dict)

    def count(self, end: str) -> None:
        """Count one."""
        self.ends[end] = self.ends.get(end, 0) + 1


class Recovery:
    """Looks after open entries in one place: on the server, or in the journal. Thread-safe."""

    def __init__(
        self,
        *,
        entries: OpenEntries,
        log: CommunicationLog,
        providers: Mapping[str, Provider],
        policies: Mapping[str, LocalPolicy],
        times: Times,
    ) -> None:
        """Use these ports; `policies` by ODS code."""
        self._entries = entries
        self._log = log
        self._providers = providers
        self._policies = policies
        self._times = times
        self.ages: tuple[float, ...] | None = None
        """Seconds for which each entry was open when they were looked at last, None before."""

    def run(self) -> Recovered:
        """Look at every open entry once. Raises RecordUnavailable or JournalUnavailable."""
        recovered = Recovered()
        entries = list(self._entries.in_progress())
        self.ages = tuple(entry.age_seconds or 0.0 for entry in entries)
        for entry in entries:
            end = self._recover(entry)
            recovered.count(end)
            if end != "being sent":
                audit.info("recovered", extra={"message_id": entry.message_id, "reason": end})
        return recovered

    def lease(self, entry: Entry) -> float:
        """Give the age in seconds after which an open entry is taken for abandoned."""
        provider = self._provider(entry)
        return self._times.lease(0.0 if provider is None else provider.settle_seconds)

    def _recover(self, entry: Entry) -> str:
        age = entry.age_seconds
        if age is None:
            return "of no known age"
        if age < self.lease(entry):
            return "being sent"
        provider = self._provider(entry)
        if provider is None:
            return self._unknown(entry, _NO_PROVIDER)
        if provider.kind is ProviderKind.REJECTS_REPEATS:
            self._log.ask_a_person(entry, "still-open", _STILL_OPEN)
            return "left for a retry"
        if provider.kind is ProviderKind.NEITHER or _is_forgotten(provider, age):
            return self._unknown(entry, UNKNOWN)
        try:
            receipt = look_up(provider, entry.message_id)
        except ProviderSilent:
            return "provider silent"
        return self._not_there(entry) if receipt is None else self._found(entry, receipt)

    def _provider(self, entry: Entry) -> Provider | None:
        policy = self._policies.get(entry.sender or "")
        platform = None if policy is None else policy.platforms.get(entry.platform or "")
        return None if platform is None else self._providers.get(platform.provider)

    def _claimed(self, entry: Entry) -> Entry | None:
        return self._log.claim(entry, None, str(uuid4()))

    def _unknown(self, entry: Entry, text: str) -> str:
        ours = self._claimed(entry)
        if ours is None:
            return "taken by another"
        # People are asked first, since nobody looks again at an entry that has its end.
        ask_for_review(self._log, entry)
        self._log.ask_a_person(entry, "unknown", text)
        if self._log.settle(ours, EntryStatus.UNKNOWN) is None:
            return "taken by another"
        return "unknown"

    def _found(self, entry: Entry, receipt: Receipt) -> str:
        accepted = receipt.outcome is Outcome.ACCEPTED
        ours = self._claimed(entry)
        if ours is None:
            return "taken by another"
        ask_for_review(self._log, entry)
        ask_for_evidence(self._log, entry)
        settled = self._log.settle(
            ours,
            EntryStatus.COMPLETED if accepted else EntryStatus.STOPPED,
            sent=(receipt.at or _instant(entry.opened_at)) if accepted else None,
            provider_id=receipt.provider_id,
        )
        if settled is None:
            return "taken by another"
        return "completed" if accepted else "stopped"

    def _not_there(self, entry: Entry) -> str:
        ours = self._claimed(entry)
        if ours is None or self._log.settle(ours, EntryStatus.NOT_DONE) is None:
            return "taken by another"
        if entry.emergency:
            self._log.close_task(
                task_key(entry.message_id, REVIEW),
                done=False,
                note=_NOT_SENT_AFTER_ALL,
                attempts=frozenset(filter(None, (entry.attempt, ours.attempt))),
            )
        return "not done"


def _is_forgotten(provider: Provider, age: float) -> bool:
    """Tell whether a provider may have forgotten by now what it had."""
    keeps = provider.retention_seconds
    return keeps is not None and age >= keeps


def _instant(text: str | None) -> datetime | None:
    try:
        return datetime.fromisoformat(text or "")
    except ValueError:
        return None
