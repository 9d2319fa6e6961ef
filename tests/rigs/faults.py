"""Faults of a network and of a server behind it, and when each of them strikes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum


class Where(StrEnum):
    """The point of an exchange at which a fault strikes."""

    BEFORE_REQUEST = "before the request"
    """Nothing of the request is forwarded."""
    MID_REQUEST = "mid request"
    """Half of the request is forwarded."""
    BEFORE_ANSWER = "before the answer"
    """The request is forwarded whole and answered; nothing of the answer is passed back."""
    MID_ANSWER = "mid answer"
    """Half of the answer is passed back."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What happens at a point of an exchange, at most one of these; with none it goes well.

    reset: both connections are reset. stall: seconds without a byte (cut short by `clear`), then
    it goes on. answer: given in place of the target's, after the request was forwarded when
    `where` is BEFORE_ANSWER. truncate: the answer's body is halved, its Content-Length that of
    the half ("right") or of the whole ("wrong"; then the connection is closed). drip: seconds
    for each byte of the answer.
    """

    where: Where = Where.BEFORE_ANSWER
    reset: bool = False
    stall: float | None = None
    answer: bytes | None = None
    truncate: str | None = None
    drip: float | None = None
    name: str = ""


RESET_BEFORE_REQUEST = Fault(reset=True, where=Where.BEFORE_REQUEST, name="reset-before-request")
RESET_MID_REQUEST = Fault(reset=True, where=Where.MID_REQUEST, name="reset-mid-request")
RESET_BEFORE_ANSWER = Fault(reset=True, where=Where.BEFORE_ANSWER, name="reset-before-answer")
RESET_MID_ANSWER = Fault(reset=True, where=Where.MID_ANSWER, name="reset-mid-answer")
TRUNCATED_RIGHT_LENGTH = Fault(truncate="right", name="truncated-right-length")
TRUNCATED_WRONG_LENGTH = Fault(truncate="wrong", name="truncated-wrong-length")
DRIP = Fault(drip=0.5, name="drip")


def stall(seconds: float, where: Where = Where.BEFORE_ANSWER) -> Fault:
    """Say nothing for so long at a point."""
    return Fault(stall=seconds, where=where, name=f"stall-{where.replace(' ', '-')}")


def status(
    code: int,
    *,
    forwarded: bool = False,
    body: bytes = b"",
    content_type: str = "text/html",
    retry_after: int | None = None,
) -> Fault:
    """Answer with a status in the target's place, before or after the request was forwarded."""
    more = "" if retry_after is None else f"Retry-After: {retry_after}\r\n"
    head = (
        f"HTTP/1.1 {code} Said by the proxy\r\nContent-Type: {content_type}\r\n{more}"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    where = Where.BEFORE_ANSWER if forwarded else Where.BEFORE_REQUEST
    after = "-after-forwarding" if forwarded else ""
    return Fault(answer=head.encode() + body, where=where, name=f"{code}{after}")


def html_200(*, forwarded: bool = False) -> Fault:
    """Answer 200 with a page of HTML, as a captive portal or a log-in page does."""
    return status(200, forwarded=forwarded, body=b"<html><body>Please log in</body></html>")


CATALOGUE: dict[str, Fault] = {
    each.name: each
    for each in (
        *(RESET_BEFORE_REQUEST, RESET_MID_REQUEST, RESET_BEFORE_ANSWER, RESET_MID_ANSWER),
        *(stall(30, Where.BEFORE_ANSWER), stall(30, Where.MID_ANSWER)),
        *(TRUNCATED_RIGHT_LENGTH, TRUNCATED_WRONG_LENGTH, DRIP),
        *(html_200(), html_200(forwarded=True)),
        *(status(429, retry_after=1), status(429, retry_after=1, forwarded=True)),
        *(status(code, forwarded=forwarded) for code in (500, 503) for forwarded in (False, True)),
    )
}
"""Every fault by name, for tests that go through all of them."""


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """An exchange that begins: numbers from 1 over the proxy's life, and its request (or line)."""

    number: int
    connection: int
    request: bytes = field(repr=False)


@dataclass
class Record:
    """What became of one exchange: bytes forwarded to the target and passed back, and by what."""

    number: int
    connection: int
    request: bytes = field(repr=False)
    fault: str = ""
    forwarded: int = 0
    passed: int = 0
    status: int | None = None

    @property
    def first_line(self) -> str:
        """The request line, or the line."""
        return self.request.split(b"\r\n", 1)[0].decode("latin-1")

    @property
    def forwarded_whole(self) -> bool:
        """Whether the target has all of the request."""
        return self.forwarded == len(self.request)


@dataclass
class Plan:
    """A fault, for which exchanges, and for how many of them (None: for all that come)."""

    fault: Fault
    when: Callable[[Exchange], bool]
    skip: int
    times: int | None


class Plans:
    """What is planned; may be changed while exchanges run."""

    def __init__(self) -> None:
        self._lock = threading.Condition()
        self._plans: list[Plan] = []
        self.clearings = 0

    def add(self, plan: Plan) -> None:
        """Plan a fault; of several that fit an exchange the first strikes."""
        with self._lock:
            self._plans.append(plan)

    def clear(self) -> None:
        """Forget all of it, and let what is stalled go on."""
        with self._lock:
            self._plans = []
            self.clearings += 1
            self._lock.notify_all()

    def pause(self, seconds: float, clearings: int) -> None:
        """Wait for so long, or until `clear` is called more often than it was."""
        with self._lock:
            self._lock.wait_for(lambda: self.clearings != clearings, seconds)

    def strikes(self, exchange: Exchange) -> Fault | None:
        """Give the fault for an exchange, and count it."""
        with self._lock:
            for plan in self._plans:
                if plan.times == 0 or not plan.when(exchange):
                    continue
                if plan.skip:
                    plan.skip -= 1
                    continue
                if plan.times is not None:
                    plan.times -= 1
                return plan.fault
        return None
