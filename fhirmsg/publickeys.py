"""Public keys that sign tokens: JSON Web Key Sets (RFC 7517), read key by key.

A key is good for the algorithms of its own type and for no other, so that a token cannot choose
how its signature is looked at (RFC 8725).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt import PyJWK
from jwt.exceptions import PyJWTError

Key = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey

# Key type and curve -> the algorithms that a key of it is good for.
_FITTING: dict[tuple[str, str | None], tuple[str, ...]] = {
    ("RSA", None): ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-384"): ("ES384",),
    ("OKP", "Ed25519"): ("EdDSA",),
}
ALGORITHMS = tuple(name for names in _FITTING.values() for name in names)

_RSA_BITS = (2048, 8192)
_MOST_KEYS = 100
_LONGEST_KID = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKey:
    """One key; `kid` is its name in the set, None when it has none."""

    kid: str | None
    algorithms: frozenset[str]
    key: Key = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySet:
    """The keys of an issuer; `set_aside` says why others in its document are not used."""

    keys: tuple[PublicKey, ...]
    set_aside: tuple[str, ...] = ()

    def fitting(self, kid: str | None, algorithm: str) -> tuple[PublicKey, ...]:
        """Give the keys good for an algorithm, those of that name when one is given."""
        return tuple(
            key
            for key in self.keys
            if algorithm in key.algorithms and (kid is None or key.kid == kid)
        )


class NotAKeySet(ValueError):
    """A document is no JSON Web Key Set."""


class _NotUsable(ValueError):
    """A key is not used; the text says why, and never shows the key."""


def keys_in(document: object) -> KeySet:
    """Read a JSON Web Key Set, as data. Raises NotAKeySet."""
    members = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(members, list) or len(members) > _MOST_KEYS:
        raise NotAKeySet(f"it is no mapping with a list of up to {_MOST_KEYS} `keys`")
    keys: list[PublicKey] = []
    set_aside: list[str] = []
    for number, member in enumerate(members):
        try:
            keys.append(_key_in(member))
        except _NotUsable as error:
            set_aside.append(f"keys[{number}] {error}")
    return KeySet(keys=tuple(keys), set_aside=tuple(set_aside))


def _key_in(member: object) -> PublicKey:
    if not isinstance(member, dict):
        raise _NotUsable("is not a key")
    if "d" in member or "k" in member:
        raise _NotUsable("holds a secret, which nobody but the issuer may have; replace the key")
    algorithms = _algorithms_of(member)
    kid = member.get("kid")
    if kid is not None and not (isinstance(kid, str) and 0 < len(kid) <= _LONGEST_KID):
        raise _NotUsable("has a kid that is no name")
    return PublicKey(kid=kid, algorithms=algorithms, key=_read(member, min(algorithms)))


def _algorithms_of(member: Mapping[str, Any]) -> frozenset[str]:
    kind, curve = member.get("kty"), member.get("crv")
    fitting = None
    if isinstance(kind, str) and isinstance(curve, str | None):
        fitting = _FITTING.get((kind, curve))
    if fitting is None:
        raise _NotUsable("is of a type that is not accepted; RSA, P-256, P-384 and Ed25519 are")
    if member.get("use", "sig") != "sig":
        raise _NotUsable("is not for signatures (`use`)")
    operations = member.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        raise _NotUsable("is not for verifying (`key_ops`)")
    named = member.get("alg", fitting[0])
    if named not in fitting:
        raise _NotUsable("names an algorithm (`alg`) that its type does not fit")
    return frozenset([named] if "alg" in member else fitting)


def _read(member: Mapping[str, Any], algorithm: str) -> Key:
    try:
        key = PyJWK(dict(member), algorithm).key
    except (PyJWTError, ValueError, TypeError, AttributeError):
        raise _NotUsable("cannot be read") from None
    if not isinstance(key, Key):
        raise _NotUsable("is no public key")
    if isinstance(key, RSAPublicKey) and not _RSA_BITS[0] <= key.key_size <= _RSA_BITS[1]:
        raise _NotUsable(f"has not between {_RSA_BITS[0]} and {_RSA_BITS[1]} bits")
    return key
