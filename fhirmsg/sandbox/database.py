"""The tables of the store in SQLite."""

from __future__ import annotations

import sqlite3
from os import PathLike

_SCHEMA = """
CREATE TABLE IF NOT EXISTS resource (
    pk INTEGER PRIMARY KEY AUTOINCREMENT, type TEXT NOT NULL, id TEXT NOT NULL,
    number INTEGER NOT NULL, updated INTEGER NOT NULL, live INTEGER NOT NULL,
    UNIQUE (type, id));
CREATE INDEX IF NOT EXISTS resource_by_update ON resource (type, updated);
CREATE TABLE IF NOT EXISTS version (
    resource INTEGER NOT NULL, number INTEGER NOT NULL, updated INTEGER NOT NULL,
    method TEXT NOT NULL, body TEXT, UNIQUE (resource, number));
CREATE TABLE IF NOT EXISTS entry (
    resource INTEGER NOT NULL, type TEXT NOT NULL, name TEXT NOT NULL,
    value TEXT, system TEXT, low INTEGER, high INTEGER);
CREATE INDEX IF NOT EXISTS entry_by_value ON entry (type, name, value, system);
CREATE INDEX IF NOT EXISTS entry_by_resource ON entry (resource, name);
CREATE TABLE IF NOT EXISTS link (
    resource INTEGER NOT NULL, path TEXT NOT NULL, type TEXT NOT NULL, id TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS link_by_target ON link (type, id);
CREATE INDEX IF NOT EXISTS link_by_resource ON link (resource);
"""


def open_database(file: str | PathLike[str] | None) -> sqlite3.Connection:
    """A connection to the file, made when missing, or to a database in memory.

    It may be used by several threads, one at a time, and starts no transaction by itself.
    """
    database = sqlite3.connect(file or ":memory:", check_same_thread=False, isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    # In WAL mode NORMAL survives a killed process; only a power cut could cost a commit.
    database.execute("PRAGMA synchronous = NORMAL")
    database.executescript(_SCHEMA)
    return database
