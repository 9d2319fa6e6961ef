"""The serving process dies by SIGKILL at the two worst moments; the caller asks again.

Whatever the moment: at most one message, and exactly one Communication that tells the truth.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.providers.servers import mail_server
from tests.serving import Serving, a_message, serving, write_settings
from tests.world import a_patient_resource, communications, put

pytestmark = pytest.mark.hapi

# Every part of the lease as short as a test can wait for: 3 seconds in all.
SHORT_LEASE = {
    "FHIRMSG_START_WITHIN_SECONDS": "1",
    "FHIRMSG_HANDOFF_SECONDS": "1",
    "FHIRMSG_LEASE_MARGIN_SECONDS": "1",
}
EMAIL = a_message(channel="email")
EMAIL["content"] = {"subject": "Your appointment", **EMAIL["content"]}


def kill_while_sending(environment: dict[str, str], where: str, mark: Path, **body: Any) -> None:
    """Start a process, let it send, and kill it once it has stopped before or after hand-off."""
    paused = {**environment, "PAUSE_AT": where, "PAUSE_MARK": str(mark)}
    with serving(paused, module=("tests.one_send.pausing",)) as dying:

        def call() -> None:
            with pytest.raises(requests.exceptions.ConnectionError):
                dying.send("the key", **body)

        caller = threading.Thread(target=call)
        caller.start()
        until = time.monotonic() + 60
        while not mark.exists():
            assert time.monotonic() < until, "".join(dying.stderr)
            time.sleep(0.02)
        dying.kill()
        caller.join(30)


def ask_until_answered(process: Serving, **body: Any) -> requests.Response:
    """Ask again under the same key, as Retry-After says, until it is no longer 409."""
    until = time.monotonic() + 60
    while True:
        answer = process.send("the key", **body)
        if answer.status_code != 409:
            return answer
        assert time.monotonic() < until, answer.text
        time.sleep(min(int(answer.headers["Retry-After"]), 2))


def test_killed_before_the_hand_off_the_message_is_sent_once_by_the_retry(
    hapi: str, tmp_path: Path
) -> None:
    put(hapi, a_patient_resource())
    environment = write_settings(tmp_path, hapi, **SHORT_LEASE)
    kill_while_sending(environment, "before", tmp_path / "mark")
    [open_entry] = communications(hapi)
    assert open_entry["status"] == "in-progress"

    with serving(environment) as again:
        answer = ask_until_answered(again)
        kept = again.outbox()

    assert (answer.status_code, answer.json()["status"]) == (201, "accepted-by-provider")
    assert len(kept) == 1
    [entry] = communications(hapi)
    assert entry["status"] == "completed"
    assert entry["id"] == open_entry["id"]


def test_killed_after_the_hand_off_the_record_is_completed_and_nothing_is_sent_again(
    hapi: str, tmp_path: Path
) -> None:
    put(hapi, a_patient_resource())
    environment = write_settings(tmp_path, hapi, **SHORT_LEASE)
    kill_while_sending(environment, "after", tmp_path / "mark")

    with serving(environment) as again:
        answer = ask_until_answered(again)
        kept = again.outbox()

    assert (answer.status_code, answer.json()["status"]) == (200, "accepted-by-provider")
    assert answer.json()["replayed"]
    assert len(kept) == 1
    [entry] = communications(hapi)
    assert entry["status"] == "completed"
    assert entry["sent"]


@pytest.mark.parametrize(("where", "letters"), [("before", 0), ("after", 1)])
def test_killed_while_mailing_the_record_says_unknown_and_nothing_is_sent_again(
    hapi: str, tmp_path: Path, where: str, letters: int
) -> None:
    put(hapi, a_patient_resource())
    with mail_server() as (port, mailbox):
        environment = write_settings(
            tmp_path,
            hapi,
            provider="smtp",
            channel="email",
            FHIRMSG_SMTP_HOST="127.0.0.1",
            FHIRMSG_SMTP_PORT=str(port),
            FHIRMSG_SMTP_SECURITY="none",
            FHIRMSG_SMTP_FROM="surgery@example.com",
            **SHORT_LEASE,
        )
        kill_while_sending(environment, where, tmp_path / "mark", **EMAIL)

        with serving(environment) as again:
            answer = ask_until_answered(again, **EMAIL)
            once_more = again.send("the key", **EMAIL)
        received = len(mailbox.letters)

    assert (answer.status_code, answer.json()["status"]) == (202, "unknown")
    assert answer.json()["retry"] == "never"
    assert once_more.json()["status"] == "unknown"
    assert received == letters
    [entry] = communications(hapi)
    assert entry["status"] == "unknown"
    [task] = tasks(hapi)
    assert task["focus"]["reference"] == f"Communication/{entry['id']}"


def tasks(base: str) -> list[dict[str, Any]]:
    """Give every Task about the patient."""
    answer = requests.get(
        f"{base}/Task?patient=Patient/amara", headers={"Cache-Control": "no-cache"}, timeout=30
    )
    return [entry["resource"] for entry in answer.json().get("entry", [])]
