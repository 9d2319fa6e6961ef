"""What a gateway calls back with, signed as what goes to it: receipts, and what people answer.

Receipts: {type: message.accepted | delivered | read | failed, timestamp, data: {reference, id?,
reason?, channel?}}. Replies: {type: message.reply, timestamp, data: {id, channel, from, text,
reference?}}.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from fhirmsg.guidance.terms import Channel
from fhirmsg.ports import Callback, Delivery, DeliveryReceipt, Reply
from fhirmsg.providers.over_http import (
    code_of,
    id_of,
    read_callback,
    text_of,
    time_of,
    unreadable,
)
from fhirmsg.providers.webhook_signing import authenticate

_WHO = "the gateway"

TYPES = {
    "message.accepted": Delivery.ACCEPTED,
    "message.delivered": Delivery.DELIVERED,
    "message.read": Delivery.READ,
    "message.failed": Delivery.FAILED,
}
_CHANNELS = {channel.value: channel for channel in Channel}


def receipts(
    callback: Callback, keys: Sequence[bytes], now: datetime
) -> tuple[DeliveryReceipt, ...]:
    """Read one receipt."""
    authenticate(callback.headers, callback.body, keys, now)
    payload = read_callback(callback, _WHO)
    delivery = TYPES.get(text_of(payload, "type"))
    if delivery is None:
        raise unreadable(_WHO, "has a type that is not one of a receipt")
    data, at = _data(payload), _time(payload)
    reference = id_of(data.get("reference"))
    if reference is None:
        raise unreadable(_WHO, "does not say which message it is about")
    return (
        DeliveryReceipt(
            reference=reference,
            delivery=delivery,
            at=at,
            reason=code_of(data.get("reason")) if delivery is Delivery.FAILED else "",
            provider_id=id_of(data.get("id")),
            channel=None if data.get("channel") is None else _channel(data),
        ),
    )


def replies(callback: Callback, keys: Sequence[bytes], now: datetime) -> tuple[Reply, ...]:
    """Read one reply."""
    authenticate(callback.headers, callback.body, keys, now)
    payload = read_callback(callback, _WHO)
    if text_of(payload, "type") != "message.reply":
        raise unreadable(_WHO, "has a type that is not one of a reply")
    data, at = _data(payload), _time(payload)
    number, sender = id_of(data.get("id")), text_of(data, "from")
    if number is None or not sender or not isinstance(data.get("text"), str):
        raise unreadable(_WHO, "is not a reply of somebody")
    return (
        Reply(
            id=number,
            channel=_channel(data),
            sender=sender,
            text=data["text"],
            at=at,
            reference=id_of(data.get("reference")),
        ),
    )


def _data(payload: Mapping[str, Any]) -> Mapping[str, Any]:
    data = payload.get("data")
    if not isinstance(data, dict):
        raise unreadable(_WHO, "holds no data")
    return data


def _time(payload: Mapping[str, Any]) -> datetime:
    at = time_of(payload.get("timestamp"))
    if at is None:
        raise unreadable(_WHO, "does not say when it happened")
    return at


def _channel(data: Mapping[str, Any]) -> Channel:
    channel = _CHANNELS.get(text_of(data, "channel"))
    if channel is None:
        raise unreadable(_WHO, "is about a channel that this version does not know")
    return channel
