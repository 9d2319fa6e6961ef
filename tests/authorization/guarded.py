"""A FHIR server that lets in only who has a token of the authorization server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from fhirmsg.fhir.scopes import DEFAULT_SCOPES
from fhirmsg.sandbox import Store, serve_in_thread
from fhirmsg.tokens import PrivateKey
from tests.authorization.server import AuthorizationServer, RegisteredClient, authorization_server
from tests.reverse_proxy import Reply, Request, reverse_proxy

CLIENT_ID, KEY_ID = "fhirmsg-tests", "key-1"
DISCOVERY = "/.well-known/smart-configuration"
_NOT_LET_IN = json.dumps({"resourceType": "OperationOutcome", "issue": []}).encode()


def a_key(algorithm: str = "ES384", bits: int = 2048) -> PrivateKey:
    """Give a new private key for an algorithm."""
    if algorithm == "ES384":
        return ec.generate_private_key(ec.SECP384R1())
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def pem(key: PrivateKey) -> str:
    """Give a key as people keep it."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@dataclass
class Guarded:
    """A guarded FHIR server: its base, the store behind the guard, and what the guard saw."""

    base: str
    behind: str
    key: PrivateKey
    algorithm: str
    authorization: AuthorizationServer
    let_in: list[Request] = field(default_factory=list)
    turned_away: list[Request] = field(default_factory=list)

    def settings(self, folder: Path, key: PrivateKey | None = None) -> dict[str, str]:
        """Give the settings that open it, or try to with another key."""
        file = folder / "fhir-key.pem"
        file.write_text(pem(key or self.key))
        return {
            "FHIRMSG_FHIR_AUTH": "smart",
            "FHIRMSG_FHIR_CLIENT_ID": CLIENT_ID,
            "FHIRMSG_FHIR_KEY_ID": KEY_ID,
            "FHIRMSG_FHIR_PRIVATE_KEY_FILE": str(file),
            "FHIRMSG_FHIR_ALGORITHM": self.algorithm,
        }


@contextmanager
def guarded_store(
    algorithm: str = "ES384", *, scopes: str = DEFAULT_SCOPES, seconds: int = 300
) -> Iterator[Guarded]:
    """Run the embedded store behind a guard that asks a real authorization server."""
    key = a_key(algorithm)
    client = RegisteredClient(id=CLIENT_ID, key=key, key_id=KEY_ID, algorithm=algorithm)
    with (
        authorization_server([client], scopes=scopes, seconds=seconds) as server,
        serve_in_thread(Store()) as store,
    ):
        guarded = Guarded(
            base="", behind=store.base_url, key=key, algorithm=algorithm, authorization=server
        )

        def guard(request: Request) -> Reply | None:
            if request.path.endswith(DISCOVERY):
                found = json.dumps(server.smart_configuration).encode()
                return Reply(200, found, "application/json")
            kind, _, token = request.headers.get("authorization", "").partition(" ")
            if kind == "Bearer" and server.knows(token):
                guarded.let_in.append(request)
                return None
            guarded.turned_away.append(request)
            return Reply(401, _NOT_LET_IN, headers=(("WWW-Authenticate", "Bearer"),))

        with reverse_proxy(store.base_url, guard) as base:
            guarded.base = base
            yield guarded
