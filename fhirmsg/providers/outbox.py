"""The outbox: keeps messages and shows them, for the demo and for tests; nothing leaves the host.

It takes a repeated reference like any other message, so that a double can be seen.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime

from fhirmsg.clock import Deadline, now
from fhirmsg.errors import ProviderSilent, SettingsError
from fhirmsg.guidance.terms import Channel
from fhirmsg.ports import (
    Delivery,
    KnownMessage,
    OutboundMessage,
    Outcome,
    ProviderKind,
    Receipt,
)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS message (
    id INTEGER PRIMARY KEY AUTOINCREMENT, reference TEXT NOT NULL, channel TEXT NOT NULL,
    recipient TEXT NOT NULL, subject TEXT, body TEXT NOT NULL, platform TEXT NOT NULL,
    kept_at TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS message_by_reference ON message (reference);
"""
_INSERT = (
    "INSERT INTO message (reference, channel, recipient, subject, body, platform, kept_at)"
    " VALUES (?, ?, ?, ?, ?, ?, ?)"
)
# Time for a question; a hand-off has its own deadline.
_PATIENCE_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptMessage:
    """One message as the outbox took it; `id` rises and never comes again, not even after clear."""

    id: int
    reference: str
    channel: Channel
    to: str = field(repr=False)
    subject: str | None = field(repr=False)
    body: str = field(repr=False)
    platform: str
    kept_at: datetime


class Outbox:
    """A provider that keeps every message in a SQLite file, or in memory when `path` is None.

    Several processes may share the file, each with an Outbox of its own (none carried over a
    fork). What was answered as accepted has been committed and survives a killed process.
    Raises SettingsError when the file cannot be opened or is something else.
    """

    name: str = "outbox"
    kind: ProviderKind = ProviderKind.SEARCHABLE
    settle_seconds: float = 0.0
    retention_seconds: float | None = None

    def __init__(self, path: str | None) -> None:
        """Open the file; it is made when missing, for its owner alone to read."""
        try:
            self._database = _opened(path)
        except (OSError, ValueError, sqlite3.Error) as error:
            raise SettingsError(
                [
                    f"The outbox file {path!r} cannot be used ({type(error).__name__}), so no"
                    " message could be kept. Name a SQLite file in a folder that is writable."
                ]
            ) from error
        self._lock = threading.Lock()
        self.close = weakref.finalize(self, self._database.close)
        """Close the file; called by itself when nobody holds the outbox any more."""

    def send(self, message: OutboundMessage, *, start_by: Deadline, deadline: Deadline) -> Receipt:
        """Keep one message; the provider id is `outbox-` and the number it was kept under."""
        kept_at = now()
        row = (
            message.reference,
            message.channel.value,
            message.to,
            message.subject,
            message.body,
            message.platform,
            kept_at.isoformat(),
        )
        committing = False
        try:
            with self._turn(deadline.left) as database:
                database.execute("BEGIN IMMEDIATE")
                if start_by.passed or deadline.passed:
                    return Receipt(outcome=Outcome.RETRYABLE, reason="started-too-late")
                number = database.execute(_INSERT, row).lastrowid
                committing = True
                database.execute("COMMIT")
        except UnicodeEncodeError:
            return Receipt(outcome=Outcome.REFUSED, reason="not-unicode")
        except (sqlite3.Error, TimeoutError):
            # Before the commit nothing is kept; a commit that failed may have been written.
            outcome = Outcome.MAY_HAVE_LEFT if committing else Outcome.RETRYABLE
            return Receipt(outcome=outcome, reason="outbox-unavailable")
        return Receipt(outcome=Outcome.ACCEPTED, provider_id=f"outbox-{number}", at=kept_at)

    def find(self, reference: str) -> Receipt | None:
        """Tell whether a message with this reference was kept, None when surely not.

        Raises ProviderSilent when the file could not be asked: that is not a no.
        """
        try:
            with self._turn(_PATIENCE_SECONDS) as database:
                found = database.execute(
                    "SELECT id, kept_at FROM message WHERE reference = ? ORDER BY id LIMIT 1",
                    (reference,),
                ).fetchone()
        except (sqlite3.Error, TimeoutError) as error:
            raise ProviderSilent(
                f"The outbox could not be read ({type(error).__name__}), so nobody knows whether"
                " the message was kept. Ask again later."
            ) from error
        if found is None:
            return None
        return Receipt(
            outcome=Outcome.ACCEPTED,
            provider_id=f"outbox-{found[0]}",
            at=datetime.fromisoformat(found[1]),
        )

    def known_since(self, since: datetime) -> Iterator[KnownMessage]:
        """Give what was kept at or after an instant. Raises ProviderSilent when it is not told."""
        try:
            kept = self.messages()
        except (sqlite3.Error, TimeoutError) as error:
            raise ProviderSilent(
                f"The outbox could not be read ({type(error).__name__}). Ask again later."
            ) from error
        for message in kept:
            if message.kept_at >= since:
                yield KnownMessage(
                    reference=message.reference,
                    provider_id=f"outbox-{message.id}",
                    delivery=Delivery.ACCEPTED,
                    at=message.kept_at,
                )

    def messages(self) -> list[KeptMessage]:
        """Give everything kept, oldest first; raises sqlite3.Error or TimeoutError."""
        with self._turn(_PATIENCE_SECONDS) as database:
            rows = database.execute(
                "SELECT id, reference, channel, recipient, subject, body, platform, kept_at"
                " FROM message ORDER BY id"
            ).fetchall()
        return [
            KeptMessage(
                id=row[0],
                reference=row[1],
                channel=Channel(row[2]),
                to=row[3],
                subject=row[4],
                body=row[5],
                platform=row[6],
                kept_at=datetime.fromisoformat(row[7]),
            )
            for row in rows
        ]

    def clear(self) -> None:
        """Forget every message; raises sqlite3.Error or TimeoutError."""
        with self._turn(_PATIENCE_SECONDS) as database:
            database.execute("DELETE FROM message")

    @contextmanager
    def _turn(self, seconds: float) -> Iterator[sqlite3.Connection]:
        """The database for one thread, with what is left of `seconds` to wait for a process."""
        waiting = Deadline(seconds)
        if not self._lock.acquire(timeout=waiting.left):
            raise TimeoutError
        try:
            self._database.execute(f"PRAGMA busy_timeout = {int(waiting.left * 1000)}")
            yield self._database
        finally:
            # A transaction still open here ended early, or its commit failed.
            with suppress(sqlite3.Error):
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
            self._lock.release()


def _opened(path: str | None) -> sqlite3.Connection:
    if path is not None:
        path = os.path.abspath(path)
        # SQLite gives its two companion files the permissions of the first.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    database = sqlite3.connect(
        ":memory:" if path is None else path,
        check_same_thread=False,
        isolation_level=None,
        timeout=_PATIENCE_SECONDS,
    )
    try:
        _set_up(database)
    except BaseException:
        database.close()
        raise
    return database


def _set_up(database: sqlite3.Connection) -> None:
    deadline = Deadline(_PATIENCE_SECONDS)
    while True:
        try:
            database.execute("PRAGMA journal_mode = WAL")
            # In WAL mode NORMAL survives a killed process; only a power cut could cost a commit.
            database.execute("PRAGMA synchronous = NORMAL")
            database.executescript(_SCHEMA)
            return
        except sqlite3.OperationalError as error:
            # Processes that open a new file together meet here, and SQLite does not wait then.
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or deadline.passed:
                raise
            time.sleep(0.01)
