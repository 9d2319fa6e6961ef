"""A real process that is told to end: what is under way is finished, and nothing is left behind."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from fhirmsg import app, logs
from fhirmsg.config import Settings
from fhirmsg.sandbox import Store, serve_in_thread
from tests.providers.servers import ScriptedServer, scripted
from tests.serving import Serving, a_message, serving, write_settings
from tests.world import a_patient_resource, communications, put

EMAIL = a_message(channel="email")
EMAIL["content"] = {"subject": "Your appointment", **EMAIL["content"]}
BASE = "http://127.0.0.1:9/fhir"


@pytest.fixture
def store() -> Iterator[str]:
    """The embedded store with one patient."""
    with serve_in_thread(Store()) as running:
        put(running.base_url, a_patient_resource())
        yield running.base_url


def by_mail(folder: Path, base: str, server: ScriptedServer, **extra: str) -> dict[str, str]:
    return write_settings(
        folder,
        base,
        provider="smtp",
        channel="email",
        FHIRMSG_SMTP_HOST="127.0.0.1",
        FHIRMSG_SMTP_PORT=str(server.port),
        FHIRMSG_SMTP_SECURITY="none",
        FHIRMSG_SMTP_FROM="surgery@example.com",
        **extra,
    )


def until(holds: Callable[[], object], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def a_free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


def test_a_message_that_is_being_handed_off_is_finished_and_recorded(
    tmp_path: Path, store: str
) -> None:
    go_on = threading.Event()

    def slowly(connection: socket.socket) -> None:
        go_on.wait(20)
        connection.sendall(b"250 2.0.0 queued as 4XyZ1\r\n")

    with (
        scripted(content=slowly) as server,
        serving(by_mail(tmp_path, store, server)) as running,
    ):
        answers: list[requests.Response] = []
        caller = threading.Thread(target=lambda: answers.append(running.send("key", **EMAIL)))
        caller.start()
        until(lambda: server.contents)
        running.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        assert running.process.poll() is None
        go_on.set()
        caller.join(20)
        assert running.process.wait(20) == 0
        # The connection that waited for the next message has its good-bye.
        assert server.heard[-1] == "QUIT"
    assert answers[0].status_code == 201
    assert answers[0].json()["status"] == "accepted-by-provider"
    [entry] = communications(store)
    assert entry["status"] == "completed"
    assert '"stopped"' in running.stderr[-1]


def test_a_message_that_is_let_go_by_a_second_signal_is_left_open_for_the_next_call(
    tmp_path: Path, store: str
) -> None:
    short = {
        "FHIRMSG_START_WITHIN_SECONDS": "1",
        "FHIRMSG_HANDOFF_SECONDS": "1",
        "FHIRMSG_LEASE_MARGIN_SECONDS": "1",
    }
    with scripted(content="stall") as server:
        environment = by_mail(tmp_path, store, server, **{**short, "FHIRMSG_HANDOFF_SECONDS": "60"})
        with serving(environment) as running:
            caller = threading.Thread(target=lambda: _hangs_up(running))
            caller.start()
            until(lambda: server.contents)
            for _ in range(2):
                running.process.send_signal(signal.SIGTERM)
                time.sleep(0.5)
            assert running.process.wait(5) == 1
            caller.join(20)
        [entry] = communications(store)
        assert entry["status"] == "in-progress"
        # Who asks again learns that nobody knows, and no second message leaves.
        with serving(by_mail(tmp_path, store, server, **short)) as again:
            end = time.monotonic() + 30
            while (answer := again.send("key", **EMAIL)).status_code == 409:
                assert time.monotonic() < end
                time.sleep(1)
        assert answer.status_code == 202, answer.text
        assert answer.json()["status"] == "unknown"
        assert len(server.contents) == 1


def _hangs_up(running: Serving) -> None:
    with pytest.raises(requests.exceptions.ConnectionError):
        running.send("key", **EMAIL)


def test_the_figures_are_served_with_it_and_end_with_it(tmp_path: Path, store: str) -> None:
    port = a_free_port()
    environment = write_settings(tmp_path, store, FHIRMSG_METRICS_PORT=str(port))
    url = f"http://127.0.0.1:{port}/metrics"
    with serving(environment) as running:
        assert running.send("key").status_code == 201
        running.get("/v1/patients/somebody-s-id/messages")
        running.get("/no/such/address")
        text = requests.get(url, timeout=5).text
        # The figures have a port of their own, and the service none.
        assert running.get("/metrics").status_code == 404
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(10) == 0
    assert (
        'fhirmsg_http_request_seconds_count{method="POST",route="/v1/messages",status="201"}'
        in (text)
    )
    assert 'route="/v1/patients/<id>/messages"' in text
    assert 'route="other"' in text
    assert 'fhirmsg_fhir_call_seconds_count{kind="batch",result="2xx"}' in text
    assert 'fhirmsg_circuit_breaker_state{name="fhir",state="closed"} 1.0' in text
    assert 'fhirmsg_circuit_breaker_state{name="outbox",state="closed"} 1.0' in text
    assert "somebody" not in text
    assert "amara" not in text
    with pytest.raises(requests.exceptions.ConnectionError):
        requests.get(url, timeout=5)


def test_a_port_of_the_figures_that_is_taken_is_told_as_a_fault_of_the_settings(
    tmp_path: Path,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        settings = Settings.from_environment(
            write_settings(tmp_path, BASE, FHIRMSG_METRICS_PORT=str(port))
        )
        with pytest.raises(app.SettingsError, match=f"127.0.0.1:{port} cannot be listened on"):
            app.build(settings)


# --- what runs beside the requests --------------------------------------------------------------


class Part:
    """Runs beside the requests and prints what happens to it; takes `seconds` to end."""

    def __init__(self, name: str, seconds: float = 0.0) -> None:
        self.name, self.seconds = name, seconds

    def start(self) -> None:
        logging.getLogger("fhirmsg.parts").info("%s started", self.name)

    def stop(self) -> None:
        self._print("told to stop")

    def join(self, timeout: float) -> None:
        time.sleep(min(self.seconds, timeout))
        if self.name == "broken":
            raise ValueError("mary")
        self._print("ended")

    def _print(self, what: str) -> None:
        print(self.name, what, flush=True)


def test_what_runs_beside_the_requests_starts_and_ends_in_order(tmp_path: Path) -> None:
    environment = write_settings(tmp_path, BASE, PARTS="drain:0.3,broken:0,figures:0")
    with serving(environment, module=("tests.test_stopping",)) as running:
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(10) == 0
        assert running.process.stdout is not None
        assert running.process.stdout.read().splitlines() == [
            "drain told to stop",
            "drain ended",
            "broken told to stop",
            "figures told to stop",
            "figures ended",
        ]
    started = [line for line in running.stderr if "fhirmsg.parts" in line]
    assert ["drain" in started[0], "broken" in started[1], "figures" in started[2]] == [True] * 3
    assert any('"ValueError"' in line for line in running.stderr)
    assert not any("mary" in line for line in running.stderr)


def test_a_second_signal_does_not_wait_for_what_runs_beside_the_requests(tmp_path: Path) -> None:
    environment = write_settings(tmp_path, BASE, PARTS="drain:25")
    with serving(environment, module=("tests.test_stopping",)) as running:
        running.process.send_signal(signal.SIGTERM)
        time.sleep(1)
        assert running.process.poll() is None
        began = time.monotonic()
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(10) == 1
        assert time.monotonic() - began < 3
    assert "stopped before the background had ended" in running.stderr[-1]


def main() -> None:
    """Serve with the parts that PARTS names, in a process of its own."""
    logs.configure()
    settings = Settings.from_environment(os.environ)
    built = app.build(settings)
    for each in os.environ["PARTS"].split(","):
        name, _, seconds = each.partition(":")
        app.background_of(built).append(Part(name, float(seconds)))
    sys.exit(app.serve(built, settings))


if __name__ == "__main__":
    main()
