"""The calls of one send made bare: the same requests and the same letter, without fhirmsg.

They are taken down from a real send and made again under new identifiers, over a session of the
same kind and over a connection to the mail server that stays open.
"""

from __future__ import annotations

import json
import smtplib
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import requests

from fhirmsg.http import make_session

_CONDITION = "If-None-Exist"
_TIMEOUT = 30.0

Swaps = tuple[tuple[str, str], ...]


@contextmanager
def taken_down(session: requests.Session) -> Iterator[list[requests.PreparedRequest]]:
    """Take down every request that goes over a session within the block."""
    heard: list[requests.PreparedRequest] = []

    def hear(response: requests.Response, **_: Any) -> None:
        heard.append(response.request)

    session.hooks["response"].append(hear)
    yield heard
    session.hooks["response"].remove(hear)


@dataclass(frozen=True, kw_only=True)
class Letter:
    """An e-mail as it was on the wire."""

    sender: str
    to: str
    content: bytes


class BareSend:
    """Makes the calls of one send; nothing but the identifiers in them ever changes.

    Answers are parsed as JSON, and the id that the server gives the entry is taken from them.
    """

    def __init__(
        self, heard: list[requests.PreparedRequest], letter: Letter, port: int, *, patient: str
    ) -> None:
        """Take the requests of one send, and the letter that the mail server took in it."""
        self._session = make_session()
        self._letter, self._port = letter, port
        self._mail: smtplib.SMTP | None = None
        self._requests = heard
        self.kinds = [_kind(each) for each in heard]
        opening = json.loads(heard[self.kinds.index("create")].body or b"")
        completing = json.loads(heard[self.kinds.index("transaction")].body or b"")
        self._patient = patient
        self._was = (
            opening["identifier"][0]["value"],
            heard[self.kinds.index("create")].headers["X-Request-ID"],
            completing["entry"][0]["resource"]["id"],
        )

    def make(self, patient: str) -> None:
        """Make them once, about another patient and under new identifiers."""
        message_id, attempt, entry = str(uuid4()), str(uuid4()), ""
        old_id, old_attempt, old_entry = self._was
        for kind, request in zip(self.kinds, self._requests, strict=True):
            if kind == "transaction":
                self._hand_over((old_id, message_id))
            swaps = (
                (self._patient, patient),
                (old_id, message_id),
                (old_attempt, attempt),
                (f"Communication/{old_entry}", f"Communication/{entry}"),
                (f'"id": "{old_entry}"', f'"id": "{entry}"'),
            )
            answer = self._session.request(
                request.method or "",
                _swapped(request.url or "", swaps),
                data=_swapped(_body(request), swaps).encode(),
                headers={name: _swapped(value, swaps) for name, value in request.headers.items()},
                timeout=_TIMEOUT,
                allow_redirects=False,
            )
            assert answer.ok, answer.text
            content = answer.json()
            if kind == "create":
                assert answer.status_code == 201, answer.text
                entry = content["id"]

    def close(self) -> None:
        """End the connection to the mail server."""
        if self._mail is not None:
            self._mail.quit()

    def _hand_over(self, swap: tuple[str, str]) -> None:
        if self._mail is None:
            self._mail = smtplib.SMTP("127.0.0.1", self._port, local_hostname="[127.0.0.1]")
            assert self._mail.sock is not None
            self._mail.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._mail.ehlo()
        else:
            self._said("RSET", 250)
        content = self._letter.content.replace(*(each.encode() for each in swap))
        self._said(f"MAIL FROM:<{self._letter.sender}> SIZE={len(content)}", 250)
        self._said(f"RCPT TO:<{self._letter.to}>", 250)
        self._said("DATA", 354)
        self._mail.send(content)
        self._mail.send(b".\r\n")
        code, text = self._mail.getreply()
        assert code == 250, text

    def _said(self, command: str, expected: int) -> None:
        assert self._mail is not None
        code, text = self._mail.docmd(command)
        assert code == expected, text


def _body(request: requests.PreparedRequest) -> str:
    body = request.body or b""
    return body if isinstance(body, str) else bytes(body).decode()


def _kind(request: requests.PreparedRequest) -> str:
    if _CONDITION in request.headers:
        return "create"
    content = json.loads(_body(request) or "{}")
    return str(content.get("type") or request.method)


def _swapped(text: str, swaps: Swaps) -> str:
    for swap in swaps:
        text = text.replace(*swap)
    return text
