"""A fake of GOV.UK Notify: checks tokens, takes texts and e-mails, searches by reference."""

from __future__ import annotations

import json
import time
import uuid
from datetime import UTC, datetime
from typing import Any

import jwt

from fhirmsg.ports import Callback
from fhirmsg.providers.govuk_notify import NotifySettings
from fhirmsg.providers.govuk_notify_templates import NotifyTemplate
from tests.providers.fakes import Answer, FakeService, Heard, Taken

SERVICE = "11111111-2222-4333-8444-555555555555"
SECRET = "66666666-7777-4888-8999-aaaaaaaaaaaa"
API_KEY = f"tests-{SERVICE}-{SECRET}"
SMS_TEMPLATE = "aaaaaaaa-0000-4000-8000-000000000001"
EMAIL_TEMPLATE = "aaaaaaaa-0000-4000-8000-000000000002"
RECEIPTS_TOKEN = "a token for receipts"
REPLIES_TOKEN = "a token for replies"

_TEMPLATES = {
    SMS_TEMPLATE: {"type": "sms", "personalisation": {"body": {"required": True}}},
    EMAIL_TEMPLATE: {
        "type": "email",
        "personalisation": {"body": {"required": True}, "subject": {"required": True}},
    },
}
_TO = {"sms": "phone_number", "email": "email_address"}


class FakeNotify(FakeService):
    """The service; `visible_after` seconds pass before the list shows what was taken."""

    def __init__(self, port: int = 0, *, page: int = 250, visible_after: float = 0.0) -> None:
        super().__init__(port)
        self.page = page
        self.visible_after = visible_after
        self.templates: dict[str, dict[str, Any]] = {
            number: dict(template) for number, template in _TEMPLATES.items()
        }

    def settings(self, **changes: Any) -> NotifySettings:
        """Settings with which a provider reaches this very server."""
        return self.settings_for(self.url, **changes)

    @staticmethod
    def settings_for(url: str, **changes: Any) -> NotifySettings:
        """Settings with which a provider reaches a service at this address."""
        defaults: dict[str, Any] = {
            "api_key": API_KEY,
            "sms": NotifyTemplate(id=SMS_TEMPLATE),
            "email": NotifyTemplate(id=EMAIL_TEMPLATE, subject_field="subject"),
            "receipts_token": RECEIPTS_TOKEN,
            "replies_token": REPLIES_TOKEN,
            "base_url": url,
        }
        return NotifySettings(**{**defaults, **changes})

    def answer(self, heard: Heard) -> Answer:
        """Answer as the documentation says."""
        if not _token_is_right(heard.headers.get("authorization", "")):
            return _error(403, "AuthError")
        match heard.method, heard.path.strip("/").split("/"):
            case "POST", ["v2", "notifications", ("sms" | "email") as channel]:
                return self._taken(channel, json.loads(heard.body))
            case "GET", ["v2", "notifications"]:
                return self._list(heard)
            case "GET", ["v2", "notifications", number]:
                found = [each for each in self.taken if each.id == number]
                return _ok(_shown(found[0])) if found else _error(404, "NoResultFound")
            case "GET", ["v2", "template", number]:
                template = self.templates.get(number)
                return (
                    _error(404, "NoResultFound")
                    if template is None
                    else _ok({"id": number, "version": 1, **template})
                )
        return _error(404, "NotFound")

    def _taken(self, channel: str, content: dict[str, Any]) -> Answer:
        template = self.templates.get(content.get("template_id", ""))
        given = content.get("personalisation", {})
        if template is None or template["type"] != channel or not content.get(_TO[channel]):
            return _error(400, "BadRequestError")
        if set(template["personalisation"]) - set(given):
            return _error(400, "BadRequestError")
        taken = self.take(
            id=str(uuid.uuid4()),
            reference=content.get("reference", ""),
            channel=channel,
            to=content[_TO[channel]],
            body=given["body"],
            subject=given.get("subject"),
            content=content,
        )
        return Answer(status=201, payload={"id": taken.id, "reference": taken.reference})

    def _list(self, heard: Heard) -> Answer:
        with self.lock:
            newest_first = [
                each for each in reversed(self.taken) if each.at + self.visible_after <= time.time()
            ]
        if reference := heard.query.get("reference"):
            newest_first = [each for each in newest_first if each.reference == reference]
        if older_than := heard.query.get("older_than"):
            ids = [each.id for each in newest_first]
            at = ids.index(older_than) + 1 if older_than in ids else len(ids)
            newest_first = newest_first[at:]
        page = newest_first[: self.page]
        return _ok({"notifications": [_shown(each) for each in page], "links": {}})


def receipt(reference: str | None, status: str = "delivered", **changes: Any) -> Callback:
    """The callback that Notify makes about a message."""
    payload = {
        "id": "bbbbbbbb-0000-4000-8000-000000000001",
        "reference": reference,
        "to": "07700900123",
        "status": status,
        "created_at": "2026-05-12T08:30:00.000000Z",
        "sent_at": "2026-05-12T08:30:01.000000Z",
        "completed_at": "2026-05-12T08:30:02.000000Z",
        "notification_type": "sms",
        "template_id": SMS_TEMPLATE,
        "template_version": 1,
    }
    return signed({**payload, **changes}, RECEIPTS_TOKEN)


def reply(text: str = "STOP", **changes: Any) -> Callback:
    """The callback that Notify makes about a text that came in."""
    payload = {
        "id": "cccccccc-0000-4000-8000-000000000001",
        "source_number": "447700900123",
        "destination_number": "07700900999",
        "message": text,
        "date_received": "2026-05-12T09:00:00.000000Z",
    }
    return signed({**payload, **changes}, REPLIES_TOKEN)


def signed(payload: Any, token: str) -> Callback:
    """A callback with a bearer token."""
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return Callback(headers={"authorization": f"Bearer {token}"}, body=body)


def _token_is_right(header: str) -> bool:
    try:
        claims = jwt.decode(
            header.removeprefix("Bearer "),
            SECRET,
            algorithms=["HS256"],
            options={"require": ["iss", "iat"]},
            leeway=30,
            issuer=SERVICE,
        )
    except jwt.InvalidTokenError:
        return False
    return abs(time.time() - claims["iat"]) <= 30 and set(claims) == {"iss", "iat"}


def _shown(taken: Taken) -> dict[str, Any]:
    return {
        "id": taken.id,
        "reference": taken.reference or None,
        _TO[taken.channel]: taken.to,
        "type": taken.channel,
        "status": taken.status,
        "body": taken.body,
        "subject": taken.subject,
        "created_at": datetime.fromtimestamp(taken.at, UTC).isoformat().replace("+00:00", "Z"),
        "sent_at": None,
        "completed_at": None,
    }


def _ok(payload: Any) -> Answer:
    return Answer(status=200, payload=payload)


def _error(status: int, code: str) -> Answer:
    return Answer(
        status=status,
        payload={"status_code": status, "errors": [{"error": code, "message": "no"}]},
    )
