"""What GOV.UK Notify calls back with: delivery receipts, and texts that people send.

Source: https://docs.notifications.service.gov.uk/rest-api.html#callbacks
"""

from __future__ import annotations

import hmac

from fhirmsg.errors import CallbackRefused
from fhirmsg.guidance.terms import Channel
from fhirmsg.ports import Callback, Delivery, DeliveryReceipt, Reply
from fhirmsg.providers.over_http import id_of, read_callback, text_of, time_of, unreadable

_WHO = "GOV.UK Notify"

# `sent` is as much as foreign networks tell; the last three are those of letters.
STATUSES = {
    "created": Delivery.ACCEPTED,
    "sending": Delivery.ACCEPTED,
    "pending": Delivery.ACCEPTED,
    "sent": Delivery.ACCEPTED,
    "delivered": Delivery.DELIVERED,
    "permanent-failure": Delivery.FAILED,
    "temporary-failure": Delivery.FAILED,
    "technical-failure": Delivery.FAILED,
    "pending-virus-check": Delivery.ACCEPTED,
    "accepted": Delivery.ACCEPTED,
    "received": Delivery.DELIVERED,
    "virus-scan-failed": Delivery.FAILED,
    "validation-failed": Delivery.FAILED,
    "cancelled": Delivery.FAILED,
}
_CHANNELS = {"sms": Channel.SMS, "email": Channel.EMAIL, "letter": Channel.LETTER}


def receipts(callback: Callback, token: str | None) -> tuple[DeliveryReceipt, ...]:
    """Read one receipt; empty for a message sent without a reference, which is none of ours."""
    _authenticate(callback, token)
    payload = read_callback(callback, _WHO)
    status = text_of(payload, "status")
    number = id_of(payload.get("id"))
    if number is None or "reference" not in payload or "notification_type" not in payload:
        raise unreadable(_WHO, "is not a delivery receipt")
    delivery = STATUSES.get(status)
    if delivery is None:
        raise unreadable(_WHO, "has a status that this version does not know")
    reference = payload["reference"]
    if reference is None or reference == "":
        return ()
    if id_of(reference) is None:
        # Another system of the organisation's sends through the same service.
        return ()
    return (
        DeliveryReceipt(
            reference=reference,
            delivery=delivery,
            at=time_of(payload.get("completed_at")) or time_of(payload.get("sent_at")),
            reason=status if delivery is Delivery.FAILED else "",
            provider_id=number,
            channel=_CHANNELS.get(text_of(payload, "notification_type")),
        ),
    )


def replies(callback: Callback, token: str | None) -> tuple[Reply, ...]:
    """Read one text that came in."""
    _authenticate(callback, token)
    payload = read_callback(callback, _WHO)
    number, sender = id_of(payload.get("id")), text_of(payload, "source_number")
    at = time_of(payload.get("date_received"))
    if number is None or not sender or at is None or not isinstance(payload.get("message"), str):
        raise unreadable(_WHO, "is not a text message that was received")
    return (Reply(id=number, channel=Channel.SMS, sender=sender, text=payload["message"], at=at),)


def _authenticate(callback: Callback, token: str | None) -> None:
    given = callback.headers.get("authorization", "").encode()
    if not token or not hmac.compare_digest(given, f"Bearer {token}".encode()):
        raise CallbackRefused(
            "A callback for GOV.UK Notify did not bring its bearer token, so nothing in it was "
            "looked at. Set the same token here and in Notify, under API integration, Callbacks."
        )
