"""Marks: which emergency messages this host has handed off, or is handing off.

The record tells that while the FHIR server answers. When it goes away in between, the journal's
mark is what keeps the same call from sending once more. A mark owes nothing to the record.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Any

from fhirmsg.errors import JournalUnavailable
from fhirmsg.ports import Entry, EntryStatus, Journal, JournalItem, Owed

log = logging.getLogger("fhirmsg.record")

# As long as a caller may still come again with the key of an emergency, and longer.
_KEPT_FOR = timedelta(days=7)
_TOLD = ("message_digest", "verdict", "receipt_digest", "subject", "sender", "platform", "channel")


class Marks:
    """Keeps marks in a journal; without one there are none. Thread-safe."""

    def __init__(self, journal: Journal | None) -> None:
        """Keep them in this journal, which all processes of the host share."""
        self._journal = journal

    def begin(self, entry: Entry, lease: float) -> bool:
        """Mark that this attempt is about to hand off; False when another one may have.

        lease: seconds after which a mark without an end is taken for abandoned. Where marks
        cannot be kept, an entry on the server has to do: safety takes priority.
        """
        if self._journal is None:
            return True
        try:
            return self._begin(self._journal, entry, lease)
        except JournalUnavailable:
            log.error("mark not kept", extra={"message_id": entry.message_id})
            return entry.on_server

    def _begin(self, journal: Journal, entry: Entry, lease: float) -> bool:
        attempt = entry.attempt or ""
        told = {name: getattr(entry, name) for name in _TOLD}
        payload = {"reference": entry.reference, **told, "sent": None, "provider_id": None}
        state = str(EntryStatus.IN_PROGRESS)
        if journal.keep(Owed.MARK, entry.message_id, payload, state=state, attempt=attempt):
            return True
        item = journal.find(Owed.MARK, entry.message_id)
        if item is None:
            return False
        if item.attempt == attempt and item.state == EntryStatus.IN_PROGRESS:
            return True
        if item.state == EntryStatus.IN_PROGRESS and _age(item) < lease:
            return False
        if item.state not in (EntryStatus.IN_PROGRESS, EntryStatus.NOT_DONE):
            return False
        return journal.change(item, payload=payload, state=state, attempt=attempt) is not None

    def end(
        self,
        entry: Entry,
        status: EntryStatus,
        *,
        sent: datetime | None = None,
        provider_id: str | None = None,
    ) -> None:
        """Mark how it ended; that nothing left is said of the attempt's own hand-off only."""
        if self._journal is None:
            return
        try:
            item = self._journal.find(Owed.MARK, entry.message_id)
            if item is None or item.state != EntryStatus.IN_PROGRESS:
                return
            if status is EntryStatus.NOT_DONE and item.attempt != (entry.attempt or ""):
                return
            told = {
                "sent": None if sent is None else sent.isoformat(),
                "provider_id": provider_id,
            }
            self._journal.change(item, payload={**item.payload, **told}, state=str(status))
        except JournalUnavailable:
            log.error("mark not ended", extra={"message_id": entry.message_id})

    def find(self, message_id: str) -> Entry | None:
        """Give what the mark says, as an entry without content; its age by the boot clock."""
        item = None if self._journal is None else self._journal.find(Owed.MARK, message_id)
        if item is None:
            return None
        told: dict[str, Any] = {name: item.payload.get(name) for name in _TOLD}
        return Entry(
            reference=item.payload["reference"],
            version_id="",
            status=EntryStatus(item.state),
            message_id=message_id,
            attempt=item.attempt,
            sent=item.payload.get("sent"),
            provider_id=item.payload.get("provider_id"),
            age_seconds=_age(item),
            emergency=True,
            resource={"subject": {"reference": told["subject"]}},
            **told,
        )

    def forget(self, now: datetime) -> int:
        """Take out marks of long ago; gives how many went. Raises JournalUnavailable."""
        if self._journal is None:
            return 0
        items = self._journal.due([Owed.MARK], limit=1000)
        return self._journal.done([each for each in items if now - each.kept_at > _KEPT_FOR])


def _age(item: JournalItem) -> float:
    # A host that was started anew since then has nobody left who is at work on it.
    return float("inf") if item.age_seconds is None else item.age_seconds
