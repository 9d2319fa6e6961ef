"""A server of the tests that says byte for byte what a script tells it to.

with raw_server(lambda peer, request: peer.sendall(b"HTTP/1.1 200 OK\\r\\n...")) as server:
    requests.get(server.url)
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

Script = Callable[[socket.socket, bytes], None]


@dataclass
class RawServer:
    """One server: its `url`, and every request it has read, head and body."""

    url: str
    requests: list[bytes] = field(default_factory=list)


def answer(body: bytes = b"{}", *, status: str = "200 OK", **headers: str) -> Script:
    """Answer each request with this, and close."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    head = {"Content-Length": str(len(body)), "Connection": "close", **named}
    lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
    return lambda peer, _: peer.sendall(f"HTTP/1.1 {status}\r\n{lines}\r\n".encode() + body)


def drip(first: bytes, *, every: float = 0.1, seconds: float = 20.0) -> Script:
    """Send this, then a byte now and then, for longer than anybody should wait."""

    def script(peer: socket.socket, _: bytes) -> None:
        peer.sendall(first)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            peer.sendall(b"x")
            time.sleep(every)

    return script


def in_turn(*scripts: Script) -> Script:
    """Answer the first request with the first script, and so on; the last one stays."""
    left = list(scripts)
    return lambda peer, request: (left.pop(0) if len(left) > 1 else left[0])(peer, request)


def hang_up(_: socket.socket, __: bytes) -> None:
    """Close the connection without an answer."""


@contextlib.contextmanager
def raw_server(script: Script, *, tls: ssl.SSLContext | None = None) -> Iterator[RawServer]:
    """Run the script on each request of each connection, one request a connection."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    server = RawServer(url=f"{'https' if tls else 'http'}://127.0.0.1:{port}")
    peers: list[socket.socket] = []

    def serve(peer: socket.socket) -> None:
        # A client that has gone is not this server's worry.
        with (
            contextlib.suppress(OSError),
            tls.wrap_socket(peer, server_side=True) if tls else peer as talking,
        ):
            server.requests.append(_request(talking))
            script(talking, server.requests[-1])

    def accept() -> None:
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            peers.append(peer)
            threading.Thread(target=serve, args=(peer,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
        for peer in peers:
            with contextlib.suppress(OSError):
                peer.close()


def _request(peer: socket.socket) -> bytes:
    text = b""
    while b"\r\n\r\n" not in text:
        text += _some(peer)
    head, _, body = text.partition(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    while len(body) < length:
        body += _some(peer)
    return head + b"\r\n\r\n" + body


def _some(peer: socket.socket) -> bytes:
    received = peer.recv(65536)
    if not received:
        raise OSError("the client has gone")
    return received
