"""The NHS API platform's form of it: RS512, one fixed token URL, no scopes, its own headers."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs
from uuid import UUID

import jwt
import pytest

from fhirmsg.app import compose, fhir_client_of
from fhirmsg.clock import Deadline
from fhirmsg.config import Settings
from fhirmsg.errors import RecordUnavailable
from fhirmsg.fhir.client import FhirClient
from fhirmsg.ports import ChecksItself
from fhirmsg.tokens import PrivateKey
from tests.authorization.guarded import a_key, pem
from tests.reverse_proxy import Reply, Request, reverse_proxy
from tests.serving import write_settings

API_KEY, KEY_ID = "an-api-key-of-the-tests", "test-1"
NOBODY = "http://127.0.0.1:9"


@dataclass
class Platform:
    """A token endpoint and an API behind it, both as strict as they may be."""

    key: PrivateKey
    url: str = ""
    used: set[str] = field(default_factory=set)
    tokens: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    calls: list[Request] = field(default_factory=list)

    def answer(self, request: Request) -> Reply:
        """Answer everything."""
        if request.path == "/oauth2/token":
            try:
                self._check(request)
            except (AssertionError, jwt.PyJWTError) as error:
                self.faults.append(repr(error))
                return Reply(400, b'{"error": "invalid_request"}', "application/json")
            self.tokens.append(f"token-{len(self.tokens)}")
            given = {"access_token": self.tokens[-1], "expires_in": "599", "token_type": "Bearer"}
            return Reply(200, json.dumps(given).encode(), "application/json")
        self.calls.append(request)
        if request.headers.get("authorization") not in [f"Bearer {each}" for each in self.tokens]:
            return Reply(401)
        return Reply(200, b'{"resourceType": "Patient"}')

    def _check(self, request: Request) -> None:
        assert request.method == "POST"
        assert request.headers["content-type"] == "application/x-www-form-urlencoded"
        form = parse_qs(request.body.decode(), strict_parsing=True)
        assert set(form) == {"grant_type", "client_assertion_type", "client_assertion"}
        assert form["grant_type"] == ["client_credentials"]
        kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        assert form["client_assertion_type"] == [kind]
        [assertion] = form["client_assertion"]
        header = jwt.get_unverified_header(assertion)
        assert (header["alg"], header["kid"], header["typ"]) == ("RS512", KEY_ID, "JWT")
        claims = jwt.decode(
            assertion,
            self.key.public_key(),
            algorithms=["RS512"],
            audience=f"{self.url}/oauth2/token",
            issuer=API_KEY,
            options={"require": ["iss", "sub", "aud", "exp", "jti"]},
        )
        assert claims["sub"] == API_KEY
        assert 0 < claims["exp"] - time.time() <= 300
        assert claims["jti"] not in self.used
        self.used.add(str(UUID(claims["jti"])))


@contextmanager
def platform(folder: Path, **changes: str) -> Iterator[tuple[Platform, FhirClient]]:
    """Run one, and the client that the settings make for it."""
    there = Platform(key=a_key("RS512"))
    with reverse_proxy(NOBODY, there.answer) as url:
        there.url = url
        extra = {
            "FHIRMSG_FHIR_AUTH": "nhs",
            "FHIRMSG_FHIR_CLIENT_ID": API_KEY,
            "FHIRMSG_FHIR_KEY_ID": KEY_ID,
            "FHIRMSG_FHIR_PRIVATE_KEY": pem(there.key),
            "FHIRMSG_FHIR_TOKEN_URL": f"{url}/oauth2/token",
            "FHIRMSG_FHIR_END_USER_ORGANISATION": "A12345",
            **changes,
        }
        settings = Settings.from_environment(write_settings(folder, f"{url}/FHIR/R4", **extra))
        yield there, fhir_client_of(settings)


def test_the_assertion_is_what_the_platform_asks_for(tmp_path: Path) -> None:
    with platform(tmp_path) as (there, client):
        assert client.read("Patient/1").status == 200
        assert client.read("Patient/2").status == 200
    assert there.faults == []
    assert there.tokens == ["token-0"]
    first, second = there.calls
    assert first.headers["nhsd-end-user-organisation-ods"] == "A12345"
    assert UUID(first.headers["x-request-id"]) != UUID(second.headers["x-request-id"])


def test_no_assertion_is_used_twice(tmp_path: Path) -> None:
    with platform(tmp_path) as (there, client):
        for each in range(3):
            there.tokens[:] = ["withdrawn"] * each
            assert client.read("Patient/1").status == 200
    assert there.faults == []
    assert len(there.used) == 3


def test_a_key_id_that_is_not_registered_opens_nothing(tmp_path: Path) -> None:
    with (
        platform(tmp_path, FHIRMSG_FHIR_KEY_ID="test-2") as (there, client),
        pytest.raises(RecordUnavailable, match="invalid_request"),
    ):
        client.read("Patient/1")
    assert there.faults
    assert there.calls == []


def test_nothing_is_hidden_where_no_scopes_were_asked_for(tmp_path: Path) -> None:
    with platform(tmp_path) as (_, client):
        link = f"{client.base}/Consent?page=2"
        assert client.follow(link, deadline=Deadline(5)).hidden == frozenset()


def test_nhs_notify_is_shown_a_token_of_its_own_application(tmp_path: Path) -> None:
    there = Platform(key=a_key("RS512"))
    with reverse_proxy(NOBODY, there.answer) as url:
        there.url = url
        environment = write_settings(
            tmp_path,
            f"{url}/FHIR/R4",
            provider="nhs-notify",
            FHIRMSG_NHS_NOTIFY_BASE_URL=f"{url}/comms",
            FHIRMSG_NHS_NOTIFY_CLIENT_ID=API_KEY,
            FHIRMSG_NHS_NOTIFY_KEY_ID=KEY_ID,
            FHIRMSG_NHS_NOTIFY_PRIVATE_KEY=pem(there.key),
            FHIRMSG_NHS_NOTIFY_TOKEN_URL=f"{url}/oauth2/token",
        )
        provider = compose(Settings.from_environment(environment)).providers["nhs-notify"]
        assert isinstance(provider, ChecksItself)
        provider.why_unusable()
    assert there.faults == []
    [call] = there.calls
    assert call.path.startswith("/comms/")
    assert call.headers["authorization"] == "Bearer token-0"
