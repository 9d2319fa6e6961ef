"""NHS Notify: messages to people by their NHS number, over the NHS API platform.

Source: https://digital.nhs.uk/developer/api-catalogue/nhs-notify.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import requests

from fhirmsg.clock import Deadline
from fhirmsg.errors import ProviderSilent
from fhirmsg.http import Sending
from fhirmsg.ports import (
    Callback,
    DeliveryReceipt,
    KnownMessage,
    OutboundMessage,
    Outcome,
    ProviderKind,
    Receipt,
)
from fhirmsg.providers import nhs_notify_callbacks as callbacks
from fhirmsg.providers.nhs_notify_request import NhsNotifySettings, attributes_of, why_unfit
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

_WHO = "NHS Notify"
_TYPE = "application/vnd.api+json"
_DUPLICATE = (422, "CM_DUPLICATE_REQUEST")
# Nobody's message: the id of all noughts, which asks for an answer and finds nothing.
_NOBODYS = "0" * 27
# Duplicates are known for 9 to 16 months, by version of the documentation; the shorter, in days.
_RETENTION_DAYS = 270

# 401, 403 and 404 are about the token, the client and the routing plan: faults of ours, and the
# message may go once they are mended. 425 says that an earlier hand-off is still being worked on.
# A 503 with its code is documented as "not accepting requests"; without it, it is one of the
# machines before NHS Notify, some of which answer 503 when they lose a connection midway. 408 may
# come from within after the request was passed on, and 500 and 504 say nothing of how far it came.
# 422 with another code may be a duplicate by another name.
ERRORS: ErrorTable = {
    (400, None): Outcome.REFUSED,
    (400, "CM_INVALID_VALUE"): Outcome.REFUSED,
    (400, "CM_MISSING_VALUE"): Outcome.REFUSED,
    (400, "CM_NULL_VALUE"): Outcome.REFUSED,
    (400, "CM_INVALID_NHS_NUMBER"): Outcome.REFUSED,
    (400, "CM_CANNOT_SET_CONTACT_DETAILS"): Outcome.RETRYABLE,
    (400, "CM_CANNOT_SET_ODS_CODE"): Outcome.RETRYABLE,
    (400, "CM_ODS_CODE_REQUIRED"): Outcome.RETRYABLE,
    (401, None): Outcome.RETRYABLE,
    (401, "CM_DENIED"): Outcome.RETRYABLE,
    (403, None): Outcome.RETRYABLE,
    (403, "CM_FORBIDDEN"): Outcome.RETRYABLE,
    (404, None): Outcome.RETRYABLE,
    (404, "CM_NO_SUCH_ROUTING_PLAN"): Outcome.RETRYABLE,
    (408, None): Outcome.MAY_HAVE_LEFT,
    (422, None): Outcome.MAY_HAVE_LEFT,
    (425, None): Outcome.RETRYABLE,
    (425, "CM_RETRY_TOO_EARLY"): Outcome.RETRYABLE,
    (429, None): Outcome.RETRYABLE,
    (429, "CM_QUOTA"): Outcome.RETRYABLE,
    (500, None): Outcome.MAY_HAVE_LEFT,
    (502, None): Outcome.MAY_HAVE_LEFT,
    (503, None): Outcome.MAY_HAVE_LEFT,
    (503, "CM_SERVICE_UNAVAILABLE"): Outcome.RETRYABLE,
    (504, None): Outcome.MAY_HAVE_LEFT,
}


class NhsNotifyProvider:
    """Hands messages to NHS Notify; see Provider, and the optional protocols beside it.

    What people answer in the NHS App is called back over mutual TLS and not signed, so it is not
    taken here.
    """

    name: str = "nhs-notify"
    kind: ProviderKind = ProviderKind.REJECTS_REPEATS
    settle_seconds: float = 0.0
    retention_seconds: float | None = _RETENTION_DAYS * 86400.0

    def __init__(
        self,
        settings: NhsNotifySettings,
        session: requests.Session,
        auth: requests.auth.AuthBase | None,
    ) -> None:
        """Send over `session`, which must not repeat a POST; `auth` puts the access token on."""
        self._settings = settings
        self._session = session
        self._auth = auth

    def send(self, message: OutboundMessage, *, start_by: Deadline, deadline: Deadline) -> Receipt:
        """Hand one message over; a duplicate is the success of the one before it."""
        plan = self._settings.plans.get(message.channel)
        if plan is None:
            return Receipt(outcome=Outcome.REFUSED, reason="channel")
        if word := why_unfit(message, self._settings):
            return Receipt(outcome=Outcome.REFUSED, reason=word)
        body = body_of(
            {
                "data": {
                    "type": "Message",
                    "attributes": attributes_of(message, plan, self._settings),
                }
            }
        )
        if body is None:
            return Receipt(outcome=Outcome.REFUSED, reason="not-unicode")
        answer = post(
            self._session,
            f"{self._settings.base_url}/v1/messages",
            body,
            {
                "Content-Type": _TYPE,
                "Accept": _TYPE,
                # The same on every try, as the platform wants it for one that is made again.
                "X-Request-ID": message.reference,
                "X-Correlation-ID": message.reference,
            },
            sending=Sending(start_by=start_by),
            deadline=deadline,
            auth=self._auth,
        )
        return answer if isinstance(answer, Receipt) else _receipt(answer, message.reference)

    def find(self, reference: str) -> Receipt | None:
        """Raise ProviderSilent: it is asked by posting again, and None would be read as a no."""
        raise silent(_WHO, "cannot be asked for a reference of ours, only be sent it again")

    def known_by_id(self, provider_id: str) -> KnownMessage | None:
        """Give the message with NHS Notify's own id, None when it has none such."""
        number = id_of(provider_id)
        if number is None:
            return None
        answer = self._ask(number)
        if answer.status == 404 and _code_in(answer) == "CM_NOT_FOUND":
            return None
        data = _object(answer.payload, "data")
        attributes = _object(data, "attributes")
        delivery = callbacks.MESSAGE_STATUSES.get(text_of(attributes, "messageStatus"))
        if answer.status != 200 or data.get("id") != number or delivery is None:
            raise silent(_WHO, f"answered {answer.status} without the message")
        return KnownMessage(
            reference=text_of(attributes, "messageReference"),
            provider_id=number,
            delivery=delivery,
            at=time_of(_object(attributes, "timestamps").get("created")),
        )

    def receipts(self, callback: Callback) -> tuple[DeliveryReceipt, ...]:
        """Read a callback about the status of messages and of their channels."""
        settings = self._settings
        return callbacks.receipts(
            callback, settings.callback_application_id, settings.callback_api_key
        )

    def why_unusable(self) -> str | None:
        """Tell whether the address or the access token is not right. Asks for nobody's message."""
        try:
            answer = self._ask(_NOBODYS)
        except ProviderSilent as error:
            return str(error)
        if answer.status in (401, 403):
            return (
                f"NHS Notify answered {answer.status}, so no message could be sent. Check the "
                "application's key, and that it is subscribed to NHS Notify."
            )
        if answer.status == 404 and _code_in(answer) == "CM_NOT_FOUND":
            return None
        host = urlsplit(self._settings.base_url).hostname
        return (
            f"{host} answered {answer.status} to a look-up, which is not what NHS Notify does, so "
            "nobody knows whether messages could be sent. Check the address; try again later."
        )

    def _ask(self, number: str) -> HttpAnswer:
        url = f"{self._settings.base_url}/v1/messages/{number}"
        return get(self._session, url, {"Accept": _TYPE}, who=_WHO, auth=self._auth)


def _receipt(answer: HttpAnswer, reference: str) -> Receipt:
    code = _code_in(answer)
    if (answer.status, code) == _DUPLICATE:
        return Receipt(outcome=Outcome.ACCEPTED, reason="accepted-before")
    if not answer.succeeded:
        receipt = declined(answer, code, ERRORS)
        if answer.status != 425:
            return receipt
        return Receipt(
            outcome=receipt.outcome,
            reason=receipt.reason,
            retry_after=receipt.retry_after,
            pending=True,
        )
    data = _object(answer.payload, "data")
    attributes = _object(data, "attributes")
    number = id_of(data.get("id"))
    if number is None or text_of(attributes, "messageReference") != reference:
        # Somebody between may have answered. Taken for accepted it could be lost unseen.
        return Receipt(outcome=Outcome.MAY_HAVE_LEFT, reason=f"{answer.status} unreadable")
    return Receipt(
        outcome=Outcome.ACCEPTED,
        provider_id=number,
        at=time_of(_object(attributes, "timestamps").get("created")),
    )


def _code_in(answer: HttpAnswer) -> str | None:
    errors = answer.payload.get("errors")
    first = errors[0] if isinstance(errors, list) and errors else None
    return text_of(first, "code") or None if isinstance(first, dict) else None


def _object(payload: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = payload.get(key)
    return value if isinstance(value, dict) else {}
