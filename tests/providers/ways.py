"""Every provider with what is behind it, so that one suite can ask the same of all of them."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fhirmsg.clock import Deadline
from fhirmsg.guidance.terms import Channel
from fhirmsg.http import make_session
from fhirmsg.ports import Callback, OutboundMessage, Outcome, Provider, Receipt
from fhirmsg.providers.govuk_notify import GovukNotifyProvider
from fhirmsg.providers.nhs_notify import NhsNotifyProvider
from fhirmsg.providers.outbox import Outbox
from fhirmsg.providers.smtp import SmtpProvider, SmtpSettings
from fhirmsg.providers.webhook import WebhookProvider
from tests.providers import fake_gateway, fake_nhs_notify, fake_notify
from tests.providers.fake_gateway import FakeGateway
from tests.providers.fake_nhs_notify import FakeNhsNotify
from tests.providers.fake_notify import FakeNotify
from tests.providers.fakes import FakeService, Fault
from tests.providers.servers import ca_file, mail_server, scripted, server_context

MESSAGE = OutboundMessage(
    reference="5b1f2f0a-0000-5000-8000-000000000001",
    channel=Channel.EMAIL,
    to="mary.jones@example.org",
    subject="Your appointment",
    body="Please come on Monday at 9:30.\n",
    platform="practice-email",
    sender_name="Example Surgery",
    nhs_number="9990548609",
)
# What nobody may see of it.
PRIVATE = ("mary", "Monday", "appointment", "9990548609")


@dataclass
class WayOut:
    """A provider, a look at the texts that arrived behind it, and its callbacks.

    callbacks: by word (delivered, failed, forged, unreadable), about the message of the suite.
    """

    provider: Provider
    arrived: Callable[[], list[tuple[str, str]]]
    callbacks: dict[str, Callback] = field(default_factory=dict)

    def send(
        self, message: OutboundMessage = MESSAGE, start_by: float = 30, deadline: float = 30
    ) -> Receipt:
        return self.provider.send(message, start_by=Deadline(start_by), deadline=Deadline(deadline))


def outbox(path: str | None) -> WayOut:
    kept = Outbox(path)
    return WayOut(kept, lambda: [(each.to, each.body) for each in kept.messages()])


@contextlib.contextmanager
def smtp(folder: Path, *, implicit: bool) -> Iterator[WayOut]:
    with mail_server(
        implicit_tls=server_context() if implicit else None,
        tls_context=None if implicit else server_context(),
    ) as (port, mailbox):
        settings = SmtpSettings(
            host="127.0.0.1",
            port=port,
            security="tls" if implicit else "starttls",
            from_address="noreply@surgery.example",
            ca_file=ca_file(folder),
        )
        with contextlib.closing(SmtpProvider(settings)) as provider:
            yield WayOut(
                provider,
                lambda: [
                    (letter["To"], letter.get_content().replace("\r\n", "\n"))
                    for letter in mailbox.letters
                ],
            )


@contextlib.contextmanager
def over_http(service: FakeService) -> Iterator[WayOut]:
    """The provider for one of the fakes."""
    with service, make_session() as session:
        provider: Provider
        match service:
            case FakeNotify():
                provider = GovukNotifyProvider(service.settings(), session)
                told = _notify_callbacks()
            case FakeNhsNotify():
                provider = NhsNotifyProvider(service.settings(), session, fake_nhs_notify.Token())
                told = _nhs_notify_callbacks()
            case FakeGateway():
                provider = WebhookProvider(service.settings(), session)
                told = _gateway_callbacks()
            case _:
                raise AssertionError(service)
        yield WayOut(provider, lambda: [(each.to, each.body) for each in service.taken], told)


SERVICES: dict[str, Callable[[], FakeService]] = {
    "govuk-notify": FakeNotify,
    "nhs-notify": FakeNhsNotify,
    "webhook": FakeGateway,
    "webhook that drops repeats": lambda: FakeGateway(deduplicates=True),
}
WAYS = [
    "outbox file",
    "outbox in memory",
    "smtp with starttls",
    "smtp over tls",
    *SERVICES,
]


@contextlib.contextmanager
def way_out(name: str, folder: Path) -> Iterator[WayOut]:
    """One of WAYS, working."""
    if name.startswith("outbox"):
        yield outbox(str(folder / "outbox.db") if "file" in name else None)
        return
    with (
        smtp(folder, implicit="over" in name)
        if "smtp" in name
        else over_http(SERVICES[name]()) as way
    ):
        yield way


# How the next hand-off is made to end so; a fault of the service, or the answers of a mail server.
ENDINGS: dict[tuple[str, Outcome], Any] = {
    ("outbox", Outcome.RETRYABLE): None,
    ("smtp", Outcome.REFUSED): {"RCPT": b"550 no\r\n"},
    ("smtp", Outcome.RETRYABLE): {"RCPT": b"451 later\r\n"},
    ("smtp", Outcome.MAY_HAVE_LEFT): {"content": lambda connection: True},
    ("govuk-notify", Outcome.REFUSED): Fault(
        status=400, payload={"errors": [{"error": "ValidationError", "message": MESSAGE.to}]}
    ),
    ("govuk-notify", Outcome.RETRYABLE): Fault(
        status=429, payload={"errors": [{"error": "RateLimitError", "message": MESSAGE.to}]}
    ),
    ("govuk-notify", Outcome.MAY_HAVE_LEFT): Fault(takes=True, then="drop"),
    ("nhs-notify", Outcome.REFUSED): fake_nhs_notify.fault("invalid"),
    ("nhs-notify", Outcome.RETRYABLE): fake_nhs_notify.fault("quota"),
    ("nhs-notify", Outcome.MAY_HAVE_LEFT): Fault(takes=True, then="drop"),
    ("webhook", Outcome.REFUSED): Fault(status=400, payload={"error": MESSAGE.to}),
    ("webhook", Outcome.RETRYABLE): Fault(status=429, payload={"error": MESSAGE.to}),
    ("webhook", Outcome.MAY_HAVE_LEFT): Fault(takes=True, then="drop"),
}


@contextlib.contextmanager
def ending(name: str, outcome: Outcome, folder: Path) -> Iterator[WayOut]:
    """A provider whose next hand-off ends so."""
    ends = ENDINGS[name, outcome]
    if name == "outbox":
        path = str(folder / "outbox.db")
        way = outbox(path)
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield way
        return
    if name == "smtp":
        with scripted(**ends) as server:
            settings = SmtpSettings(
                host="127.0.0.1",
                port=server.port,
                security="none",
                from_address="noreply@surgery.example",
            )
            yield WayOut(SmtpProvider(settings), list)
        return
    service = SERVICES[name]()
    service.faults.append(ends)
    with over_http(service) as way:
        yield way


def _notify_callbacks() -> dict[str, Callback]:
    delivered = fake_notify.receipt(MESSAGE.reference, notification_type="email")
    return {
        "delivered": delivered,
        "failed": fake_notify.receipt(MESSAGE.reference, "permanent-failure"),
        "forged": replace(delivered, headers={"authorization": "Bearer another"}),
        "unreadable": fake_notify.receipt(MESSAGE.reference, "teleported"),
    }


def _nhs_notify_callbacks() -> dict[str, Callback]:
    delivered = fake_nhs_notify.message_status(MESSAGE.reference)
    failed = fake_nhs_notify.message_status(
        MESSAGE.reference, "failed", messageFailureReasonCode="MFR_PDSV_0002"
    )
    right = fake_nhs_notify.callback(delivered)
    return {
        "delivered": right,
        "failed": fake_nhs_notify.callback(failed),
        "forged": replace(right, body=right.body + b" "),
        "unreadable": fake_nhs_notify.callback({**delivered, "type": "Weather"}),
    }


def _gateway_callbacks() -> dict[str, Callback]:
    about = {"reference": MESSAGE.reference, "id": "gateway-1"}
    delivered = fake_gateway.callback("message.delivered", about)
    return {
        "delivered": delivered,
        "failed": fake_gateway.callback("message.failed", {**about, "reason": "blocked"}),
        "forged": replace(delivered, body=delivered.body + b" "),
        "unreadable": fake_gateway.callback("message.eaten", about),
    }
