"""What a server says it can do: tolerantly read, and no more believed than it says."""

from __future__ import annotations

import time
from typing import Any

import pytest
import requests
import responses

from fhirmsg.errors import RecordUnavailable
from fhirmsg.fhir.capability import Capabilities, FhirCapability, capabilities_in
from fhirmsg.fhir.client import FhirAnswer, FhirClient, FhirServer
from fhirmsg.http import make_session

BASE = "http://127.0.0.1:9/fhir"
METADATA = f"{BASE}/metadata"
COMMUNICATION = {
    "type": "Communication",
    "interaction": [{"code": "create"}, {"code": "search-type"}],
    "searchParam": [{"name": "identifier"}],
    "conditionalCreate": True,
    "versioning": "versioned-update",
}


def told(rest: Any = None, **changes: Any) -> Capabilities:
    statement = {
        "resourceType": "CapabilityStatement",
        "fhirVersion": "4.0.1",
        "rest": [{"mode": "server", **(rest or {})}],
        **changes,
    }
    return capabilities_in(FhirAnswer(status=200, resource=statement))


def test_what_is_told_is_answered() -> None:
    found = told({"resource": [COMMUNICATION], "interaction": [{"code": "batch"}]})
    assert (found.fhir_version, found.is_r4) == ("4.0.1", True)
    assert (found.does("batch"), found.does("transaction")) == (True, False)
    assert (found.takes("Communication"), found.takes("Communication", "update")) == (True, False)
    assert found.searches_by("Communication", "identifier") is True
    assert found.searches_by("Communication", "subject") is False
    assert found.creates_conditionally("Communication") is True
    assert found.checks_versions("Communication") is True
    assert (found.takes("AuditEvent"), found.searches_by("AuditEvent", "entity")) == (False, False)


def test_batches_may_be_done_where_transactions_alone_are_named() -> None:
    found = told({"interaction": [{"code": "transaction"}, {"code": "history-system"}]})
    assert (found.does("transaction"), found.does("batch")) == (True, None)


@pytest.mark.parametrize(
    "found",
    [Capabilities(), told(), told(rest={"resource": "odd", "interaction": 4}), told(rest=None)],
)
def test_what_is_not_told_is_neither_yes_nor_no(found: Capabilities) -> None:
    answers = [
        found.does("batch"),
        found.takes("AuditEvent"),
        found.searches_by("AuditEvent", "entity"),
        found.creates_conditionally("Communication"),
        found.checks_versions("Communication"),
    ]
    assert answers == [None] * 5


def test_a_type_that_is_listed_without_details_may_take_anything() -> None:
    found = told({"resource": [{"type": "AuditEvent", "versioning": "versioned"}]})
    assert found.takes("AuditEvent") is None
    assert found.checks_versions("AuditEvent") is False


@pytest.mark.parametrize("version", ["5.0.0", "4.3.0", "4.0.1 of Amara", 4, None])
def test_another_version_is_not_r4(version: object) -> None:
    found = told(fhirVersion=version)
    assert not found.is_r4
    assert "Amara" not in (found.fhir_version or "")


def a_capability(**times: float) -> FhirCapability:
    client = FhirClient(FhirServer(base_url=BASE), make_session(get_retries=0))
    return FhirCapability(client, **times)


@responses.activate
def test_an_answer_is_kept_and_a_failure_only_shortly() -> None:
    capability = a_capability(failure_seconds=0.2)
    responses.get(METADATA, status=503)
    assert [capability.told().fhir_version for _ in range(3)] == [None] * 3
    assert len(responses.calls) == 1
    responses.replace(
        "GET", METADATA, json={"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1"}
    )
    time.sleep(0.25)
    assert [capability.told().fhir_version for _ in range(3)] == ["4.0.1"] * 3
    assert len(responses.calls) == 2
    capability.ask()
    assert len(responses.calls) == 3


@responses.activate
def test_a_kept_answer_outlives_a_failure() -> None:
    capability = a_capability()
    responses.get(METADATA, json={"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1"})
    capability.ask()
    responses.replace("GET", METADATA, body=requests.exceptions.ConnectionError())
    with pytest.raises(RecordUnavailable):
        capability.ask()
    assert capability.told().fhir_version == "4.0.1"
