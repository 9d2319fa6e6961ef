"""`fhirmsg recover` and `fhirmsg reconcile` over what a real serving process left."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fhirmsg.journal import SqliteJournal
from fhirmsg.ports import Owed
from tests.delivery.conftest import Line
from tests.serving import serving, write_settings


def fhirmsg(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command."""
    return subprocess.run(
        [sys.executable, "-m", "fhirmsg", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def environment(line: Line, tmp_path: Path) -> dict[str, str]:
    return write_settings(tmp_path, line.base)


def test_a_day_that_went_well_is_explained(environment: dict[str, str]) -> None:
    with serving(environment) as service:
        assert service.send("one").status_code == 201
    recovered = fhirmsg(environment, "recover")
    assert (recovered.returncode, recovered.stderr) == (0, "")
    assert "written from the journal: 0" in recovered.stdout
    proof = fhirmsg(environment, "reconcile", "--since", "1h", "--json")
    assert proof.returncode == 0, proof.stderr
    found = json.loads(proof.stdout)
    assert (found["unexplained"], found["counts"]["entries completed"]) == ([], 1)


def test_what_cannot_be_written_stays_owed_and_is_told(
    line: Line, environment: dict[str, str]
) -> None:
    with serving(environment) as service:
        service.send("one")
    journal = SqliteJournal(
        environment["FHIRMSG_JOURNAL_FILE"], [environment["FHIRMSG_RECORD_KEY"].encode()]
    )
    journal.keep(Owed.WRITE, "create:1", {"form": "create", "resource": {"resourceType": "Task"}})
    journal.close()
    line.away = True
    recovered = fhirmsg(environment, "recover")
    assert recovered.returncode == 2
    assert "Traceback" not in recovered.stderr
    proof = fhirmsg(environment, "reconcile", "--since", "1h")
    assert proof.returncode == 2
    assert "answer" in proof.stderr


def test_a_message_without_its_entry_ends_with_one(line: Line, environment: dict[str, str]) -> None:
    import requests

    with serving(environment) as service:
        answer = service.send("one").json()
    for kind in ("AuditEvent", "Communication"):
        found = requests.get(f"{line.direct}/{kind}?_count=50", timeout=10).json()
        for each in found["entry"]:
            requests.delete(f"{line.direct}/{kind}/{each['resource']['id']}", timeout=10)
    proof = fhirmsg(environment, "reconcile", "--since", "1h")
    assert proof.returncode == 1
    assert f"unrecorded {answer['id']}" in proof.stdout


@pytest.mark.parametrize("since", ["yesterday", "2026-11-24T10:00:00", "1y"])
def test_an_unclear_time_is_asked_for_again(environment: dict[str, str], since: str) -> None:
    proof = fhirmsg(environment, "reconcile", "--since", since)
    assert proof.returncode == 2
    assert "--since" in proof.stderr
