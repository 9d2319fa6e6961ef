"""What NHS Notify calls back with: the status of messages, and of the channels they went by.

Source: https://digital.nhs.uk/developer/api-catalogue/nhs-notify, "Receive a callback". The key
comes in a header; the body is signed with HMAC-SHA256 under `{application id}.{key}`.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

from fhirmsg.errors import CallbackRefused
from fhirmsg.guidance.terms import Channel
from fhirmsg.ports import Callback, Delivery, DeliveryReceipt
from fhirmsg.providers.over_http import (
    code_of,
    id_of,
    read_callback,
    text_of,
    time_of,
    unreadable,
)

_WHO = "NHS Notify"

MESSAGE_STATUSES = {
    "created": Delivery.ACCEPTED,
    "pending_enrichment": Delivery.ACCEPTED,
    "enriched": Delivery.ACCEPTED,
    "sending": Delivery.ACCEPTED,
    "delivered": Delivery.DELIVERED,
    "failed": Delivery.FAILED,
}
CHANNEL_STATUSES = {
    "created": Delivery.ACCEPTED,
    "sending": Delivery.ACCEPTED,
    "delivered": Delivery.DELIVERED,
    "failed": Delivery.FAILED,
    "skipped": Delivery.FAILED,
}
_CHANNELS = {
    "nhsapp": Channel.NHS_APP,
    "email": Channel.EMAIL,
    "sms": Channel.SMS,
    "letter": Channel.LETTER,
}


def receipts(
    callback: Callback, application_id: str | None, api_key: str | None
) -> tuple[DeliveryReceipt, ...]:
    """Read each status of a callback, all of them or none."""
    _authenticate(callback, application_id, api_key)
    items = read_callback(callback, _WHO).get("data")
    if not isinstance(items, list) or not items:
        raise unreadable(_WHO, "holds no list of statuses")
    return tuple(map(_read, items))


def _read(item: object) -> DeliveryReceipt:
    attributes = item.get("attributes") if isinstance(item, dict) else None
    if not isinstance(item, dict) or not isinstance(attributes, dict):
        raise unreadable(_WHO, "holds something that is not a status")
    kind = text_of(item, "type")
    if kind not in ("MessageStatus", "ChannelStatus"):
        raise unreadable(_WHO, "holds a type that this version does not know")
    reference, at = id_of(attributes.get("messageReference")), time_of(attributes.get("timestamp"))
    if reference is None or at is None:
        raise unreadable(_WHO, "does not say which message it is about, or when")
    delivery, reason = (
        _of_message(attributes) if kind == "MessageStatus" else _of_channel(attributes)
    )
    channel = None
    if kind == "ChannelStatus":
        channel = _CHANNELS.get(text_of(attributes, "channel"))
        if channel is None:
            raise unreadable(_WHO, "is about a channel that this version does not know")
    return DeliveryReceipt(
        reference=reference,
        delivery=delivery,
        at=at,
        reason=reason,
        provider_id=id_of(attributes.get("messageId")),
        channel=channel,
    )


def _of_message(attributes: Mapping[str, Any]) -> tuple[Delivery, str]:
    delivery = MESSAGE_STATUSES.get(text_of(attributes, "messageStatus"))
    if delivery is None:
        raise unreadable(_WHO, "has a message status that this version does not know")
    failed = delivery is Delivery.FAILED
    return delivery, code_of(attributes.get("messageFailureReasonCode")) if failed else ""


def _of_channel(attributes: Mapping[str, Any]) -> tuple[Delivery, str]:
    """Tell how it went by one channel; that somebody read it only its supplier's status says."""
    status = text_of(attributes, "channelStatus")
    delivery = CHANNEL_STATUSES.get(status)
    if delivery is None:
        raise unreadable(_WHO, "has a channel status that this version does not know")
    supplier = text_of(attributes, "supplierStatus")
    if delivery is Delivery.DELIVERED and supplier == "read":
        return Delivery.READ, ""
    if delivery is not Delivery.FAILED:
        return delivery, ""
    return delivery, status if status == "skipped" else code_of(supplier) or status


def _authenticate(callback: Callback, application_id: str | None, api_key: str | None) -> None:
    headers = callback.headers
    key = headers.get("x-api-key", "").encode()
    signature = headers.get("x-hmac-sha256-signature", "").strip().lower().encode()
    if application_id and api_key:
        secret = f"{application_id}.{api_key}".encode()
        wanted = hmac.new(secret, callback.body, hashlib.sha256).hexdigest().encode()
        # Both are looked at, whatever the first one gives.
        right = hmac.compare_digest(key, api_key.encode())
        if hmac.compare_digest(signature, wanted) and right:
            return
    raise CallbackRefused(
        "A callback for NHS Notify did not bring its key and a signature that fits, so nothing in "
        "it was looked at. Check the application id and the key that NHS Notify gave for callbacks."
    )
