"""The decision log: a file of this host in which nothing can be changed unseen.

For FHIR servers that take no AuditEvent. One JSON object a line, each holding the hash of the one
before it and a MAC under a key derived from the record key, so that who can write the file and
lacks the key can neither change, take out, put in nor reorder a line. Beside it stands FILE.head,
which says how far the log goes: without it, lines missing at the end would not be seen.

What it cannot show: that somebody put back an older copy of both files. Keep the number and hash
that `fhirmsg audit verify` prints elsewhere, and have them looked for in the next run.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import hmac
import json
import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from fhirmsg import clock
from fhirmsg.clock import Deadline
from fhirmsg.errors import DecisionLogUnavailable

_MODE = 0o600
_CHUNK = 65536
# As far back as an append looks for the last line; what is beyond is left to FILE.head.
_FARTHEST = 4 * 1024 * 1024
# Others who append are done within milliseconds.
_LOCK_SECONDS = 5.0
_LOCK_POLL = 0.005
# What a line says, all of it under its hash. `torn`: an append before it had been cut short.
# `headless`: FILE.head was not there, or was of another key.
_SAID = ("n", "at", "prev", "torn", "headless", "entry")


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One line as the next one needs it: its number, counted from 1, and its hash in hex."""

    n: int
    hash: str


def key_of(record_key: bytes) -> bytes:
    """Derive the key of decision logs, so that one key proves one kind of thing."""
    return hmac.new(record_key, b"fhirmsg decision log", hashlib.sha256).digest()


def head_file(path: str | Path) -> Path:
    """Give the file beside a log that says how far it goes."""
    return Path(f"{path}.head")


class DecisionLog:
    """Appends to one file. Safe for several threads and processes of one host.

    What an append made is on the disk when it returns. A line that a crash cut short stays as it
    is; the next one says how long it was and gives its hash. Nothing that is wrong with the file
    stops an append, which goes on from what FILE.head knows: it is for `verify` to tell.
    """

    def __init__(
        self, path: str | Path, record_key: bytes, *, now: Callable[[], datetime] = clock.now
    ) -> None:
        """Append to the file, which is made when missing, for its owner alone to read."""
        self._path = Path(path)
        self._key = key_of(record_key)
        self._now = now

    def append(self, entry: Mapping[str, Any]) -> None:
        """Keep one entry, JSON without contact details, synced. Raises DecisionLogUnavailable."""
        try:
            with locked(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT) as file:
                self._append(file, entry)
        except OSError as error:
            raise DecisionLogUnavailable(_unusable(error)) from None

    def why_unusable(self) -> str | None:
        """Tell in one sentence why nothing could be kept now, None when it could."""
        try:
            if self._path.exists():
                with locked(self._path, os.O_RDWR | os.O_APPEND):
                    pass
            if not os.access(self._path.parent, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        except OSError as error:
            return _unusable(error)
        return None

    def _append(self, file: int, entry: Mapping[str, Any]) -> None:
        before, rest = _end_of(file, self._key)
        known = read_head(head_file(self._path), self._key)
        extra: dict[str, Any] = {}
        if rest:
            torn = rest.removesuffix(b"\n")
            extra["torn"] = {"bytes": len(torn), "sha256": hashlib.sha256(torn).hexdigest()}
        if known is None and (before is not None or rest):
            extra["headless"] = True
        if known is not None and (before is None or before.n < known.n):
            # Lines are gone or changed: the gap stays to be seen.
            before = known
        if before is None:
            # Any value will do, so that no two logs begin alike and lines fit into one of them.
            before = Link(n=0, hash=secrets.token_hex(32))
        said = {
            "n": before.n + 1,
            "at": self._now().isoformat(timespec="milliseconds"),
            "prev": before.hash,
            "entry": entry,
            **extra,
        }
        line, link = _sealed(said, self._key)
        ended = rest == b"" or (rest is not None and rest.endswith(b"\n"))
        _write(file, (b"" if ended else b"\n") + line + b"\n")
        os.fsync(file)
        if known is None:
            _sync_folder(self._path.parent)
        write_head(head_file(self._path), link, self._key)


def _unusable(error: OSError) -> str:
    reason = (error.strerror or type(error).__name__).lower()
    return (
        f"The decision log cannot be written ({reason}), so decisions are not audited; make its "
        "folder and file writable for this service, and see that the disk has room."
    )


# --- lines ----------------------------------------------------------------------------------------


def _canonical(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _sealed(said: dict[str, Any], key: bytes) -> tuple[bytes, Link]:
    digest = hashlib.sha256(_canonical(said)).hexdigest()
    line = _canonical({**said, "hash": digest, "mac": _mac(key, digest)})
    return line, Link(n=said["n"], hash=digest)


def _mac(key: bytes, text: str) -> str:
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def parsed(line: bytes) -> dict[str, Any]:
    """Give the object on a line, an empty one when there is none."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def link_in(line: bytes, key: bytes) -> Link | None:
    """Give the link that a line is, None when it is not one that was written under this key."""
    found = parsed(line)
    number, digest, mac = found.get("n"), found.get("hash"), found.get("mac")
    if not (isinstance(number, int) and isinstance(digest, str) and isinstance(mac, str)):
        return None
    said = {name: found[name] for name in _SAID if name in found}
    sealed, link = _sealed(said, key)
    # Byte for byte: what is not under the hash has no place on the line.
    same = hmac.compare_digest(sealed, line) and hmac.compare_digest(mac, _mac(key, digest))
    return link if same else None


# --- files ----------------------------------------------------------------------------------------


@contextlib.contextmanager
def locked(path: Path, flags: int, how: int = fcntl.LOCK_EX) -> Iterator[int]:
    """Open a file and hold its lock, which threads and processes share."""
    deadline = Deadline(_LOCK_SECONDS)
    while True:
        file = os.open(path, flags | os.O_CLOEXEC, _MODE)
        try:
            _lock(file, how, deadline)
            if _is_still(file, path):
                yield file
                return
        finally:
            os.close(file)


def _lock(file: int, how: int, deadline: Deadline) -> None:
    while True:
        try:
            fcntl.flock(file, how | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if deadline.passed:
                raise TimeoutError(errno.ETIMEDOUT, "another process holds its lock") from None
            time.sleep(_LOCK_POLL)


def _is_still(file: int, path: Path) -> bool:
    """Tell whether the path still leads to this file, which may have been moved meanwhile."""
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except FileNotFoundError:
        return False


def _end_of(file: int, key: bytes) -> tuple[Link | None, bytes | None]:
    """Give the last line that is ours, and what stands after its line end; None without one."""
    tail, at = b"", os.fstat(file).st_size
    farthest = at - _FARTHEST
    while at > max(0, farthest):
        step = min(_CHUNK, at)
        at -= step
        tail = os.pread(file, step, at) + tail
        lines = tail.split(b"\n")
        for back in range(len(lines) - 1, 0 if at else -1, -1):
            link = link_in(lines[back], key)
            if link is not None:
                after = lines[back + 1 :]
                return link, b"\n".join(after) if after else None
    return None, tail


def _write(file: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(file, rest) :]


def write_head(path: Path, link: Link, key: bytes) -> None:
    """Say how far the log goes, in one step that a crash cannot halve."""
    said = f"{link.n}:{link.hash}"
    content = _canonical({"n": link.n, "hash": link.hash, "mac": _mac(key, f"head {said}")})
    new = path.with_name(f"{path.name}.new")
    file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, _MODE)
    try:
        _write(file, content + b"\n")
        os.fsync(file)
    finally:
        os.close(file)
    os.replace(new, path)


def _sync_folder(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read_head(path: Path, key: bytes) -> Link | None:
    """Give how far the log goes; None when that is not there or was not written under this key."""
    try:
        found = parsed(path.read_bytes())
    except OSError:
        return None
    number, digest, mac = found.get("n"), found.get("hash"), found.get("mac")
    if not (isinstance(number, int) and isinstance(digest, str) and isinstance(mac, str)):
        return None
    right = hmac.compare_digest(mac, _mac(key, f"head {number}:{digest}"))
    return Link(n=number, hash=digest) if right else None
