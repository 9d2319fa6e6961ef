"""What a misbehaving mail server is believed: whether the message may have left or surely not."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from fhirmsg.clock import Deadline
from fhirmsg.guidance.terms import Channel
from fhirmsg.ports import OutboundMessage, Outcome, Receipt
from fhirmsg.providers.smtp import SmtpProvider, SmtpSettings
from tests.providers.servers import drop, scripted

MESSAGE = OutboundMessage(
    reference="m-1",
    channel=Channel.EMAIL,
    to="mary.jones@example.org",
    subject="Your appointment",
    body="Please come on Monday at 9:30.\n",
)
OURS = "<m-1@surgery.example>"
# More than the buffers of a connection hold.
LONG = replace(MESSAGE, body="Please come on Monday at 9:30.\n" * 250_000)


def send(
    port: int,
    message: OutboundMessage = MESSAGE,
    *,
    start_by: Deadline | None = None,
    deadline: float = 20,
) -> Receipt:
    settings = SmtpSettings(
        host="127.0.0.1",
        port=port,
        security="none",
        from_address="noreply@surgery.example",
        username="surgery",
        password="correct horse",
    )
    with contextlib.closing(SmtpProvider(settings)) as provider:
        return provider.send(
            message, start_by=start_by or Deadline(20), deadline=Deadline(deadline)
        )


def verbs(heard: list[str]) -> list[str]:
    return [command.split()[0].upper() for command in heard]


EARLY = ["greeting", "EHLO", "AUTH", "MAIL", "RCPT", "DATA"]


@pytest.mark.parametrize("stage", [*EARLY, "content"])
def test_a_4xx_at_any_stage_can_be_tried_again(stage: str) -> None:
    with scripted(**{stage: b"451 not now, mary.jones@example.org\r\n"}) as server:
        receipt = send(server.port)

    assert receipt == Receipt(outcome=Outcome.RETRYABLE, reason=f"451 {stage.lower()}")
    assert len(server.contents) == (stage == "content")


@pytest.mark.parametrize(
    ("stage", "outcome"),
    [
        ("greeting", Outcome.RETRYABLE),
        ("EHLO", Outcome.RETRYABLE),
        ("AUTH", Outcome.RETRYABLE),
        ("MAIL", Outcome.REFUSED),
        ("RCPT", Outcome.REFUSED),
        ("DATA", Outcome.REFUSED),
        ("content", Outcome.REFUSED),
    ],
)
def test_a_5xx_refuses_the_message_only_where_it_is_about_the_message(
    stage: str, outcome: Outcome
) -> None:
    with scripted(**{stage: b"550-mary.jones@example.org\r\n550 never\r\n"}) as server:
        receipt = send(server.port)

    assert receipt == Receipt(outcome=outcome, reason=f"550 {stage.lower()}")


@pytest.mark.parametrize("code", [530, 534, 535, 538])
def test_a_log_in_that_a_later_command_asks_for_is_not_the_messages_fault(code: int) -> None:
    with scripted(MAIL=f"{code} log in first\r\n".encode()) as server:
        assert send(server.port) == Receipt(outcome=Outcome.RETRYABLE, reason=f"{code} mail")


@pytest.mark.parametrize("stage", EARLY)
@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (drop, "connection-lost"),
        (b"250 half an ans", "timed-out"),
        (b"\xff\xfe25O ok\r\n", "garbled"),
        (b"250-one\r\n451 other\r\n", "garbled"),
        (b"HTTP/1.1 200 OK\r\n", "garbled"),
        (b"999 what\r\n", "garbled"),
        (b"250-" + b"x" * 20_000, "garbled"),
        (b"250-more\r\n" * 500, "garbled"),
        ("stall", "timed-out"),
        ("drip", "timed-out"),
    ],
)
def test_before_the_content_nothing_a_server_does_can_have_let_it_leave(
    stage: str, answer: bytes | str, word: str
) -> None:
    began = time.monotonic()
    with scripted(**{stage: answer}) as server:
        receipt = send(server.port, deadline=0.4)

    assert receipt.outcome is Outcome.RETRYABLE
    assert server.contents == []
    assert time.monotonic() - began < 3
    assert receipt.reason == f"{stage.lower()} {word}"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (drop, "answer connection-lost"),
        (b"250 half an ans", "answer timed-out"),
        (b"25O ok\r\n", "answer garbled"),
        (b"250-ok\r\n550 never\r\n", "answer garbled"),
        (b"354 go on\r\n", "answer garbled"),
        (b"\r\n", "answer garbled"),
        ("stall", "answer timed-out"),
        ("drip", "answer timed-out"),
    ],
)
def test_after_the_final_dot_only_a_clear_answer_says_that_it_did_not_leave(
    answer: bytes | str, reason: str
) -> None:
    began = time.monotonic()
    with scripted(content=answer) as server:
        receipt = send(server.port, deadline=0.4)

    assert receipt == Receipt(outcome=Outcome.MAY_HAVE_LEFT, reason=reason)
    assert len(server.contents) == 1
    assert time.monotonic() - began < 3


def drop_amid(connection: socket.socket) -> bool:
    connection.recv(100)
    return drop(connection)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [(drop_amid, "content connection-lost"), ("stall", "content timed-out")],
)
def test_what_broke_off_before_the_final_dot_was_written_cannot_have_left(
    answer: Callable[[socket.socket], bool] | str, reason: str
) -> None:
    with scripted(content_begins=answer) as server:
        receipt = send(server.port, LONG, deadline=2)

    assert receipt == Receipt(outcome=Outcome.RETRYABLE, reason=reason)


def test_a_server_that_answers_the_content_before_it_has_it_gets_none() -> None:
    with scripted(DATA=b"354 go on\r\n250 ok\r\n") as server:
        receipt = send(server.port)

    assert receipt == Receipt(outcome=Outcome.RETRYABLE, reason="content garbled")
    assert server.contents == []


class Clock:
    """A clock that stands still until it is told to go on."""

    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at

    def jump_and_say(self, answer: bytes) -> Callable[[socket.socket], None]:
        def jump(connection: socket.socket) -> None:
            self.at += 60
            connection.sendall(answer)

        return jump


def test_a_slow_answer_to_rcpt_can_make_it_too_late_and_the_server_is_told() -> None:
    clock = Clock()
    with scripted(RCPT=clock.jump_and_say(b"250 ok\r\n")) as server:
        receipt = send(server.port, start_by=Deadline(30, clock=clock))

    assert receipt == Receipt(outcome=Outcome.RETRYABLE, reason="started-too-late")
    assert verbs(server.heard)[-3:] == ["RCPT", "RSET", "QUIT"]


def test_a_slow_answer_to_data_can_make_it_too_late_and_ends_the_connection() -> None:
    clock = Clock()
    with scripted(DATA=clock.jump_and_say(b"354 go on\r\n")) as server:
        receipt = send(server.port, start_by=Deadline(30, clock=clock))

    assert receipt == Receipt(outcome=Outcome.RETRYABLE, reason="started-too-late")
    assert verbs(server.heard)[-1] == "DATA"
    assert server.contents == []


@pytest.mark.parametrize("farewell", [drop, b"nonsense\r\n", b"550 stay\r\n", "stall", "drip"])
def test_the_farewell_changes_nothing(farewell: bytes | str) -> None:
    began = time.monotonic()
    with scripted(QUIT=farewell) as server:
        assert send(server.port).outcome is Outcome.ACCEPTED

    assert time.monotonic() - began < 3


@pytest.mark.parametrize(
    ("answer", "provider_id"),
    [
        (b"250 2.0.0 Ok: queued as 4XyZ1q0Kz9z1", "4XyZ1q0Kz9z1"),
        (b"250 OK id=1tAbCd-00000001abc-2XyZ", "1tAbCd-00000001abc-2XyZ"),
        (b"250 2.6.0 <m@x> [InternalId=12345678901, Hostname=A] Queued mail", "12345678901"),
        (b"250 2.0.0 5AJA1xYz012345 Message accepted for delivery", "5AJA1xYz012345"),
        (b"250 Ok 0102018f-aaaa-000000", "0102018f-aaaa-000000"),
        (b"250-2.0.0 thanks\r\n250 2.0.0 queued as ABC123.", "ABC123"),
        (b"250 OK", OURS),
        (b"250", OURS),
        (b"252 Message accepted", OURS),
        (b"250 queued as " + b"7" * 129, "7" * 128),
        (b"250 queued as \xff\xfe\x07\x1b[2J", OURS),
        (b"250 queued as mary.jones@example.org", OURS),
        (b"250 OK id=for-Mary.Jones-1", OURS),
    ],
)
def test_the_provider_id_is_the_servers_queue_number_or_our_message_id(
    answer: bytes, provider_id: str
) -> None:
    with scripted(content=answer + b"\r\n") as server:
        receipt = send(server.port)

    assert receipt == Receipt(outcome=Outcome.ACCEPTED, provider_id=provider_id)


def test_each_message_has_a_connection_of_its_own_and_goes_to_one_address() -> None:
    with scripted() as server:
        for _ in range(2):
            send(server.port)

    assert verbs(server.heard) == ["EHLO", "AUTH", "MAIL", "RCPT", "DATA", "QUIT"] * 2
    assert server.heard[0] == "ehlo [127.0.0.1]"
    assert server.heard[3] == "RCPT TO:<mary.jones@example.org>"


def test_a_line_that_is_a_dot_does_not_end_the_content() -> None:
    with scripted() as server:
        send(server.port, replace(MESSAGE, body="One.\n.\nRCPT TO:<a@example.org>\n"))

    [content] = server.contents
    assert b"\r\n..\r\nRCPT" in content
    assert content.count(b"\r\n.\r\n") == 1
    assert b"\n" not in content.replace(b"\r\n", b"")
