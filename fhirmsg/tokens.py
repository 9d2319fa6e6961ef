"""Access tokens: OAuth client credentials, proved by a JWT signed with a private key.

SMART Backend Services (https://hl7.org/fhir/smart-app-launch/backend-services.html), and in the
form of the NHS API platform, which has one fixed token URL and no scopes. Assertions, tokens and
keys are secrets: they stand in no log line and in no error.
"""

from __future__ import annotations

import json
import logging
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import urlencode, urlsplit
from uuid import uuid4

import jwt
import requests
from cachetools import TTLCache
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from requests.auth import AuthBase

from fhirmsg.clock import Deadline, elapsed_clock
from fhirmsg.http import (
    DeadlinePassed,
    NoToken,
    exchange,
    is_loopback,
    let_go,
    origin_of,
    time_left,
)

log = logging.getLogger("fhirmsg.tokens")

PrivateKey = RSAPrivateKey | EllipticCurvePrivateKey

# SMART allows five minutes. Half of it, so that a clock may be wrong by as much either way;
# for the same reason there is no `iat`, which nobody asks for.
_ASSERTION_SECONDS = 150
_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_DISCOVERY_PATH = ".well-known/smart-configuration"
_DISCOVERY_SECONDS = 3600.0
_FETCH_SECONDS = 10.0
_LARGEST_BYTES = 1 << 20
_TRIES = 2
_BUSY = frozenset({429, 502, 503, 504})

# How long a token is used: not to its very end, not for ever, and briefly when nobody says.
_EARLY_SECONDS = 30.0
_EARLY_SHARE = 0.2
_LONGEST_SECONDS = 3600.0
_UNSTATED_SECONDS = 60.0

# https://www.rfc-editor.org/rfc/rfc6749#section-5.2 and what servers add; no other text of theirs
# is repeated.
_ERROR_CODES = frozenset(
    {
        *("invalid_request", "invalid_client", "invalid_grant", "unauthorized_client"),
        *("unsupported_grant_type", "invalid_scope", "invalid_target", "access_denied"),
        *("temporarily_unavailable", "server_error"),
    }
)


@dataclass(frozen=True, kw_only=True)
class ClientCredentials:
    """What this service is registered as at an authorization server.

    key_id: the `kid` under which the public key is registered. algorithm: RS384, ES384 or RS512.
    token_url: None where the server at `base_url` says it (SMART). scope: what is asked for,
    None to ask for nothing. plain_allowed: whether a token URL that is found may be plain http.
    """

    client_id: str
    key: PrivateKey = field(repr=False)
    key_id: str
    algorithm: str
    token_url: str | None = None
    base_url: str = ""
    scope: str | None = None
    plain_allowed: bool = False

    def assertion(self, token_url: str) -> str:
        """Sign a fresh statement of who asks, for this token URL alone, to be used once."""
        claims = {
            "iss": self.client_id,
            "sub": self.client_id,
            "aud": token_url,
            "exp": int(time.time()) + _ASSERTION_SECONDS,
            "jti": str(uuid4()),
        }
        return jwt.encode(claims, self.key, self.algorithm, headers={"kid": self.key_id})


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """One access token. stale_at: on the elapsed clock. scope: what it opens, None if unlimited."""

    value: str = field(repr=False)
    stale_at: float
    scope: str | None


class TokenSource:
    """Fetches tokens and keeps the latest until shortly before it expires. Thread-safe.

    However many threads need one, one of them fetches, and the others take what comes of it.
    """

    def __init__(
        self,
        credentials: ClientCredentials,
        session: requests.Session,
        *,
        clock: Callable[[], float] = elapsed_clock,
    ) -> None:
        """Ask through a session made by `fhirmsg.http.make_session`."""
        self._credentials = credentials
        self._session = session
        self._clock = clock
        self._condition = threading.Condition()
        self._fetching = False
        self._kept: Token | None = None
        self._fetches = 0
        self._failure: NoToken | None = None
        self._token_urls: TTLCache[str, str] = TTLCache(
            maxsize=1, ttl=_DISCOVERY_SECONDS, timer=clock
        )

    def granted(self, *, deadline: Deadline | None = None) -> str | None:
        """Give the scope of the token now in use, None when none was asked for. Raises NoToken."""
        return self.token(deadline=deadline or Deadline(_FETCH_SECONDS)).scope

    def token(self, *, deadline: Deadline, refused: str | None = None) -> Token:
        """Give a token that is good now.

        refused: the value of one that a server did not take; another one is fetched in its place,
        unless that has been done meanwhile. Raises NoToken.
        """
        with self._condition:
            while True:
                kept = self._kept
                if kept is not None and kept.value != refused and self._clock() < kept.stale_at:
                    return kept
                if not self._fetching:
                    self._fetching = True
                    break
                fetch = self._fetches
                if not self._condition.wait_for(
                    lambda fetch=fetch: self._fetches != fetch,  # type: ignore[misc]
                    deadline.left,
                ):
                    raise NoToken("No access token came in time.")
                if self._failure is not None:
                    raise NoToken(str(self._failure))
                # A token that is used once only is shared by nobody; and one whose fetch was cut
                # short by the deadline of its caller says nothing.
        return self._fetched(deadline)

    def _fetched(self, deadline: Deadline) -> Token:
        fetched: Token | None = None
        failure: NoToken | None = None
        try:
            fetched = self._fetch(deadline)
            return fetched
        except NoToken as error:
            failure = error
            raise
        except DeadlinePassed:
            raise NoToken("The authorization server gave no access token in time.") from None
        finally:
            with self._condition:
                self._fetching = False
                self._fetches += 1
                self._failure = failure
                self._kept = fetched or self._kept
                self._condition.notify_all()

    def _fetch(self, deadline: Deadline) -> Token:
        url = self._token_url(deadline)
        # Counted from before it was asked for: its life may begin at any moment from now on.
        asked_at = self._clock()
        try:
            response = self._posted(url, deadline)
            if response.status_code != 200:
                raise _refused(response)
        except (NoToken, DeadlinePassed):
            # It may have moved.
            self._token_urls.clear()
            raise
        return _token_in(response, asked_at, self._credentials.scope)

    def _posted(self, url: str, deadline: Deadline) -> requests.Response:
        """Ask for a token, once more after a lost answer: each time with a new assertion."""
        asked = {"grant_type": "client_credentials", "client_assertion_type": _ASSERTION_TYPE}
        if self._credentials.scope is not None:
            asked["scope"] = self._credentials.scope
        tries = range(_TRIES)
        for each in tries:
            form = {**asked, "client_assertion": self._credentials.assertion(url)}
            try:
                response = self._exchange(
                    "POST",
                    url,
                    deadline,
                    data=urlencode(form).encode(),
                    headers={"Content-Type": "application/x-www-form-urlencoded"},
                )
            except DeadlinePassed:
                raise
            except requests.exceptions.RequestException as error:
                if each < tries[-1]:
                    continue
                raise _unanswered(error) from None
            if response.status_code in _BUSY and each < tries[-1]:
                continue
            return response
        raise AssertionError("unreachable")

    def _token_url(self, deadline: Deadline) -> str:
        if self._credentials.token_url is not None:
            return self._credentials.token_url
        known = self._token_urls.get("token")
        if known is None:
            known = self._token_urls["token"] = self._discover(deadline)
        return known

    def _discover(self, deadline: Deadline) -> str:
        url = f"{self._credentials.base_url.rstrip('/')}/{_DISCOVERY_PATH}"
        try:
            response = self._exchange("GET", url, deadline)
        except DeadlinePassed:
            raise
        except requests.exceptions.RequestException as error:
            raise _unanswered(error) from None
        found = _object_in(response) if response.status_code == 200 else None
        if found is None:
            log.warning("no smart configuration", extra={"status": response.status_code})
            raise NoToken(
                f"The FHIR server answered {response.status_code} to {_DISCOVERY_PATH}, without "
                "a configuration. Set the token URL (FHIRMSG_FHIR_TOKEN_URL), or have it served."
            )
        return token_url_in(found, self._credentials)

    def _exchange(
        self,
        method: str,
        url: str,
        deadline: Deadline,
        *,
        data: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> requests.Response:
        return exchange(
            self._session,
            method,
            url,
            deadline=deadline,
            connect_timeout=_FETCH_SECONDS,
            read_timeout=_FETCH_SECONDS,
            headers={"Accept": "application/json", **(headers or {})},
            data=data,
            largest=_LARGEST_BYTES,
        )


class TokenAuth(AuthBase):
    """Puts a token on each request to one server, and once more a fresh one after a 401.

    A request that was answered 401 was surely not carried out, whatever its method. Thread-safe.
    """

    def __init__(self, source: TokenSource, base_url: str) -> None:
        """Use the source's tokens for the origin of `base_url` and for no other."""
        self._source = source
        self._origin = origin_of(base_url)
        self._used = threading.local()

    def __call__(self, r: requests.PreparedRequest) -> requests.PreparedRequest:
        """Sign a request. Raises NoToken."""
        if origin_of(r.url or "") != self._origin:
            raise NoToken("A request would have taken the access token to another server.")
        token = self._source.token(deadline=_own_deadline())
        self._put(r, token)
        r.hooks["response"] = [*r.hooks["response"], partial(self._again, token=token)]
        return r

    def scope_used(self) -> str | None:
        """Give the scope of the token of this thread's latest call, None where nothing limits."""
        token: Token | None = getattr(self._used, "token", None)
        return None if token is None else token.scope

    def granted(self) -> str | None:
        """Give the scope of the token now in use (see `TokenSource.granted`)."""
        return self._source.granted()

    def _put(self, request: requests.PreparedRequest, token: Token) -> None:
        request.headers["Authorization"] = f"Bearer {token.value}"
        self._used.token = token

    def _again(
        self, response: requests.Response, *, token: Token, **settings: Any
    ) -> requests.Response:
        """Make the call again with a fresh token; that answer stands, another 401 too."""
        body = response.request.body
        if response.status_code != 401 or not (body is None or isinstance(body, bytes | str)):
            return response
        # Read, so that its connection can be used again.
        _ = response.content
        response.close()
        let_go()
        log.info("access token refused", extra={"status": 401})
        fresh = self._source.token(deadline=_own_deadline(), refused=token.value)
        request = response.request.copy()
        self._put(request, fresh)
        answer: requests.Response = response.connection.send(request, **settings)
        answer.request = request
        return answer


def _own_deadline() -> Deadline:
    left = time_left()
    return Deadline(_FETCH_SECONDS if left is None else min(left, _FETCH_SECONDS))


def token_url_in(configuration: dict[str, Any], credentials: ClientCredentials) -> str:
    """Take the token URL from a SMART configuration that suits the credentials. Raises NoToken."""
    url = configuration.get("token_endpoint")
    if not isinstance(url, str) or not _is_safe(url, credentials):
        raise NoToken(
            "The SMART configuration of the FHIR server names no token endpoint that may be used "
            "(https, without a user name). Set the token URL, or have the configuration corrected."
        )
    for name, wanted in (
        ("token_endpoint_auth_methods_supported", "private_key_jwt"),
        ("token_endpoint_auth_signing_alg_values_supported", credentials.algorithm),
    ):
        offered = configuration.get(name)
        if offered is not None and not (isinstance(offered, list) and wanted in offered):
            raise NoToken(
                f"The authorization server of the FHIR server does not offer {wanted} "
                f"({name}). Set what it offers, or have it enabled."
            )
    return url


def _is_safe(url: str, credentials: ClientCredentials) -> bool:
    if not url.isascii() or not url.isprintable() or any(each in url for each in ' \\"<>'):
        return False
    try:
        parts = urlsplit(url)
        host = origin_of(url)[1]
        of_base = origin_of(credentials.base_url)[1]
    except ValueError:
        return False
    # A server elsewhere must not point this service at a port of its own machine.
    plain = credentials.plain_allowed or (is_loopback(host) and is_loopback(of_base))
    return (
        (parts.scheme == "https" or (parts.scheme == "http" and plain))
        and host != ""
        and parts.username is None
        and not parts.fragment
    )


def _object_in(response: requests.Response) -> dict[str, Any] | None:
    try:
        found = json.loads(response.content)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _unanswered(error: requests.exceptions.RequestException) -> NoToken:
    log.warning("no access token", extra={"kind": type(error).__name__})
    return NoToken(
        f"The authorization server did not answer ({type(error).__name__}). Try again later."
    )


def _refused(response: requests.Response) -> NoToken:
    code = (_object_in(response) or {}).get("error")
    shown = code if isinstance(code, str) and code in _ERROR_CODES else "no reason"
    log.warning("no access token", extra={"status": response.status_code, "code": shown})
    if response.status_code >= 500 or response.status_code == 429:
        return NoToken(
            f"The authorization server answered {response.status_code}. Try again later."
        )
    return NoToken(
        f"The authorization server gave no access token ({response.status_code}, {shown}). Have "
        "the client id, the key, its key id and the scopes compared with what is registered there."
    )


def _token_in(response: requests.Response, asked_at: float, asked: str | None) -> Token:
    found = _object_in(response) or {}
    value, kind = found.get("access_token"), found.get("token_type")
    usable = isinstance(value, str) and value.isascii() and value.isprintable() and " " not in value
    if not (usable and value and isinstance(kind, str) and kind.lower() == "bearer"):
        log.warning("no access token", extra={"status": 200, "code": "not understood"})
        raise NoToken(
            "The authorization server answered something that is not a bearer token. Have the "
            "token URL checked."
        )
    scope = asked
    if asked is not None and "scope" in found:
        # In any other form than text it grants nothing that is understood.
        scope = found["scope"] if isinstance(found["scope"], str) else ""
    life = _life(found.get("expires_in"))
    return Token(value=str(value), stale_at=asked_at + life, scope=scope)


def _life(expires_in: object) -> float:
    """Give for how many seconds a token is used; without a sensible statement, briefly."""
    try:
        stated = float(str(expires_in))
    except ValueError:
        return _UNSTATED_SECONDS
    if not math.isfinite(stated):
        return _UNSTATED_SECONDS
    stated = min(max(stated, 0.0), _LONGEST_SECONDS)
    return stated - min(_EARLY_SECONDS, stated * _EARLY_SHARE)
