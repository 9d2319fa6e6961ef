"""Messages one after the other over a connection, and what a connection that has ended costs."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fhirmsg.clock import Deadline
from fhirmsg.guidance.terms import Channel
from fhirmsg.ports import ChecksItself, OutboundMessage, Outcome, Receipt
from fhirmsg.providers.smtp import SmtpProvider, SmtpSettings
from tests.providers.servers import (
    ScriptedServer,
    ca_file,
    drop,
    mail_server,
    scripted,
    server_context,
)

MESSAGE = OutboundMessage(
    reference="m-1",
    channel=Channel.EMAIL,
    to="mary.jones@example.org",
    subject="Your appointment",
    body="Please come on Monday at 9:30.\n",
)


@contextlib.contextmanager
def a_provider(port: int, **changes: Any) -> Iterator[SmtpProvider]:
    facts = {
        "host": "127.0.0.1",
        "port": port,
        "security": "none",
        "from_address": "noreply@surgery.example",
    }
    with contextlib.closing(SmtpProvider(SmtpSettings(**{**facts, **changes}))) as provider:
        yield provider


def send(provider: SmtpProvider, number: int = 1, *, deadline: float = 20) -> Receipt:
    message = replace(MESSAGE, reference=f"m-{number}", body=f"number {number}\n")
    return provider.send(message, start_by=Deadline(20), deadline=Deadline(deadline))


def connections(server: ScriptedServer) -> int:
    return sum(command.startswith("ehlo") for command in server.heard)


# The real server takes a log-in over implicit TLS for one in the clear, and complains.
@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
@pytest.mark.parametrize("security", ["none", "starttls", "tls"])
@pytest.mark.parametrize("logs_in", [True, False])
def test_one_message_after_the_other_goes_over_one_connection(
    security: str, logs_in: bool, tmp_path: Path
) -> None:
    facts: dict[str, Any] = {"security": security, "ca_file": ca_file(tmp_path)}
    if logs_in:
        facts |= {"username": "surgery", "password": "correct horse"}
    with (
        mail_server(
            implicit_tls=server_context() if security == "tls" else None,
            tls_context=server_context() if security == "starttls" else None,
            auth_require_tls=False,
            auth_required=logs_in,
        ) as (port, mailbox),
        a_provider(port, **facts) as provider,
    ):
        receipts = [send(provider, number) for number in range(5)]

    assert [receipt.outcome for receipt in receipts] == [Outcome.ACCEPTED] * 5
    assert [letter["Message-ID"] for letter in mailbox.letters] == [
        f"<m-{number}@surgery.example>" for number in range(5)
    ]
    assert mailbox.connections == 1


def test_a_connection_that_the_server_has_ended_meanwhile_is_found_before_anything_is_written() -> (
    None
):
    with (
        mail_server(timeout=0.2) as (port, mailbox),
        a_provider(port) as provider,
    ):
        assert send(provider, 1).outcome is Outcome.ACCEPTED
        time.sleep(0.5)
        assert send(provider, 2).outcome is Outcome.ACCEPTED

    assert mailbox.connections == 2
    assert len(mailbox.envelopes) == 2


@pytest.mark.parametrize(
    "answer",
    [
        b"421 too many\r\n",
        b"451 later\r\n",
        b"500 what?\r\n",
        b"220 ok\r\n",
        b"250 ok\r\n250 and more\r\n",
        b"nonsense\r\n",
        drop,
    ],
)
def test_where_the_server_does_not_answer_as_it_should_a_new_connection_is_made(
    answer: bytes | Callable[[socket.socket], bool],
) -> None:
    with scripted(RSET=answer) as server, a_provider(server.port) as provider:
        assert send(provider, 1).outcome is Outcome.ACCEPTED
        assert send(provider, 2).outcome is Outcome.ACCEPTED

    assert connections(server) == 2
    assert len(server.contents) == 2
    # Between the first message and the second connection nothing was said but the question.
    verbs = [command.split()[0].lower() for command in server.heard]
    assert verbs[verbs.index("data") + 1 :][:2] == ["rset", "ehlo"]


def test_what_comes_unasked_while_a_connection_waits_ends_it() -> None:
    def ok_and_a_good_bye(connection: socket.socket) -> None:
        connection.sendall(b"250 ok\r\n")
        time.sleep(0.1)
        connection.sendall(b"250 something nobody asked for\r\n")

    with scripted(content=ok_and_a_good_bye) as server, a_provider(server.port) as provider:
        assert send(provider, 1).outcome is Outcome.ACCEPTED
        time.sleep(0.3)
        assert send(provider, 2).outcome is Outcome.ACCEPTED

    assert connections(server) == 2
    assert "rset" not in (command.lower() for command in server.heard)


@pytest.mark.parametrize(
    ("stage", "answer", "outcome"),
    [
        ("RCPT", b"550 unknown\r\n", Outcome.REFUSED),
        ("RCPT", b"451 later\r\n", Outcome.RETRYABLE),
        ("DATA", b"554 no\r\n", Outcome.REFUSED),
        ("content", b"451 later\r\n", Outcome.RETRYABLE),
        ("content", b"nonsense\r\n", Outcome.MAY_HAVE_LEFT),
        ("content", drop, Outcome.MAY_HAVE_LEFT),
    ],
)
def test_a_connection_is_not_used_again_after_anything_but_an_accepted_message(
    stage: str, answer: bytes | Callable[[socket.socket], bool], outcome: Outcome
) -> None:
    with scripted(**{stage: answer}) as server, a_provider(server.port) as provider:
        assert send(provider, 1).outcome is outcome
        assert send(provider, 2).outcome is outcome

    assert connections(server) == 2


def test_whether_a_message_may_have_left_is_asked_anew_for_each() -> None:
    answers = iter([b"250 ok\r\n", None])

    def once(connection: socket.socket) -> bool | None:
        answer = next(answers)
        return drop(connection) if answer is None else connection.sendall(answer)

    # The second message breaks off before its content, on the connection of the first.
    with scripted(DATA=b"354 go on\r\n", MAIL=once) as server, a_provider(server.port) as provider:
        assert send(provider, 1).outcome is Outcome.ACCEPTED
        second = send(provider, 2)

    assert (second.outcome, second.reason) == (Outcome.RETRYABLE, "mail connection-lost")
    assert connections(server) == 1


def test_a_second_message_that_breaks_off_after_its_dot_may_have_left() -> None:
    answers = iter([b"250 ok\r\n", None])

    def once(connection: socket.socket) -> bool | None:
        answer = next(answers)
        return drop(connection) if answer is None else connection.sendall(answer)

    with scripted(content=once) as server, a_provider(server.port) as provider:
        assert send(provider, 1).outcome is Outcome.ACCEPTED
        assert send(provider, 2).outcome is Outcome.MAY_HAVE_LEFT

    assert connections(server) == 1
    assert len(server.contents) == 2


def test_a_connection_waits_only_so_long_and_ends_with_a_good_bye() -> None:
    with scripted() as server, a_provider(server.port, idle_seconds=0.2) as provider:
        send(provider)
        assert server.heard[-1] != "QUIT"
        time.sleep(0.6)
        assert server.heard[-1] == "QUIT"
        assert send(provider).outcome is Outcome.ACCEPTED
        assert connections(server) == 2


def test_where_none_may_wait_each_message_has_a_connection_of_its_own() -> None:
    with scripted() as server, a_provider(server.port, idle_seconds=0) as provider:
        assert [send(provider).outcome for _ in range(3)] == [Outcome.ACCEPTED] * 3
        assert connections(server) == 3


def test_a_connection_carries_a_hundred_messages_and_no_more() -> None:
    with mail_server() as (port, mailbox), a_provider(port) as provider:
        for number in range(101):
            assert send(provider, number).outcome is Outcome.ACCEPTED

    assert mailbox.connections == 2


def test_no_more_than_four_wait_at_the_same_time() -> None:
    with mail_server() as (port, mailbox), a_provider(port) as provider:
        for _ in range(2):
            together = threading.Barrier(8)

            def one(barrier: threading.Barrier = together) -> None:
                barrier.wait()
                send(provider)

            threads = [threading.Thread(target=one) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        before = mailbox.connections
        for number in range(10):
            send(provider, number)
        assert mailbox.connections == before
        assert len(mailbox.envelopes) == 26


def test_closing_says_good_bye_and_keeps_none_from_then_on() -> None:
    with scripted() as server, a_provider(server.port) as provider:
        send(provider)
        provider.close()
        assert server.heard[-1] == "QUIT"
        assert send(provider).outcome is Outcome.ACCEPTED
        assert server.heard[-1] == "QUIT"
        assert connections(server) == 2


# Later versions of Python warn of every fork beside threads.
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")
def test_a_fork_uses_no_connection_of_its_parent() -> None:
    with mail_server() as (port, mailbox), a_provider(port) as provider:
        send(provider, 1)
        child = os.fork()
        if child == 0:
            accepted = send(provider, 2).outcome is Outcome.ACCEPTED
            os._exit(0 if accepted else 1)
        _, status = os.waitpid(child, 0)
        assert status == 0
        assert mailbox.connections == 2
        # And what the child did has not hurt the parent's.
        assert send(provider, 3).outcome is Outcome.ACCEPTED
        assert mailbox.connections == 2
        assert len(mailbox.envelopes) == 3


def test_a_deadline_that_has_passed_is_not_used_up_by_a_dead_connection() -> None:
    with scripted() as server, a_provider(server.port) as provider:
        send(provider)
        receipt = send(provider, deadline=0)

    assert receipt.outcome is Outcome.RETRYABLE
    assert len(server.contents) == 1


# --- whether it could be used -------------------------------------------------------------------


def test_a_server_that_takes_the_log_in_is_usable_and_gets_no_message(tmp_path: Path) -> None:
    with (
        mail_server(tls_context=server_context(), auth_required=True) as (port, mailbox),
        a_provider(
            port,
            security="starttls",
            ca_file=ca_file(tmp_path),
            username="surgery",
            password="correct horse",
        ) as provider,
    ):
        assert isinstance(provider, ChecksItself)
        assert provider.why_unusable() is None

    assert mailbox.envelopes == []


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        ({"AUTH": b"535 mary.jones is locked\r\n"}, "(535 auth); check FHIRMSG_SMTP_USERNAME"),
        ({"greeting": b"554 go away mary\r\n"}, "(554 greeting); check FHIRMSG_SMTP_SECURITY"),
        ({"EHLO": b"250 mail\r\n"}, "(auth-not-offered); check FHIRMSG_SMTP_USERNAME"),
        ({"EHLO": drop}, "(ehlo connection-lost); look at the server"),
        ({"EHLO": b"mary\r\n"}, "(ehlo garbled); look at the server"),
    ],
)
def test_what_keeps_messages_from_leaving_is_told_in_one_sentence_of_ours(
    answers: dict[str, Any], says: str
) -> None:
    with (
        scripted(**answers) as server,
        a_provider(server.port, username="surgery", password="correct horse") as provider,
    ):
        told = provider.why_unusable()

    assert told is not None
    assert says in told
    assert told.endswith(".")
    assert "mary" not in told


def test_a_server_that_is_not_there_is_unusable() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        with a_provider(silent.getsockname()[1]) as provider:
            told = provider.why_unusable()

    assert told is not None
    assert "(connect failed); check FHIRMSG_SMTP_HOST and FHIRMSG_SMTP_PORT" in told


def test_a_server_whose_certificate_is_of_nobody_known_is_unusable() -> None:
    with (
        mail_server(implicit_tls=server_context()) as (port, _),
        a_provider(port, security="tls") as provider,
    ):
        told = provider.why_unusable()

    assert told is not None
    assert "(tls certificate); check FHIRMSG_SMTP_HOST and FHIRMSG_SMTP_CA_FILE" in told
