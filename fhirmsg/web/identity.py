"""Who calls, what they may do, and whether there is room for them.

A refusal of any of it is one log line with a code for its reason and never with what was
presented.
"""

from __future__ import annotations

import logging
import re
from datetime import datetime
from typing import NoReturn

from flask import g, request

from fhirmsg.clients import ApiScope, Client
from fhirmsg.guidance.declarations import emergency_faults
from fhirmsg.guidance.request import SendRequest
from fhirmsg.web.errors import Problem
from fhirmsg.web.jwks import AGAIN_SECONDS, KeysUnavailable
from fhirmsg.web.services import WebServices
from fhirmsg.web.tokens import TokenRefused

log = logging.getLogger("fhirmsg.audit")

_LONGEST_HEADER = 8192 + 64
_KID_SHOWN = re.compile(r"[A-Za-z0-9._-]{1,64}")
_SEND_ONE = (
    "Send a valid API key or a signed token as `Authorization: Bearer ...`; `fhirmsg keys new` "
    "makes a key."
)


def authenticated(services: WebServices, *scopes: ApiScope) -> Client:
    """Give the client that calls, if it has one of the scopes and its rate limit has room.

    Its scopes and the person it may name are those of this call. Raises Problem.
    """
    client, wait = admitted(services, *scopes)
    if wait is not None:
        raise too_many(client, wait)
    return client


def admitted(services: WebServices, *scopes: ApiScope) -> tuple[Client, int | None]:
    """Give the client that calls, and the seconds to wait when its rate limit has no room.

    For what may have to pass the limit; whoever else calls takes `authenticated`. Raises Problem.
    """
    client = _client(services)
    g.client_id = client.id
    wait = services.limits.wait_of(client)
    if scopes and not client.scopes & set(scopes):
        raise forbidden("scope", f"The client lacks the scope {' or '.join(scopes)}.")
    return client, wait


def _client(services: WebServices) -> Client:
    header = request.headers.get("Authorization", "")
    scheme, _, given = header.partition(" ")
    presented = given.strip(" ")
    if not header:
        _refuse(services, "nothing presented")
    if scheme.lower() != "bearer" or not presented:
        _refuse(services, "not a bearer")
    if len(header) > _LONGEST_HEADER or not (presented.isascii() and presented.isprintable()):
        _refuse(services, "not readable")
    # A key has no full stop, and a token two.
    if "." not in presented:
        client = services.clients.with_key(presented)
        return client if client is not None else _refuse(services, "key")
    if services.tokens is None:
        _refuse(services, "token")
    try:
        return services.tokens.client_of(presented)
    except TokenRefused as error:
        _refuse(services, f"token {error.reason}", error)
    except KeysUnavailable:
        after = round(AGAIN_SECONDS)
        log.warning(
            "authentication impossible",
            extra={"reason": "keys of the issuer", "correlation_id": g.correlation_id},
        )
        raise Problem(
            status=503,
            title="The token cannot be checked",
            detail="The issuer's keys cannot be fetched, so nobody can say whether the token is "
            "good. Nothing was sent; try again, or use an API key.",
            retry="after",
            retry_after=after,
        ) from None


def _refuse(services: WebServices, reason: str, error: TokenRefused | None = None) -> NoReturn:
    """Say that nobody is known by this; after many such calls from an address, that it is enough.

    Only who is not known is told to wait: a good key or token works from the same address.
    """
    remote = request.remote_addr or ""
    wait = services.limits.wait_after_failure(remote)
    kid = None if error is None else error.kid
    log.warning(
        "authentication failed",
        extra={
            "reason": reason,
            "client": None if error is None else error.client,
            "kid": kid if kid is None or _KID_SHOWN.fullmatch(kid) else "(not shown)",
            "remote": remote,
            "correlation_id": g.correlation_id,
        },
    )
    detail = _SEND_ONE if error is None else f"{error} Get a new token."
    if wait is not None:
        raise Problem(
            status=429,
            title="Too many failed calls",
            detail=f"This address has failed to authenticate too often. {detail}",
            retry="after",
            retry_after=wait,
        )
    challenge = 'Bearer realm="fhirmsg"'
    if reason != "nothing presented":
        challenge += ', error="invalid_token"'
    if error is not None:
        challenge += f', error_description="{error}"'
    raise Problem(status=401, title="Not authenticated", detail=detail, challenge=challenge)


def authorise(client: Client, asked: SendRequest) -> None:
    """Check that a client may ask for this message, as this person. Raises Problem."""
    if asked.organization not in client.organisations:
        raise other_organisation()
    if not client.may_speak_for(asked.requester):
        raise forbidden("person", "The client may not speak for this person or role.")
    if asked.evidence.override is not None and ApiScope.OVERRIDE not in client.scopes:
        raise forbidden(
            "override", "The client may not bring overrides: it lacks the scope override."
        )
    if asked.evidence.emergency is not None and ApiScope.EMERGENCY not in client.scopes:
        raise forbidden(
            "emergency",
            "The client may not declare emergencies: it lacks the scope emergency. If safety "
            "cannot wait, reach the person in another way now.",
        )


def other_organisation() -> Problem:
    """Give the problem that an organisation is not the client's, whether or not it is known."""
    return forbidden("organisation", "The client may not send for this organisation.")


def forbidden(reason: str, detail: str) -> Problem:
    """Give the problem that a client may not do this; `reason` is for the log."""
    log_refusal(reason)
    return Problem(status=403, title="Forbidden", detail=detail)


def log_refusal(reason: str) -> None:
    """Log that a client asked for what it may not have."""
    log.warning(
        "access refused",
        extra={"reason": reason, "client": g.client_id, "correlation_id": g.correlation_id},
    )


def pass_emergency(client: Client, asked: SendRequest, at: datetime, wait: int) -> None:
    """Let a complete declaration of an emergency pass a limit that is reached. Raises Problem.

    No other limit stands behind it: a life-saving message is never turned away for what else a
    client sends, its other emergencies included. Each of them is logged, recorded and reviewed,
    and only a client with the scope for it gets here.
    """
    faults = emergency_faults(asked, at)
    if asked.evidence.emergency is None or faults:
        raise too_many(client, wait, faults)
    log.warning(
        "emergency passed the rate limit",
        extra={"client": client.id, "correlation_id": g.correlation_id},
    )


def too_many(client: Client, wait: int, faults: tuple[str, ...] = ()) -> Problem:
    """Give the problem that a client calls too often.

    faults: what keeps an emergency that is declared from passing, which somebody has to know now.
    """
    log.warning(
        "rate limit reached",
        extra={"client": client.id, "retry_after": wait, "correlation_id": g.correlation_id},
    )
    detail = f"The client calls more often than it may; nothing was done. Wait {wait} s."
    if faults:
        detail += (
            " A complete declaration of an emergency would pass; this one does not count: "
            f"{'; '.join(faults)}."
        )
    return Problem(
        status=429, title="Too many calls", detail=detail, retry="after", retry_after=wait
    )
