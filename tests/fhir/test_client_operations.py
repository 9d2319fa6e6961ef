"""What the FHIR client counts, when it leaves its server alone, and what it sends along."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests
import responses

from fhirmsg.breaker import Breaker, BreakerSettings, State, regardless_of_breakers
from fhirmsg.clock import Deadline
from fhirmsg.errors import RecordUnavailable
from fhirmsg.fhir.client import FhirClient, FhirServer
from fhirmsg.fhir.log import FhirCommunicationLog
from fhirmsg.http import make_session
from fhirmsg.ports import Opened
from fhirmsg.ports.metering import NoMeter
from fhirmsg.tracing import taking_part, trace_from
from tests.fhir.drafts import a_draft
from tests.raw_server import answer, in_turn, raw_server

BASE = "https://ehr.example/fhir"
TRACE = "0af7651916cd43dd8448eb211c80319c"


class Counting(NoMeter):
    """Keeps what it is told of calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []

    def fhir_call(self, kind: str, result: str, seconds: float) -> None:
        assert 0 <= seconds < 60
        self.calls.append((kind, result))


@pytest.fixture
def web() -> Iterator[responses.RequestsMock]:
    """Every answer is registered by the test; a call without one fails."""
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


def a_client(failures: int = 2, base: str = BASE, **parts: Any) -> tuple[FhirClient, Breaker]:
    breaker = Breaker("fhir", BreakerSettings(failures=failures, pause_seconds=60))
    session = make_session(get_retries=0)
    return FhirClient(FhirServer(base_url=base), session, breaker=breaker, **parts), breaker


def test_a_server_that_does_not_answer_is_not_asked_again(web: responses.RequestsMock) -> None:
    web.get(f"{BASE}/Patient/1", body=requests.exceptions.ConnectionError())
    client, _ = a_client()
    for _ in range(2):
        with pytest.raises(RecordUnavailable, match="did not answer"):
            client.read("Patient/1")
    with pytest.raises(RecordUnavailable, match="was not asked now"):
        client.read("Patient/1")
    assert len(web.calls) == 2


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_server_that_answers_reads_with_its_own_fault_is_left_alone(
    web: responses.RequestsMock, status: int
) -> None:
    web.get(f"{BASE}/Patient/1", status=status)
    client, breaker = a_client()
    assert [client.read("Patient/1").status for _ in range(2)] == [status] * 2
    assert breaker.state is State.OPEN


@pytest.mark.parametrize("status", [400, 401, 404, 410, 429, 501])
def test_a_server_that_says_no_has_answered(web: responses.RequestsMock, status: int) -> None:
    web.get(f"{BASE}/Patient/1", status=status)
    client, breaker = a_client(failures=1)
    client.read("Patient/1")
    assert breaker.state is State.CLOSED


def test_a_write_goes_through_whatever_the_reads_met(web: responses.RequestsMock) -> None:
    web.get(f"{BASE}/Patient/1", body=requests.exceptions.ConnectionError())
    web.put(f"{BASE}/Task/1", json={"resourceType": "Task"})
    client, breaker = a_client(failures=1)
    with pytest.raises(RecordUnavailable):
        client.read("Patient/1")
    assert breaker.state is State.OPEN
    assert client.update({"resourceType": "Task", "id": "1"}, version_id="1").status == 200
    # It was answered, so the server is there.
    assert breaker.state is State.CLOSED


def test_a_fault_at_a_write_may_be_what_was_written(web: responses.RequestsMock) -> None:
    web.post(f"{BASE}/Task", status=500)
    client, breaker = a_client(failures=1)
    client.create({"resourceType": "Task"})
    assert breaker.state is State.CLOSED


def test_an_emergency_reads_all_the_same(web: responses.RequestsMock) -> None:
    web.get(f"{BASE}/Patient/1", status=503)
    client, _ = a_client(failures=1)
    client.read("Patient/1")
    with regardless_of_breakers():
        assert client.read("Patient/1").status == 503


def test_without_time_left_the_server_is_not_to_blame() -> None:
    client, breaker = a_client(failures=1)
    with pytest.raises(RecordUnavailable):
        client.read("Patient/1", deadline=Deadline(0))
    assert breaker.state is State.CLOSED


def test_each_call_is_counted_once_by_its_kind_and_how_it_ended(
    web: responses.RequestsMock,
) -> None:
    meter = Counting()
    client, _ = a_client(meter=meter)
    web.get(f"{BASE}/Patient/1", json={"resourceType": "Patient"})
    web.get(f"{BASE}/Patient/2", status=404)
    web.get(f"{BASE}/Patient/3", body="<html>")
    web.post(BASE, status=503)
    web.delete(f"{BASE}/Task/1", body=requests.exceptions.ConnectionError())
    client.read("Patient/1")
    client.read("Patient/2")
    with pytest.raises(RecordUnavailable):
        client.read("Patient/3")
    with pytest.raises(RecordUnavailable):
        client.batch(["Patient/1"], deadline=Deadline(5))
    with pytest.raises(RecordUnavailable):
        client.delete("Task/1")
    with pytest.raises(RecordUnavailable):
        client.read("Patient/1")
    assert meter.calls == [
        ("read", "2xx"),
        ("read", "4xx"),
        ("read", "not-fhir"),
        ("batch", "5xx"),
        ("delete", "unanswered"),
        ("read", "circuit-open"),
    ]


def test_the_trace_and_the_correlation_id_go_along(web: responses.RequestsMock) -> None:
    web.get(f"{BASE}/Patient/1", json={"resourceType": "Patient"})
    client, _ = a_client()
    client.read("Patient/1")
    with taking_part(trace_from(f"00-{TRACE}-b7ad6b7169203331-01", correlation_id="c-1")):
        client.read("Patient/1")
    without, within = (call.request.headers for call in web.calls)
    assert "traceparent" not in without
    assert "X-Correlation-ID" not in without
    assert within["X-Correlation-ID"] == "c-1"
    assert within["traceparent"].startswith(f"00-{TRACE}-")
    assert within["traceparent"].endswith("-01")
    assert "b7ad6b7169203331" not in within["traceparent"]


def test_a_get_that_is_tried_again_carries_the_same_ids() -> None:
    good = answer(b'{"resourceType": "Patient"}')
    with raw_server(in_turn(answer(status="503 Busy"), good)) as server:
        client = FhirClient(FhirServer(base_url=server.url), make_session())
        with taking_part(trace_from("")):
            assert client.read("Patient/1").good
    first, second = (
        sorted(
            line
            for line in request.split(b"\r\n")
            if line.lower().startswith((b"x-request-id", b"traceparent"))
        )
        for request in server.requests
    )
    assert len(first) == 2
    assert first == second


def test_a_create_that_is_tried_again_can_carry_the_same_id(web: responses.RequestsMock) -> None:
    web.post(f"{BASE}/Task", json={"resourceType": "Task"})
    client, _ = a_client()
    for request_id in ("attempt-1", "attempt-1", None):
        client.create({"resourceType": "Task"}, request_id=request_id)
    ids = [call.request.headers["X-Request-ID"] for call in web.calls]
    assert ids[:2] == ["attempt-1"] * 2
    assert ids[2] != "attempt-1"


def test_both_tries_to_open_an_entry_carry_the_same_id(web: responses.RequestsMock) -> None:
    web.post(f"{BASE}/Communication", status=500)
    web.get(f"{BASE}/Communication", status=500)
    client, _ = a_client(failures=0)
    draft = a_draft(attempt="0b0e7a5c-5b0f-4c63-9a35-3f2e0d6c1a11")
    log = FhirCommunicationLog(client, pause=lambda _: None)
    assert log.open(draft).outcome is Opened.UNAVAILABLE
    posts = [call.request for call in web.calls if call.request.method == "POST"]
    assert [each.headers["X-Request-ID"] for each in posts] == [draft.attempt] * 2
    others = [call.request.headers["X-Request-ID"] for call in web.calls]
    assert len(set(others)) == len(others) - 1
