"""Figures: what is in them, that nothing from outside can add to them, and where they are told."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from fhirmsg.breaker import Breaker, BreakerSettings
from fhirmsg.config import Settings
from fhirmsg.errors import JournalUnavailable, SettingsError
from fhirmsg.guidance.decision import decide
from fhirmsg.metrics import Metrics
from fhirmsg.metrics_serving import MetricsServer
from fhirmsg.ports import Outcome, Owed
from tests.builders import a_case
from tests.serving import write_settings


def some_metrics() -> Metrics:
    return Metrics(providers=["smtp", "outbox"])


def samples(metrics: Metrics | str, name: str) -> dict[tuple[str, ...], float]:
    """Give the values of one series by the values of its labels, these in alphabetical order."""
    text = metrics if isinstance(metrics, str) else metrics.text().decode()
    return {
        tuple(value for _, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
    }


def test_decisions_are_counted_by_verdict_and_findings_by_code() -> None:
    metrics = some_metrics()
    metrics.decided("send", [])
    metrics.decided("refuse", ["objection.active", "objection.active", "contact.missing"])
    assert samples(metrics, "fhirmsg_decisions_total") == {("send",): 1, ("refuse",): 1}
    assert samples(metrics, "fhirmsg_findings_total")[("objection.active", "refuse")] == 1


def test_what_a_real_decision_says_is_all_known() -> None:
    metrics = some_metrics()
    decision = decide(a_case())
    metrics.decided(decision.verdict, [each.code for each in decision.findings])
    found = samples(metrics, "fhirmsg_findings_total") | samples(metrics, "fhirmsg_decisions_total")
    assert found
    assert not any("other" in labels for labels in found)


def test_hand_offs_calls_and_requests_are_counted_and_timed() -> None:
    metrics = some_metrics()
    metrics.know_routes(["/v1/messages"])
    metrics.handed_off("smtp", Outcome.MAY_HAVE_LEFT, 0.2)
    metrics.fhir_call("batch", "5xx", 0.3)
    metrics.request("/v1/messages", "POST", 201, 0.4)
    metrics.rate_limited("client")
    assert samples(metrics, "fhirmsg_hand_off_seconds_count") == {("may-have-left", "smtp"): 1}
    assert samples(metrics, "fhirmsg_hand_off_seconds_sum") == {("may-have-left", "smtp"): 0.2}
    assert samples(metrics, "fhirmsg_fhir_call_seconds_sum") == {("batch", "5xx"): 0.3}
    assert samples(metrics, "fhirmsg_http_request_seconds_sum") == {
        ("POST", "/v1/messages", "201"): 0.4
    }
    assert samples(metrics, "fhirmsg_rate_limited_total") == {("client",): 1}


def test_whatever_is_made_up_is_one_series_and_shows_nowhere() -> None:
    metrics = some_metrics()
    for number in range(50):
        made_up = f"mary-{number}"
        metrics.decided(made_up, [made_up])
        metrics.handed_off(made_up, Outcome.ACCEPTED, 0)
        metrics.fhir_call(made_up, made_up, 0)
        metrics.request(f"/v1/patients/{made_up}", made_up, 1000 + number, 0)
        metrics.rate_limited(made_up)
    assert b"mary" not in metrics.text()
    assert samples(metrics, "fhirmsg_http_request_seconds_count") == {
        ("other", "other", "other"): 50
    }
    assert samples(metrics, "fhirmsg_decisions_total") == {("other",): 50}
    assert samples(metrics, "fhirmsg_findings_total") == {("other", "other"): 50}


def test_two_of_them_know_nothing_of_each_other() -> None:
    one, other = some_metrics(), some_metrics()
    one.decided("send", [])
    assert samples(other, "fhirmsg_decisions_total") == {}


def test_breakers_are_shown_in_the_state_they_are_in_now() -> None:
    metrics = some_metrics()
    breaker = Breaker("fhir", BreakerSettings(failures=1))
    metrics.watch_breakers([breaker])
    name = "fhirmsg_circuit_breaker_state"
    assert samples(metrics, name)[("fhir", "closed")] == 1
    with breaker.call() as passed:
        passed.answered = False
    assert samples(metrics, name) == {
        ("fhir", "closed"): 0,
        ("fhir", "half-open"): 0,
        ("fhir", "open"): 1,
    }


class FakeJournal:
    """Tells lengths and age, or that it cannot."""

    usable = True

    def lengths(self) -> dict[Owed, int]:
        if not self.usable:
            raise JournalUnavailable("mary")
        return {Owed.RECEIPT: 3}

    def oldest_seconds(self) -> float | None:
        return 90.0


def test_the_journal_is_shown_by_kind_and_age_and_when_it_cannot_be_read() -> None:
    metrics, journal = some_metrics(), FakeJournal()
    metrics.watch_journal(journal)  # type: ignore[arg-type]
    held = samples(metrics, "fhirmsg_journal_items")
    assert held[("receipt",)] == 3
    assert {labels[0] for labels in held} == set(Owed) - {Owed.MARK}
    assert samples(metrics, "fhirmsg_journal_oldest_seconds") == {(): 90}
    assert samples(metrics, "fhirmsg_journal_usable") == {(): 1}
    journal.usable = False
    assert samples(metrics, "fhirmsg_journal_usable") == {(): 0}
    assert samples(metrics, "fhirmsg_journal_items") == {}


def test_open_entries_are_shown_by_age_and_not_at_all_while_nobody_knows() -> None:
    metrics = some_metrics()
    ages: list[float] | None = [-1, 5, 59.9, 60, 700, 90_000, 1e9]
    metrics.watch_open_entries(lambda: ages)
    assert samples(metrics, "fhirmsg_open_entries") == {
        ("under-1m",): 3,
        ("1m-2m",): 1,
        ("2m-10m",): 0,
        ("10m-1h",): 1,
        ("1h-1d",): 0,
        ("over-1d",): 2,
    }
    ages = None
    assert samples(metrics, "fhirmsg_open_entries") == {}


# --- over HTTP ----------------------------------------------------------------------------------


@contextlib.contextmanager
def served(metrics: Metrics) -> Iterator[str]:
    server = MetricsServer(metrics, "127.0.0.1", 0)
    server.start()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.stop()
        server.join(5)


def test_they_are_served_on_a_port_of_their_own_until_it_is_stopped(
    capfd: pytest.CaptureFixture[str],
) -> None:
    metrics = some_metrics()
    metrics.decided("send", [])
    with served(metrics) as url:
        answer = requests.get(f"{url}/metrics", timeout=5)
        elsewhere = requests.get(f"{url}/v1/messages", timeout=5)
        posted = requests.post(f"{url}/metrics", data="x", timeout=5)
        began = time.monotonic()
    assert time.monotonic() - began < 3
    assert (answer.status_code, elsewhere.status_code, posted.status_code) == (200, 404, 405)
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    assert "Server" not in answer.headers
    assert samples(answer.text, "fhirmsg_decisions_total") == {("send",): 1}
    with pytest.raises(requests.exceptions.ConnectionError):
        requests.get(f"{url}/metrics", timeout=5)
    assert capfd.readouterr() == ("", "")


def test_one_that_was_never_started_can_be_stopped() -> None:
    server = MetricsServer(some_metrics(), "127.0.0.1", 0)
    server.stop()
    server.join(1)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port))


# --- settings -----------------------------------------------------------------------------------


def read(tmp_path: Path, **extra: str) -> Settings:
    return Settings.from_environment(write_settings(tmp_path, "https://ehr.example/fhir", **extra))


def test_without_a_port_no_figures_are_served_and_breakers_have_their_defaults(
    tmp_path: Path,
) -> None:
    found = read(tmp_path)
    assert found.metrics is None
    assert found.breaker == BreakerSettings(failures=5, pause_seconds=10.0)


def test_port_host_and_breakers_are_read(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        FHIRMSG_METRICS_PORT="9464",
        FHIRMSG_METRICS_HOST="10.0.0.5",
        FHIRMSG_BREAKER_FAILURES="0",
        FHIRMSG_BREAKER_PAUSE_SECONDS="0.5",
    )
    assert found.metrics is not None
    assert (found.metrics.host, found.metrics.port) == ("10.0.0.5", 9464)
    assert found.breaker == BreakerSettings(failures=0, pause_seconds=0.5)


@pytest.mark.parametrize(
    ("extra", "says"),
    [
        ({"FHIRMSG_METRICS_HOST": "0.0.0.0"}, "METRICS_HOST: is set without FHIRMSG_METRICS_PORT"),
        ({"FHIRMSG_METRICS_PORT": "0"}, "METRICS_PORT: is not right; write a whole number from 1"),
        ({"FHIRMSG_BREAKER_FAILURES": "-1"}, "BREAKER_FAILURES: is not right"),
        ({"FHIRMSG_BREAKER_PAUSE_SECONDS": "0"}, "BREAKER_PAUSE_SECONDS: is not right"),
        ({"FHIRMSG_SMTP_IDLE_SECONDS": "-1"}, "SMTP_IDLE_SECONDS: is not right"),
    ],
)
def test_what_is_wrong_with_them_is_told(tmp_path: Path, extra: dict[str, str], says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        read(tmp_path, **extra)
