"""Who may call: API clients, known by the hash of their key or by the tokens of an issuer, with
what each may do and say."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from fhirmsg.guidance.terms import Person
from fhirmsg.publickeys import KeySet

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
class RateLimit:
    """So many calls in each stretch of so many seconds, wherever the stretch begins."""

    calls: int
    seconds: int


# Fifty a second on average; a short burst of a batch is none of a limit's business.
DEFAULT_RATE = RateLimit(calls=3000, seconds=60)
RATE_LIMIT_FORM = "write calls per second, minute or hour, as 20/second"
_RATE = re.compile(r"([1-9][0-9]{0,4})/(second|minute|hour)")
_SECONDS = {"second": 1, "minute": 60, "hour": 3600}


def rate_limit_in(text: str) -> RateLimit | None:
    """Read a limit, of 99999 calls at most; None when it is none."""
    found = _RATE.fullmatch(text)
    return found and RateLimit(calls=int(found[1]), seconds=_SECONDS[found[2]])


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonClaims:
    """The claims of a token that name the person who acts; name and role need not be told."""

    identifier: str
    name: str | None = None
    role: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenTerms:
    """What a signed token of a client has to be (RFC 7519, RFC 9068).

    algorithms: those of `fhirmsg.publickeys.ALGORITHMS` that are accepted. subject: what stands in
    the claim `subject_claim` of this client's tokens. keys: the issuer's, or None where they are
    fetched from `jwks_url`. scopes_claim: where the token itself says what it is for; it narrows
    the client's scopes. longest: from issue to expiry.
    """

    issuer: str
    audience: str
    algorithms: frozenset[str]
    subject: str
    subject_claim: str = "sub"
    keys: KeySet | None = None
    jwks_url: str | None = None
    scopes_claim: str | None = None
    person: PersonClaims | None = None
    longest: timedelta = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenPerson:
    """The person a token was issued to; name is None and roles are None where it is not told."""

    identifier: str
    name: str | None = None
    roles: frozenset[str] | None = None

    def is_(self, person: Person) -> bool:
        """Tell whether a person is this one, letter by letter."""
        return (
            person.identifier == self.identifier
            and self.name in (None, person.name)
            and (self.roles is None or person.role in self.roles)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """One caller.

    key_sha256: hex digests of the keys in use (two while one is being replaced). tokens: the
    signed tokens it may bring. organisations: ODS codes it may send for. persons, roles:
    identifiers or roles of the people it may name as requester; with both empty it may name
    anybody. rate_limit: its own, None for that of the service. token_person: the only person it
    may name in the call at hand.
    """

    id: str
    key_sha256: tuple[str, ...] = ()
    scopes: frozenset[ApiScope]
    organisations: frozenset[str]
    persons: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()
    tokens: TokenTerms | None = None
    rate_limit: RateLimit | None = None
    token_person: TokenPerson | None = None

    def may_speak_for(self, person: Person) -> bool:
        """Tell whether it may name this person as the one who acts."""
        if self.token_person is not None and not self.token_person.is_(person):
            return False
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
