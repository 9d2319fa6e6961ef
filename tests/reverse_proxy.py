"""A reverse proxy of the tests, to make a FHIR server misbehave at one point.

    with reverse_proxy(base_url, lambda request: "500" if "_getpages" in request.path else None)

The proxy listens on its own port and rewrites the origin in bodies, so that page links lead
through it again.
"""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Request:
    """What came in: method, path with query, body, and headers by their names in lower case."""

    method: str
    path: str
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Reply:
    """What is answered in the server's place."""

    status: int
    body: bytes = b""
    content_type: str = "application/fhir+json"
    headers: tuple[tuple[str, str], ...] = ()


class Drop(Exception):
    """Forward the request, then close the connection without an answer."""


Hook = Callable[[Request], Reply | None]


@contextmanager
def reverse_proxy(upstream: str, hook: Hook) -> Iterator[str]:
    """Run a proxy before `upstream` (a base URL); gives the base URL to use instead.

    The hook may give a Reply to answer itself, None to pass the request on, or raise Drop.
    """
    target = urlsplit(upstream)
    origin = f"{target.scheme}://{target.netloc}".encode()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length)
            named = {name.lower(): value for name, value in self.headers.items()}
            try:
                reply = hook(Request(self.command, self.path, body, named))
                drop = False
            except Drop:
                reply, drop = None, True
            if reply is None:
                status, headers, content = self._forward(body)
            else:
                status, headers, content = (
                    reply.status,
                    [("Content-Type", reply.content_type), *reply.headers],
                    reply.body,
                )
            if drop:
                self.close_connection = True
                self.connection.close()
                return
            here = f"http://127.0.0.1:{self.server.server_address[1]}".encode()
            content = content.replace(origin, here)
            self.send_response_only(status)
            for name, value in headers:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_DELETE = _serve

        def _forward(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
            connection = http.client.HTTPConnection(target.hostname or "", target.port, timeout=30)
            try:
                headers = {
                    name: value
                    for name, value in self.headers.items()
                    if name.lower() not in ("host", "connection", "accept-encoding")
                }
                connection.request(self.command, self.path, body or None, headers)
                answer = connection.getresponse()
                kept = [
                    (name, value)
                    for name, value in answer.getheaders()
                    if name.lower() not in ("content-length", "transfer-encoding", "connection")
                ]
                return answer.status, kept, answer.read()
            finally:
                connection.close()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}{target.path}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
