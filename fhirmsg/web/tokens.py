"""Signed tokens (JWT, RFC 7519) as proof of who calls.

A token says itself whose it is; that chooses the terms it is held to and proves nothing. Then
everything is checked against these terms: the algorithm is one of the client's and fits the type
of the issuer's key, no key is ever taken from the token, and what is not understood refuses it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import requests
from jwt import exceptions as wrong

from fhirmsg.clients import ApiScope, Client, PersonClaims, TokenPerson, TokenTerms
from fhirmsg.clock import now
from fhirmsg.publickeys import PublicKey
from fhirmsg.web.jwks import Keys, RemoteKeys

LEEWAY = timedelta(seconds=60)

_LONGEST = 8192
_SHAPE = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_KID = re.compile(r"[\x21-\x7e]{1,256}")
_TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})
# Keys that a token brings along, and parts of the standards that change what a token means.
_NOT_TAKEN = ("jwk", "jku", "x5u", "x5c", "crit", "b64", "zip", "enc", "cty")

_TEXTS = {
    "form": "The token is no signed JWT of three parts.",
    "type": "The token is of a type (`typ`) that is no access token.",
    "header": "The token's header holds a parameter that is not taken: it brings keys of its own, "
    "or is to be read in a way that is not supported.",
    "client": "No client of this service is known by the issuer and the subject of the token.",
    "algorithm": "The token is signed by an algorithm that is not accepted from this client.",
    "kid": "The token's key id (`kid`) is none of the keys that the issuer has now.",
    "key": "The token does not say by `kid` which key signed it, and the issuer has not exactly "
    "one that fits.",
    "keys": "The issuer has several keys of the same id (`kid`).",
    "signature": "The token's signature is not that of the issuer.",
    "audience": "The token is for another audience (`aud`).",
    "issuer": "The token is from another issuer (`iss`).",
    "claims": "The token lacks a claim that is needed (exp and iat are), or holds one that cannot "
    "be read.",
    "bound": "The token is bound to a key of its holder (`cnf`), which cannot be checked here.",
    "scopes": "The token does not say what it is for, in the claim that is agreed for it.",
    "person": "The token does not name the person it was issued to, in the claims that are agreed.",
    "lifetime": "The token is valid for longer than is accepted from this client.",
    "expired": "The token has expired (`exp`).",
    "issued-later": "The token was issued at a time that has not come (`iat`).",
    "not-yet": "The token is not valid yet (`nbf`).",
}
_OF_TIME = frozenset({"expired", "issued-later", "not-yet"})


class TokenRefused(Exception):
    """A token proves nothing. `reason` is a code, the text a sentence that shows none of it.

    client, kid: what the token says of itself, as far as it is known here or harmless; unproven.
    """

    def __init__(self, reason: str, at: datetime, client: str | None, kid: str | None) -> None:
        """Say what is wrong; what hangs on the time says what time it is here."""
        text = _TEXTS[reason]
        if reason in _OF_TIME:
            ours = at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
            text += (
                f" This server's clock says {ours}, and a difference of "
                f"{LEEWAY.total_seconds():.0f} seconds is allowed for."
            )
        super().__init__(text)
        self.reason, self.client, self.kid = reason, client, kid


class _Wrong(Exception):
    """One check failed, by its code."""


class Tokens:
    """Tells clients by their tokens."""

    def __init__(
        self,
        clients: Iterable[Client],
        session: requests.Session,
        *,
        clock: Callable[[], datetime] = now,
    ) -> None:
        """Know the clients that have terms for tokens; keys are fetched over `session`."""
        self._clock = clock
        self._clients: dict[tuple[str, str], tuple[Client, TokenTerms]] = {}
        self._subject_claims: dict[str, str] = {}
        self._keys: dict[str, Keys] = {}
        remote: dict[str, RemoteKeys] = {}
        for client in clients:
            terms = client.tokens
            if terms is None:
                continue
            self._clients[terms.issuer, terms.subject] = client, terms
            self._subject_claims[terms.issuer] = terms.subject_claim
            if terms.keys is not None:
                self._keys[client.id] = terms.keys
            elif terms.jwks_url is not None:
                url = terms.jwks_url
                if url not in remote:
                    remote[url] = RemoteKeys(url, session, issuer=terms.issuer)
                self._keys[client.id] = remote[url]

    def client_of(self, token: str) -> Client:
        """Give the client that a token proves, with the scopes and the person it is for.

        Raises TokenRefused, and KeysUnavailable.
        """
        at = self._clock()
        client: Client | None = None
        kid: str | None = None
        try:
            header, unproven = _unproven(token)
            kid = _kid_in(header)
            client, terms = self._whose(unproven)
            algorithm = _algorithm_in(header, terms)
            key = _only(self._keys[client.id].fitting(kid, algorithm), kid)
            claims = _proven(token, key, algorithm, terms)
            _check_times(claims, terms, at)
            return _narrowed(client, terms, claims)
        except _Wrong as error:
            known = None if client is None else client.id
            raise TokenRefused(str(error), at, known, kid) from None

    def _whose(self, claims: Mapping[str, Any]) -> tuple[Client, TokenTerms]:
        issuer = claims.get("iss")
        claim = self._subject_claims.get(issuer) if isinstance(issuer, str) else None
        subject = claims.get(claim) if claim is not None else None
        if not isinstance(issuer, str) or not isinstance(subject, str):
            raise _Wrong("client")
        found = self._clients.get((issuer, subject))
        if found is None:
            raise _Wrong("client")
        return found


def _unproven(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Give header and claims as they stand in a token, which may be anybody's."""
    if len(token) > _LONGEST or not _SHAPE.fullmatch(token):
        raise _Wrong("form")
    try:
        parts = jwt.decode_complete(token, options={"verify_signature": False})
    except (wrong.PyJWTError, ValueError, RecursionError):
        raise _Wrong("form") from None
    header, claims = parts["header"], parts["payload"]
    if any(name in header for name in _NOT_TAKEN):
        raise _Wrong("header")
    kind = header.get("typ", "JWT")
    if not isinstance(kind, str) or kind.lower() not in _TYPES:
        raise _Wrong("type")
    return header, claims


def _kid_in(header: Mapping[str, Any]) -> str | None:
    kid = header.get("kid")
    if kid is not None and not (isinstance(kid, str) and _KID.fullmatch(kid)):
        raise _Wrong("kid")
    return kid


def _algorithm_in(header: Mapping[str, Any], terms: TokenTerms) -> str:
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in terms.algorithms:
        raise _Wrong("algorithm")
    return algorithm


def _only(keys: tuple[PublicKey, ...], kid: str | None) -> PublicKey:
    if len(keys) == 1:
        return keys[0]
    if kid is None:
        raise _Wrong("key")
    raise _Wrong("keys" if keys else "kid")


# What PyJWT finds -> our code; the first that fits.
_FOUND: tuple[tuple[type[Exception], str], ...] = (
    (wrong.InvalidSignatureError, "signature"),
    (wrong.InvalidAudienceError, "audience"),
    (wrong.InvalidIssuerError, "issuer"),
    (wrong.InvalidAlgorithmError, "algorithm"),
    (wrong.InvalidKeyError, "algorithm"),
)


def _proven(token: str, key: PublicKey, algorithm: str, terms: TokenTerms) -> dict[str, Any]:
    """Give the claims of a token, its signature, audience and issuer checked."""
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            key=key.key,
            algorithms=[algorithm],
            audience=terms.audience,
            issuer=terms.issuer,
            options={
                "require": ["exp", "iat", "iss", "aud"],
                # Looked at below, against the clock that the answer names.
                "verify_exp": False,
                "verify_iat": False,
                "verify_nbf": False,
            },
        )
    except (wrong.PyJWTError, ValueError, TypeError, RecursionError) as error:
        code = next((code for kind, code in _FOUND if isinstance(error, kind)), "claims")
        raise _Wrong(code) from None
    if "cnf" in claims:
        raise _Wrong("bound")
    return claims


def _check_times(claims: Mapping[str, Any], terms: TokenTerms, at: datetime) -> None:
    issued, expires = _seconds(claims["iat"]), _seconds(claims["exp"])
    here, leeway = at.timestamp(), LEEWAY.total_seconds()
    if expires + leeway <= here:
        raise _Wrong("expired")
    if issued > here + leeway:
        raise _Wrong("issued-later")
    if "nbf" in claims and _seconds(claims["nbf"]) > here + leeway:
        raise _Wrong("not-yet")
    if not 0 < expires - issued <= terms.longest.total_seconds():
        raise _Wrong("lifetime")


def _seconds(value: object) -> float:
    """Read a NumericDate, which is a JSON number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _Wrong("claims")
    try:
        seconds = float(value)
    except OverflowError:
        raise _Wrong("claims") from None
    if not math.isfinite(seconds):
        raise _Wrong("claims")
    return seconds


def _narrowed(client: Client, terms: TokenTerms, claims: Mapping[str, Any]) -> Client:
    """Give the client as the token has it: no scope is added, and one person is named."""
    scopes, person = client.scopes, client.token_person
    if terms.scopes_claim is not None:
        given = _words(claims.get(terms.scopes_claim), "scopes")
        scopes &= frozenset(scope for scope in ApiScope if scope.value in given)
    if terms.person is not None:
        person = _person(terms.person, claims)
    return replace(client, scopes=scopes, token_person=person)


def _words(value: object, code: str) -> frozenset[str]:
    """Read a list of words, or a text of words with blanks between them (RFC 8693)."""
    words = value.split(" ") if isinstance(value, str) else value
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise _Wrong(code)
    return frozenset(words)


def _person(names: PersonClaims, claims: Mapping[str, Any]) -> TokenPerson:
    roles = None
    if names.role is not None:
        told = claims.get(names.role)
        # A role may be of several words, so a text is one role.
        roles = _words([told] if isinstance(told, str) else told, "person")
    return TokenPerson(
        identifier=_text(claims, names.identifier),
        name=None if names.name is None else _text(claims, names.name),
        roles=roles,
    )


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not value.strip():
        raise _Wrong("person")
    return value
