"""Sealing: JSON encrypted and authenticated, and bound to the place where it is kept."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

SHORTEST_KEY_BYTES = 32
_KEY_BYTES = 32
_NONCE_BYTES = 12


class Unsealable(Exception):
    """What was kept is not what any of the keys sealed for this place."""


class Seal:
    """Seals with the first of its keys and opens with any: AES-256-GCM, a fresh nonce each time.

    The keys (32 random bytes or more) are never used as they are: `purpose` and `salt` go into
    what is derived from them (HKDF, RFC 5869). Raises ValueError for a key that is too short.
    """

    def __init__(self, keys: Sequence[bytes], *, purpose: bytes, salt: bytes) -> None:
        """Derive what is sealed with, from the newest key to the oldest."""
        if not keys or min(map(len, keys)) < SHORTEST_KEY_BYTES:
            raise ValueError(f"a key of {SHORTEST_KEY_BYTES} bytes or more is needed")
        self._ciphers = [
            AESGCM(HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=salt, info=purpose).derive(key))
            for key in keys
        ]

    def close(self, payload: Mapping[str, Any], place: Sequence[str]) -> bytes:
        """Seal a payload for one place; raises TypeError or ValueError when it is not JSON."""
        text = json.dumps(dict(payload), allow_nan=False, separators=(",", ":")).encode()
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._ciphers[0].encrypt(nonce, text, _bound(place))

    def open(self, sealed: object, place: Sequence[str]) -> dict[str, Any]:
        """Give the payload back. Raises Unsealable, with nothing in it of what was kept."""
        if not isinstance(sealed, bytes):
            raise Unsealable
        for cipher in self._ciphers:
            try:
                text = cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], _bound(place))
                payload = json.loads(text)
            except (InvalidTag, ValueError):
                continue
            if isinstance(payload, dict):
                return payload
        raise Unsealable


def _bound(place: Sequence[str]) -> bytes:
    # A list in JSON: no two places can give the same bytes, whatever their parts hold.
    return json.dumps(list(place)).encode()
