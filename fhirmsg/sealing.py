"""Sealing: texts that leave this service for a store of others and are to come back unread.

AES-256-GCM, under a key of its own for each purpose (HKDF-SHA-256 from the record key). What is
sealed is bound to the place it belongs to, and opens nowhere else.
"""

from __future__ import annotations

import base64
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_NONCE_BYTES = 12
_VERSION = "1."


class Seal:
    """Seals and opens under one key. Thread-safe."""

    def __init__(self, key: bytes, purpose: str) -> None:
        """Derive the key for this purpose."""
        derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose.encode())
        self._cipher = AESGCM(derived.derive(key))

    def seal(self, text: str, place: str) -> str:
        """Give a text sealed for this place, printable."""
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._cipher.encrypt(nonce, text.encode(), place.encode())
        return _VERSION + base64.urlsafe_b64encode(nonce + sealed).decode()

    def opened(self, sealed: str, place: str) -> str | None:
        """Give the text; None when it was not sealed under this key for this place."""
        if not sealed.startswith(_VERSION):
            return None
        try:
            raw = base64.urlsafe_b64decode(sealed.removeprefix(_VERSION))
            text = self._cipher.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], place.encode())
            return text.decode()
        except (InvalidTag, ValueError):
            return None
