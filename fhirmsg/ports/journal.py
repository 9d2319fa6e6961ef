"""The journal: what must not be lost while the FHIR server is away, kept on this host.

It is shared by all processes of the host. An item leaves it only when the record has what it
says.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol


class Owed(StrEnum):
    """What an item of the journal owes to the record."""

    EMERGENCY = "emergency"
    """A message that goes without the FHIR server; kept before its hand-off."""
    WRITE = "write"
    """A write that failed: what became of a hand-off, an AuditEvent, a Task."""
    RECEIPT = "receipt"
    """A provider's receipt."""
    REPLY = "reply"
    """What a person answered, a STOP among it."""
    FALLBACK = "fallback"
    """The next channel to be tried after a failure."""
    MARK = "mark"
    """That an emergency message was handed off from this host. It owes nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalItem:
    """One item as it stood when it was read.

    number rises and never comes again. key is unique among the items of one `owed`. payload is
    JSON; on disk it is encrypted. state and attempt belong to whoever keeps the item. revision
    rises with each `change`. age_seconds is on this host's boot clock since the last change, None
    when the host was started anew since then. tries counts `postpone`, which leaves both alone.
    """

    number: int
    owed: Owed
    key: str
    payload: Mapping[str, Any] = field(repr=False)
    state: str
    attempt: str
    revision: int
    kept_at: datetime
    age_seconds: float | None
    tries: int


class Journal(Protocol):
    """Keeps items. Safe for several threads and processes of one host.

    Every method raises JournalUnavailable when the file cannot be read or written. `host_id`
    names the file, and with it the host: 8 hex characters.
    """

    host_id: str

    def keep(
        self,
        owed: Owed,
        key: str,
        payload: Mapping[str, Any],
        *,
        state: str = "",
        attempt: str = "",
    ) -> JournalItem | None:
        """Keep a new item, synced to disk before this returns; None when the key is there."""
        ...

    def keep_all(self, items: Collection[tuple[Owed, str, Mapping[str, Any]]]) -> int:
        """Keep several new items in one synced transaction, all of them or none.

        Keys that are there already are left as they are; gives the number of new ones.
        """
        ...

    def find(self, owed: Owed, key: str) -> JournalItem | None:
        """Give the item of this key, None when there is surely none.

        Raises JournalUnavailable when it is there and cannot be opened (`due` leaves it out).
        """
        ...

    def change(
        self,
        item: JournalItem,
        *,
        payload: Mapping[str, Any] | None = None,
        state: str | None = None,
        attempt: str | None = None,
    ) -> JournalItem | None:
        """Change an item, synced; None when it was changed or done since it was read."""
        ...

    def due(self, owed: Collection[Owed] | None = None, *, limit: int = 100) -> list[JournalItem]:
        """Give items that are not postponed, oldest first."""
        ...

    def postpone(self, item: JournalItem, seconds: float) -> None:
        """Leave an item alone for so long; nothing if it changed since it was read.

        A restart of the host makes it due.
        """
        ...

    def hurry(self) -> None:
        """Make every postponed item due now: the server that was away is back."""
        ...

    def done(self, items: Collection[JournalItem]) -> int:
        """Take items out, each only if unchanged since it was read; gives how many went."""
        ...

    def lengths(self) -> dict[Owed, int]:
        """Give the number of items of each kind; kinds without any are left out, and marks."""
        ...

    def oldest_seconds(self) -> float | None:
        """Give the age of the oldest item by the wall clock, marks left out; None without any."""
        ...

    def wait(self, seconds: float) -> bool:
        """Wait until this process keeps or hurries something, at most so long.

        Tells whether it did since this thread waited last; then it returns at once.
        """
        ...

    def why_unusable(self) -> str | None:
        """Tell in one sentence why nothing could be kept now, None when it could."""
        ...
