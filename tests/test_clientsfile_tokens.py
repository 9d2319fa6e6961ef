"""The clients file where it says whose tokens and how many calls are taken."""

from __future__ import annotations

import json
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
import yaml

from fhirmsg.app import build
from fhirmsg.clients import Client, PersonClaims, RateLimit
from fhirmsg.clientsfile import parse_clients
from fhirmsg.config import Settings
from fhirmsg.errors import SettingsError
from tests.security.issuer import AUDIENCE, ISSUER, an_issuer, claims, jwk, private_key
from tests.test_config import DIGEST, POLICY, RECORD_KEY

KEYS = {"keys": [jwk("one"), jwk("two")]}


def a_client(**changes: Any) -> dict[str, Any]:
    """Give a client that has no key; None takes an entry away."""
    made = {"id": "portal", "scopes": ["read"], "organisations": ["A12345"], **changes}
    made.setdefault("jwt", a_jwt())
    return {key: value for key, value in made.items() if value is not None}


def a_jwt(**changes: Any) -> dict[str, Any]:
    """Give what has to be there and nothing else."""
    made = {
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "algorithms": ["ES256"],
        "jwks": KEYS if not {"jwks_url", "jwks_file"} & changes.keys() else None,
        **changes,
    }
    return {key: value for key, value in made.items() if value is not None}


def read(*clients: dict[str, Any], folder: Path | None = None) -> tuple[Client, ...]:
    return parse_clients(yaml.safe_dump(list(clients)).encode(), folder=folder)


def faults(*clients: dict[str, Any], folder: Path | None = None) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        read(*clients, folder=folder)
    return caught.value.faults


def test_what_has_to_be_there_is_enough() -> None:
    [client] = read(a_client())
    found = client.tokens
    assert found is not None
    assert client.key_sha256 == ()
    assert client.rate_limit is None
    assert (found.issuer, found.audience, found.algorithms) == (ISSUER, AUDIENCE, {"ES256"})
    assert (found.subject, found.subject_claim) == ("portal", "sub")
    assert (found.jwks_url, found.scopes_claim, found.person) == (None, None, None)
    assert found.longest == timedelta(hours=1)
    assert found.keys is not None
    assert [key.kid for key in found.keys.keys] == ["one", "two"]


def test_everything_is_taken() -> None:
    [client] = read(
        a_client(
            rate_limit="600/minute",
            jwt=a_jwt(
                jwks_url="https://login.example/keys?tenant=1",
                subject="app-1",
                subject_claim="azp",
                scopes_claim="scope",
                person_from_token={"identifier": "sub", "name": "name", "role": "job"},
                longest_minutes="15",
            ),
        )
    )
    found = client.tokens
    assert found is not None
    assert client.rate_limit == RateLimit(calls=600, seconds=60)
    assert (found.subject, found.subject_claim, found.scopes_claim) == ("app-1", "azp", "scope")
    assert found.person == PersonClaims(identifier="sub", name="name", role="job")
    assert found.longest == timedelta(minutes=15)
    assert (found.keys, found.jwks_url) == (None, "https://login.example/keys?tenant=1")


def test_a_client_may_have_keys_and_tokens() -> None:
    [client] = read(a_client(keys=[DIGEST]))
    assert client.key_sha256 == (DIGEST,)
    assert client.tokens is not None


def test_a_file_of_keys_is_looked_for_beside_the_clients_file(tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_text(json.dumps(KEYS))
    [client] = read(a_client(jwt=a_jwt(jwks_file="keys.json")), folder=tmp_path)
    assert client.tokens is not None
    assert client.tokens.keys is not None
    assert len(client.tokens.keys.keys) == 2


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8080/keys", "http://localhost/k", "http://[::1]/"]
)
def test_this_very_host_may_be_asked_in_the_clear(url: str) -> None:
    [client] = read(a_client(jwt=a_jwt(jwks_url=url)))
    assert client.tokens is not None
    assert client.tokens.jwks_url == url


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"issuer": None}, "jwt.issuer: is missing"),
        ({"audience": ""}, "jwt.audience: is ''"),
        ({"algorithms": None}, "jwt.algorithms: is missing"),
        ({"algorithms": []}, "jwt.algorithms: is an empty list"),
        ({"algorithms": ["ES256", "HS256"]}, "'HS256' is never accepted"),
        ({"algorithms": ["none", "ES256"]}, "'none' is never accepted"),
        ({"algorithms": ["ES256", "RS25"]}, "'RS25' is not accepted; did you mean RS256?"),
        ({"algorithms": ["RS256"]}, "jwt.algorithms: fits none of the keys"),
        ({"jwks": None}, "jwt.jwks_url: is missing"),
        ({"jwks": KEYS, "jwks_url": "https://a.example/"}, "jwks: is there beside jwks_url"),
        ({"jwks": {}}, "jwt.jwks: is no JSON Web Key Set"),
        ({"jwks": {"keys": []}}, "jwt.jwks: holds no key"),
        ({"jwks": {"keys": [jwk("one"), jwk("b", d="x")]}}, "jwt.jwks: keys[1] holds a secret"),
        ({"jwks_url": "http://login.example/keys"}, "is plain http"),
        ({"jwks_url": "login.example/keys"}, "is not such an address"),
        ({"jwks_url": "https://login.example:0/"}, "is not such an address"),
        ({"jwks_url": "https://login.example:x/"}, "is not such an address"),
        ({"jwks_url": "file:///etc/passwd"}, "is not such an address"),
        ({"jwks_url": "https://me:secret@login.example/"}, "holds a user name or password"),
        ({"jwks_file": "absent.json"}, "jwt.jwks_file: cannot be read (no such file"),
        ({"subject_claim": "email"}, "jwt.subject_claim: is 'email'"),
        ({"longest_minutes": "0"}, "jwt.longest_minutes: is '0'"),
        ({"longest_minutes": "1441"}, "jwt.longest_minutes: is '1441'"),
        ({"person_from_token": {"name": "n"}}, "person_from_token.identifier: is missing"),
        ({"person_from_token": {"identifier": "s", "mail": "m"}}, "mail: is not a key"),
        ({"secret": "x"}, "jwt.secret: is not a key that is known here"),
    ],
)
def test_what_is_wrong_with_tokens_is_told(changes: dict[str, Any], says: str) -> None:
    told = faults(a_client(jwt=a_jwt(**changes)))
    assert len(told) == 1
    assert says in told[0]
    assert "secret@" not in told[0]


@pytest.mark.parametrize("content", ["not json", "[" * 100_000, '{"keys": [7]}'])
def test_a_file_that_holds_no_keys_is_told(content: str, tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_text(content)
    [told] = faults(a_client(jwt=a_jwt(jwks_file="keys.json")), folder=tmp_path)
    assert told.startswith("portal.jwt.jwks_file: ")


def test_a_client_needs_a_key_or_tokens() -> None:
    [told] = faults(a_client() | {"jwt": None})
    assert "portal.jwt: has no value" in told
    without = a_client()
    del without["jwt"]
    assert "portal.keys: is missing" in faults(without)[0]


def test_a_key_does_not_stand_beside_the_person_of_a_token() -> None:
    [told] = faults(a_client(keys=[DIGEST], jwt=a_jwt(person_from_token={"identifier": "sub"})))
    assert "portal.keys: stands beside jwt.person_from_token" in told


def test_a_token_can_be_of_one_client_only() -> None:
    [told] = faults(a_client(), a_client(id="other", jwt=a_jwt(subject="portal")))
    assert told.startswith("other.jwt.subject: is that of portal too")
    [told] = faults(a_client(), a_client(id="other", jwt=a_jwt(subject_claim="azp")))
    assert told.startswith("other.jwt.subject_claim: is azp")
    assert len(read(a_client(), a_client(id="other"))) == 2
    elsewhere = a_jwt(issuer="https://else.example", subject="portal", subject_claim="azp")
    assert len(read(a_client(), a_client(id="other", jwt=elsewhere))) == 2


@pytest.mark.parametrize("text", ["20", "20/day", "0/second"])
def test_a_rate_limit_that_is_not_right_is_told(text: str) -> None:
    [told] = faults(a_client(rate_limit=text))
    assert told.startswith("portal.rate_limit: is ")
    assert "20/second" in told


def test_a_service_built_from_its_settings_takes_tokens_and_keeps_to_limits(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text(POLICY)
    with an_issuer(jwk("one")) as issuer:
        clients = [a_client(jwt=a_jwt(jwks_url=issuer.url), rate_limit="2/hour")]
        (tmp_path / "clients.yaml").write_text(yaml.safe_dump(clients))
        settings = Settings.from_environment(
            {
                "FHIRMSG_FHIR_BASE_URL": "https://ehr.example/fhir",
                "FHIRMSG_POLICY_FILES": str(tmp_path / "policy.yaml"),
                "FHIRMSG_CLIENTS_FILE": str(tmp_path / "clients.yaml"),
                "FHIRMSG_RECORD_KEY": RECORD_KEY,
                "FHIRMSG_JOURNAL_FILE": str(tmp_path.resolve() / "journal.sqlite3"),
                "FHIRMSG_OUTBOX_FILE": str(tmp_path / "outbox.sqlite3"),
            }
        )
        client = build(settings).test_client()

        def ask(subject: str) -> int:
            at = int(time.time())
            said = claims(iat=at, exp=at + 60, sub=subject)
            made = jwt.encode(said, private_key("one"), "ES256", headers={"kid": "one"})
            headers = {"Authorization": f"Bearer {made}"}
            return client.get("/v1/rules", headers=headers).status_code

        assert [ask("portal") for _ in range(3)] == [200, 200, 429]
        assert ask("nobody") == 401
