"""GOV.UK Notify: texts and e-mails by its REST API, version 2.

Source: https://docs.notifications.service.gov.uk/rest-api.html. A message goes through a template
of the organisation's own: for a text one whose body is `((body))`, for an e-mail one with the
subject `((subject))` and the body `((body))`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import jwt
import requests

from fhirmsg.clock import Deadline, now
from fhirmsg.errors import ProviderSilent, SettingsError
from fhirmsg.guidance.terms import Channel
from fhirmsg.http import Sending
from fhirmsg.ports import (
    Callback,
    DeliveryReceipt,
    KnownMessage,
    OutboundMessage,
    Outcome,
    ProviderKind,
    Receipt,
    Reply,
)
from fhirmsg.providers import govuk_notify_callbacks as callbacks
from fhirmsg.providers.govuk_notify_templates import NotifyTemplate, why_unfit
from fhirmsg.providers.over_http import (
    ErrorTable,
    HttpAnswer,
    body_of,
    declined,
    get,
    id_of,
    post,
    silent,
    text_of,
    time_of,
)

BASE_URL = "https://api.notifications.service.gov.uk"

_WHO = "GOV.UK Notify"
_UUID = r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
_KEY = re.compile(rf"(?:.*-)?({_UUID})-({_UUID})")
_REFERENCE = re.compile(r"[A-Za-z0-9._-]{1,128}")
_MOST_PAGES = 10_000

# 401 and 403 are about the key or this host's clock, 404 about the address: faults of ours, and
# the message may go once they are mended. 408 says that the request did not come whole. A 500 is
# documented as "resend", but it can come after Notify has stored the message; 502, 503 and 504 are
# those of the machines before it. All four are looked up by reference and not sent again blindly.
ERRORS: ErrorTable = {
    (400, None): Outcome.REFUSED,
    (400, "BadRequestError"): Outcome.REFUSED,
    (400, "ValidationError"): Outcome.REFUSED,
    (401, None): Outcome.RETRYABLE,
    (401, "AuthError"): Outcome.RETRYABLE,
    (403, None): Outcome.RETRYABLE,
    (403, "AuthError"): Outcome.RETRYABLE,
    (403, "BadRequestError"): Outcome.RETRYABLE,
    (404, None): Outcome.RETRYABLE,
    (408, None): Outcome.RETRYABLE,
    (429, None): Outcome.RETRYABLE,
    (429, "RateLimitError"): Outcome.RETRYABLE,
    (429, "TooManyRequestsError"): Outcome.RETRYABLE,
    (500, None): Outcome.MAY_HAVE_LEFT,
    (500, "Exception"): Outcome.MAY_HAVE_LEFT,
    (502, None): Outcome.MAY_HAVE_LEFT,
    (503, None): Outcome.MAY_HAVE_LEFT,
    (504, None): Outcome.MAY_HAVE_LEFT,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifySettings:
    """How to reach the service, and through which templates.

    api_key: `name-service id-secret`, as Notify shows it. A channel without a template is not
    carried. retention_days: how long Notify keeps messages of this service, 3 to 90. The two
    tokens are those that Notify sends back with receipts and replies. Raises SettingsError with
    every fault, each beginning with the field.
    """

    api_key: str = field(repr=False)
    sms: NotifyTemplate | None = None
    email: NotifyTemplate | None = None
    sms_sender_id: str | None = None
    email_reply_to_id: str | None = None
    receipts_token: str | None = field(default=None, repr=False)
    replies_token: str | None = field(default=None, repr=False)
    retention_days: int = 7
    base_url: str = BASE_URL

    def __post_init__(self) -> None:
        """Check what can be checked without asking Notify."""
        ids = {
            "sms_template": None if self.sms is None else self.sms.id,
            "email_template": None if self.email is None else self.email.id,
            "sms_sender_id": self.sms_sender_id,
            "email_reply_to_id": self.email_reply_to_id,
        }
        checks = [
            (_KEY.fullmatch(self.api_key), "api_key: not a name and two UUIDs"),
            (self.sms or self.email, "sms_template, email_template: neither is there"),
            (3 <= self.retention_days <= 90, "retention_days: not between 3 and 90"),
            *(
                (value is None or re.fullmatch(_UUID, value), f"{name}: not a UUID")
                for name, value in ids.items()
            ),
        ]
        if faults := [text for holds, text in checks if not holds]:
            raise SettingsError(faults)


class GovukNotifyProvider:
    """Hands messages to GOV.UK Notify; see Provider, and the optional protocols beside it."""

    name: str = "govuk-notify"
    kind: ProviderKind = ProviderKind.SEARCHABLE
    settle_seconds: float = 30.0
    """For services with many messages Notify answers first and stores later, from a queue: seconds
    as a rule. This is well beyond them, and still short beside the lease."""

    def __init__(self, settings: NotifySettings, session: requests.Session) -> None:
        """Send over `session`, which must not repeat a POST (`fhirmsg.http.make_session`)."""
        self._settings = settings
        self._session = session
        self.retention_seconds: float | None = settings.retention_days * 86400.0
        found = _KEY.fullmatch(settings.api_key)
        self._service, self._secret = found.groups() if found else ("", "")
        self._templates: Mapping[Channel, NotifyTemplate] = {
            channel: template
            for channel, template in (
                (Channel.SMS, settings.sms),
                (Channel.EMAIL, settings.email),
            )
            if template is not None
        }

    def send(self, message: OutboundMessage, *, start_by: Deadline, deadline: Deadline) -> Receipt:
        """Hand one message over. `reason` is a status and Notify's code for the error."""
        template = self._templates.get(message.channel)
        if template is None:
            return Receipt(outcome=Outcome.REFUSED, reason="channel")
        if not _REFERENCE.fullmatch(message.reference):
            return Receipt(outcome=Outcome.REFUSED, reason="reference")
        body = body_of(self._content(message, template))
        if body is None:
            return Receipt(outcome=Outcome.REFUSED, reason="not-unicode")
        answer = post(
            self._session,
            f"{self._settings.base_url}/v2/notifications/{message.channel.value}",
            body,
            self._headers() | {"Content-Type": "application/json"},
            sending=Sending(start_by=start_by),
            deadline=deadline,
        )
        if isinstance(answer, Receipt):
            return answer
        if not answer.succeeded:
            return declined(answer, _code_in(answer), ERRORS)
        number = id_of(answer.payload.get("id"))
        if (
            answer.status != 201
            or not number
            or answer.payload.get("reference") != (message.reference)
        ):
            # Somebody between may have answered. Taken for accepted it could be lost unseen.
            return Receipt(outcome=Outcome.MAY_HAVE_LEFT, reason=f"{answer.status} unreadable")
        return Receipt(outcome=Outcome.ACCEPTED, provider_id=number)

    def find(self, reference: str) -> Receipt | None:
        """Look the message up by its reference. Raises ProviderSilent."""
        found = [
            item for item in self._page({"reference": reference}) if item["reference"] == reference
        ]
        if not found:
            return None
        first = min(found, key=lambda item: str(item.get("created_at")))
        return Receipt(
            outcome=Outcome.ACCEPTED,
            provider_id=id_of(first["id"]),
            at=time_of(first.get("created_at")),
        )

    def known_since(self, since: datetime) -> Iterator[KnownMessage]:
        """Give each message since then, newest first. Raises ProviderSilent, while it goes too."""
        if now() - since > timedelta(days=self._settings.retention_days):
            raise silent(_WHO, "does not keep messages for as long as was asked for")
        older_than: str | None = None
        for _ in range(_MOST_PAGES):
            page = self._page({} if older_than is None else {"older_than": older_than})
            if not page:
                return
            for item in page:
                known = _known(item)
                if known.at is None:
                    raise silent(_WHO, "lists a message without the time it was made")
                if known.at >= since:
                    yield known
            last = _known(page[-1])
            if last.at is not None and last.at < since:
                return
            older_than = last.provider_id
        raise silent(_WHO, "lists more pages than can be read")

    def known_by_id(self, provider_id: str) -> KnownMessage | None:
        """Give the message with Notify's own id, None when it has none such."""
        if not re.fullmatch(_UUID, provider_id):
            return None
        answer = self._ask(f"/v2/notifications/{provider_id}")
        if answer.status == 404 and _code_in(answer) == "NoResultFound":
            return None
        if answer.status != 200 or id_of(answer.payload.get("id")) != provider_id:
            raise silent(_WHO, f"answered {answer.status} without the message")
        return _known(answer.payload)

    def receipts(self, callback: Callback) -> tuple[DeliveryReceipt, ...]:
        """Read a delivery receipt; empty for a message that has no reference of ours."""
        return callbacks.receipts(callback, self._settings.receipts_token)

    def replies(self, callback: Callback) -> tuple[Reply, ...]:
        """Read a text that a person sent back."""
        return callbacks.replies(callback, self._settings.replies_token)

    def why_unusable(self) -> str | None:
        """Tell what is wrong with the key or a template.

        A test key or a team key looks like a live one from here; what it does not deliver shows
        in no answer to this question.
        """
        try:
            for channel, template in self._templates.items():
                if text := why_unfit(self._ask(f"/v2/template/{template.id}"), channel, template):
                    return text
        except ProviderSilent as error:
            return str(error)
        return None

    def _content(self, message: OutboundMessage, template: NotifyTemplate) -> dict[str, Any]:
        content: dict[str, Any] = {
            "template_id": template.id,
            "reference": message.reference,
            "personalisation": template.filled(message),
        }
        if message.channel is Channel.SMS:
            content["phone_number"] = message.to
            if self._settings.sms_sender_id:
                content["sms_sender_id"] = self._settings.sms_sender_id
        else:
            content["email_address"] = message.to
            if self._settings.email_reply_to_id:
                content["email_reply_to_id"] = self._settings.email_reply_to_id
        return content

    def _headers(self) -> dict[str, str]:
        claims = {"iss": self._service, "iat": int(now().timestamp())}
        return {"Authorization": f"Bearer {jwt.encode(claims, self._secret, algorithm='HS256')}"}

    def _ask(self, path: str, params: Mapping[str, str] | None = None) -> HttpAnswer:
        url = f"{self._settings.base_url}{path}"
        return get(self._session, url, self._headers(), who=_WHO, params=params)

    def _page(self, params: Mapping[str, str]) -> list[dict[str, Any]]:
        """Give one page of the list, each with an id and a reference, or raise ProviderSilent."""
        answer = self._ask("/v2/notifications", params)
        items = answer.payload.get("notifications")
        if answer.status != 200 or not isinstance(items, list):
            raise silent(_WHO, f"answered {answer.status} without a list of messages")
        if not all(
            isinstance(item, dict) and id_of(item.get("id")) and "reference" in item
            for item in items
        ):
            raise silent(_WHO, "lists something that is not a message")
        return items


def _code_in(answer: HttpAnswer) -> str | None:
    errors = answer.payload.get("errors")
    first = errors[0] if isinstance(errors, list) and errors else None
    return text_of(first, "error") or None if isinstance(first, dict) else None


def _known(item: Mapping[str, Any]) -> KnownMessage:
    delivery = callbacks.STATUSES.get(text_of(item, "status"))
    if delivery is None:
        raise silent(_WHO, "gave a message a status that this version does not know")
    return KnownMessage(
        reference=text_of(item, "reference"),
        provider_id=text_of(item, "id"),
        delivery=delivery,
        at=time_of(item.get("created_at")),
    )
