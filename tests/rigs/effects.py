"""Effects of a process, numbered as they happen, and what is done to it at one of them.

An effect is an exchange with the FHIR server, a change of the journal, a hand-off. The file of
effects has a line of JSON before and one after each: {"effect": 3, "when": "before", "what":
"POST /fhir/Communication"}.
"""

from __future__ import annotations

import json
import os
import re
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests

from fhirmsg.http import make_session
from fhirmsg.ports import Journal, Provider

JOURNAL_EFFECTS = ("keep", "keep_all", "change", "done")


@dataclass(frozen=True)
class Moment:
    """A point in the life of a process, written `before:7` or `after:12`."""

    when: str
    effect: int

    @classmethod
    def parse(cls, text: str) -> Moment:
        """Read it; raises ValueError."""
        when, _, number = text.partition(":")
        if when not in ("before", "after"):
            raise ValueError("write before:N or after:N")
        return cls(when, int(number))

    def __str__(self) -> str:
        return f"{self.when}:{self.effect}"


@dataclass(frozen=True)
class Effect:
    """One effect that a process has begun, and whether it has ended."""

    number: int
    what: str
    ended: bool


class Effects:
    """Numbers the effects of this process, and ends or stops it at a moment."""

    def __init__(
        self,
        file: Path | None = None,
        *,
        kill_at: Moment | None = None,
        stop_at: Moment | None = None,
        only: str = "",
    ) -> None:
        """Write to `file`; count those alone whose description `only` matches somewhere."""
        self._file = None if file is None else os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._signals = ((kill_at, signal.SIGKILL), (stop_at, signal.SIGSTOP))
        self._only = re.compile(only)
        self._number = 0
        self._lock = threading.Lock()

    def around(self, what: str, do: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Do something as an effect; one that raises has ended too."""
        if not self._only.search(what):
            return do(*args, **kwargs)
        with self._lock:
            self._number += 1
            number = self._number
        self._pass("before", number, what)
        try:
            return do(*args, **kwargs)
        finally:
            self._pass("after", number, what)

    def watch(self, thing: Any, method: str, describe: Callable[..., str]) -> None:
        """Make each call of a method of this one object an effect; all else stays as it is."""
        do = getattr(thing, method)
        setattr(
            thing,
            method,
            lambda *args, **kwargs: self.around(describe(*args, **kwargs), do, *args, **kwargs),
        )

    def _pass(self, when: str, number: int, what: str) -> None:
        if self._file is not None:
            line = json.dumps({"effect": number, "when": when, "what": what}) + "\n"
            os.write(self._file, line.encode())
        for moment, sent in self._signals:
            if moment == Moment(when, number):
                # To this thread, which would run on for a moment if another took the signal.
                signal.pthread_kill(threading.get_ident(), sent)


def watched_session(effects: Effects) -> Callable[..., requests.Session]:
    """Give a maker of sessions whose exchanges are effects; an answer is read whole by then."""

    def make(**settings: Any) -> requests.Session:
        session = make_session(**settings)
        effects.watch(
            session,
            "send",
            lambda request, **_: f"{request.method} {urlsplit(request.url).path}",
        )
        return session

    return make


def watched_provider(effects: Effects, provider: Provider) -> Provider:
    """Make hand-offs of a provider effects."""
    effects.watch(provider, "send", lambda *_, **__: f"{provider.name}.send")
    return provider


def watched_journal(effects: Effects, journal: Journal) -> Journal:
    """Make changes of a journal effects."""
    for method in JOURNAL_EFFECTS:
        effects.watch(journal, method, lambda *_, name=method, **__: f"journal.{name}")
    return journal


def effects_in(file: Path) -> list[Effect]:
    """Give the effects that a process has written, in the order of their beginning."""
    if not file.exists():
        return []
    begun: dict[int, str] = {}
    ended = set()
    for line in file.read_text(encoding="utf-8").splitlines():
        told = json.loads(line)
        begun.setdefault(told["effect"], told["what"])
        if told["when"] == "after":
            ended.add(told["effect"])
    return [Effect(number, what, number in ended) for number, what in sorted(begun.items())]
