"""Webhook: messages to an organisation's own gateway, signed by Standard Webhooks.

Source: https://www.standardwebhooks.com. The id of a webhook is the message id, the same on every
try, so that a gateway can drop what it has.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

import requests

from fhirmsg import clock
from fhirmsg.clock import Deadline
from fhirmsg.errors import SettingsError
from fhirmsg.http import Sending
from fhirmsg.ports import (
    Callback,
    DeliveryReceipt,
    OutboundMessage,
    Outcome,
    ProviderKind,
    Receipt,
    Reply,
)
from fhirmsg.providers import webhook_callbacks as callbacks
from fhirmsg.providers.over_http import (
    ErrorTable,
    HttpAnswer,
    body_of,
    declined,
    id_of,
    post,
    silent,
)
from fhirmsg.providers.webhook_signing import headers_for, key_of

# A full stop would make the signed text read in two ways.
_REFERENCE = re.compile(r"[A-Za-z0-9_-]{1,128}")
_LINK_LOCAL = (ipaddress.ip_network("169.254.0.0/16"), ipaddress.ip_network("fe80::/10"))

# 401 and 403 are about the signature: faults of ours, and the message may go once they are mended.
# 408, 425 and 429 say that it was not taken. 409 says that there is one with this id, and whether
# that one went is told only by a gateway that promises to drop repeats. A gateway passes things
# on, so a 5xx of it says nothing of how far the message came.
ERRORS: ErrorTable = {
    (401, None): Outcome.RETRYABLE,
    (403, None): Outcome.RETRYABLE,
    (408, None): Outcome.RETRYABLE,
    (409, None): Outcome.MAY_HAVE_LEFT,
    (425, None): Outcome.RETRYABLE,
    (429, None): Outcome.RETRYABLE,
    (500, None): Outcome.MAY_HAVE_LEFT,
    (502, None): Outcome.MAY_HAVE_LEFT,
    (503, None): Outcome.MAY_HAVE_LEFT,
    (504, None): Outcome.MAY_HAVE_LEFT,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookSettings:
    """Where the gateway is, and what is signed with.

    secrets: `whsec_` and base64 of 24 to 64 bytes each; more than one while one is replaced.
    deduplicates: whether the gateway promises to drop a webhook id that it has taken, for
    `remembers_hours`. Raises SettingsError with every fault; none shows a secret.
    """

    url: str
    secrets: tuple[str, ...] = field(repr=False)
    deduplicates: bool = False
    remembers_hours: float = 24.0

    def __post_init__(self) -> None:
        """Check the secrets; the settings have checked the address."""
        faults = [] if self.secrets else ["secrets: there is none"]
        for number, secret in enumerate(self.secrets, 1):
            if key_of(secret) is None:
                faults.append(
                    f"secrets: number {number} is not whsec_ and base64 of 24 to 64 bytes"
                )
        if faults:
            raise SettingsError(faults)


def may_be_reached(address: str) -> bool:
    """Tell whether a webhook may go to an IP address: not to those of the link and of clouds.

    Asked for the address that the connection really has, so no answer of a name server gets round
    it. Where a proxy makes the connections, the proxy has to keep to this.
    """
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    plain = getattr(ip, "ipv4_mapped", None) or ip
    return not any(plain in network for network in _LINK_LOCAL)


class WebhookProvider:
    """Hands messages to a gateway; see Provider, and the optional protocols beside it."""

    name: str = "webhook"
    settle_seconds: float = 0.0

    def __init__(
        self,
        settings: WebhookSettings,
        session: requests.Session,
        *,
        now: Callable[[], datetime] = clock.now,
        may_reach: Callable[[str], bool] = may_be_reached,
    ) -> None:
        """Send over `session`, which must not repeat a POST (`fhirmsg.http.make_session`)."""
        self._may_reach = may_reach
        self._url = settings.url
        self._deduplicates = settings.deduplicates
        self._keys = tuple(key for key in map(key_of, settings.secrets) if key is not None)
        self._session = session
        self._now = now
        self.kind = ProviderKind.REJECTS_REPEATS if settings.deduplicates else ProviderKind.NEITHER
        self.retention_seconds: float | None = (
            settings.remembers_hours * 3600.0 if settings.deduplicates else None
        )

    def send(self, message: OutboundMessage, *, start_by: Deadline, deadline: Deadline) -> Receipt:
        """Hand one message over; any 2xx is an acceptance, but for a web page."""
        if not _REFERENCE.fullmatch(message.reference):
            return Receipt(outcome=Outcome.REFUSED, reason="reference")
        at = self._now()
        body = body_of(
            {
                "type": "message.send",
                "timestamp": at.isoformat(),
                "data": {
                    "reference": message.reference,
                    "channel": message.channel.value,
                    "to": message.to,
                    "subject": message.subject,
                    "body": message.body,
                    "platform": message.platform,
                    "sender_name": message.sender_name,
                },
            }
        )
        if body is None:
            return Receipt(outcome=Outcome.REFUSED, reason="not-unicode")
        answer = post(
            self._session,
            self._url,
            body,
            headers_for(message.reference, at, body, self._keys)
            | {"Content-Type": "application/json"},
            sending=Sending(start_by=start_by, may_reach=self._may_reach),
            deadline=deadline,
        )
        return answer if isinstance(answer, Receipt) else self._receipt(answer)

    def find(self, reference: str) -> Receipt | None:
        """Raise ProviderSilent: a gateway cannot be asked, and None would be read as a no."""
        raise silent("A gateway", "cannot be asked what became of a message")

    def receipts(self, callback: Callback) -> tuple[DeliveryReceipt, ...]:
        """Read what the gateway says about one message."""
        return callbacks.receipts(callback, self._keys, self._now())

    def replies(self, callback: Callback) -> tuple[Reply, ...]:
        """Read what a person sent back through the gateway."""
        return callbacks.replies(callback, self._keys, self._now())

    def _receipt(self, answer: HttpAnswer) -> Receipt:
        number = id_of(answer.payload.get("id"))
        if answer.succeeded and answer.is_page:
            return Receipt(outcome=Outcome.MAY_HAVE_LEFT, reason=f"{answer.status} page")
        if answer.succeeded:
            return Receipt(outcome=Outcome.ACCEPTED, provider_id=number)
        if answer.status == 409 and self._deduplicates:
            return Receipt(outcome=Outcome.ACCEPTED, provider_id=number, reason="accepted-before")
        return declined(answer, None, ERRORS)
