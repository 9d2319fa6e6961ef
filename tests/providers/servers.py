"""Mail servers for tests: a real one (aiosmtpd), and one that says what a script tells it to."""

from __future__ import annotations

import asyncio
import contextlib
import email
import email.policy
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import trustme
from aiosmtpd.smtp import SMTP, AuthResult, Envelope

AUTHORITY = trustme.CA()


def ca_file(folder: Path, authority: trustme.CA = AUTHORITY) -> str:
    """The certificate of an authority as a PEM file."""
    file = folder / "ca.pem"
    authority.cert_pem.write_to_path(str(file))
    return str(file)


def server_context(host: str = "127.0.0.1") -> ssl.SSLContext:
    """What a server needs to prove that it is `host`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert(host).configure_cert(context)
    return context


class Mailbox:
    """What the real server took; the handler of aiosmtpd."""

    def __init__(self) -> None:
        self.envelopes: list[Envelope] = []
        self.connections = 0

    async def handle_DATA(self, server: Any, session: Any, envelope: Envelope) -> str:
        self.envelopes.append(envelope)
        return f"250 2.0.0 Ok: queued as 4XyZ{len(self.envelopes)}"

    @property
    def letters(self) -> list[EmailMessage]:
        """The messages, oldest first."""
        return [
            email.message_from_bytes(envelope.content, policy=email.policy.default)
            for envelope in self.envelopes
        ]


def _log_in(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
    right = (data.login, data.password) == (b"surgery", b"correct horse")
    return AuthResult(success=right, handled=False)


@contextlib.contextmanager
def mail_server(
    *, implicit_tls: ssl.SSLContext | None = None, **settings: Any
) -> Iterator[tuple[int, Mailbox]]:
    """A real server on a free port of 127.0.0.1; gives the port and what it took."""
    mailbox = Mailbox()
    loop = asyncio.new_event_loop()

    def conversation() -> SMTP:
        mailbox.connections += 1
        return SMTP(mailbox, loop=loop, hostname="mail", authenticator=_log_in, **settings)

    async def close() -> None:
        server.close()
        await server.wait_closed()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        # TLS connections say good-bye in a callback.
        await asyncio.sleep(0.01)

    server = loop.run_until_complete(
        loop.create_server(conversation, "127.0.0.1", 0, ssl=implicit_tls)
    )
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield server.sockets[0].getsockname()[1], mailbox
    finally:
        asyncio.run_coroutine_threadsafe(close(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


# An answer of the scripted server: bytes, or something that is done in its place. True ends
# the connection.
Answer = bytes | Callable[[socket.socket], bool | None]

DEFAULTS: dict[str, Answer] = {
    "greeting": b"220 mail ready\r\n",
    "EHLO": b"250-mail\r\n250-AUTH PLAIN LOGIN\r\n250 SIZE 50000000\r\n",
    "AUTH": b"235 welcome\r\n",
    "MAIL": b"250 ok\r\n",
    "RCPT": b"250 ok\r\n",
    "DATA": b"354 go on\r\n",
    "content": b"250 ok\r\n",
    "RSET": b"250 ok\r\n",
    "QUIT": b"221 bye\r\n",
}


def drop(connection: socket.socket) -> bool:
    """Reset the connection, once the other side has surely seen it come up."""
    time.sleep(0.05)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return True


class ScriptedServer:
    """Says `answers` in place of the defaults; keeps what it heard and what came whole."""

    def __init__(self, answers: Mapping[str, Answer | str]) -> None:
        self._answers = {
            stage: getattr(self, answer) if isinstance(answer, str) else answer
            for stage, answer in {**DEFAULTS, **answers}.items()
        }
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._serve)]
        self.port: int = self._listener.getsockname()[1]
        self.heard: list[str] = []
        self.contents: list[bytes] = []

    def stall(self, connection: socket.socket) -> None:
        """Say nothing more, and read nothing more."""
        self._over.wait()

    def drip(self, connection: socket.socket) -> None:
        """Say one letter of an endless answer now and then."""
        while not self._over.wait(0.02):
            connection.sendall(b"2")

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with contextlib.suppress(OSError), connection, connection.makefile("rb") as lines:
                self._converse(connection, lines)

    def _converse(self, connection: socket.socket, lines: Any) -> None:
        stage = "greeting"
        while not self._answer(stage, connection):
            if stage == "DATA" and "content_begins" in self._answers:
                self._answer("content_begins", connection)
                return
            if stage == "DATA" and not self._refuses_data():
                content = self._content(lines)
                if content is None:
                    return
                self.contents.append(content)
                stage = "content"
                continue
            command = lines.readline().decode()
            if not command:
                return
            self.heard.append(command.strip())
            stage = command.split()[0].upper()

    def _refuses_data(self) -> bool:
        answer = self._answers["DATA"]
        return isinstance(answer, bytes) and answer[:1] in b"45"

    @staticmethod
    def _content(lines: Any) -> bytes | None:
        """All up to the final dot, None when the connection ends before it."""
        content = b""
        while not content.endswith(b"\r\n.\r\n"):
            line = lines.readline()
            if not line:
                return None
            content += line
        return content

    def _answer(self, stage: str, connection: socket.socket) -> bool:
        answer = self._answers.get(stage, b"500 what?\r\n")
        if callable(answer):
            return answer(connection) is True
        connection.sendall(answer)
        return False

    def __enter__(self) -> ScriptedServer:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        # Closing does not wake a thread that waits in accept.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join()


def scripted(**answers: Answer | str) -> ScriptedServer:
    """A scripted server with `answers` in place of the defaults.

    A key is a stage; `content_begins` comes before any of the content is read. The words "stall"
    and "drip" stand for the methods of that name.
    """
    return ScriptedServer(answers)
