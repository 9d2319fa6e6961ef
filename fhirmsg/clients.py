"""Who may call: API clients, known by the hash of their key, with what each may do and say."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from fhirmsg.guidance.terms import Person

KEY_PREFIX = "fm_"


class ApiScope(StrEnum):
    """What a client may do. `override` and `emergency` are asked for beside `send`; `reasons` is
    for the reasons of objections, beside `read`."""

    CHECK = "check"
    SEND = "send"
    OVERRIDE = "override"
    EMERGENCY = "emergency"
    READ = "read"
    REASONS = "reasons"


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """One caller.

    key_sha256: hex digests of the keys in use (two while one is being replaced). organisations:
    ODS codes it may send for. persons, roles: identifiers or roles of the people it may name as
    requester; with both empty it may name anybody.
    """

    id: str
    key_sha256: tuple[str, ...]
    scopes: frozenset[ApiScope]
    organisations: frozenset[str]
    persons: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()

    def may_speak_for(self, person: Person) -> bool:
        """Tell whether it may name this person as the one who acts."""
        if not self.persons and not self.roles:
            return True
        return person.identifier in self.persons or person.role in self.roles


def new_key() -> tuple[str, str]:
    """Make a key of 256 random bits; gives the key, shown once, and the digest to keep."""
    key = KEY_PREFIX + secrets.token_urlsafe(32)
    return key, digest_of(key)


def digest_of(key: str) -> str:
    """Give the hex SHA-256 of a key. A random key of this length needs no slow hash."""
    return hashlib.sha256(key.encode()).hexdigest()


class ClientBook:
    """The clients of this service."""

    def __init__(self, clients: Iterable[Client]) -> None:
        """Know these clients."""
        self._clients = tuple(clients)

    def with_key(self, key: str) -> Client | None:
        """Give the client that has this key, None when nobody has.

        Every digest is compared, in constant time, so that timing tells nothing.
        """
        presented = digest_of(key)
        found = None
        for client in self._clients:
            for digest in client.key_sha256:
                if hmac.compare_digest(presented, digest):
                    found = client
        return found
