"""The real commands in a process that dies, or falls asleep, at one of its effects.

    CRASH_EFFECTS=FILE [CRASH_KILL=before:3] [CRASH_STOP=after:3] [CRASH_CLOCK=-300]
    python -m tests.crash.serve serve|recover|reconcile ...

An effect is one exchange over HTTP with the FHIR server or a provider, the first byte of a message
to a provider, one command to a mail server, one message into the outbox, or one write to the
journal. Each adds a line to FILE with its number and kind and nothing else, before it happens.

CRASH_KILL kills the process just before or after the effect of this number, CRASH_STOP stops it
(SIGSTOP) until somebody has it continue; in place of a number the words of a kind name the first
of that kind. CRASH_CLOCK puts the wall clock so many seconds ahead.
"""

from __future__ import annotations

import os
import signal
import smtplib
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta, tzinfo
from typing import Any

import requests
from urllib3.connection import HTTPConnection

from fhirmsg import app, cli, clock
from fhirmsg.config import Settings
from fhirmsg.fhir import resources
from fhirmsg.http import make_session
from fhirmsg.journal import SqliteJournal
from fhirmsg.ports import JournalItem, Owed, Provider
from fhirmsg.providers.govuk_notify import GovukNotifyProvider
from fhirmsg.providers.nhs_notify import NhsNotifyProvider
from fhirmsg.providers.webhook import WebhookProvider
from tests.providers.fake_nhs_notify import Token

SIGNALS = {"CRASH_KILL": signal.SIGKILL, "CRASH_STOP": signal.SIGSTOP}

# Imported by the process that others are forked from.
resources.warm_up()


class Effects:
    """Counts effects, and has the process meet its fate at one of them. Thread-safe."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Read what is to happen, and where effects are told."""
        self._file = os.open(
            environment["CRASH_EFFECTS"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600
        )
        self._fates = {
            number: environment[name].partition(":")[::2]
            for name, number in SIGNALS.items()
            if name in environment
        }
        self._lock = threading.Lock()
        self._number = 0
        self._seen: set[str] = set()

    @contextmanager
    def one(self, kind: str) -> Iterator[None]:
        """Count one effect, which is what is done within."""
        with self._lock:
            self._number += 1
            names = {str(self._number)} | ({kind} - self._seen)
            self._seen.add(kind)
            os.write(self._file, f"{self._number} {kind}\n".encode())
        self._meet("before", names)
        try:
            yield
        finally:
            self._meet("after", names)

    def around(self, call: Callable[..., Any], kind: Callable[..., str]) -> Callable[..., Any]:
        """Give a function whose every call is an effect, of the kind told by its arguments."""

        def counted(*arguments: Any, **named: Any) -> Any:
            with self.one(kind(*arguments, **named)):
                return call(*arguments, **named)

        return counted

    def _meet(self, where: str, names: set[str]) -> None:
        for number, (at, name) in self._fates.items():
            if where == at and name in names:
                # To this very thread, so that not one more of its instructions runs.
                signal.pthread_kill(threading.get_ident(), number)


class CountedJournal(SqliteJournal):
    """The journal, with its writes counted."""

    effects: Effects

    def keep(self, owed: Owed, key: str, payload: Any, **more: Any) -> JournalItem | None:
        """Keep an item."""
        with self.effects.one(f"journal keep {owed}"):
            return super().keep(owed, key, payload, **more)

    def keep_all(self, items: Collection[tuple[Owed, str, Mapping[str, Any]]]) -> int:
        """Keep several."""
        with self.effects.one("journal keep-all"):
            return super().keep_all(items)

    def change(self, item: JournalItem, **changes: Any) -> JournalItem | None:
        """Change one."""
        with self.effects.one(f"journal change {item.owed}"):
            return super().change(item, **changes)

    def done(self, items: Collection[JournalItem]) -> int:
        """Take some out."""
        if not items:
            return super().done(items)
        kinds = sorted({str(item.owed) for item in items})
        with self.effects.one(f"journal done {' '.join(kinds)}"):
            return super().done(items)


def counted_session(settings: Settings, effects: Effects, who: str) -> requests.Session:
    """Give a session whose every exchange is an effect."""
    session = make_session(pool_size=settings.threads)
    base = settings.fhir.base_url if who == "fhir" else None

    def kind(method: str, url: str, *, data: bytes | None = None, **_: Any) -> str:
        return f"{who} {method}{'' if base is None else ' ' + _what(url, base, data)}"

    session.request = effects.around(session.request, kind)  # type: ignore[method-assign]
    return session


def _what(url: str, base: str, data: bytes | None) -> str:
    path = url.removeprefix(base).lstrip("/").partition("?")[0]
    if path:
        return path.partition("/")[0]
    if b'"type": "transaction"' in (data or b"")[:80]:
        return "transaction"
    return "batch-write" if b'"method": "PUT"' in (data or b"") else "batch"


def counted_providers(settings: Settings, effects: Effects) -> dict[str, Provider]:
    """Set up the providers of the settings, with their effects counted."""
    session = counted_session(settings, effects, "provider")
    found = app.providers_of(settings)
    for name, provider in list(found.items()):
        match provider:
            case GovukNotifyProvider() if settings.govuk_notify is not None:
                found[name] = GovukNotifyProvider(settings.govuk_notify, session)
                # The fake lists at once what it took, and nobody wants to wait half a minute.
                found[name].settle_seconds = 0.0
            case NhsNotifyProvider() if settings.nhs_notify is not None:
                found[name] = NhsNotifyProvider(settings.nhs_notify, session, Token())
            case WebhookProvider() if settings.webhook is not None:
                found[name] = WebhookProvider(settings.webhook, session)
            case _:
                provider.send = effects.around(  # type: ignore[method-assign]
                    provider.send, lambda *_, name=name, **__: f"{name} send"
                )
    return found


def count_first_bytes(effects: Effects, ours: Callable[[str], bool]) -> None:
    """Count what lies between the last check of a hand-off and its first byte."""
    begin, command = HTTPConnection.putrequest, smtplib.SMTP.docmd

    def begins(self: Any, method: str, url: str, *rest: Any, **more: Any) -> None:
        if method == "POST" and ours(f"http://{self.host}:{self.port}"):
            with effects.one("provider first byte"):
                pass
        begin(self, method, url, *rest, **more)

    HTTPConnection.putrequest = begins  # type: ignore[method-assign]
    smtplib.SMTP.docmd = effects.around(  # type: ignore[method-assign]
        command, lambda self, text, *_: f"smtp {text.split(':')[0]}"
    )


def set_clock(ahead: float) -> None:
    """Put the wall clock of this process ahead, by as many seconds."""
    real, gap = time.time, timedelta(seconds=ahead)

    class Shifted(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Any:
            return datetime.now(tz) + gap

    clock.datetime = Shifted  # type: ignore[misc]
    time.time = lambda: real() + ahead


def main(arguments: list[str], environment: Mapping[str, str]) -> None:
    """Run a command of `fhirmsg`, composed with parts that count."""
    effects = Effects(environment)
    set_clock(float(environment.get("CRASH_CLOCK", "0")))
    CountedJournal.effects = effects
    compose = app.compose

    def composed(settings: Settings, **_: Any) -> app.Service:
        fhir = settings.fhir.base_url
        count_first_bytes(effects, lambda origin: not fhir.startswith(origin))
        return compose(
            settings,
            providers=counted_providers(settings, effects),
            journal=CountedJournal(settings.journal_file, [settings.record_key]),
            session_factory=lambda **_: counted_session(settings, effects, "fhir"),
        )

    # So that it is the command itself that runs, with everything it does beside composing.
    app.compose = composed
    cli.main(arguments, prog_name="fhirmsg")


def forked(arguments: list[str], environment: dict[str, str], output: str) -> None:
    """Run a command as if it had been started with this environment; it writes to a file."""
    os.environ.clear()
    os.environ.update(environment)
    handle = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for standard in (1, 2):
        os.dup2(handle, standard)
    if arguments[0] == "sandbox":
        from fhirmsg.sandbox.__main__ import main as sandbox

        sys.exit(sandbox(arguments[1:]))
    main(arguments, environment)


if __name__ == "__main__":
    main(sys.argv[1:], dict(os.environ))
