"""The figures over HTTP, on a port of their own: whoever may read them may call nothing else."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST
from waitress import wasyncore
from waitress.server import create_server

from fhirmsg.metrics import Metrics

_StartResponse = Callable[[str, list[tuple[str, str]]], Any]


class MetricsServer:
    """Answers GET /metrics until it is stopped. One of the parts that `serving` starts and stops.

    `port`: where it listens.
    """

    def __init__(self, metrics: Metrics, host: str, port: int) -> None:
        """Listen. Raises OSError when the address is taken."""
        self._metrics = metrics
        self._sockets: dict[int, Any] = {}
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        self._socket = socket.socket(family, kind, protocol)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind(address)
        except OSError:
            self._socket.close()
            raise
        self.port: int = self._socket.getsockname()[1]
        self._over = threading.Event()
        self._server: Any = None
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)

    def start(self) -> None:
        """Answer from now on, on a thread of its own."""
        self._server = create_server(
            self._answer,
            map=self._sockets,
            sockets=[self._socket],
            threads=1,
            ident="",
            max_request_body_size=1024,
            channel_timeout=30,
            connection_limit=20,
            expose_tracebacks=False,
            log_socket_errors=False,
        )
        self._thread.start()

    def stop(self) -> None:
        """End; an answer under way may break off."""
        self._over.set()
        if self._server is None:
            self._socket.close()
        else:
            self._server.pull_trigger()

    def join(self, timeout: float) -> None:
        """Wait until it has ended, at most so many seconds."""
        if self._server is not None:
            self._thread.join(timeout)

    def _run(self) -> None:
        while not self._over.is_set():
            wasyncore.loop(timeout=1.0, use_poll=True, map=self._sockets, count=1)
        self._server.task_dispatcher.shutdown(timeout=1)
        wasyncore.close_all(self._sockets, ignore_all=True)

    def _answer(self, asked: dict[str, Any], start: _StartResponse) -> Iterable[bytes]:
        if asked["PATH_INFO"] != "/metrics":
            status, kind, body = "404 Not Found", "text/plain", b"See /metrics.\n"
        elif asked["REQUEST_METHOD"] not in ("GET", "HEAD"):
            status, kind, body = "405 Method Not Allowed", "text/plain", b"GET alone.\n"
        else:
            status, kind, body = "200 OK", CONTENT_TYPE_LATEST, self._metrics.text()
        start(status, [("Content-Type", kind), ("Content-Length", str(len(body)))])
        return [] if asked["REQUEST_METHOD"] == "HEAD" else [body]
