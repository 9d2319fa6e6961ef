"""A real serving process of the tests: `python -m fhirmsg serve` with settings of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from fhirmsg.clients import digest_of
from fhirmsg.providers.outbox import KeptMessage, Outbox

KEY = "fm_a-key-of-the-tests-that-opens-nothing-else"
CHECK_ONLY_KEY = "fm_a-key-of-the-tests-that-may-only-check"

POLICY = """
version: "tests"
organisations: [A12345]
name: Example Surgery
roles:
  approve_overrides: [Caldicott Guardian]
  review: [Caldicott Guardian]
platforms:
  texts:
    provider: {provider}
    channels: [{channels}]
    approved: {{from: 2025-01-01, until: null}}
    fallbacks: []
    notifies_by: []
default_platform: {{{defaults}}}
"""

CLIENTS = f"""
- id: tests
  keys: [{digest_of(KEY)}]
  scopes: [check, send, override, emergency, read, reasons]
  organisations: [A12345]
- id: checker
  keys: [{digest_of(CHECK_ONLY_KEY)}]
  scopes: [check]
  organisations: [A12345]
"""


@dataclass
class Serving:
    """One serving process: `url`, its log lines on stderr, the outbox file it hands off to."""

    process: subprocess.Popen[str]
    url: str
    outbox_file: Path
    stderr: list[str] = field(default_factory=list)

    def post(self, path: str, body: Any, *, key: str = KEY, **headers: str) -> requests.Response:
        """POST JSON with the API key."""
        sent = {
            "Authorization": f"Bearer {key}",
            **{k.replace("_", "-"): v for k, v in headers.items()},
        }
        return requests.post(f"{self.url}{path}", json=body, headers=sent, timeout=60)

    def send(self, idempotency_key: str, **changes: Any) -> requests.Response:
        """POST a message about the patient of `tests.world`."""
        return self.post(
            "/v1/messages", a_message(**changes), **{"Idempotency_Key": idempotency_key}
        )

    def get(self, path: str) -> requests.Response:
        """GET with the API key."""
        return requests.get(
            f"{self.url}{path}", headers={"Authorization": f"Bearer {KEY}"}, timeout=60
        )

    def outbox(self) -> list[KeptMessage]:
        """Give what was handed off."""
        return Outbox(str(self.outbox_file)).messages()

    def kill(self) -> None:
        """Kill the process at once: SIGKILL."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(30)

    def pause(self) -> None:
        """Stop the process where it is: SIGSTOP."""
        self.process.send_signal(signal.SIGSTOP)
        self.await_pause()

    def resume(self) -> None:
        """Let a stopped process go on: SIGCONT."""
        self.process.send_signal(signal.SIGCONT)

    def await_pause(self, seconds: float = 60) -> None:
        """Wait until the process is stopped, by whomever."""
        until = time.monotonic() + seconds
        status = Path(f"/proc/{self.process.pid}/stat")
        while status.read_text().rpartition(")")[2].split()[0] != "T":
            assert self.process.poll() is None, "it has ended"
            assert time.monotonic() < until, "it was not stopped"
            time.sleep(0.01)

    def await_death(self, seconds: float = 60) -> int:
        """Wait until the process has ended; gives its exit status, -9 after SIGKILL."""
        return self.process.wait(seconds)

    def log_lines(self) -> list[dict[str, Any]]:
        """Give what it has logged so far."""
        return [json.loads(line) for line in [*self.stderr] if line.startswith("{")]


def a_message(**changes: Any) -> dict[str, Any]:
    """Give the body of a plain reminder by text."""
    return {
        "patient": "Patient/amara",
        "channel": "sms",
        "purpose": "appointment",
        "content": {"body": "Example Surgery: your appointment is on 14 December at 10:30."},
        "confidential": "no",
        "service": {"code": "general-practice", "sensitive": "no"},
        "organization": "A12345",
        "requester": {"identifier": "clerk-1", "name": "Casey Clerk", "role": "clerk"},
        **changes,
    }


def write_settings(
    folder: Path,
    fhir_base_url: str,
    *,
    provider: str = "outbox",
    channel: str = "sms",
    **extra: str,
) -> dict[str, str]:
    """Write policy and clients; gives the environment of a serving process."""
    folder.mkdir(parents=True, exist_ok=True)
    channels = channel if channel != "sms" else "sms, email"
    defaults = ", ".join(f"{each.strip()}: texts" for each in channels.split(","))
    policy = POLICY.format(provider=provider, channels=channels, defaults=defaults)
    (folder / "policy.yaml").write_text(textwrap.dedent(policy))
    (folder / "clients.yaml").write_text(CLIENTS)
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("FHIRMSG_")},
        "FHIRMSG_FHIR_BASE_URL": fhir_base_url,
        "FHIRMSG_POLICY_FILES": str(folder / "policy.yaml"),
        "FHIRMSG_CLIENTS_FILE": str(folder / "clients.yaml"),
        "FHIRMSG_RECORD_KEY": "a key of the tests that keys nothing else",
        "FHIRMSG_JOURNAL_FILE": str(folder.resolve() / "journal.sqlite3"),
        "FHIRMSG_OUTBOX_FILE": str(folder / "outbox.sqlite3"),
        "FHIRMSG_PORT": "0",
        **extra,
    }


@contextmanager
def serving(
    environment: dict[str, str], *, module: tuple[str, ...] = ("fhirmsg", "serve")
) -> Iterator[Serving]:
    """Run a serving process until the block ends; `module` is what `python -m` runs."""
    process = subprocess.Popen(
        [sys.executable, "-m", *module],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    lines: list[str] = []
    reader = threading.Thread(target=lambda: lines.extend(process.stderr or ()), daemon=True)
    reader.start()
    try:
        first = process.stdout.readline()
        assert "listening on" in first, "".join(lines) or first
        yield Serving(
            process=process,
            url=first.split()[-1],
            outbox_file=Path(environment["FHIRMSG_OUTBOX_FILE"]),
            stderr=lines,
        )
    finally:
        if process.poll() is None:
            # One that a test has stopped must hear that it has to end.
            process.send_signal(signal.SIGCONT)
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        reader.join(5)
        process.stdout.close()
        process.stderr.close()
