"""What an access token does not open: every read says so, and nothing is decided on it."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from fhirmsg.fhir.client import FhirClient, FhirServer
from fhirmsg.fhir.reader import FhirRecordReader
from fhirmsg.fhir.scopes import DEFAULT_SCOPES
from fhirmsg.http import make_session
from fhirmsg.ports import ReadResult
from tests import builders
from tests.fhir.reads import KEY, MESSAGE_ID, a_link, by_number, gaps
from tests.world import a_patient_resource, an_objection_resource, put

ALL = "system/*.rs"


class Scopes:
    """Tokens that open this with the first call, that with the second, the last one for ever."""

    def __init__(self, *scopes: str | None) -> None:
        self.left = list(scopes)
        self.used: str | None = None

    def __call__(self, r: requests.PreparedRequest, /) -> requests.PreparedRequest:
        self.used = self.left.pop(0) if len(self.left) > 1 else self.left[0]
        return r

    def scope_used(self) -> str | None:
        return self.used


def read(base: str, *scopes: str | None, page_size: int = 100, **policy: Any) -> ReadResult:
    with make_session() as session:
        server = FhirServer(base_url=base, page_size=page_size)
        client = FhirClient(server, session, authorization=Scopes(*scopes))
        reader = FhirRecordReader(client, contact_key=KEY)
        return reader.read(builders.a_request(), builders.a_policy(**policy), MESSAGE_ID)


def hidden(result: ReadResult) -> list[str]:
    """Give the kinds that a read says may be hidden."""
    assert gaps(result) == []
    return [sign.sentence.split()[7] for sign in result.record.blind]


@pytest.mark.parametrize("scope", [None, ALL, DEFAULT_SCOPES, "system/*.read"])
def test_a_token_that_opens_everything_hides_nothing(base: str, scope: str | None) -> None:
    assert hidden(read(base, scope)) == []


def test_every_kind_that_decides_and_is_not_opened_is_told_once(base: str) -> None:
    assert hidden(read(base, "")) == [
        *("Communication", "CommunicationRequest", "Consent", "Flag", "Patient", "RelatedPerson")
    ]


def test_a_kind_that_the_policy_does_not_look_for_may_be_closed(base: str) -> None:
    scope = " ".join(
        f"system/{each}.rs" for each in ("Patient", "RelatedPerson", "Consent", "Communication")
    )
    assert hidden(read(base, scope)) == ["CommunicationRequest", "Flag"]
    found = read(base, scope, read_flags=False, read_communication_requests=False)
    assert hidden(found) == []


def test_a_token_that_closes_between_two_batches_is_seen(base: str) -> None:
    put(
        base,
        a_patient_resource(id="old", identifier=by_number("9990000034")),
        a_patient_resource(link=[a_link("replaces", "old")]),
    )
    assert hidden(read(base, ALL, "system/Patient.rs")) == [
        *("CommunicationRequest", "Consent", "Flag", "RelatedPerson")
    ]


def test_a_token_that_closes_between_two_pages_is_seen(base: str) -> None:
    put(base, *(an_objection_resource(f"objection-{number}") for number in range(5)))
    found = read(base, ALL, "system/Patient.rs", page_size=2)
    assert hidden(found) == ["Consent"]
    assert hidden(read(base, ALL, page_size=2)) == []


def test_a_sign_names_no_patient(base: str) -> None:
    for sign in read(base, "").record.blind:
        assert "amara" not in sign.sentence.lower()
        assert sign.evidence is None
