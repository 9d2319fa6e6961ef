"""A TCP proxy of the tests that makes the network and the server behind it fail, to order.

    with FaultProxy(("127.0.0.1", 8080)) as proxy:
        proxy.on(RESET_BEFORE_ANSWER, matching=b"POST /fhir/Communication", times=1)
        ...  # talk to 127.0.0.1:proxy.port
        proxy.records  # what happened
        proxy.clear()
        proxy.refuse(); proxy.accept()  # the port is closed, and open again

HTTP/1.1 with connections kept open, unless `lines` is set: then whatever goes by lines, SMTP for
one, where each line of the client is an exchange of its own.
"""

from __future__ import annotations

import contextlib
import itertools
import select
import socket
import struct
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from tests.rigs.faults import Exchange, Fault, Plan, Plans, Record, Where
from tests.rigs.framing import Gone, Stream, body_of, with_length

_NO_FAULT = Fault()


class Struck(Exception):
    """The fault has ended the connection."""


class FaultProxy:
    """One proxy, from `port` of 127.0.0.1 to a target; every connection has a thread of its own."""

    def __init__(self, target: tuple[str, int], *, lines: bool = False) -> None:
        self.target, self._lines = target, lines
        self.records: list[Record] = []
        self.connections = 0
        self._plans = Plans()
        self._numbers = itertools.count(1)
        self._lock = threading.RLock()
        self._open: set[socket.socket] = set()
        self._listener = _bound(0)
        self.port = int(self._listener.getsockname()[1])
        self._thread: threading.Thread | None = None

    @classmethod
    def before(cls, url: str) -> FaultProxy:
        """Give a proxy before the server of a URL; `url_of` names it in the server's place."""
        parts = urlsplit(url)
        return cls((parts.hostname or "", parts.port or 80))

    def url_of(self, url: str) -> str:
        """Give a URL of the target as it is through the proxy."""
        return urlsplit(url)._replace(netloc=f"127.0.0.1:{self.port}").geturl()

    def __enter__(self) -> FaultProxy:
        self.accept()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.clear()
        self.refuse()
        self._listener.close()

    def on(
        self,
        fault: Fault,
        *,
        matching: bytes | Callable[[Exchange], bool] = b"",
        connection: int | None = None,
        exchange: int | None = None,
        skip: int = 0,
        times: int | None = 1,
    ) -> None:
        """Plan a fault for exchanges that fit all that is said; see `Plan`.

        matching: how the request begins, or a predicate. connection, exchange: its number.
        """

        def fits(each: Exchange) -> bool:
            begins = (
                each.request.startswith(matching) if isinstance(matching, bytes) else matching(each)
            )
            return (
                begins and connection in (None, each.connection) and exchange in (None, each.number)
            )

        self._plans.add(Plan(fault, fits, skip, times))

    def clear(self) -> None:
        """Forget every plan, and let what is stalled go on."""
        self._plans.clear()

    def refuse(self) -> None:
        """Close the port, and reset every connection; the port stays ours."""
        with self._lock:
            thread, self._thread = self._thread, None
            open_now = list(self._open)
        if thread is not None:
            self._listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            self._listener.close()
            # Bound without listening, so that nobody else takes it and every caller is refused.
            self._listener = _bound(self.port)
        for each in open_now:
            _reset(each)

    def accept(self) -> None:
        """Open the port."""
        if self._thread is None:
            self._listener.listen(128)
            self._thread = threading.Thread(target=self._run, name="fault-proxy", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self.connections += 1
                talk = (_Lines if self._lines else _Http)(self, client, self.connections)
            threading.Thread(target=talk.run, name="fault-proxy", daemon=True).start()


class _Connection:
    """One connection of a client, and the one to the target that belongs to it."""

    def __init__(self, proxy: FaultProxy, client: socket.socket, number: int) -> None:
        self.proxy, self.number = proxy, number
        self.client = Stream(client)
        self._clearings = proxy._plans.clearings
        self.target: Stream | None = None
        self.keep(client)

    def keep(self, sock: socket.socket) -> None:
        # One that was reset already takes no options.
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self.proxy._lock:
            self.proxy._open.add(sock)

    def run(self) -> None:
        try:
            self.talk()
        except (Gone, OSError, ValueError, Struck):
            pass
        finally:
            for each in filter(None, (self.client, self.target)):
                with self.proxy._lock:
                    self.proxy._open.discard(each.sock)
                with contextlib.suppress(OSError):
                    each.sock.shutdown(socket.SHUT_RD)
                each.sock.close()

    def talk(self) -> None:
        raise NotImplementedError

    def begun(self, request: bytes) -> tuple[Fault, Record]:
        """Note an exchange; gives what strikes it."""
        with self.proxy._lock:
            exchange = Exchange(
                number=next(self.proxy._numbers), connection=self.number, request=request
            )
            record = Record(exchange.number, self.number, request)
            self.proxy.records.append(record)
        self._clearings = self.proxy._plans.clearings
        fault = self.proxy._plans.strikes(exchange)
        record.fault = fault.name if fault else ""
        return fault or _NO_FAULT, record

    def to_target(self) -> Stream:
        """Give the connection to the target, a new one when it closed the last."""
        if self.target is not None and select.select([self.target.sock], [], [], 0)[0]:
            self.target.sock.close()
            self.target = None
        if self.target is None:
            try:
                self.target = Stream(socket.create_connection(self.proxy.target, 10))
            except OSError as error:
                _reset(self.client.sock)
                raise Struck from error
            self.target.sock.settimeout(None)
            self.keep(self.target.sock)
        return self.target

    def pause(self, seconds: float) -> None:
        self.proxy._plans.pause(seconds, self._clearings)

    def forward(self, data: bytes, record: Record) -> None:
        self.to_target().sock.sendall(data)
        record.forwarded += len(data)

    def give(self, data: bytes, record: Record, *, every: float | None = None) -> None:
        """Pass something back, a byte at a time when `every` says how many seconds for each."""
        pieces = [data] if every is None else [data[n : n + 1] for n in range(len(data))]
        for piece in pieces:
            self.client.sock.sendall(piece)
            record.passed += len(piece)
            if every is not None:
                self.pause(every)

    def strike(self, fault: Fault, where: Where) -> None:
        """Reset or stall, if that is what happens at this point."""
        if fault.where is not where:
            return
        if fault.stall is not None:
            self.pause(fault.stall)
        if fault.reset:
            for each in filter(None, (self.client, self.target)):
                _reset(each.sock)
            raise Struck


class _Http(_Connection):
    def talk(self) -> None:
        while True:
            request = self.client.request()
            fault, record = self.begun(request)
            self.strike(fault, Where.BEFORE_REQUEST)
            if fault.answer is not None and fault.where is Where.BEFORE_REQUEST:
                self.say(fault.answer, record)
                continue
            half = len(request) // 2
            self.forward(request[:half], record)
            self.strike(fault, Where.MID_REQUEST)
            self.forward(request[half:], record)
            answer = self.to_answer(request)
            self.strike(fault, Where.BEFORE_ANSWER)
            if fault.answer is not None:
                self.say(fault.answer, record)
            elif fault.truncate is not None:
                self.truncate(answer, record, right=fault.truncate == "right")
            else:
                self.say(answer, record, fault)

    def to_answer(self, request: bytes) -> bytes:
        assert self.target is not None
        try:
            return self.target.answer(request.split(b" ", 1)[0])
        except Gone:
            _reset(self.client.sock)
            raise

    def say(self, answer: bytes, record: Record, fault: Fault = _NO_FAULT) -> None:
        record.status = int(answer.split(b" ", 2)[1])
        half = len(answer) // 2
        self.give(answer[:half], record, every=fault.drip)
        self.strike(fault, Where.MID_ANSWER)
        self.give(answer[half:], record, every=fault.drip)
        if not _has_an_end(answer):
            raise Struck

    def truncate(self, answer: bytes, record: Record, *, right: bool) -> None:
        head, body = answer.partition(b"\r\n\r\n")[0], body_of(answer)
        half = body[: len(body) // 2]
        self.say(with_length(head, len(half if right else body)) + half, record)
        if not right:
            raise Struck


class _Lines(_Connection):
    """By lines: what the target says is passed back as it comes, unless a fault holds it."""

    def talk(self) -> None:
        self.silent = threading.Event()
        self.said = threading.Event()
        self.every: float | None = None
        target = self.to_target()
        threading.Thread(target=self.pass_back, args=(target,), daemon=True).start()
        while True:
            line = self.client.line()
            fault, record = self.begun(line)
            self.strike(fault, Where.BEFORE_REQUEST)
            if fault.answer is not None and fault.where is Where.BEFORE_REQUEST:
                self.give(fault.answer, record)
                continue
            # What was said before belongs to earlier lines.
            self.said.clear()
            self.every = fault.drip
            if fault.where is Where.BEFORE_ANSWER and (
                fault.reset or fault.answer is not None or fault.stall is not None
            ):
                self.silent.set()
            half = len(line) // 2
            target.sock.sendall(line[:half])
            record.forwarded += half
            self.strike(fault, Where.MID_REQUEST)
            target.sock.sendall(line[half:])
            record.forwarded += len(line) - half
            if self.silent.is_set():
                # The target has taken it in when it answers.
                self.said.wait(10)
                self.strike(fault, Where.BEFORE_ANSWER)
                if fault.answer is not None:
                    self.give(fault.answer, record)
                self.let_out(give=fault.answer is None)

    held = b""

    def pass_back(self, target: Stream) -> None:
        with contextlib.suppress(OSError):
            while data := target.sock.recv(65536):
                with self.proxy._lock:
                    silent = self.silent.is_set()
                    if silent:
                        self.held += data
                self.said.set()
                if not silent:
                    for piece in [data] if self.every is None else [bytes([b]) for b in data]:
                        self.client.sock.sendall(piece)
                        if self.every is not None:
                            self.pause(self.every)
        with contextlib.suppress(OSError):
            self.client.sock.shutdown(socket.SHUT_WR)

    def let_out(self, *, give: bool) -> None:
        with self.proxy._lock:
            held, self.held = self.held, b""
            self.silent.clear()
        if held and give:
            self.client.sock.sendall(held)


def _has_an_end(answer: bytes) -> bool:
    head = answer.partition(b"\r\n\r\n")[0].lower()
    return b"\r\ncontent-length:" in head or b"chunked" in head or b" 204 " in head[:16]


def _bound(port: int) -> socket.socket:
    found = socket.socket()
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    found.bind(("127.0.0.1", port))
    return found


def _reset(sock: socket.socket) -> None:
    """Send a reset in place of an orderly end."""
    linger: Any = struct.pack("ii", 1, 0)
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        # A reader in another thread keeps the connection until it is woken; nothing is sent.
        sock.shutdown(socket.SHUT_RD)
    sock.close()
