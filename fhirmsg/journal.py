"""The journal in SQLite: one file for one host, shared by its processes, synced at each change."""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
import weakref
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from fhirmsg import clock
from fhirmsg.errors import JournalUnavailable
from fhirmsg.journalcommits import Commits
from fhirmsg.journalfile import JournalFile
from fhirmsg.ports.journal import JournalItem, Owed
from fhirmsg.sealing import Seal, Unsealable

log = logging.getLogger("fhirmsg.journal")

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_INSERT = (
    "INSERT INTO item (owed, key, payload, state, attempt, revision, kept_at, boot, changed)"
    " VALUES (?, ?, ?, ?, ?, 1, ?, ?, ?) ON CONFLICT (owed, key) DO NOTHING"
)
_CHANGE = (
    "UPDATE item SET payload = ?, state = ?, attempt = ?, revision = ?, boot = ?, changed = ?"
    " WHERE number = ? AND revision = ?"
)
_POSTPONE = (
    "UPDATE item SET tries = tries + 1, due_boot = ?, postponed = ?, due = ?"
    " WHERE number = ? AND revision = ?"
)
_BEAT = "UPDATE host SET beats = beats + 1, room = zeroblob(?)"
_ROOM = 16_384

# A host that was started anew has nothing postponed: its clock began again.
_DUE = (
    "SELECT * FROM item WHERE (:kinds IS NULL OR owed IN (SELECT value FROM json_each(:kinds))) AND"
    " (due IS NULL OR due_boot <> :boot OR due <= :now OR postponed > :now) ORDER BY number"
)


@cache
def boot_id() -> str:
    """Name this run of the host's kernel; the same empty name for each where none is told."""
    try:
        return _BOOT_ID.read_text("ascii").strip()
    except OSError:
        return ""


class SqliteJournal:
    """Keeps items in a SQLite file, or in memory when `path` is None; see `ports.Journal`.

    Payloads are sealed with the first of `keys` (32 bytes or more each) and opened with any, so
    a key is changed by putting the new one first. All processes of the host use one file, each
    with a journal of its own (none carried over a fork); `host_id`, 8 hex characters, belongs to
    the file. Raises JournalUnavailable when the file cannot be used, ValueError for a short key.
    """

    def __init__(
        self,
        path: str | None,
        keys: Sequence[bytes],
        *,
        wall_clock: Callable[[], datetime] = clock.now,
        boot_clock: Callable[[], float] = clock.elapsed_clock,
        boot: Callable[[], str] = boot_id,
    ) -> None:
        """Open the file; it is made when missing, for its owner alone."""
        file = JournalFile(path)
        self.host_id = file.host_id
        self._commits = Commits(file)
        self._seal = Seal(keys, purpose=b"fhirmsg journal", salt=self.host_id.encode())
        self._wall_clock, self._boot_clock, self._boot = wall_clock, boot_clock, boot
        self._news = threading.Condition()
        self._kept = 0
        self._seen = threading.local()
        self._told: set[int] = set()
        self.close = weakref.finalize(self, file.database.close)
        """Close the file; called by itself when nobody holds the journal any more."""

    def keep(
        self,
        owed: Owed,
        key: str,
        payload: Mapping[str, Any],
        *,
        state: str = "",
        attempt: str = "",
    ) -> JournalItem | None:
        """Keep a new item, synced; None when the key is there."""
        item, row = self._new(owed, key, payload, state, attempt)

        def insert(database: sqlite3.Connection) -> int | None:
            done = database.execute(_INSERT, row)
            return done.lastrowid if done.rowcount else None

        number = self._commits.write(insert)
        if number is None:
            return None
        self._tell_news()
        return replace(item, number=number)

    def keep_all(self, items: Collection[tuple[Owed, str, Mapping[str, Any]]]) -> int:
        """Keep several new items, all or none; gives the number of those that were new."""
        rows = [self._new(*each, state="", attempt="")[1] for each in items]
        if not rows:
            return 0

        def insert(database: sqlite3.Connection) -> int:
            return sum(database.execute(_INSERT, row).rowcount for row in rows)

        if count := self._commits.write(insert):
            self._tell_news()
        return count

    def find(self, owed: Owed, key: str) -> JournalItem | None:
        """Give the item of this key; one that cannot be opened is a failure, never a None."""
        with self._commits.reading() as database:
            row = database.execute(
                "SELECT * FROM item WHERE owed = ? AND key = ?", (owed.value, key)
            ).fetchone()
        if row is None:
            return None
        if (item := self._opened(row)) is None:
            raise JournalUnavailable(
                f"Item {row['number']} of the journal cannot be opened, so what it says about this "
                "is not known. Start fhirmsg with the key that was used when it was kept."
            )
        return item

    def change(
        self,
        item: JournalItem,
        *,
        payload: Mapping[str, Any] | None = None,
        state: str | None = None,
        attempt: str | None = None,
    ) -> JournalItem | None:
        """Change an item, synced; None when it was changed or done since it was read."""
        changed = replace(
            item,
            payload=item.payload if payload is None else payload,
            state=item.state if state is None else state,
            attempt=item.attempt if attempt is None else attempt,
            revision=item.revision + 1,
            age_seconds=0.0,
        )
        row = (
            self._seal.close(changed.payload, _place(changed)),
            changed.state,
            changed.attempt,
            changed.revision,
            self._boot(),
            self._boot_clock(),
            item.number,
            item.revision,
        )
        return (
            changed if self._commits.write(lambda db: db.execute(_CHANGE, row).rowcount) else None
        )

    def due(self, owed: Collection[Owed] | None = None, *, limit: int = 100) -> list[JournalItem]:
        """Give items that are not postponed, oldest first, without those that cannot be opened."""
        wanted = {
            "kinds": None if owed is None else json.dumps([each.value for each in owed]),
            "boot": self._boot(),
            "now": self._boot_clock(),
        }
        found: list[JournalItem] = []
        with self._commits.reading() as database:
            rows = database.execute(_DUE, wanted)
            # Row by row, so that no number of unreadable items hides one that can be read.
            while len(found) < limit and (row := rows.fetchone()) is not None:
                if (item := self._opened(row)) is not None:
                    found.append(item)
            rows.close()
        return found

    def postpone(self, item: JournalItem, seconds: float) -> None:
        """Leave an item alone for so long; its revision and age stay as they are."""
        now = self._boot_clock()
        row = (self._boot(), now, now + seconds, item.number, item.revision)
        self._commits.write(lambda database: database.execute(_POSTPONE, row))

    def hurry(self) -> None:
        """Make every postponed item due now, and wake who waits."""
        query = "UPDATE item SET due = NULL WHERE due IS NOT NULL"
        if self._commits.write(lambda database: database.execute(query).rowcount):
            self._tell_news()

    def done(self, items: Collection[JournalItem]) -> int:
        """Take items out, each only if unchanged since it was read; gives how many went."""
        rows = [(each.number, each.revision) for each in items]
        if not rows:
            return 0
        query = "DELETE FROM item WHERE number = ? AND revision = ?"
        return self._commits.write(lambda db: sum(db.execute(query, row).rowcount for row in rows))

    def lengths(self) -> dict[Owed, int]:
        """Give the number of items of each kind, with those that cannot be opened."""
        with self._commits.reading() as database:
            counts = dict(database.execute("SELECT owed, count(*) FROM item GROUP BY owed"))
        owing = (each for each in Owed if each is not Owed.MARK)
        return {each: counts[each.value] for each in owing if each.value in counts}

    def oldest_seconds(self) -> float | None:
        """Give the age of the oldest item by the wall clock, None when there is none."""
        with self._commits.reading() as database:
            [(oldest,)] = database.execute(
                "SELECT min(kept_at) FROM item WHERE owed <> ?", (Owed.MARK.value,)
            ).fetchall()
        if oldest is None:
            return None
        return max(0.0, (self._wall_clock() - datetime.fromisoformat(oldest)).total_seconds())

    def wait(self, seconds: float) -> bool:
        """Wait until this process keeps or hurries something that this thread was not told of."""
        with self._news:
            told = self._news.wait_for(
                lambda: self._kept != getattr(self._seen, "kept", 0), timeout=seconds
            )
            self._seen.kept = self._kept
        return told

    def why_unusable(self) -> str | None:
        """Tell why nothing could be kept now, by keeping what takes the room of a long message."""
        try:
            self._commits.write(lambda database: database.execute(_BEAT, (_ROOM,)).rowcount)
        except JournalUnavailable as error:
            return str(error)
        return None

    def _new(
        self, owed: Owed, key: str, payload: Mapping[str, Any], state: str, attempt: str
    ) -> tuple[JournalItem, tuple[object, ...]]:
        """Give a new item, still without its number, and its row."""
        item = JournalItem(
            number=0,
            owed=owed,
            key=key,
            payload=payload,
            state=state,
            attempt=attempt,
            revision=1,
            kept_at=self._wall_clock(),
            age_seconds=0.0,
            tries=0,
        )
        sealed = self._seal.close(payload, _place(item))
        kept_at = _written(item.kept_at)
        row = (owed.value, key, sealed, state, attempt, kept_at, self._boot(), self._boot_clock())
        return item, row

    def _opened(self, row: sqlite3.Row) -> JournalItem | None:
        """Give the item of a row; None, and an error in the log, when it cannot be opened."""
        try:
            item = JournalItem(
                number=row["number"],
                owed=Owed(row["owed"]),
                key=row["key"],
                payload={},
                state=row["state"],
                attempt=row["attempt"],
                revision=row["revision"],
                kept_at=datetime.fromisoformat(row["kept_at"]),
                age_seconds=self._age(row["boot"], row["changed"]),
                tries=row["tries"],
            )
            return replace(item, payload=self._seal.open(row["payload"], _place(item)))
        except (Unsealable, ValueError, TypeError):
            self._tell_unreadable(row["number"])
            return None

    def _age(self, boot: str, changed: float) -> float | None:
        """Give the time since a change; without a name of the boot never more than it was."""
        age = self._boot_clock() - changed
        if boot != self._boot() or (age < 0 and not boot):
            return None
        return max(0.0, age)

    def _tell_unreadable(self, number: int) -> None:
        if number not in self._told:
            self._told.add(number)
            log.error(
                "an item of the journal cannot be opened, and stays; was the key changed?",
                extra={"number": number},
            )

    def _tell_news(self) -> None:
        with self._news:
            self._kept += 1
            self._news.notify_all()


def _place(item: JournalItem) -> tuple[str, ...]:
    """What a payload is bound to: all of its item that must not be changed beside it."""
    return (
        item.owed.value,
        item.key,
        item.state,
        item.attempt,
        str(item.revision),
        _written(item.kept_at),
    )


def _written(at: datetime) -> str:
    """Give an instant such that texts sort as instants do."""
    return at.isoformat(timespec="microseconds")
