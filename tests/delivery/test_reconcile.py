"""Reconciliation finds what was lost, doubled or left open, and nothing where all is well."""

from __future__ import annotations

import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import requests

from fhirmsg.ports import OutboundMessage, Outcome, ProviderKind
from fhirmsg.sandbox import Store, serve_in_thread
from tests.delivery.conftest import Line
from tests.delivery.desk import Office
from tests.delivery.test_recovery import abandoned
from tests.serving import write_settings
from tests.world import FHIR_JSON, a_patient_resource, put


@pytest.fixture
def office(line: Line) -> Office:
    return Office(base=line.base, direct=line.direct)


def unexplained(office: Office) -> list[str]:
    """Give the codes of what is not explained since an hour ago."""
    since = datetime.now(UTC) - timedelta(hours=1)
    return sorted(each.code for each in office.service.reconciliation.run(since).unexplained)


def test_a_day_on_which_all_went_well_is_clean(office: Office) -> None:
    office.send("a")
    office.send("b", content={"body": "Example Surgery: another note."})
    office.first.outcome = Outcome.RETRYABLE
    office.send("c", content={"body": "Example Surgery: a third note."})
    office.first.outcome = Outcome.MAY_HAVE_LEFT
    office.send("d", content={"body": "Example Surgery: a fourth note."})
    assert unexplained(office) == []


def test_a_message_without_an_entry_is_found(office: Office) -> None:
    office.send()
    [entry] = office.record()
    # What names it goes first.
    for event in office.resources("AuditEvent"):
        requests.delete(f"{office.direct}/AuditEvent/{event['id']}", timeout=10)
    gone = requests.delete(f"{office.direct}/Communication/{entry['id']}", timeout=10)
    assert gone.ok
    assert unexplained(office) == ["unrecorded"]


def test_a_message_that_went_twice_is_found(office: Office) -> None:
    office.send()
    office.first.taken *= 2
    assert unexplained(office) == ["doubled"]


def test_a_message_that_the_provider_does_not_know_is_found(office: Office) -> None:
    office.send()
    office.first.taken.clear()
    assert unexplained(office) == ["unsent"]


def test_an_entry_that_says_not_sent_of_what_was_sent_is_found(office: Office) -> None:
    office.first.outcome = Outcome.RETRYABLE
    office.send()
    [entry] = office.record()
    reference = entry["identifier"][0]["value"]
    office.first.taken.append(
        OutboundMessage(reference=reference, channel="sms", to="", body="")  # type: ignore[arg-type]
    )
    assert unexplained(office) == ["untrue"]


def test_an_entry_left_open_is_found_until_somebody_is_asked(line: Line) -> None:
    office = abandoned(line, ProviderKind.REJECTS_REPEATS, after=False)
    assert unexplained(office) == ["open"]
    office.service.catch_up.recover()
    assert unexplained(office) == []


def test_an_unknown_outcome_that_nobody_was_asked_about_is_found(office: Office) -> None:
    office.first.outcome = Outcome.MAY_HAVE_LEFT
    office.send()
    for task in office.resources("Task"):
        requests.delete(f"{office.direct}/Task/{task['id']}", headers=FHIR_JSON, timeout=10)
    assert unexplained(office) == ["unknown"]


def test_a_provider_that_does_not_answer_is_an_exception(office: Office) -> None:
    office.send()
    office.first.silent = True
    assert "provider" in unexplained(office)


@pytest.mark.parametrize("command", [("recover",), ("reconcile", "--since", "1h")])
def test_it_runs_beside_a_serving_process_that_serves_figures(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    with serve_in_thread(Store()) as store, socket.create_server(("127.0.0.1", 0)) as taken:
        put(store.base_url, a_patient_resource())
        port = str(taken.getsockname()[1])
        environment = write_settings(tmp_path, store.base_url, FHIRMSG_METRICS_PORT=port)
        found = subprocess.run(
            [sys.executable, "-m", "fhirmsg", *command],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert found.returncode == 0, found.stderr
