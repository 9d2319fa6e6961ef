"""smtplib with one deadline for the whole conversation, and strict about what it is told."""

from __future__ import annotations

import re
import selectors
import smtplib
import socket
import ssl
from contextlib import suppress
from typing import Any

from fhirmsg.clock import Deadline
from fhirmsg.dns import addresses

_REPLY_LINE = re.compile(rb"([2-5][0-9][0-9])(?:([ -])(.*))?", re.DOTALL)
_LONGEST_LINE = 8192
_MOST_LINES = 200
_FAREWELL_SECONDS = 1.0


class Garbled(ValueError):
    """What the server said is not SMTP, or came unasked."""


class Conversation(smtplib.SMTP):
    """One connection to a mail server.

    `stage` names what is being done. `dot_written` becomes true with the write that can complete
    the message of this moment: from then on it may have left. `carried` counts the messages that
    were written whole. Everything raises OSError, TimeoutError when the deadline has passed, or
    Garbled.
    """

    def __init__(self, deadline: Deadline) -> None:
        """Connect to nothing yet."""
        # Without a name of its own, smtplib asks the DNS for this machine's, however long.
        super().__init__(local_hostname="[127.0.0.1]")
        self._unread = b""
        self.carried = 0
        self.begin(deadline)

    def begin(self, deadline: Deadline) -> None:
        """Turn to the next message: nothing of it is written, and it has a deadline of its own."""
        self._deadline = deadline
        self.stage = "dns"
        self.dot_written = False

    def is_there(self, deadline: Deadline) -> bool:
        """Tell whether an idle connection can carry a message, by asking the server."""
        self.begin(deadline)
        try:
            # What came unasked is a good-bye, or would be taken for the answer to a command.
            if self._unread or self._has_come():
                return False
            code, _ = self.docmd("RSET")
            return code == 250 and not self._unread
        except (OSError, ValueError):
            return False

    def part(self) -> None:
        """Say good-bye and close."""
        self.say_farewell("QUIT")
        with suppress(OSError):
            self.close()

    def open(self, host: str, port: int, connect_timeout: float) -> None:
        """Connect to the first of the host's addresses that takes the call."""
        found = addresses(host, port, self._left(connect_timeout))
        self.stage = "connect"
        out_of_time = False
        for family, kind, protocol, _, address in found:
            self.close()
            try:
                self.sock = socket.socket(family, kind, protocol)
                # The dot will follow in a packet of its own; Nagle's algorithm would delay it.
                self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.sock.settimeout(self._left(connect_timeout))
                self.sock.connect(address)
            except OSError as error:
                out_of_time = isinstance(error, TimeoutError)
                continue
            here = self.sock.getsockname()[0].partition("%")[0]
            self.local_hostname = f"[IPv6:{here}]" if ":" in here else f"[{here}]"
            return
        raise TimeoutError if out_of_time else OSError("no address takes the call")

    def encrypt(self, context: ssl.SSLContext, host: str, connect_timeout: float) -> None:
        """Begin TLS; the server has to prove that it is `host`."""
        self.stage = "tls"
        if self._unread:
            # Said in the clear, to be taken for an answer under TLS.
            raise Garbled
        self.sock = context.wrap_socket(self._ready(connect_timeout), server_hostname=host)

    def deliver(self, content: bytes) -> tuple[int, bytes]:
        """Write a message after the answer to DATA, dot-stuffed, and give the last answer."""
        self.stage = "content"
        stuffed = re.sub(rb"(?m)^\.", b"..", content)
        self.send(stuffed if stuffed.endswith(b"\r\n") else stuffed + b"\r\n")
        # Up to here the end is not written, so the message cannot be complete. One write for
        # both would leave open how much of it a failure had let through.
        self._ready()
        self.dot_written = True
        self.carried += 1
        self.send(b".\r\n")
        self.stage = "answer"
        return self.getreply()

    def say_farewell(self, command: str) -> None:
        """Say something whose answer changes nothing, and wait a moment for it."""
        self._deadline = Deadline(min(_FAREWELL_SECONDS, self._deadline.left))
        with suppress(OSError, ValueError):
            self.docmd(command)

    def send(self, s: Any) -> None:
        """Write text or bytes, in parts, none of them after the deadline."""
        if self._unread:
            raise Garbled
        rest = memoryview(s.encode() if isinstance(s, str) else s)
        while rest:
            rest = rest[self._ready().send(rest[:16384]) :]

    def getreply(self) -> tuple[int, bytes]:
        """Read one answer, of one line or several with the same code."""
        said: list[bytes] = []
        first = b""
        for _ in range(_MOST_LINES):
            found = _REPLY_LINE.fullmatch(self._line())
            if found is None or (first and found[1] != first):
                raise Garbled
            first = found[1]
            said.append((found[3] or b"").strip())
            if found[2] != b"-":
                return int(first), b"\n".join(said)
        raise Garbled

    def _line(self) -> bytes:
        while b"\n" not in self._unread:
            if len(self._unread) > _LONGEST_LINE:
                raise Garbled
            received = self._ready().recv(4096)
            if not received:
                raise ConnectionError
            self._unread += received
        line, _, self._unread = self._unread.partition(b"\n")
        return line.removesuffix(b"\r")

    def _has_come(self) -> bool:
        """Tell whether there is something to read, be it the end of the connection."""
        sock = self._ready()
        if isinstance(sock, ssl.SSLSocket) and sock.pending():
            return True
        with selectors.DefaultSelector() as selector:
            selector.register(sock, selectors.EVENT_READ)
            return bool(selector.select(0))

    def _ready(self, most: float = 3600.0) -> socket.socket:
        """The socket, its time-out shrunk to what is left now: it holds for one call only."""
        if self.sock is None:
            raise ConnectionError
        self.sock.settimeout(self._left(most))
        return self.sock

    def _left(self, most: float) -> float:
        left = self._deadline.left
        if left <= 0:
            raise TimeoutError
        return min(left, most)
