"""Fake services behind the providers over HTTP: real servers on a port of 127.0.0.1.

In a test: `with FakeNotify() as service: ...`. In a process of its own, to outlive the one under
test: `python -m tests.providers.fakes notify|nhs-notify|gateway PORT`; then

    GET  /_control/taken       what was taken, oldest first: [{reference, channel, to, body, ...}]
    GET  /_control/requests    every request, whether it was taken or not
    POST /_control/faults      [{"status": 503}, {"then": "drop"}, ...], one for each POST to come
    POST /_control/clear       forget everything
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True, kw_only=True)
class Fault:
    """How one POST goes wrong.

    status: answered in place of the service, with `payload`. takes: whether the message is taken
    all the same. then: "answer"; or "drop" (reset the connection), "stall" (say nothing until the
    server stops), "truncate" (half of the answer), "garble" (a body that is not JSON).
    """

    status: int | None = None
    payload: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    takes: bool = False
    then: str = "answer"


@dataclass(frozen=True, kw_only=True)
class Taken:
    """One message that a service took."""

    id: str
    reference: str
    channel: str
    to: str
    body: str
    subject: str | None = None
    at: float = 0.0
    status: str = "created"
    content: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Heard:
    """One request as it came in; names of headers in lower case."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a service says."""

    status: int
    payload: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


class FakeService:
    """What the fakes share: a server, what it took, and the faults to come."""

    def __init__(self, port: int = 0) -> None:
        self.taken: list[Taken] = []
        self.requests: list[Heard] = []
        self.faults: list[Fault] = []
        self.lock = threading.RLock()
        self.over = threading.Event()
        service = self

        class Handler(_Handler):
            def service(self) -> FakeService:
                return service

        self._server = _Server(("127.0.0.1", port), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, heard: Heard) -> Answer:
        """What the service says to a request, once it has done it."""
        raise NotImplementedError

    def next_fault(self) -> Fault | None:
        with self.lock:
            return self.faults.pop(0) if self.faults else None

    def take(self, **facts: Any) -> Taken:
        with self.lock:
            taken = Taken(at=time.time(), **facts)
            self.taken.append(taken)
            return taken

    def with_reference(self, reference: str) -> list[Taken]:
        with self.lock:
            return [each for each in self.taken if each.reference == reference]

    def control(self, heard: Heard) -> Answer:
        with self.lock:
            match heard.method, heard.path.removeprefix("/_control/"):
                case "GET", "taken":
                    return Answer(status=200, payload=[asdict(each) for each in self.taken])
                case "GET", "requests":
                    shown = [
                        {"method": each.method, "path": each.path, "body": each.body.decode()}
                        for each in self.requests
                    ]
                    return Answer(status=200, payload=shown)
                case "POST", "faults":
                    self.faults += [Fault(**each) for each in json.loads(heard.body)]
                    return Answer(status=200, payload={})
                case "POST", "clear":
                    self.taken.clear()
                    self.requests.clear()
                    self.faults.clear()
                    return Answer(status=200, payload={})
        return Answer(status=404, payload={})


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing about a client that has gone; a fault of the fake itself shows."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def service(self) -> FakeService:
        raise NotImplementedError

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def _serve(self) -> None:
        service = self.service()
        parts = urlsplit(self.path)
        heard = Heard(
            method=self.command,
            path=parts.path,
            query=dict(parse_qsl(parts.query, keep_blank_values=True)),
            headers={name.lower(): value for name, value in self.headers.items()},
            body=self.rfile.read(int(self.headers.get("Content-Length", 0))),
        )
        if heard.path.startswith("/_control/"):
            self._say(service.control(heard))
            return
        with service.lock:
            service.requests.append(heard)
        fault = service.next_fault() if heard.method == "POST" else None
        if fault is None:
            self._say(service.answer(heard))
            return
        answer = None
        if fault.takes or fault.status is None:
            answer = service.answer(heard)
        if fault.status is not None:
            answer = Answer(status=fault.status, payload=fault.payload or {}, headers=fault.headers)
        assert answer is not None
        self._go_wrong(fault, answer)

    def _go_wrong(self, fault: Fault, answer: Answer) -> None:
        body = json.dumps(answer.payload).encode()
        match fault.then:
            case "drop":
                self.connection.setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                )
                self.close_connection = True
            case "stall":
                self.service().over.wait()
                self.close_connection = True
            case "truncate":
                self._say(answer, body=body[: len(body) // 2], length=len(body))
                self.close_connection = True
            case "garble":
                self._say(answer, body=b"<html>It works!</html>")
            case _:
                self._say(answer)

    def _say(self, answer: Answer, *, body: bytes | None = None, length: int | None = None) -> None:
        content = json.dumps(answer.payload).encode() if body is None else body
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if self.close_connection:
            # As real servers do: a client may otherwise ask again over what is being closed.
            self.send_header("Connection", "close")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content) if length is None else length))
        self.end_headers()
        self.wfile.write(content)


def main(arguments: list[str]) -> None:
    """Run one of the fakes until it is stopped."""
    from tests.providers.fake_gateway import FakeGateway
    from tests.providers.fake_nhs_notify import FakeNhsNotify
    from tests.providers.fake_notify import FakeNotify

    kinds = {"notify": FakeNotify, "nhs-notify": FakeNhsNotify, "gateway": FakeGateway}
    kind, port = arguments
    with kinds[kind](port=int(port)) as service, contextlib.suppress(KeyboardInterrupt):
        print(service.url, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main(sys.argv[1:])
