"""The whole service in a process of its own: that it starts, tells its state, and stops."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
import responses

from fhirmsg.app import FhirReadiness, build
from fhirmsg.config import Settings
from fhirmsg.fhir.client import FhirClient, FhirServer
from fhirmsg.http import make_session
from fhirmsg.journal import SqliteJournal
from fhirmsg.serving import Server
from tests.raw_server import answer, raw_server
from tests.serving import Serving, serving, write_settings

BASE = "http://127.0.0.1:9/fhir"
METADATA = f"{BASE}/metadata"
STATEMENT = {"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1"}


def stop(running: Serving, number: int = signal.SIGTERM, *, within: float = 10.0) -> int:
    """Send a signal and give the exit status."""
    running.process.send_signal(number)
    return running.process.wait(within)


@contextmanager
def a_slow_fhir_server(seconds: float) -> Iterator[tuple[str, threading.Event]]:
    """A server that takes its time; gives its base, and an event that is set when it is asked."""
    asked = threading.Event()
    statement = answer(json.dumps(STATEMENT).encode(), Content_Type="application/fhir+json")

    def script(peer: socket.socket, request: bytes) -> None:
        asked.set()
        time.sleep(seconds)
        with contextlib.suppress(OSError):
            statement(peer, request)

    with raw_server(script) as server:
        yield f"{server.url}/fhir", asked


# --- a process with a dead FHIR server ----------------------------------------------------------


def test_it_lives_and_is_not_ready_while_the_fhir_server_is_away(tmp_path: Path) -> None:
    with serving(write_settings(tmp_path, BASE)) as running:
        alive = requests.get(f"{running.url}/livez", timeout=10)
        ready = requests.get(f"{running.url}/readyz", timeout=30)
        assert (alive.status_code, ready.status_code) == (200, 503)
        assert "did not answer" in ready.text
        assert "Server" not in alive.headers
        assert stop(running) == 0
        assert running.process.stdout is not None
        assert running.process.stdout.read() == ""
    # What stands on stderr is JSON, line by line, and tells that it started and stopped.
    messages = [json.loads(line)["message"] for line in running.stderr]
    assert (messages[0], messages[-1]) == ("started", "stopped")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_at_once_although_a_connection_is_kept_open(
    tmp_path: Path, number: int
) -> None:
    with serving(write_settings(tmp_path, BASE)) as running, requests.Session() as session:
        session.get(f"{running.url}/livez", timeout=10)
        # And a caller that has connected and said nothing.
        with socket.create_connection(address_of(running)):
            began = time.monotonic()
            assert stop(running, number) == 0
            assert time.monotonic() - began < 3


def test_a_request_under_way_is_answered_before_it_ends(tmp_path: Path) -> None:
    with (
        a_slow_fhir_server(1.5) as (base, asked),
        serving(write_settings(tmp_path, base)) as running,
    ):
        answers: list[int] = []
        caller = threading.Thread(
            target=lambda: answers.append(
                requests.get(f"{running.url}/readyz", timeout=30).status_code
            )
        )
        caller.start()
        assert asked.wait(10)
        running.process.send_signal(signal.SIGTERM)
        wait_until_refused(running)
        assert running.process.poll() is None
        caller.join(20)
        assert answers == [200]
        assert running.process.wait(10) == 0


def test_a_request_whose_caller_has_hung_up_is_finished_too(tmp_path: Path) -> None:
    with (
        a_slow_fhir_server(1.5) as (base, asked),
        serving(write_settings(tmp_path, base)) as running,
    ):
        with socket.create_connection(address_of(running)) as caller:
            caller.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert asked.wait(10)
            # Closed hard, with a reset.
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        began = time.monotonic()
        assert stop(running) == 0
        assert time.monotonic() - began > 1
    # The line of the access log is written when the answer is there.
    assert any('"/readyz"' in line for line in running.stderr)


def test_a_second_signal_does_not_wait_for_a_request(tmp_path: Path) -> None:
    with (
        a_slow_fhir_server(20) as (base, asked),
        serving(write_settings(tmp_path, base, FHIRMSG_FHIR_DEADLINE="30")) as running,
        socket.create_connection(address_of(running)) as caller,
    ):
        caller.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert asked.wait(10)
        running.process.send_signal(signal.SIGTERM)
        wait_until_refused(running)
        assert stop(running) == 1
    assert "stopped with requests unanswered" in running.stderr[-1]


def test_a_body_that_is_announced_far_too_large_is_turned_away(tmp_path: Path) -> None:
    with serving(write_settings(tmp_path, BASE)) as running:
        connection = http.client.HTTPConnection(*address_of(running), timeout=10)
        connection.request("POST", "/v1/messages", headers={"Content-Length": "1000000000"})
        assert connection.getresponse().status == 413
        connection.close()


def test_an_address_that_is_taken_is_told_without_a_stack_trace(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        settings = write_settings(tmp_path, BASE, FHIRMSG_PORT=str(port))
        found = run_serve(settings)
    assert found.returncode == 1
    assert found.stdout == ""
    assert f"cannot listen on 127.0.0.1:{port} (Address already in use)" in found.stderr
    assert "Traceback" not in found.stderr


def test_an_outbox_that_cannot_be_opened_is_told_without_a_stack_trace(tmp_path: Path) -> None:
    found = run_serve(write_settings(tmp_path, BASE, FHIRMSG_OUTBOX_FILE=str(tmp_path)))
    assert found.returncode == 1
    assert "The outbox file" in found.stderr
    assert "Traceback" not in found.stderr


def run_serve(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fhirmsg", "serve"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def address_of(running: Serving) -> tuple[str, int]:
    host, _, port = running.url.removeprefix("http://").rpartition(":")
    return host, int(port)


def wait_until_refused(running: Serving) -> None:
    """Wait until nobody listens any more."""
    for _ in range(100):
        try:
            socket.create_connection(address_of(running)).close()
        except ConnectionRefusedError:
            return
        except ConnectionResetError:
            pass
        time.sleep(0.05)
    raise AssertionError("it still listens")


# --- in this process ----------------------------------------------------------------------------


def test_a_socket_that_is_ready_may_be_handed_in(tmp_path: Path) -> None:
    settings = Settings.from_environment(write_settings(tmp_path, BASE))
    sock = socket.create_server(("127.0.0.1", 0))
    server = Server(build(settings), settings, sock)
    thread = threading.Thread(target=server.run)
    thread.start()
    assert server.url == f"http://127.0.0.1:{sock.getsockname()[1]}"
    assert requests.get(f"{server.url}/livez", timeout=10).status_code == 200
    server.stop()
    thread.join(10)
    assert not thread.is_alive()


def test_a_provider_that_no_policy_names_is_not_set_up(tmp_path: Path) -> None:
    environment = write_settings(
        tmp_path,
        BASE,
        provider="smtp",
        channel="email",
        FHIRMSG_SMTP_HOST="127.0.0.1",
        FHIRMSG_SMTP_SECURITY="none",
        FHIRMSG_SMTP_FROM="surgery@example.com",
    )
    build(Settings.from_environment(environment))
    assert not os.path.exists(environment["FHIRMSG_OUTBOX_FILE"])


# --- readiness ----------------------------------------------------------------------------------


def a_readiness(seconds: float = 10.0, journal: SqliteJournal | None = None) -> FhirReadiness:
    session = make_session(get_retries=0)
    client = FhirClient(FhirServer(base_url=BASE), session)
    return FhirReadiness(client, journal, seconds=seconds)


@responses.activate
def test_an_r4_server_is_ready() -> None:
    responses.get(METADATA, json=STATEMENT)
    found = a_readiness()()
    assert found.ready
    assert found.details == {"fhir": "4.0.1"}


@responses.activate
def test_a_journal_that_cannot_be_written_is_not_ready(tmp_path: Path) -> None:
    responses.get(METADATA, json=STATEMENT)
    file = tmp_path / "journal.sqlite3"
    journal = SqliteJournal(str(file), [b"a key of the tests for journals."])
    assert a_readiness(journal=journal)().ready
    file.unlink()
    found = a_readiness(journal=journal)()
    assert not found.ready
    assert found.details["fhir"] == "4.0.1"
    assert found.details["journal"].startswith("The journal cannot keep anything: ")


@responses.activate
def test_the_answer_is_kept_for_a_while_and_then_asked_for_again() -> None:
    responses.get(METADATA, json=STATEMENT)
    readiness = a_readiness(0.2)
    assert [readiness().ready for _ in range(5)] == [True] * 5
    assert len(responses.calls) == 1
    time.sleep(0.25)
    responses.replace("GET", METADATA, status=503)
    assert [readiness().ready for _ in range(5)] == [False] * 5
    assert len(responses.calls) == 2


@responses.activate
def test_many_who_ask_at_once_cause_one_look() -> None:
    responses.get(METADATA, json=STATEMENT)
    readiness = a_readiness()
    threads = [threading.Thread(target=readiness) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(responses.calls) == 1


@responses.activate
@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ({**STATEMENT, "fhirVersion": "5.0.0"}, "The FHIR server says 5.0.0, and fhirmsg speaks"),
        ({**STATEMENT, "fhirVersion": "4.3.0"}, "The FHIR server says 4.3.0, and fhirmsg speaks"),
        ({**STATEMENT, "fhirVersion": "4.0.1 of Amara"}, "The FHIR server says no version"),
        ({**STATEMENT, "fhirVersion": 4}, "The FHIR server says no version"),
        ({"resourceType": "CapabilityStatement"}, "The FHIR server says no version"),
        ({"resourceType": "OperationOutcome"}, "answered 200 to metadata, without a Capability"),
        ({"hello": "Amara"}, "something that is not a FHIR resource"),
    ],
)
def test_a_server_that_speaks_something_else_is_not_ready(
    statement: dict[str, object], says: str
) -> None:
    responses.get(METADATA, json=statement)
    found = a_readiness()()
    assert not found.ready
    assert says in found.details["fhir"]
    assert "Amara" not in found.details["fhir"]


@responses.activate
@pytest.mark.parametrize("status", [401, 404, 500])
def test_a_server_that_refuses_is_not_ready(status: int) -> None:
    responses.get(METADATA, status=status, body="Amara")
    found = a_readiness()()
    assert not found.ready
    assert f"answered {status} to metadata" in found.details["fhir"]
    assert "Amara" not in found.details["fhir"]


@responses.activate
def test_a_server_that_cannot_be_reached_is_not_ready() -> None:
    responses.get(METADATA, body=requests.exceptions.ConnectionError("amara@example.com"))
    found = a_readiness()()
    assert not found.ready
    assert "did not answer" in found.details["fhir"]
    assert "amara" not in found.details["fhir"]
