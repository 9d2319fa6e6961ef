"""Serving: the app behind waitress, until a signal ends it and every request has its answer."""

from __future__ import annotations

import logging
import signal
import socket
import threading
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any, Protocol

from waitress import wasyncore
from waitress.server import create_server

from fhirmsg import __version__
from fhirmsg.clock import Deadline

if TYPE_CHECKING:
    from flask import Flask

    from fhirmsg.config import Settings

log = logging.getLogger("fhirmsg.serving")

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
# A body larger than the app takes and smaller than this is answered by the app.
_READ_AT_MOST = 8 << 20
_IDLE_SECONDS = 30
_CONNECTIONS = 500
# A request of which only a part has come is waited for so long when the service stops.
_PATIENCE_SECONDS = 5.0
# What runs in the background has so long to end, all of it together.
_BACKGROUND_SECONDS = 30.0
_EXTENSION = "fhirmsg.background"


class Background(Protocol):
    """Something that runs beside the requests: it begins with serving and ends after the last."""

    def start(self) -> object:
        """Begin, and return at once."""
        ...

    def stop(self) -> object:
        """Tell it to end at the next point where nothing is left half done; returns at once."""
        ...

    def join(self, timeout: float) -> object:
        """Wait until it has ended, at most so many seconds."""
        ...


class AtTheEnd:
    """Something that is only to be closed when serving ends."""

    def __init__(self, close: Callable[[], None]) -> None:
        """Call `close` then."""
        self._close = close

    def start(self) -> None:
        """Do nothing yet."""

    def stop(self) -> None:
        """Close."""
        self._close()

    def join(self, timeout: float) -> None:
        """It is closed already."""


def background_of(app: Flask) -> list[Background]:
    """Give what runs beside an app, to be added to: started and stopped in this order."""
    found: list[Background] = app.extensions.setdefault(_EXTENSION, [])
    return found


class _Hurried(BaseException):
    """A second signal came while the background was ending."""


class Server:
    """One app on one listening socket. `url` is where it answers."""

    def __init__(self, app: Flask, settings: Settings, sock: socket.socket | None = None) -> None:
        """Listen, on `sock` when one is handed in. Raises OSError when the address is taken."""
        self._sockets: dict[int, Any] = {}
        self._socket = sock or _listening(settings.host, settings.port)
        self._server = create_server(
            app,
            map=self._sockets,
            sockets=[self._socket],
            threads=settings.threads,
            ident="",
            # The app itself answers a body that is too large, in its own words.
            max_request_body_size=_READ_AT_MOST,
            # Bodies hold patient data: none goes to a temporary file.
            inbuf_overflow=2 * _READ_AT_MOST,
            outbuf_overflow=1 << 28,
            channel_timeout=_IDLE_SECONDS,
            connection_limit=_CONNECTIONS,
            clear_untrusted_proxy_headers=True,
            expose_tracebacks=False,
            log_socket_errors=False,
        )
        # The longest a request can take: two reads, the hand-off, and writing what became of it.
        times, fhir = settings.times, settings.fhir
        self._drain_seconds = times.start_within + times.handoff + 4 * fhir.call_deadline
        self._stops = 0
        host, port = self._socket.getsockname()[:2]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{port}"

    def run(self) -> bool:
        """Answer until `stop`; tells whether every request was answered before it returned."""
        while not self._stops:
            self._turn(1.0)
        # The map keeps waitress's trigger, which wakes the loop when an answer is ready.
        wasyncore.dispatcher.close(self._server)
        answered = self._drain()
        self._server.task_dispatcher.shutdown(timeout=1)
        wasyncore.close_all(self._sockets, ignore_all=True)
        return answered

    def stop(self) -> None:
        """Stop listening and let requests finish; called once more, let them go."""
        self._stops += 1
        self._server.pull_trigger()

    @property
    def hurried(self) -> bool:
        """Whether it was told to stop more than once."""
        return self._stops > 1

    def _turn(self, seconds: float) -> None:
        wasyncore.loop(timeout=seconds, use_poll=True, map=self._sockets, count=1)

    def _drain(self) -> bool:
        end, patience = Deadline(self._drain_seconds), Deadline(_PATIENCE_SECONDS)
        # Once more around, for what lies in the sockets already.
        self._turn(0.0)
        while self._server.active_channels or self._works():
            if end.passed or self.hurried:
                return False
            for channel in list(self._server.active_channels.values()):
                begun = channel.request is not None and not patience.passed
                if not (channel.requests or channel.total_outbufs_len or begun):
                    channel.will_close = True
            self._turn(0.2)
        return True

    def _works(self) -> bool:
        """Tell whether a request is being answered, even if its caller has hung up."""
        dispatcher = self._server.task_dispatcher
        return bool(dispatcher.queue) or dispatcher.active_count > 0


def serve(app: Flask, settings: Settings, *, sock: socket.socket | None = None) -> int:
    """Serve until SIGTERM or SIGINT; gives the exit status. Raises OSError when it cannot listen.

    Prints `listening on URL` on stdout once requests are taken. Port 0 takes a free one. What
    `background_of` the app holds runs beside it. A second signal ends it at once.
    """
    server = Server(app, settings, sock)
    ending = False

    def end(number: int, _frame: FrameType | None) -> None:
        if ending:
            raise _Hurried
        server.stop()

    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.signal(number, end) for number in _SIGNALS}
    started: list[Background] = []
    try:
        for part in background_of(app):
            part.start()
            started.append(part)
        print(f"listening on {server.url}", flush=True)
        log.info("started", extra={"version": __version__})
        answered = server.run()
        # Only now: a request that is under way may need what runs beside it.
        ending = True
        if not server.hurried:
            _end(started)
    except _Hurried:
        log.error("stopped before the background had ended")
        return 1
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if answered:
        log.info("stopped")
    else:
        log.error("stopped with requests unanswered")
    return 0 if answered else 1


def _end(parts: list[Background]) -> None:
    """Stop one after the other, each before the next is told."""
    deadline = Deadline(_BACKGROUND_SECONDS)
    for part in parts:
        try:
            part.stop()
            part.join(deadline.left)
        except Exception as error:
            log.error("not ended in order", extra={"kind": type(error).__name__})


def _listening(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    found = socket.socket(family, kind, protocol)
    try:
        # After a restart the port is free at once; one that is in use stays refused.
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
    except OSError:
        found.close()
        raise
    return found
