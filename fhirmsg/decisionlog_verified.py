"""Whether a decision log is as it was written: every line, their order, and where it ends."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fhirmsg.decisionlog import (
    Link,
    head_file,
    key_of,
    link_in,
    locked,
    parsed,
    read_head,
)

_MOST_BREAKS = 20
# A crash right after the first line leaves it without a head, and no later one.
_FIRST_WITH_HEAD = 2


@dataclass(kw_only=True)
class Verified:
    """What a log is worth. breaks: what was changed, in order; empty when it is whole.

    remarks: what is no change and should be known. last: the last line that is ours.
    """

    breaks: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    last: Link | None = None

    @property
    def whole(self) -> bool:
        """Whether nothing was changed, as far as that can be told."""
        return not self.breaks


def verify(path: str | Path, record_key: bytes, *, holds: str | None = None) -> Verified:
    """Look through a whole log. Raises OSError when it cannot be read.

    holds: the hash of a line that was there earlier, written down elsewhere.
    """
    key = key_of(record_key)
    # Only the end is looked up under the lock, so that a long log does not keep anybody waiting.
    with locked(Path(path), os.O_RDONLY, fcntl.LOCK_SH) as file:
        size = os.fstat(file).st_size
        there, known = head_file(path).exists(), read_head(head_file(path), key)
    reader = _Reader(key, known, holds)
    with open(path, "rb") as lines:
        for number, line in enumerate(lines, start=1):
            size -= len(line)
            if size < 0:
                break
            reader.take(number, line)
            if len(reader.found.breaks) >= _MOST_BREAKS:
                reader.found.breaks.append("further lines were not looked at")
                return reader.found
    return reader.end(there=there)


class _Reader:
    """One pass over the lines of a log."""

    def __init__(self, key: bytes, known: Link | None, holds: str | None) -> None:
        self.found = Verified()
        self._key, self._known, self._holds = key, known, holds
        self._odd: list[tuple[int, bytes]] = []
        self._met = False

    def take(self, number: int, line: bytes) -> None:
        """Look at the next line, its line end included where it has one."""
        text = line.removesuffix(b"\n")
        link = link_in(text, self._key)
        if link is None:
            self._odd.append((number, line))
            return
        said = parsed(text)
        self._explain_odd(said)
        self._follow(number, link, said)

    def _explain_odd(self, said: Mapping[str, Any]) -> None:
        """Look whether a line accounts for those before it, as it does after a crash."""
        torn = b"".join(line for _, line in self._odd).removesuffix(b"\n")
        told = {"bytes": len(torn), "sha256": hashlib.sha256(torn).hexdigest()}
        complete = any(_is_json(line) for _, line in self._odd)
        if self._odd and not complete and said.get("torn") == told:
            self.found.remarks.append(
                f"line {self._odd[0][0]}: an append was cut short by a crash; the decision in it "
                "is not kept"
            )
        else:
            self._break_odd()
        self._odd = []

    def _break_odd(self) -> None:
        for number, _ in self._odd:
            self._break(number, "is not as it was written")

    def _follow(self, number: int, link: Link, said: Mapping[str, Any]) -> None:
        last, known = self.found.last, self._known
        expected = 1 if last is None else last.n + 1
        if link.n > expected:
            self._break(number, f"has number {link.n}: {_numbers(expected, link.n - 1)} missing")
        elif link.n < expected:
            self._break(number, f"has number {link.n} where {expected} belongs")
        elif last is not None and said.get("prev") != last.hash:
            self._break(number, "does not follow from the line before it")
        if said.get("headless") and link.n > _FIRST_WITH_HEAD:
            self._break(number, "was written without FILE.head, so lines before it may be missing")
        if known is not None and known.n == link.n and known.hash != link.hash:
            self._break(number, "is not the line that was last known under its number")
        self._met = self._met or link.hash == self._holds
        self.found.last = link

    def end(self, *, there: bool) -> Verified:
        """Look at what stands after the last line, and give what was found in all."""
        found, known = self.found, self._known
        reached = 0 if found.last is None else found.last.n
        if known is not None and known.n > reached:
            self._break_end(f"{_numbers(reached + 1, known.n)} missing")
        elif known is None and there:
            self._break_end("FILE.head was changed, or is of another key")
        elif known is None and reached >= _FIRST_WITH_HEAD:
            self._break_end("FILE.head is missing, so lines may be missing")
        if self._odd and (found.breaks or self._odd[-1][1].endswith(b"\n")):
            self._break_odd()
        elif self._odd:
            # A line that had been finished is known to the head, which is written after it.
            found.remarks.append(f"line {self._odd[0][0]}: an append was cut short at the end")
        if self._holds is not None and not self._met:
            found.breaks.append("the line whose hash was given is not in this log")
        return found

    def _break_end(self, what: str) -> None:
        self.found.breaks.append(f"at the end: {what}")

    def _break(self, number: int, what: str) -> None:
        self.found.breaks.append(f"line {number} {what}")


def _is_json(line: bytes) -> bool:
    """Tell whether a line is complete, as no append is that a crash cut short."""
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _numbers(first: int, last: int) -> str:
    return f"number {first} is" if first == last else f"numbers {first} to {last} are"
