"""A fake of an organisation's gateway: checks signatures by itself, drops repeats if told to."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from datetime import UTC, datetime
from typing import Any

from fhirmsg.ports import Callback
from fhirmsg.providers.webhook import WebhookSettings
from tests.providers.fakes import Answer, FakeService, Heard

SECRET = "whsec_" + base64.b64encode(b"a secret of the tests, long enough").decode()
OLD_SECRET = "whsec_" + base64.b64encode(b"another secret that is being replaced").decode()


class FakeGateway(FakeService):
    """The gateway; with `deduplicates` it answers 409 to a webhook id that it has taken."""

    def __init__(self, port: int = 0, *, deduplicates: bool = False) -> None:
        super().__init__(port)
        self.deduplicates = deduplicates

    def settings(self, **changes: Any) -> WebhookSettings:
        """Settings with which a provider reaches this very server."""
        return self.settings_for(self.url, **{"deduplicates": self.deduplicates, **changes})

    @staticmethod
    def settings_for(url: str, **changes: Any) -> WebhookSettings:
        """Settings with which a provider reaches a gateway at this address."""
        defaults: dict[str, Any] = {
            "url": f"{url}/messages",
            "secrets": (SECRET,),
        }
        return WebhookSettings(**{**defaults, **changes})

    def answer(self, heard: Heard) -> Answer:
        """Take a message that is signed."""
        number = heard.headers.get("webhook-id", "")
        seconds = heard.headers.get("webhook-timestamp", "")
        wanted = signature(number, seconds, heard.body)
        if wanted not in heard.headers.get("webhook-signature", "").split():
            return Answer(status=401, payload={})
        content = json.loads(heard.body)
        data = content["data"]
        if content["type"] != "message.send" or data["reference"] != number:
            return Answer(status=422, payload={})
        with self.lock:
            before = self.with_reference(number)
            if before and self.deduplicates:
                return Answer(status=409, payload={"id": before[0].id})
            taken = self.take(
                id=f"gateway-{len(self.taken) + 1}",
                reference=number,
                channel=data["channel"],
                to=data["to"],
                body=data["body"],
                subject=data["subject"],
                content=data,
            )
        return Answer(status=202, payload={"id": taken.id})


def callback(
    kind: str,
    data: dict[str, Any],
    *,
    secret: str = SECRET,
    age: float = 0.0,
    body: bytes | None = None,
    **headers: str,
) -> Callback:
    """A callback of the gateway, `age` seconds old; headers in place of the right ones."""
    at = datetime.fromtimestamp(time.time() - age, UTC)
    content = {"type": kind, "timestamp": at.isoformat(), "data": data}
    sent = json.dumps(content).encode() if body is None else body
    seconds = str(int(at.timestamp()))
    right = {
        "webhook-id": "evt_1",
        "webhook-timestamp": seconds,
        "webhook-signature": signature("evt_1", seconds, sent, secret),
    }
    changed = {name.replace("_", "-"): value for name, value in headers.items()}
    return Callback(headers={**right, **changed}, body=sent)


def signature(number: str, seconds: str, body: bytes, secret: str = SECRET) -> str:
    """The signature of Standard Webhooks."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, f"{number}.{seconds}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"
