"""Each real provider behind the fault proxy, with what is behind both."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from fhirmsg.clock import Deadline
from fhirmsg.http import make_session
from fhirmsg.ports import OutboundMessage, Provider, Receipt
from fhirmsg.providers.govuk_notify import GovukNotifyProvider
from fhirmsg.providers.nhs_notify import NhsNotifyProvider
from fhirmsg.providers.smtp import SmtpProvider, SmtpSettings
from fhirmsg.providers.webhook import WebhookProvider
from tests.providers.fake_gateway import FakeGateway
from tests.providers.fake_nhs_notify import FakeNhsNotify, Token
from tests.providers.fake_notify import FakeNotify
from tests.providers.servers import mail_server
from tests.rigs.faultproxy import FaultProxy

TEXT: dict[str, Any] = {}
LETTER = {
    "platform": "letters",
    "channel": "email",
    "content": {"subject": "Your appointment", "body": "Please come on Monday at 10:30."},
}


class Died(BaseException):
    """The process ended in the midst of it."""


@dataclass
class WayOut:
    """A provider through the proxy; `taken` gives the references that arrived behind both.

    body: what a request changes to go this way.
    """

    provider: Provider
    proxy: FaultProxy
    taken: Callable[[], list[str]]
    body: dict[str, Any]


class Dying:
    """A provider whose process ends once it has handed over, or just before; kept as it is."""

    def __init__(self, bare: Any, *, after: bool) -> None:
        self._bare, self._after = bare, after
        self.name, self.kind, self.settle_seconds = bare.name, bare.kind, 0.0
        self.retention_seconds = bare.retention_seconds
        self.dies = True

    def send(self, message: OutboundMessage, *, start_by: Deadline, deadline: Deadline) -> Receipt:
        """Hand over, and die if it is time to."""
        if self.dies and not self._after:
            raise Died
        receipt: Receipt = self._bare.send(message, start_by=start_by, deadline=deadline)
        if self.dies:
            raise Died
        return receipt

    def find(self, reference: str) -> Receipt | None:
        """Ask the provider."""
        found: Receipt | None = self._bare.find(reference)
        return found


@contextlib.contextmanager
def govuk_notify() -> Iterator[WayOut]:
    with (
        FakeNotify() as service,
        FaultProxy.before(service.url) as proxy,
        make_session() as session,
    ):
        settings = service.settings_for(proxy.url_of(service.url))
        provider = GovukNotifyProvider(settings, session)
        yield WayOut(provider, proxy, lambda: [each.reference for each in service.taken], TEXT)


@contextlib.contextmanager
def nhs_notify() -> Iterator[WayOut]:
    with (
        FakeNhsNotify() as service,
        FaultProxy.before(service.url) as proxy,
        make_session() as session,
    ):
        settings = service.settings_for(proxy.url_of(service.url))
        provider = NhsNotifyProvider(settings, session, Token())
        yield WayOut(provider, proxy, lambda: [each.reference for each in service.taken], TEXT)


@contextlib.contextmanager
def gateway(*, deduplicates: bool = False) -> Iterator[WayOut]:
    with (
        FakeGateway(deduplicates=deduplicates) as service,
        FaultProxy.before(service.url) as proxy,
        make_session() as session,
    ):
        settings = service.settings_for(proxy.url_of(service.url), deduplicates=deduplicates)
        provider = WebhookProvider(settings, session)
        yield WayOut(provider, proxy, lambda: [each.reference for each in service.taken], TEXT)


@contextlib.contextmanager
def smtp() -> Iterator[WayOut]:
    with mail_server() as (port, mailbox), FaultProxy(("127.0.0.1", port), lines=True) as proxy:
        settings = SmtpSettings(
            host="127.0.0.1",
            port=proxy.port,
            security="none",
            from_address="surgery@example.com",
            idle_seconds=0,
        )
        provider = SmtpProvider(settings)

        def taken() -> list[str]:
            return [each["Message-ID"].strip("<>").partition("@")[0] for each in mailbox.letters]

        with contextlib.closing(provider):
            yield WayOut(provider, proxy, taken, LETTER)


WAYS: dict[str, Callable[[], contextlib.AbstractContextManager[WayOut]]] = {
    "govuk-notify": govuk_notify,
    "nhs-notify": nhs_notify,
    "webhook": gateway,
    "webhook-dedup": lambda: gateway(deduplicates=True),
    "smtp": smtp,
}
