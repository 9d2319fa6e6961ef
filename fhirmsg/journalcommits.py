"""Commits to the journal's file: what several threads have to write goes to the disk together.

The first to come commits for all who wait for it, so the disk is waited for once for all of them.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Generic, TypeVar

from fhirmsg.errors import JournalUnavailable
from fhirmsg.journalfile import PATIENCE_SECONDS, JournalFile, refused, unavailable

T = TypeVar("T")


class _Work(Generic[T]):
    """Something to be done within a transaction, and what came of it."""

    def __init__(self, do: Callable[[sqlite3.Connection], T]) -> None:
        self.do = do
        self.given: list[T] = []
        self.failure: Exception | None = None


class Commits:
    """Takes turns at the file's database; every failure of SQLite is JournalUnavailable."""

    def __init__(self, file: JournalFile) -> None:
        """Work on this file."""
        self._file = file
        self._turn = threading.Lock()
        self._waiting: list[_Work[Any]] = []
        self._waiting_lock = threading.Lock()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The database for one thread, outside a transaction."""
        if not self._turn.acquire(timeout=PATIENCE_SECONDS):
            raise _too_slow()
        try:
            self._file.check_it_is_there()
            yield self._file.database
        except sqlite3.Error as error:
            raise unavailable(error) from error
        finally:
            self._turn.release()

    def write(self, do: Callable[[sqlite3.Connection], T]) -> T:
        """Do something within a transaction; what it gives comes back once that is on the disk.

        It may be done twice, the first time undone, when others it went with failed.
        """
        work = _Work(do)
        with self._waiting_lock:
            self._waiting.append(work)
        if not self._turn.acquire(timeout=PATIENCE_SECONDS):
            with self._waiting_lock:
                withdrawn = work in self._waiting
                if withdrawn:
                    self._waiting.remove(work)
            if withdrawn:
                raise _too_slow()
            # Whoever took it is committing it: only the end of that tells what became of it.
            self._turn.acquire()
        try:
            if not work.given and work.failure is None:
                with self._waiting_lock:
                    together, self._waiting = self._waiting, []
                self._commit_for(together)
        finally:
            self._turn.release()
        if isinstance(work.failure, sqlite3.Error):
            raise unavailable(work.failure) from work.failure
        if work.failure is not None:
            raise work.failure
        return work.given[0]

    def _commit_for(self, works: Sequence[_Work[Any]]) -> None:
        """Commit together; when that fails, one by one, so that none fails for another."""
        try:
            failure = self._commit(works)
            if failure is None:
                return
            # Waiting for another program has taken long enough once.
            alone = len(works) > 1 and not _is_locked(failure)
            for work in works:
                work.failure = self._commit([work]) if alone else failure
        finally:
            for work in works:
                if not work.given and work.failure is None:
                    # This thread was interrupted; those who wait for it must not go on.
                    work.failure = unavailable(InterruptedError())

    def _commit(self, works: Sequence[_Work[Any]]) -> Exception | None:
        """Commit and give the results to their works, or tell why nothing was committed."""
        database = self._file.database
        try:
            self._file.check_it_is_there()
            database.execute("BEGIN IMMEDIATE")
            given = [work.do(database) for work in works]
            database.execute("COMMIT")
        except Exception as error:
            return error
        finally:
            with suppress(sqlite3.Error):
                if database.in_transaction:
                    database.execute("ROLLBACK")
        for work, result in zip(works, given, strict=True):
            work.given.append(result)
        return None


def _is_locked(error: Exception) -> bool:
    code = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _too_slow() -> JournalUnavailable:
    return refused("its disk takes too long. Look at the disk")
