"""Signatures of Standard Webhooks: HMAC-SHA256 over the id, the time and the body.

Source: https://www.standardwebhooks.com
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from datetime import datetime

from fhirmsg.errors import CallbackRefused

TOLERANCE_SECONDS = 300

_ID = re.compile(r"[\x21-\x7e]{1,255}")
_SECONDS = re.compile(r"\d{1,12}", re.ASCII)
_PREFIX = "whsec_"


def key_of(secret: str) -> bytes | None:
    """Give the key that a secret stands for, None when it is not one."""
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        return None
    return key if secret.startswith(_PREFIX) and 24 <= len(key) <= 64 else None


def headers_for(
    webhook_id: str, at: datetime, body: bytes, keys: Sequence[bytes]
) -> dict[str, str]:
    """Give the three headers, with one signature for each key."""
    seconds = str(int(at.timestamp()))
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": seconds,
        "webhook-signature": " ".join(_signature(key, webhook_id, seconds, body) for key in keys),
    }


def authenticate(
    headers: Mapping[str, str], body: bytes, keys: Sequence[bytes], now: datetime
) -> str:
    """Give the id of a webhook that was signed with one of the keys within five minutes.

    Headers in lower case. Raises CallbackRefused.
    """
    webhook_id = headers.get("webhook-id", "")
    seconds = headers.get("webhook-timestamp", "")
    given = headers.get("webhook-signature", "").encode().split()
    if _ID.fullmatch(webhook_id) and _SECONDS.fullmatch(seconds):
        wanted = [_signature(key, webhook_id, seconds, body).encode() for key in keys]
        fits = [hmac.compare_digest(one, other) for one in given for other in wanted]
        late = abs(now.timestamp() - int(seconds)) > TOLERANCE_SECONDS
        if any(fits) and not late:
            return webhook_id
    raise CallbackRefused(
        "A callback of the gateway did not bring a signature of the last five minutes that fits, "
        "so nothing in it was looked at. Check the secret on both sides, and both clocks."
    )


def _signature(key: bytes, webhook_id: str, seconds: str, body: bytes) -> str:
    signed = f"{webhook_id}.{seconds}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
