"""A fake of NHS Notify: holds requests against the contract, rejects a repeated reference."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema_rs
import requests
import yaml

from fhirmsg.ports import Callback
from fhirmsg.providers.nhs_notify_request import FREE_TEXT, NhsNotifySettings
from tests.providers.fakes import Answer, FakeService, Fault, Heard, Taken

CONTRACT: Mapping[str, Any] = yaml.safe_load(
    (Path(__file__).parent / "fixtures" / "nhs_notify.yaml").read_text()
)
TOKEN = "an-access-token-of-the-tests"
APPLICATION_ID = "dddddddd-0000-4000-8000-000000000001"
API_KEY = "eeeeeeee-0000-4000-8000-000000000001"

_SCHEMA = jsonschema_rs.validator_for(CONTRACT["request"])
_CHANNELS = {plan.id: (channel, plan) for channel, plan in FREE_TEXT.items()}


class Token(requests.auth.AuthBase):
    """Puts an access token on a request."""

    def __init__(self, token: str = TOKEN) -> None:
        self.token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self.token}"
        return request


class FakeNhsNotify(FakeService):
    """The service; `/comms` is its base."""

    def settings(self, **changes: Any) -> NhsNotifySettings:
        """Settings with which a provider reaches this very server."""
        return self.settings_for(self.url, **changes)

    @staticmethod
    def settings_for(url: str, **changes: Any) -> NhsNotifySettings:
        """Settings with which a provider reaches a service at this address."""
        defaults: dict[str, Any] = {
            "callback_application_id": APPLICATION_ID,
            "callback_api_key": API_KEY,
            "base_url": f"{url}/comms",
        }
        return NhsNotifySettings(**{**defaults, **changes})

    def answer(self, heard: Heard) -> Answer:
        """Answer as the documentation says."""
        if heard.headers.get("authorization") != f"Bearer {TOKEN}":
            return said("denied")
        match heard.method, heard.path.strip("/").split("/"):
            case "POST", ["comms", "v1", "messages"]:
                return self._posted(heard)
            case "GET", ["comms", "v1", "messages", number]:
                found = [each for each in self.taken if each.id == number]
                return Answer(status=200, payload=_shown(found[0])) if found else _not_found()
        return _not_found()

    def _posted(self, heard: Heard) -> Answer:
        if any(heard.headers.get(name) != text for name, text in CONTRACT["headers"].items()):
            return Answer(status=415, payload={})
        content = json.loads(heard.body)
        if not _SCHEMA.is_valid(content):
            return said("invalid")
        attributes = content["data"]["attributes"]
        reference = attributes["messageReference"]
        if attributes["routingPlanId"] not in _CHANNELS:
            return said("no such plan")
        channel, plan = _CHANNELS[attributes["routingPlanId"]]
        with self.lock:
            if self.with_reference(reference):
                return said("duplicate")
            details = attributes["recipient"].get("contactDetails", {})
            taken = self.take(
                id=f"2WL3{len(self.taken):023d}",
                reference=reference,
                channel=channel.value,
                to=details.get(channel.value) or attributes["recipient"]["nhsNumber"],
                body=attributes["personalisation"][plan.body_field],
                subject=attributes["personalisation"].get(plan.subject_field or ""),
                content=attributes,
            )
        return Answer(status=201, payload=_shown(taken))


def said(name: str) -> Answer:
    """One of the error answers of the contract."""
    row = CONTRACT["answers"][name]
    headers = {"Retry-After": str(row["retry_after"])} if "retry_after" in row else {}
    error = {"id": "r1.0", "code": row["code"], "status": str(row["status"]), "title": "no"}
    return Answer(status=row["status"], payload={"errors": [error]}, headers=headers)


def fault(name: str) -> Fault:
    """The next POST gets one of the error answers of the contract."""
    answer = said(name)
    return Fault(status=answer.status, payload=answer.payload, headers=answer.headers)


def message_status(reference: str, status: str = "delivered", **attributes: Any) -> dict[str, Any]:
    """One status of a message, as a callback holds it."""
    return _status("MessageStatus", reference, {"messageStatus": status, **attributes})


def channel_status(
    reference: str, channel: str = "nhsapp", status: str = "delivered", **attributes: Any
) -> dict[str, Any]:
    """One status of a channel, as a callback holds it."""
    return _status(
        "ChannelStatus", reference, {"channel": channel, "channelStatus": status, **attributes}
    )


def callback(*items: Any, body: bytes | None = None, **headers: str) -> Callback:
    """A callback, signed as NHS Notify signs; headers in place of the right ones, `_` for `-`."""
    content = json.dumps({"data": list(items)}).encode() if body is None else body
    secret = f"{APPLICATION_ID}.{API_KEY}".encode()
    right = {
        "x-api-key": API_KEY,
        "x-hmac-sha256-signature": hmac.new(secret, content, hashlib.sha256).hexdigest(),
    }
    changed = {name.replace("_", "-"): value for name, value in headers.items()}
    return Callback(headers={**right, **changed}, body=content)


def _status(kind: str, reference: str, attributes: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": kind,
        "attributes": {
            "messageId": "2WL3qFTEFM0qMY8xjRbt1LIKCzM",
            "messageReference": reference,
            "timestamp": "2026-05-12T08:30:02.000Z",
            **attributes,
        },
        "meta": {"idempotencyKey": "2515ae6b"},
    }


def _shown(taken: Taken) -> dict[str, Any]:
    created = datetime.fromtimestamp(taken.at, UTC).isoformat().replace("+00:00", "Z")
    return {
        "data": {
            "type": "Message",
            "id": taken.id,
            "attributes": {
                "messageReference": taken.reference,
                "messageStatus": taken.status,
                "timestamps": {"created": created},
            },
        }
    }


def _not_found() -> Answer:
    return Answer(status=404, payload={"errors": [{"code": "CM_NOT_FOUND", "status": "404"}]})
