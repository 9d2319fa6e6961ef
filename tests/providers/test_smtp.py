"""The e-mail as a real server takes it, and what a misbehaving one is believed."""

from __future__ import annotations

import contextlib
import logging
import socket
import time
from dataclasses import replace
from pathlib import Path

import pytest
import trustme

from fhirmsg.clock import Deadline
from fhirmsg.errors import SettingsError
from fhirmsg.guidance.terms import Channel
from fhirmsg.ports import OutboundMessage, Outcome, Receipt
from fhirmsg.providers.smtp import SmtpProvider, SmtpSettings
from tests.providers.servers import ca_file, mail_server, scripted, server_context

MESSAGE = OutboundMessage(
    reference="5b1f2f0a-0000-5000-8000-000000000001",
    channel=Channel.EMAIL,
    to="mary.jones@example.org",
    subject="Your appointment",
    body="Please come on Monday at 9:30.\n",
    platform="practice-email",
)


def settings(port: int, **changes: object) -> SmtpSettings:
    facts = {
        "host": "127.0.0.1",
        "port": port,
        "security": "none",
        "from_address": "noreply@surgery.example",
        "from_name": "Example Surgery",
    }
    return SmtpSettings(**{**facts, **changes})


def send(
    server: SmtpSettings | int,
    message: OutboundMessage = MESSAGE,
    *,
    deadline: float = 20,
) -> Receipt:
    provider = SmtpProvider(settings(server) if isinstance(server, int) else server)
    with contextlib.closing(provider):
        return provider.send(message, start_by=Deadline(20), deadline=Deadline(deadline))


def test_the_letter_names_its_sender_its_message_id_and_that_a_machine_wrote_it() -> None:
    with mail_server() as (port, mailbox):
        send(settings(port, reply_to="desk@surgery.example"))

    [letter], [envelope] = mailbox.letters, mailbox.envelopes
    assert letter.defects == []
    assert letter["Message-ID"] == f"<{MESSAGE.reference}@surgery.example>"
    assert letter["From"] == "Example Surgery <noreply@surgery.example>"
    assert letter["Reply-To"] == "desk@surgery.example"
    assert letter["Subject"] == "Your appointment"
    assert letter["Auto-Submitted"] == "auto-generated"
    assert abs(letter["Date"].datetime.timestamp() - time.time()) < 60
    assert letter["Content-Type"] == 'text/plain; charset="utf-8"'
    assert (envelope.mail_from, envelope.rcpt_tos) == ("noreply@surgery.example", [MESSAGE.to])


@pytest.mark.parametrize(
    ("sender_name", "subject", "sender_shown", "subject_shown"),
    [
        ("", None, "Example Surgery", "Example Surgery"),
        ("Flu Clinic", None, "Flu Clinic", "Flu Clinic"),
        ('Dr. "X" <a@b>, \\', "Łódź — 你好", 'Dr. "X" <a@b>, \\', "Łódź — 你好"),
        ("Zoë", "=?utf-8?q?hi=0D=0ABcc:_x=40y.z?=", "Zoë", "=?utf-8?q?hi=0D=0ABcc:_x=40y.z?="),
    ],
)
def test_names_and_subjects_arrive_as_they_were_written(
    sender_name: str, subject: str | None, sender_shown: str, subject_shown: str
) -> None:
    with mail_server() as (port, mailbox):
        send(port, replace(MESSAGE, sender_name=sender_name, subject=subject))

    [letter] = mailbox.letters
    [sender] = letter["From"].addresses
    assert (sender.display_name, letter["Subject"]) == (sender_shown, subject_shown)
    assert letter["Bcc"] is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"channel": Channel.SMS}, "channel"),
        ({"to": "a@example.org\r\nRCPT TO:<b@example.org>"}, "header-injection"),
        ({"subject": "Hello\nBcc: b@example.org"}, "header-injection"),
        ({"subject": "Hello\rBcc: b@example.org"}, "header-injection"),
        ({"subject": "Hello\u2028Bcc: b@example.org"}, "header-injection"),
        ({"sender_name": "Surgery\0"}, "header-injection"),
        ({"subject": "half \ud83d"}, "not-unicode"),
        ({"to": "a@example.org> <b@example.org"}, "address"),
        ({"to": "a@example.org,b@example.org"}, "address"),
        ({"to": "Mary <a@example.org>"}, "address"),
        ({"to": "a(comment)@example.org"}, "address"),
        ({"to": "a\u200b@example.org"}, "address"),
        ({"to": "+447700900123"}, "address"),
        ({"to": ""}, "address"),
        ({"reference": "m 1>"}, "reference"),
        ({"to": "jürgen@example.org"}, "smtputf8-not-offered"),
        ({"to": "jurgen@exämple.org"}, "smtputf8-not-offered"),
    ],
)
def test_what_does_not_fit_into_an_email_is_refused_and_nothing_sent(
    changes: dict[str, object], reason: str
) -> None:
    with scripted() as server:
        receipt = send(server.port, replace(MESSAGE, **changes))

    assert (receipt.outcome, receipt.reason) == (Outcome.REFUSED, reason)
    assert not any(command.startswith("MAIL") for command in server.heard)


def test_an_international_address_goes_as_it_is_where_the_server_takes_it() -> None:
    with mail_server(enable_SMTPUTF8=True) as (port, mailbox):
        receipt = send(port, replace(MESSAGE, to="jürgen@straße.example"))

    assert receipt.outcome is Outcome.ACCEPTED
    [envelope], [letter] = mailbox.envelopes, mailbox.letters
    assert envelope.rcpt_tos == [letter["To"]] == ["jürgen@straße.example"]


@pytest.mark.parametrize("security", ["starttls", "tls"])
@pytest.mark.parametrize("fault", ["another authority", "another host"])
def test_a_server_that_cannot_prove_who_it_is_gets_nothing(
    security: str, fault: str, tmp_path: Path
) -> None:
    context = server_context("mail.example" if fault == "another host" else "127.0.0.1")
    trusted = ca_file(tmp_path, *([trustme.CA()] if fault == "another authority" else []))
    with mail_server(
        implicit_tls=context if security == "tls" else None,
        tls_context=context if security == "starttls" else None,
    ) as (port, mailbox):
        receipt = send(settings(port, security=security, ca_file=trusted))

    assert (receipt.outcome, receipt.reason) == (Outcome.RETRYABLE, "tls certificate")
    assert mailbox.envelopes == []


def test_where_starttls_is_not_offered_nothing_is_sent_in_the_clear(tmp_path: Path) -> None:
    with scripted() as server:
        receipt = send(settings(server.port, security="starttls"))

    assert (receipt.outcome, receipt.reason) == (Outcome.RETRYABLE, "starttls-not-offered")
    assert [command.split()[0] for command in server.heard] == ["ehlo", "QUIT"]


def test_an_answer_slipped_in_before_the_handshake_ends_the_conversation() -> None:
    with scripted(
        EHLO=b"250-mail\r\n250 STARTTLS\r\n", STARTTLS=b"220 go\r\n250 AUTH PLAIN\r\n"
    ) as server:
        receipt = send(settings(server.port, security="starttls"))

    assert (receipt.outcome, receipt.reason) == (Outcome.RETRYABLE, "tls garbled")


@pytest.mark.parametrize(
    ("password", "expected"),
    [
        ("correct horse", Receipt(outcome=Outcome.ACCEPTED, provider_id="4XyZ1")),
        ("wrong horse", Receipt(outcome=Outcome.RETRYABLE, reason="535 auth")),
    ],
)
@pytest.mark.parametrize("unwanted", ["LOGIN", "PLAIN"])
def test_only_who_logs_in_rightly_can_send(
    password: str, expected: Receipt, unwanted: str, tmp_path: Path
) -> None:
    with mail_server(
        tls_context=server_context(), auth_required=True, auth_exclude_mechanism=[unwanted]
    ) as (port, mailbox):
        receipt = send(
            settings(
                port,
                security="starttls",
                ca_file=ca_file(tmp_path),
                username="surgery",
                password=password,
            )
        )

    assert receipt == expected
    assert len(mailbox.envelopes) == (expected.outcome is Outcome.ACCEPTED)


def test_a_log_in_that_is_not_offered_is_not_left_out() -> None:
    with scripted(EHLO=b"250 mail\r\n") as server:
        receipt = send(settings(server.port, username="surgery", password="correct horse"))

    assert (receipt.outcome, receipt.reason) == (Outcome.RETRYABLE, "auth-not-offered")


def test_a_server_that_is_not_there_can_be_tried_again() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        receipt = send(silent.getsockname()[1])

    assert (receipt.outcome, receipt.reason) == (Outcome.RETRYABLE, "connect failed")


def test_a_name_the_dns_does_not_know_can_be_tried_again_and_keeps_to_the_deadline() -> None:
    began = time.monotonic()

    receipt = send(settings(25, host="mail.invalid", security="tls"), deadline=1)

    assert receipt.outcome is Outcome.RETRYABLE
    assert receipt.reason in ("dns failed", "dns timed-out")
    assert time.monotonic() - began < 3


def test_every_fault_of_the_settings_is_named_at_once() -> None:
    with pytest.raises(SettingsError) as raised:
        settings(
            0,
            host="mail.example",
            from_address="Surgery <noreply@surgery.example>",
            from_name="Surgery\r\nBcc: x@example.org",
            username="surgery",
        )

    assert [fault.split(":")[1].strip() for fault in raised.value.faults] == [
        "port",
        "security",
        "from_address",
        "from_name",
        "username, password",
    ]


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.8.8", "::1"])
def test_only_this_host_is_spoken_to_in_the_clear(host: str) -> None:
    assert settings(25, host=host).security == "none"
    for elsewhere in ("10.0.0.1", "localhost.example", "0.0.0.0"):
        with pytest.raises(SettingsError, match="clear"):
            settings(25, host=elsewhere)


def test_a_missing_file_of_certificates_is_a_fault_of_the_settings(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="ca_file"):
        SmtpProvider(settings(25, ca_file=str(tmp_path / "none.pem")))


def test_the_password_does_not_show() -> None:
    assert "horse" not in repr(settings(25, username="surgery", password="correct horse"))


def test_nothing_is_logged(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with scripted(RCPT=b"550 mary.jones@example.org is unknown\r\n") as server:
        send(server.port)

    assert caplog.text == ""
    assert capfd.readouterr() == ("", "")
