"""An issuer of tokens: keys, a real server that publishes them, and clients that know it."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from fhirmsg.clients import ApiScope, Client, PersonClaims, TokenTerms
from fhirmsg.http import make_session
from fhirmsg.publickeys import KeySet, keys_in
from fhirmsg.web.limits import RateLimits
from fhirmsg.web.tokens import Tokens
from tests.web.app_under_test import Face

ISSUER, AUDIENCE = "https://login.example", "https://fhirmsg.example"
NOW = datetime(2026, 11, 24, 10, 30, tzinfo=UTC)
ALL_SCOPES = frozenset(ApiScope)

_MAKERS = {
    "RS256-short": lambda: rsa.generate_private_key(public_exponent=65537, key_size=1024),
    "RS": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "PS": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ES384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "Ed": ed25519.Ed25519PrivateKey.generate,
}


def private_key(name: str, algorithm: str = "ES256") -> Any:
    """Give the private key of this name for this algorithm."""
    return _made(name, algorithm)


@cache
def _made(name: str, algorithm: str) -> Any:
    return next(make() for start, make in _MAKERS.items() if algorithm.startswith(start))


def jwk(name: str, algorithm: str = "ES256", **changes: Any) -> dict[str, Any]:
    """Give the public half as it is published; None takes a member away."""
    public = private_key(name, algorithm).public_key()
    made = jwt.get_algorithm_by_name(algorithm.partition("-")[0]).to_jwk(public, as_dict=True)
    made.pop("key_ops", None)
    made |= {"kid": name, "use": "sig", "alg": algorithm} | changes
    return {key: value for key, value in made.items() if value is not None}


def published(*members: dict[str, Any]) -> KeySet:
    """Give a set of keys."""
    return keys_in({"keys": list(members)})


def claims(**changes: Any) -> dict[str, Any]:
    """Give the claims of a good token; None takes one away."""
    at = int(NOW.timestamp())
    made = {"iss": ISSUER, "aud": AUDIENCE, "sub": "portal", "iat": at, "exp": at + 300, **changes}
    return {key: value for key, value in made.items() if value is not None}


def token(
    key: str = "one",
    algorithm: str = "ES256",
    *,
    header: dict[str, Any] | None = None,
    **changes: Any,
) -> str:
    """Give a signed token."""
    headers = {"kid": key, **(header or {})}
    headers = {name: value for name, value in headers.items() if value is not None}
    return jwt.encode(claims(**changes), private_key(key, algorithm), algorithm, headers=headers)


def written(
    header: dict[str, Any] | bytes, payload: dict[str, Any] | bytes, signature: bytes
) -> str:
    """Give a token put together by hand."""
    parts = [
        part if isinstance(part, bytes) else json.dumps(part).encode()
        for part in (header, payload, signature)
    ]
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


def terms(**changes: Any) -> TokenTerms:
    """Give the terms of the client `portal`, whose issuer has the ES256 key `one`."""
    made = {
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "algorithms": frozenset({"ES256", "RS256"}),
        "subject": "portal",
        "keys": None if "jwks_url" in changes else published(jwk("one")),
        **changes,
    }
    return TokenTerms(**made)


def portal(**changes: Any) -> Client:
    """Give the client."""
    made = {
        "id": "portal",
        "scopes": ALL_SCOPES,
        "organisations": frozenset({"A12345"}),
        "tokens": terms(),
        **changes,
    }
    return Client(**made)


def with_person(**changes: Any) -> Client:
    """Give the client that names the person of its token alone."""
    person = PersonClaims(identifier="user", name="name", role="role")
    return portal(tokens=terms(person=person), **changes)


def a_face(*clients: Client, limits: RateLimits | None = None) -> Face:
    """Give the application that knows these clients beside its own, at NOW."""
    return Face(
        others=clients,
        tokens=Tokens(clients, make_session(get_retries=0), clock=lambda: NOW),
        limits=limits or RateLimits(),
        clock=lambda: NOW,
    )


class Issuer:
    """A server that answers `GET /keys`; counts what it is asked."""

    def __init__(self, *members: dict[str, Any]) -> None:
        """Publish these keys."""
        self.publish(*members)
        self.status, self.delay, self.asked = 200, 0.0, 0
        self.headers: dict[str, str] = {}
        self.url = ""

    def publish(self, *members: dict[str, Any]) -> None:
        """Publish these keys from now on, and no other."""
        self.body = json.dumps({"keys": list(members)}).encode()


@contextmanager
def an_issuer(*members: dict[str, Any]) -> Iterator[Issuer]:
    """Run an issuer."""
    issuer = Issuer(*members)

    class Face(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            issuer.asked += 1
            time.sleep(issuer.delay)
            self.send_response(issuer.status)
            for name, value in issuer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(issuer.body)))
            self.end_headers()
            self.wfile.write(issuer.body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            """Say nothing when a caller hangs up."""

    server = Server(("127.0.0.1", 0), Face)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    issuer.url = f"http://127.0.0.1:{server.server_port}/keys"
    try:
        yield issuer
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
