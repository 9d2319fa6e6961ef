"""A server that lets in only who shows a certificate."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from fhirmsg.app import fhir_client_of
from fhirmsg.config import Settings
from fhirmsg.errors import RecordUnavailable
from tests.providers.servers import AUTHORITY, ca_file, server_context
from tests.raw_server import RawServer, answer, raw_server
from tests.serving import write_settings


@pytest.fixture
def server() -> Iterator[RawServer]:
    """A FHIR server that asks for a certificate of the authority of the tests."""
    context = server_context()
    context.verify_mode = ssl.CERT_REQUIRED
    AUTHORITY.configure_trust(context)
    with raw_server(answer(b'{"resourceType":"Patient"}'), tls=context) as running:
        yield running


def settings(folder: Path, server: RawServer, **certificate: str) -> Settings:
    return Settings.from_environment(
        write_settings(folder, server.url, FHIRMSG_CA_FILE=ca_file(folder), **certificate)
    )


def test_who_shows_a_certificate_is_let_in(tmp_path: Path, server: RawServer) -> None:
    made = AUTHORITY.issue_cert("fhirmsg.example")
    made.cert_chain_pems[0].write_to_path(str(tmp_path / "client.pem"))
    made.private_key_pem.write_to_path(str(tmp_path / "client-key.pem"))
    client = fhir_client_of(
        settings(
            tmp_path,
            server,
            FHIRMSG_CLIENT_CERT_FILE=str(tmp_path / "client.pem"),
            FHIRMSG_CLIENT_KEY_FILE=str(tmp_path / "client-key.pem"),
        )
    )
    assert client.read("Patient/1").status == 200


def test_who_shows_none_is_not(tmp_path: Path, server: RawServer) -> None:
    with pytest.raises(RecordUnavailable):
        fhir_client_of(settings(tmp_path, server)).read("Patient/1")
    assert server.requests == []
