"""HTTP/1.1 messages as bytes: one whole request or answer at a time, off a connection."""

from __future__ import annotations

import socket


class Gone(Exception):
    """The other end closed or reset before the message was whole."""


class Stream:
    """One end of a connection, read in whole messages; what came too early waits."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._ahead = b""

    def request(self) -> bytes:
        """Read one request. Raises Gone."""
        head = self._until(b"\r\n\r\n")
        return head + self._body(head)

    def answer(self, method: bytes) -> bytes:
        """Read the answer to a request of this method, interim ones left out. Raises Gone."""
        head = self._until(b"\r\n\r\n")
        while head.split(b" ", 2)[1].startswith(b"1"):
            head = self._until(b"\r\n\r\n")
        if method == b"HEAD" or head.split(b" ", 2)[1] in (b"204", b"304"):
            return head
        if header(head, b"transfer-encoding") or header(head, b"content-length"):
            return head + self._body(head)
        return head + self._rest()

    def line(self) -> bytes:
        """Read one line, its end included. Raises Gone."""
        return self._until(b"\n")

    def _body(self, head: bytes) -> bytes:
        if b"chunked" in header(head, b"transfer-encoding").lower():
            return self._chunks()
        return self._exactly(int(header(head, b"content-length") or 0))

    def _chunks(self) -> bytes:
        body = b""
        while True:
            size = self._until(b"\r\n")
            body += size
            length = int(size.partition(b";")[0], 16)
            if not length:
                break
            body += self._exactly(length + 2)
        while True:
            trailer = self._until(b"\r\n")
            body += trailer
            if trailer == b"\r\n":
                return body

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._ahead:
            self._more()
        found, _, self._ahead = self._ahead.partition(mark)
        return found + mark

    def _exactly(self, length: int) -> bytes:
        while len(self._ahead) < length:
            self._more()
        found, self._ahead = self._ahead[:length], self._ahead[length:]
        return found

    def _rest(self) -> bytes:
        found = self._ahead
        while received := self.sock.recv(65536):
            found += received
        self._ahead = b""
        return found

    def _more(self) -> None:
        try:
            received = self.sock.recv(65536)
        except OSError as error:
            raise Gone from error
        if not received:
            raise Gone
        self._ahead += received


def header(head: bytes, name: bytes) -> bytes:
    """Give a header's value, empty when it is not there."""
    for line in head.split(b"\r\n")[1:]:
        found, _, value = line.partition(b":")
        if found.strip().lower() == name:
            return value.strip()
    return b""


def with_length(head: bytes, length: int) -> bytes:
    """Give an answer's head for a body of this length, sent in one piece."""
    lines = [
        line
        for line in head.rstrip(b"\r\n").split(b"\r\n")
        if line.partition(b":")[0].strip().lower() not in (b"content-length", b"transfer-encoding")
    ]
    return b"\r\n".join([*lines, b"Content-Length: %d" % length]) + b"\r\n\r\n"


def body_of(message: bytes) -> bytes:
    """Give the body of a whole message, out of its chunks."""
    head, _, body = message.partition(b"\r\n\r\n")
    if b"chunked" not in header(head, b"transfer-encoding").lower():
        return body
    found = b""
    while True:
        size, _, body = body.partition(b"\r\n")
        length = int(size.partition(b";")[0], 16)
        if not length:
            return found
        found, body = found + body[:length], body[length + 2 :]
