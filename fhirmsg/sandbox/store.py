"""The store: every version of every resource in SQLite, in memory or in one file.

A resource is written as JSON once, when it changes, and handed out as that text. Every change
runs in `Store.changes`: all of it is kept or none, and references are checked at its end, so
that resources of one transaction may refer to each other in any order.

Source: https://hl7.org/fhir/R4/http.html; where that leaves a choice, HAPI's.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from os import PathLike
from typing import Any

from .database import open_database
from .dates import milliseconds
from .errors import BadRequest, ConditionNotMet, Conflict, NotFound, PreconditionFailed
from .indexing import entries_of
from .query import Query, query_of
from .r4 import ID, Resource, natural
from .references import links_of
from .versions import Version, Written, body_of, content_in, content_of, with_labels_of

_VERSIONS = (
    "SELECT r.type, r.id, v.number, v.updated, v.method, v.body, r.pk"
    " FROM resource r JOIN version v ON v.resource = r.pk"
)


def _now() -> datetime:
    return datetime.now(UTC)


class Store:
    """FHIR resources with their versions and their index; safe to share between threads.

    `file` is the path of a SQLite file, made when missing; without it the store lives in
    memory. A change is in the file when the method returns: a killed process loses none.
    """

    def __init__(
        self, file: str | PathLike[str] | None = None, *, clock: Callable[[], datetime] = _now
    ) -> None:
        self._clock = clock
        self._lock = threading.RLock()
        self._changing = False
        self._moment = 0
        self._written: set[int] = set()
        self._deleted: set[tuple[str, str]] = set()
        self._db = open_database(file)
        # Closed with the store, for who forgets to.
        self._closing = weakref.finalize(self, self._db.close)

    def now(self) -> int:
        """The moment by the store's clock, in milliseconds since 1970."""
        return milliseconds(self._clock())

    def close(self) -> None:
        """Close the file; the store is not usable afterwards."""
        with self._lock:
            self._closing()

    # Reading

    def read(self, resource_type: str, id_: str) -> Version:
        """The current version, which may be the one that deleted it. Raises NotFound."""
        if not (version := self._current(resource_type, id_)):
            raise NotFound(f"{resource_type}/{id_} is not known.")
        return version

    def vread(self, resource_type: str, id_: str, number: str) -> Version:
        """One version, which may be the one that deleted it. Raises NotFound."""
        where = "r.type = ? AND r.id = ? AND v.number = ?"
        wanted = [resource_type, id_, natural(number)]
        if not (found := self._versions(where, wanted)):
            raise NotFound(f"{resource_type}/{id_} has no such version.")
        return found[0]

    def history(self, resource_type: str, id_: str) -> list[Version]:
        """All versions, newest first, with those that deleted. Raises NotFound."""
        where = "r.type = ? AND r.id = ? ORDER BY v.number DESC"
        if not (found := self._versions(where, [resource_type, id_])):
            raise NotFound(f"{resource_type}/{id_} is not known.")
        return found

    def search(self, query: Query) -> list[int]:
        """The keys of all matches in order, to be given to `fetch`."""
        return [row[0] for row in self._rows(*query.sql())]

    def fetch(self, keys: Sequence[int]) -> list[Version]:
        """The current versions behind the keys of a search, in order, less the deleted."""
        marks = ", ".join("?" * len(keys))
        rows = self._rows(
            f"{_VERSIONS} WHERE r.live AND v.number = r.number AND r.pk IN ({marks})", keys
        )
        found = {row[6]: Version(*row[:6]) for row in rows}
        return [found[key] for key in keys if key in found]

    def match(self, resource_type: str, condition: str) -> Version | None:
        """The one resource that the criteria of a conditional create find, or None.

        `condition` is a query string, with `Type?` before it or without. Raises PreconditionFailed
        when the criteria find more than one, BadRequest when they are none.
        """
        keys = self._keys(resource_type, condition)
        if len(keys) > 1:
            raise PreconditionFailed(f"The condition finds {len(keys)} {resource_type} resources.")
        return next(iter(self.fetch(keys)), None)

    # Writing

    @contextmanager
    def changes(self) -> Iterator[None]:
        """Everything written inside is kept together, or nothing; may be nested.

        At the end of the outermost one references are checked. Raises BadRequest when one leads
        nowhere, Conflict when something deleted is still referred to.
        """
        with self._lock:
            if self._changing:
                yield
                return
            self._db.execute("BEGIN IMMEDIATE")
            self._changing, self._moment = True, self.now()
            try:
                yield
                self._check_references()
                self._db.execute("COMMIT")
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            finally:
                self._changing = False
                self._written.clear()
                self._deleted.clear()

    def reserve(self, resource_type: str) -> str:
        """An id for a resource that `create` will write before the enclosing change ends."""
        with self.changes():
            key = self._insert(resource_type, "")
            self._db.execute("UPDATE resource SET id = ? WHERE pk = ?", [str(key), key])
            return str(key)

    def create(
        self,
        resource_type: str,
        resource: Resource,
        *,
        condition: str = "",
        reserved: str | None = None,
    ) -> Written:
        """Write a new resource under an id of ours, unless the condition finds one already.

        With `reserved` the condition was asked before. Raises BadRequest for a resource that is
        not taken, PreconditionFailed, and ConditionNotMet when the condition does not find the new
        resource, since a second try would then create it once more.
        """
        with self.changes():
            if condition and not reserved and (found := self.match(resource_type, condition)):
                return Written(found, created=False)
            id_ = reserved or self.reserve(resource_type)
            version = self._write(content_of(resource, resource_type, id_), "POST")
            if condition and self._keys(resource_type, condition) != [int(id_)]:
                raise ConditionNotMet(
                    f"The condition does not find the {resource_type} it stands for, or not it"
                    " alone. Nothing was created."
                )
            return Written(version, created=True)

    def update(
        self, resource_type: str, id_: str, resource: Resource, *, if_match: int | None = None
    ) -> Written:
        """Write a new version, or a new resource under this id.

        An unchanged body makes no version; labels and tags are kept, and added to. Raises
        BadRequest, or Conflict when `if_match` is not the current version. As on HAPI
        `if_match` does not keep an absent resource from being created.
        """
        with self.changes():
            content = content_of(resource, resource_type, id_)
            if not (current := self._current(resource_type, id_)):
                _check_client_id(id_)
                self._insert(resource_type, id_)
                return Written(self._write(content, "PUT"), created=True)
            if if_match not in (None, current.number):
                raise Conflict(f"{resource_type}/{id_} has changed: read it again.")
            if current.body is None:
                return Written(self._write(content, "PUT"), created=True)
            before = content_in(current.body)
            content = with_labels_of(content, before)
            if content == before:
                return Written(current, created=False)
            return Written(self._write(content, "PUT"), created=False)

    def delete(self, resource_type: str, id_: str) -> Version | None:
        """The version that deletes, a former one if it is deleted already, None if unknown.

        Raises Conflict while another resource refers to it.
        """
        with self.changes():
            current = self._current(resource_type, id_)
            if not current or current.body is None:
                return current
            self._deleted.add((resource_type, id_))
            return self._add_version(resource_type, id_, "DELETE", None)[1]

    def expunge(self) -> None:
        """Empty the store. Ids of ours are not given again."""
        with self.changes():
            for table in ("resource", "version", "entry", "link"):
                self._db.execute(f"DELETE FROM {table}")  # noqa: S608 - the four names above

    # Inside

    def _rows(self, statement: str, values: Sequence[object]) -> list[Any]:
        with self._lock:
            return self._db.execute(statement, values).fetchall()

    def _versions(self, where: str, values: Sequence[object]) -> list[Version]:
        return [Version(*row[:6]) for row in self._rows(f"{_VERSIONS} WHERE {where}", values)]

    def _current(self, resource_type: str, id_: str) -> Version | None:
        where = "r.type = ? AND r.id = ? AND v.number = r.number"
        return next(iter(self._versions(where, [resource_type, id_])), None)

    def _keys(self, resource_type: str, condition: str) -> list[int]:
        query = query_of(resource_type, condition.removeprefix(f"{resource_type}?"))
        if not query.where:
            raise BadRequest("The condition of a conditional create has no criteria.")
        return self.search(query)

    def _insert(self, resource_type: str, id_: str) -> int:
        sql = "INSERT INTO resource (type, id, number, updated, live) VALUES (?, ?, 0, 0, 0)"
        key = self._db.execute(sql, [resource_type, id_]).lastrowid
        assert key is not None
        return key

    def _write(self, content: Resource, method: str) -> Version:
        links, entries = links_of(content), entries_of(content)
        key, version = self._add_version(content["resourceType"], content["id"], method, content)
        self._written.add(key)
        self._db.executemany(
            "INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?, ?)",
            [(key, version.type, e.name, e.value, e.system, e.low, e.high) for e in entries],
        )
        self._db.executemany(
            "INSERT INTO link VALUES (?, ?, ?, ?)",
            [(key, link.path, link.type, link.id) for link in links],
        )
        return version

    def _add_version(
        self, resource_type: str, id_: str, method: str, content: Resource | None
    ) -> tuple[int, Version]:
        """Count the resource one version on; its index entries are gone until `_write`."""
        sql = "SELECT pk, number + 1 FROM resource WHERE type = ? AND id = ?"
        key, number = self._rows(sql, [resource_type, id_])[0]
        body = None if content is None else body_of(content, number, self._moment)
        version = Version(resource_type, id_, number, self._moment, method, body)
        self._db.execute(
            "INSERT INTO version VALUES (?, ?, ?, ?, ?)", [key, number, self._moment, method, body]
        )
        self._db.execute(
            "UPDATE resource SET number = ?, updated = ?, live = ? WHERE pk = ?",
            [number, self._moment, body is not None, key],
        )
        self._db.execute("DELETE FROM entry WHERE resource = ?", [key])
        self._db.execute("DELETE FROM link WHERE resource = ?", [key])
        return key, version

    def _check_references(self) -> None:
        for key in self._written:
            dangling = self._rows(
                "SELECT l.path, l.type, l.id FROM link l LEFT JOIN resource r"
                " ON r.type = l.type AND r.id = l.id AND r.live"
                " WHERE l.resource = ? AND r.pk IS NULL",
                [key],
            )
            if dangling:
                path, to_type, to_id = dangling[0]
                raise BadRequest(f"{path} refers to {to_type}/{to_id}, which is not here.")
        for type_, id_ in self._deleted:
            referring = self._rows(
                "SELECT r.type, r.id, l.path FROM link l JOIN resource r ON r.pk = l.resource"
                " WHERE l.type = ? AND l.id = ?",
                [type_, id_],
            )
            if referring:
                by_type, by_id, path = referring[0]
                raise Conflict(f"{type_}/{id_} is still referred to by {by_type}/{by_id}: {path}.")


def _check_client_id(id_: str) -> None:
    if not ID.fullmatch(id_):
        raise BadRequest("The id is not a FHIR id: up to 64 letters, digits, - and dots.")
    if id_.isdigit():
        raise BadRequest(
            f"No resource has the id {id_}, and an id chosen by a client needs a character that"
            " is no digit."
        )
