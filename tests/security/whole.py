"""The whole service: every provider before its fake, in this process or in one of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flask.testing import FlaskClient

from fhirmsg.app import Service, compose
from fhirmsg.config import Settings
from fhirmsg.sandbox import Store, serve_in_thread
from tests.providers import fake_gateway, fake_nhs_notify, fake_notify
from tests.providers.fake_gateway import FakeGateway
from tests.providers.fake_nhs_notify import FakeNhsNotify
from tests.providers.fake_notify import FakeNotify
from tests.providers.servers import Mailbox, mail_server
from tests.serving import KEY, a_message, write_settings
from tests.world import a_patient_resource, put

PLATFORM = """
  {name}:
    provider: {provider}
    channels: [{channel}]
    approved: {{from: 2025-01-01, until: null}}
    fallbacks: []
    notifies_by: []
"""
PLATFORMS = {
    "texts": ("webhook", "sms"),
    "notify": ("govuk-notify", "sms"),
    "nhs": ("nhs-notify", "nhs-app"),
    "letters": ("smtp", "email"),
}


@dataclass
class Whole:
    """Every fake, and the environment of a process that sends through all of them."""

    base: str
    environment: dict[str, str]
    gateway: FakeGateway
    notify: FakeNotify
    nhs: FakeNhsNotify
    mailbox: Mailbox

    def service(self) -> Service:
        """Compose it in this process."""
        return compose(Settings.from_environment(self.environment))


@contextlib.contextmanager
def whole(folder: Path, base: str = "", **more: str) -> Iterator[Whole]:
    """Give the whole of it; `base` is the FHIR server's as the service knows it."""
    with (
        serve_in_thread(Store()) as store,
        FakeGateway() as gateway,
        FakeNotify() as notify,
        FakeNhsNotify() as nhs,
        mail_server() as (port, mailbox),
    ):
        put(store.base_url, a_patient_resource())
        environment = write_settings(
            folder,
            base or store.base_url,
            FHIRMSG_WEBHOOK_URL=f"{gateway.url}/messages",
            FHIRMSG_WEBHOOK_SECRETS=fake_gateway.SECRET,
            FHIRMSG_GOVUK_NOTIFY_API_KEY=fake_notify.API_KEY,
            FHIRMSG_GOVUK_NOTIFY_SMS_TEMPLATE=fake_notify.SMS_TEMPLATE,
            FHIRMSG_GOVUK_NOTIFY_EMAIL_TEMPLATE=fake_notify.EMAIL_TEMPLATE,
            FHIRMSG_GOVUK_NOTIFY_RECEIPTS_TOKEN=fake_notify.RECEIPTS_TOKEN.replace(" ", "-"),
            FHIRMSG_GOVUK_NOTIFY_REPLIES_TOKEN=fake_notify.REPLIES_TOKEN.replace(" ", "-"),
            FHIRMSG_GOVUK_NOTIFY_BASE_URL=notify.url,
            FHIRMSG_NHS_NOTIFY_BASE_URL=f"{nhs.url}/comms",
            FHIRMSG_NHS_NOTIFY_CALLBACK_APPLICATION_ID=fake_nhs_notify.APPLICATION_ID,
            FHIRMSG_NHS_NOTIFY_CALLBACK_API_KEY=fake_nhs_notify.API_KEY,
            FHIRMSG_SMTP_HOST="127.0.0.1",
            FHIRMSG_SMTP_PORT=str(port),
            FHIRMSG_SMTP_SECURITY="none",
            FHIRMSG_SMTP_FROM="surgery@example.com",
            **more,
        )
        file = folder / "policy.yaml"
        head, _, rest = file.read_text().partition("platforms:\n")
        tail = "default_platform: {sms: texts, email: letters, nhs-app: nhs}\n"
        assert "default_platform" in rest
        rows = "".join(
            PLATFORM.format(name=name, provider=provider, channel=channel)
            for name, (provider, channel) in PLATFORMS.items()
        )
        file.write_text(f"{head}platforms:{rows}{tail}")
        yield Whole(store.base_url, environment, gateway, notify, nhs, mailbox)


def send(client: FlaskClient, key: str = "key-1", **changes: Any) -> Any:
    """Send a message in this process."""
    headers = {"Authorization": f"Bearer {KEY}", "Idempotency-Key": key}
    return client.post("/v1/messages", json=a_message(**changes), headers=headers)
