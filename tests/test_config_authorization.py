"""Settings of access tokens and client certificates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from fhirmsg.config import Settings
from fhirmsg.config.authorization import nhs_token_source
from fhirmsg.environment import Variables
from fhirmsg.errors import SettingsError
from fhirmsg.fhir.scopes import DEFAULT_SCOPES
from tests.authorization.guarded import a_key, pem
from tests.serving import write_settings

RSA = a_key("RS384")
P384 = a_key("ES384")
SMART = {
    "FHIR_AUTH": "smart",
    "FHIR_CLIENT_ID": "fhirmsg",
    "FHIR_KEY_ID": "key-1",
    "FHIR_PRIVATE_KEY": pem(RSA),
}
TOKEN_URL = "https://auth.example/token"
NHS = {**SMART, "FHIR_AUTH": "nhs", "FHIR_TOKEN_URL": TOKEN_URL}


def settings(folder: Path, **changes: str) -> Settings:
    named = {f"FHIRMSG_{name}": text for name, text in changes.items()}
    return Settings.from_environment(write_settings(folder, "https://ehr.example/fhir", **named))


def faults(folder: Path, **changes: str) -> str:
    with pytest.raises(SettingsError) as caught:
        settings(folder, **changes)
    return "\n".join(caught.value.faults)


def test_nothing_is_proved_where_nothing_is_set(tmp_path: Path) -> None:
    found = settings(tmp_path)
    assert found.fhir_authorization is None
    assert found.client_certificate is None
    assert found.fhir.end_user_organisation is None


def test_smart_asks_for_what_is_needed_by_rs384(tmp_path: Path) -> None:
    found = settings(tmp_path, **SMART).fhir_authorization
    assert found is not None
    assert (found.client_id, found.key_id, found.algorithm) == ("fhirmsg", "key-1", "RS384")
    assert (found.base_url, found.token_url) == ("https://ehr.example/fhir", None)
    assert found.scope == DEFAULT_SCOPES
    assert not found.plain_allowed


def test_everything_about_it_can_be_set(tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    file.write_text(pem(P384))
    given = {name: text for name, text in SMART.items() if name != "FHIR_PRIVATE_KEY"}
    found = settings(
        tmp_path,
        **given,
        FHIR_PRIVATE_KEY_FILE=str(file),
        FHIR_ALGORITHM="es384",
        FHIR_TOKEN_URL=TOKEN_URL,
        FHIR_SCOPES="system/*.rs system/Communication.crus",
        FHIR_END_USER_ORGANISATION="a12345",
    )
    assert found.fhir.end_user_organisation == "A12345"
    assert found.fhir_authorization is not None
    assert found.fhir_authorization.algorithm == "ES384"
    assert found.fhir_authorization.token_url == TOKEN_URL
    assert found.fhir_authorization.scope == "system/*.rs system/Communication.crus"


def test_nhs_asks_for_no_scope_by_rs512(tmp_path: Path) -> None:
    found = settings(tmp_path, **NHS).fhir_authorization
    assert found is not None
    assert (found.algorithm, found.scope, found.token_url) == ("RS512", None, TOKEN_URL)


@pytest.mark.parametrize("kind", ["smart", "nhs"])
def test_what_is_missing_is_told_at_once(tmp_path: Path, kind: str) -> None:
    told = faults(tmp_path, FHIR_AUTH=kind)
    for name in ("CLIENT_ID", "KEY_ID", "PRIVATE_KEY"):
        assert f"FHIRMSG_FHIR_{name}: is not set; " in told
    assert ("FHIRMSG_FHIR_TOKEN_URL: is not set" in told) == (kind == "nhs")


@pytest.mark.parametrize("name", ["CLIENT_ID", "KEY_ID", "TOKEN_URL", "SCOPES", "ALGORITHM"])
def test_what_has_no_effect_is_a_fault(tmp_path: Path, name: str) -> None:
    values = {"TOKEN_URL": TOKEN_URL, "ALGORITHM": "RS384"}
    told = faults(tmp_path, **{f"FHIR_{name}": values.get(name, "something")})
    assert told == (
        f"FHIRMSG_FHIR_{name}: is set without FHIRMSG_FHIR_AUTH; write smart or nhs there"
    )


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"FHIR_AUTH": "basic"}, "FHIR_AUTH: is not right; write one of none, smart, nhs"),
        ({"FHIR_ALGORITHM": "HS256"}, "FHIR_ALGORITHM: is not right; write one of RS384"),
        ({"FHIR_CLIENT_ID": "a\nb"}, "FHIR_CLIENT_ID: is not right"),
        ({"FHIR_KEY_ID": "kéy"}, "FHIR_KEY_ID: is not right"),
        ({"FHIR_SCOPES": "system/*.rs  x"}, "FHIR_SCOPES: is not right"),
        ({"FHIR_SCOPES": 'system/"'}, "FHIR_SCOPES: is not right"),
        ({"FHIR_TOKEN_URL": "http://auth.example/token"}, "FHIR_TOKEN_URL: is plain http"),
        ({"FHIR_TOKEN_URL": "https://a:b@auth.example/"}, "FHIR_TOKEN_URL: holds a user name"),
        ({"FHIR_TOKEN_URL": "auth.example"}, "FHIR_TOKEN_URL: is not such an address"),
        ({"FHIR_END_USER_ORGANISATION": "A1\r\nX: 1"}, "FHIR_END_USER_ORGANISATION: is not right"),
        ({**NHS, "FHIR_ALGORITHM": "RS384"}, "FHIR_ALGORITHM: does not go with nhs; write RS512"),
        ({**NHS, "FHIR_SCOPES": "system/*.rs"}, "FHIR_SCOPES: does not go with nhs"),
    ],
)
def test_what_is_not_right_is_told(tmp_path: Path, changes: dict[str, str], says: str) -> None:
    assert f"FHIRMSG_{says}" in faults(tmp_path, **{**SMART, **changes})


def encoded(key: Any, encryption: Any = None) -> str:
    made = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())
    return str(made.decode())


PUBLIC = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


@pytest.mark.parametrize(
    ("key", "algorithm", "says"),
    [
        (encoded(rsa.generate_private_key(65537, 1024)), "RS384", "of 1024 bits, which is weak"),
        (pem(P384), "RS384", "of another kind than RS384 signs with"),
        (pem(P384), "RS512", "of another kind than RS512 signs with"),
        (pem(RSA), "ES384", "of another kind than ES384 signs with"),
        (encoded(ec.generate_private_key(ec.SECP256R1())), "ES384", "EC key on another curve"),
        (encoded(ed25519.Ed25519PrivateKey.generate()), "ES384", "of another kind than ES384"),
        (encoded(RSA, BestAvailableEncryption(b"word")), "RS384", "not a private key that can"),
        (PUBLIC, "RS384", "is not a private key that can be read"),
        ("a word", "RS384", "is not a private key that can be read"),
    ],
)
def test_a_key_that_does_not_serve_is_told_and_never_shown(
    tmp_path: Path, key: str, algorithm: str, says: str
) -> None:
    told = faults(tmp_path, **{**SMART, "FHIR_PRIVATE_KEY": key, "FHIR_ALGORITHM": algorithm})
    assert told.count("\n") == 0
    assert told.startswith("FHIRMSG_FHIR_PRIVATE_KEY: is ")
    assert says in told
    assert key[30:60] not in told or key == "a word"


def test_a_key_file_is_named_by_its_variable_alone(tmp_path: Path) -> None:
    given = {name: text for name, text in SMART.items() if name != "FHIR_PRIVATE_KEY"}
    told = faults(tmp_path, **given, FHIR_PRIVATE_KEY_FILE=pem(RSA))
    assert "FHIRMSG_FHIR_PRIVATE_KEY_FILE: a file cannot be read" in told
    assert "BEGIN" not in told


def test_a_key_is_not_shown_when_the_settings_are_printed(tmp_path: Path) -> None:
    shown = repr(settings(tmp_path, **SMART))
    assert "PrivateKey" not in shown
    assert "BEGIN" not in shown


# --- another API of the NHS platform -------------------------------------------------------------


def of_notify(**values: str) -> tuple[Any, list[str]]:
    told: list[str] = []
    named = {f"FHIRMSG_NHS_NOTIFY_{name}": text for name, text in values.items()}
    variables = Variables(named, told)
    found = nhs_token_source(variables, "NHS_NOTIFY_")
    variables.report_unknown()
    return found, told


def test_another_api_has_credentials_of_its_own() -> None:
    found, told = of_notify(
        CLIENT_ID="notify", KEY_ID="key-2", PRIVATE_KEY=pem(RSA), TOKEN_URL=TOKEN_URL
    )
    assert told == []
    assert (found.client_id, found.key_id, found.algorithm) == ("notify", "key-2", "RS512")
    assert (found.token_url, found.scope) == (TOKEN_URL, None)


def test_another_api_that_is_not_set_has_none() -> None:
    assert of_notify() == (None, [])


def test_another_api_is_set_whole_or_not_at_all() -> None:
    found, told = of_notify(CLIENT_ID="notify")
    assert found is None
    for name in ("KEY_ID", "PRIVATE_KEY", "TOKEN_URL"):
        assert any(each.startswith(f"FHIRMSG_NHS_NOTIFY_{name}: is not set") for each in told)


# --- client certificates -------------------------------------------------------------------------


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[str, str]:
    """Files of a certificate and of its key."""
    made = trustme.CA().issue_cert("fhirmsg.example")
    files = tmp_path / "client.pem", tmp_path / "client-key.pem"
    made.cert_chain_pems[0].write_to_path(str(files[0]))
    made.private_key_pem.write_to_path(str(files[1]))
    return str(files[0]), str(files[1])


def test_a_client_certificate_is_taken(tmp_path: Path, certificate: tuple[str, str]) -> None:
    file, key = certificate
    assert (
        settings(tmp_path, CLIENT_CERT_FILE=file, CLIENT_KEY_FILE=key).client_certificate
        == certificate
    )


def test_a_client_certificate_without_its_own_key_is_told(
    tmp_path: Path, certificate: tuple[str, str]
) -> None:
    file, key = certificate
    other = tmp_path / "other.pem"
    other.write_text(pem(P384))
    locked = tmp_path / "locked.pem"
    locked.write_text(encoded(P384, BestAvailableEncryption(b"word")))
    assert "CLIENT_KEY_FILE: is not set beside" in faults(tmp_path, CLIENT_CERT_FILE=file)
    assert "CLIENT_CERT_FILE: is not set beside" in faults(tmp_path, CLIENT_KEY_FILE=key)
    for wrong in (str(other), str(locked), file, "/nowhere"):
        told = faults(tmp_path, CLIENT_CERT_FILE=file, CLIENT_KEY_FILE=wrong)
        assert "CLIENT_CERT_FILE: cannot be used with FHIRMSG_CLIENT_KEY_FILE" in told


# --- NHS Notify ----------------------------------------------------------------------------------


def test_the_credentials_of_nhs_notify_belong_to_its_address(tmp_path: Path) -> None:
    ours = {
        "NHS_NOTIFY_CLIENT_ID": "notify",
        "NHS_NOTIFY_KEY_ID": "key-2",
        "NHS_NOTIFY_PRIVATE_KEY": pem(RSA),
        "NHS_NOTIFY_TOKEN_URL": TOKEN_URL,
    }
    told = faults(tmp_path, **ours)
    assert told.startswith("FHIRMSG_NHS_NOTIFY_CLIENT_ID: is set without FHIRMSG_NHS_NOTIFY_BASE")
    address = {"NHS_NOTIFY_BASE_URL": "https://api.service.nhs.uk/comms"}
    found = settings(tmp_path, **ours, **address).nhs_authorization
    assert found is not None
    assert found.client_id == "notify"
    assert settings(tmp_path, **address).nhs_authorization is None
