"""The journal's file: made whole, opened for its owner alone, refused when it is not a journal."""

from __future__ import annotations

import os
import secrets
import sqlite3
import stat
from contextlib import suppress

from fhirmsg.errors import JournalUnavailable

PATIENCE_SECONDS = 5.0
SCHEMA_VERSION = 1
# "fhmj": tells a journal from any other SQLite file.
_APPLICATION_ID = 0x66686D6A
_COMPANIONS = ("-wal", "-shm", "-journal")
_SCHEMA = f"""
PRAGMA journal_mode = WAL;
BEGIN IMMEDIATE;
CREATE TABLE host (id TEXT NOT NULL, beats INTEGER NOT NULL DEFAULT 0, room BLOB);
CREATE TABLE item (
    number INTEGER PRIMARY KEY AUTOINCREMENT, owed TEXT NOT NULL, key TEXT NOT NULL,
    payload BLOB NOT NULL, state TEXT NOT NULL, attempt TEXT NOT NULL, revision INTEGER NOT NULL,
    kept_at TEXT NOT NULL, boot TEXT NOT NULL, changed REAL NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0, due_boot TEXT, postponed REAL, due REAL,
    UNIQUE (owed, key));
PRAGMA application_id = {_APPLICATION_ID};
PRAGMA user_version = {SCHEMA_VERSION};
COMMIT;
"""

# By SQLite's primary result code: what happened and what to do.
_FAULTS = {
    sqlite3.SQLITE_FULL: "the disk that it is on is full. Make room on it",
    sqlite3.SQLITE_IOERR: "its disk cannot be read or written. Look at the disk, and at its limits",
    sqlite3.SQLITE_READONLY: "it is not writable. Make the file and its folder writable",
    sqlite3.SQLITE_PERM: "it may not be opened. Give the service's user the file and its folder",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened. Look at the folder and whose it is",
    sqlite3.SQLITE_BUSY: "another program has kept it locked. End that, or try again",
    sqlite3.SQLITE_LOCKED: "another program has kept it locked. End that, or try again",
    sqlite3.SQLITE_CORRUPT: "it is damaged. Put it aside, for it holds what the record has not yet",
    sqlite3.SQLITE_NOTADB: "it is not a journal or is damaged. Put it aside, or name another file",
}
_OTHER_FAULT = "SQLite refused the work. Look at the file, its folder and its disk"


def unavailable(error: Exception) -> JournalUnavailable:
    """Give our failure for one of SQLite's or of the system's."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is not None:
        text = _FAULTS.get(code & 0xFF, _OTHER_FAULT)
    elif isinstance(error, OSError):
        reason = (error.strerror or "no such path").lower()
        text = f"it cannot be used ({reason}). Look at the file and its folder"
    else:
        text = _OTHER_FAULT
    return refused(text)


def refused(text: str) -> JournalUnavailable:
    """Give the failure: what is wrong with the file and what to do, and what it means."""
    return JournalUnavailable(
        f"The journal cannot keep anything: {text}; until then nothing that has to be kept on "
        "this host can go."
    )


class JournalFile:
    """One open journal: its `database`, for one thread at a time, and its `host_id`.

    The file is made when missing; nothing that is there already is ever replaced. In memory when
    `path` is None. Raises JournalUnavailable.
    """

    def __init__(self, path: str | None) -> None:
        """Open the file."""
        self._path = None if path is None else os.path.realpath(path)
        try:
            self._inode = None if self._path is None else _prepared(self._path)
            self.database = _connected(self._path or ":memory:")
        except (OSError, ValueError, sqlite3.Error) as error:
            raise unavailable(error) from error
        try:
            if self._path is None:
                self.database.executescript(_SCHEMA)
                _name_host(self.database)
            self.host_id = _checked(self.database)
        except BaseException as error:
            self.database.close()
            if isinstance(error, sqlite3.Error):
                raise unavailable(error) from error
            raise

    def check_it_is_there(self) -> None:
        """Raise JournalUnavailable when the file was taken away: what goes in would be lost."""
        if self._path is None:
            return
        try:
            found = os.stat(self._path)
        except OSError as error:
            raise unavailable(error) from error
        if (found.st_dev, found.st_ino) != self._inode:
            raise refused("its file was replaced by another. Put it back, or start anew")


def _prepared(path: str) -> tuple[int, int]:
    """Make the file if need be, and make it private; gives its identity."""
    if not os.path.exists(path):
        _make(path)
    handle = os.open(path, os.O_RDWR | getattr(os, "O_CLOEXEC", 0))
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise refused("it is not a file. Name a file")
        if not found.st_size:
            raise refused(
                "its file is empty, so what was in it may be lost. Find out what emptied it; "
                "remove it when nothing was in it"
            )
        for each in (path, *(path + suffix for suffix in _COMPANIONS)):
            with suppress(FileNotFoundError):
                if stat.S_IMODE(os.stat(each).st_mode) & 0o077:
                    os.chmod(each, 0o600)
    finally:
        os.close(handle)
    return found.st_dev, found.st_ino


def _make(path: str) -> None:
    """Make a whole journal under another name and put it in its place, unless one came first."""
    left_over = any(os.path.lexists(path + suffix) for suffix in _COMPANIONS)
    # Asked once more: a process that starts beside this one may have made all of them.
    if left_over and not os.path.exists(path):
        raise refused(
            "its file is missing, and a companion of it (-wal) is there that may hold items. "
            "Put the file back, or put its companions aside"
        )
    draft = f"{path}.{secrets.token_hex(8)}.new"
    try:
        os.close(os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        database = _connected(draft)
        try:
            database.executescript(_SCHEMA)
            _name_host(database)
        finally:
            # The last to close it leaves one whole file, without companions.
            database.close()
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        for each in (draft, *(draft + suffix for suffix in _COMPANIONS)):
            with suppress(OSError):
                os.unlink(each)
    folder = os.open(os.path.dirname(path), os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _name_host(database: sqlite3.Connection) -> None:
    database.execute("INSERT INTO host (id) VALUES (?)", (secrets.token_hex(4),))


def _connected(path: str) -> sqlite3.Connection:
    database = sqlite3.connect(
        path, check_same_thread=False, isolation_level=None, timeout=PATIENCE_SECONDS
    )
    try:
        database.row_factory = sqlite3.Row
        # FULL syncs at each commit: what was kept outlives a power cut.
        database.execute("PRAGMA synchronous = FULL")
        database.execute("PRAGMA fullfsync = ON")
        database.execute("PRAGMA checkpoint_fullfsync = ON")
    except BaseException:
        database.close()
        raise
    return database


def _checked(database: sqlite3.Connection) -> str:
    """Give the host's id of a journal that this version can use."""
    [(application,)] = database.execute("PRAGMA application_id")
    [(version,)] = database.execute("PRAGMA user_version")
    [(mode,)] = database.execute("PRAGMA journal_mode")
    if mode not in ("wal", "memory"):
        raise refused("its disk cannot be shared between processes. Name a file on a local disk")
    if application != _APPLICATION_ID:
        raise refused("its file is another program's. Name another file")
    if version > SCHEMA_VERSION:
        raise refused(
            f"it was written by a newer version of fhirmsg (format {version}, this one knows "
            f"{SCHEMA_VERSION}). Run that version, or let it empty the journal first"
        )
    [(sound,)] = database.execute("PRAGMA quick_check(1)")
    rows = database.execute("SELECT id FROM host").fetchall()
    if version != SCHEMA_VERSION or sound != "ok" or len(rows) != 1:
        raise refused("it is damaged. Put it aside, for it holds what the record has not yet")
    return str(rows[0][0])
