"""The outbox: what was accepted is there, whatever happens to the process that sent it."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from contextlib import closing
from datetime import UTC
from pathlib import Path

import pytest

import fhirmsg
from fhirmsg.clock import Deadline, now
from fhirmsg.errors import ProviderSilent, SettingsError
from fhirmsg.guidance.terms import Channel
from fhirmsg.ports import OutboundMessage, Outcome
from fhirmsg.providers.outbox import Outbox

# Sends messages without end once it is told to, and names each that was accepted.
SENDER = """
import itertools, sys
from fhirmsg.clock import Deadline
from fhirmsg.guidance.terms import Channel
from fhirmsg.ports import OutboundMessage, Outcome
from fhirmsg.providers.outbox import Outbox

path, name, count = sys.argv[1:]
print("ready", flush=True)
sys.stdin.readline()
outbox = Outbox(path)
for number in itertools.islice(itertools.count(), int(count) or None):
    reference = f"{name}-{number}"
    message = OutboundMessage(reference=reference, channel=Channel.SMS, to="+44", body="Hello")
    receipt = outbox.send(message, start_by=Deadline(30), deadline=Deadline(30))
    assert receipt.outcome is Outcome.ACCEPTED, receipt
    print(reference, flush=True)
"""


def a_message(reference: str = "m-1", **changes: object) -> OutboundMessage:
    facts = {
        "channel": Channel.SMS,
        "to": "+447700900123",
        "body": "Please come.",
        "platform": "demo",
        "subject": None,
    }
    return OutboundMessage(reference=reference, **{**facts, **changes})


def send(outbox: Outbox, message: OutboundMessage, start_by: float = 30, deadline: float = 30):
    return outbox.send(message, start_by=Deadline(start_by), deadline=Deadline(deadline))


def a_process(path: Path, name: str, count: int) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", SENDER, str(path), name, str(count)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(fhirmsg.__file__).parents[1])},
    )
    assert process.stdout.readline() == "ready\n"
    return process


def test_a_kept_message_shows_all_that_was_handed_over() -> None:
    outbox = Outbox(None)

    receipt = send(outbox, a_message(subject="Hello", channel=Channel.EMAIL, to="a@example.org"))

    [kept] = outbox.messages()
    assert (kept.reference, kept.channel, kept.to) == ("m-1", Channel.EMAIL, "a@example.org")
    assert (kept.subject, kept.body, kept.platform) == ("Hello", "Please come.", "demo")
    assert kept.kept_at.tzinfo is UTC
    assert abs((now() - kept.kept_at).total_seconds()) < 60
    assert receipt.at == kept.kept_at
    assert receipt.provider_id == f"outbox-{kept.id}"


def test_a_message_sent_twice_shows_twice_and_the_first_is_found() -> None:
    outbox = Outbox(None)
    first, second = send(outbox, a_message()), send(outbox, a_message())

    assert [kept.reference for kept in outbox.messages()] == ["m-1", "m-1"]
    assert first != second
    assert outbox.find("m-1") == first


def test_after_clear_the_outbox_is_empty_and_numbers_do_not_come_again() -> None:
    outbox = Outbox(None)
    first = send(outbox, a_message())

    outbox.clear()

    assert outbox.messages() == []
    assert outbox.find("m-1") is None
    assert send(outbox, a_message()).provider_id != first.provider_id


def test_two_outboxes_in_memory_have_nothing_in_common() -> None:
    one, other = Outbox(None), Outbox(None)
    send(one, a_message())

    assert other.messages() == []


def test_processes_that_make_and_write_the_same_file_together_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    processes = [a_process(path, name, 60) for name in "ab"]

    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        process.communicate(timeout=60)

    assert [process.returncode for process in processes] == [0, 0]
    kept = [message.reference for message in Outbox(str(path)).messages()]
    assert sorted(kept) == sorted(f"{name}-{number}" for name in "ab" for number in range(60))


def test_a_killed_process_has_lost_nothing_that_was_answered(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    process = a_process(path, "a", 0)
    process.stdin.write("go\n")
    process.stdin.flush()
    answered = [process.stdout.readline().strip() for _ in range(50)]

    process.kill()
    rest = process.stdout.read()
    process.wait(timeout=60)
    process.stdin.close()
    process.stdout.close()

    # The last line may have been cut in the middle; a whole one was an answer.
    answered += [line.strip() for line in rest.splitlines(keepends=True) if line.endswith("\n")]
    outbox = Outbox(str(path))
    assert all(outbox.find(reference).outcome is Outcome.ACCEPTED for reference in answered)
    # One more at most: kept, and killed before it could be said.
    assert len(outbox.messages()) - len(answered) in (0, 1)


def test_another_process_that_holds_the_file_costs_no_more_than_the_deadline(
    tmp_path: Path,
) -> None:
    outbox = Outbox(str(tmp_path / "outbox.db"))
    with closing(sqlite3.connect(tmp_path / "outbox.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        began = time.monotonic()

        receipt = send(outbox, a_message(), deadline=0.3)

        assert time.monotonic() - began < 2
        assert (receipt.outcome, receipt.reason) == (Outcome.RETRYABLE, "outbox-unavailable")
    assert outbox.messages() == []


def test_a_wait_for_another_process_can_make_it_too_late_to_start(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    outbox = Outbox(str(path))
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        release = threading.Timer(0.5, other.rollback)
        release.start()

        receipt = send(outbox, a_message(), start_by=0.2)

        release.join()
    assert (receipt.outcome, receipt.reason) == (Outcome.RETRYABLE, "started-too-late")
    assert outbox.messages() == []
    assert send(outbox, a_message()).outcome is Outcome.ACCEPTED


def test_a_file_that_cannot_be_asked_does_not_say_that_a_message_is_not_there(
    tmp_path: Path,
) -> None:
    outbox = Outbox(str(tmp_path / "outbox.db"))
    with closing(sqlite3.connect(tmp_path / "outbox.db")) as other:
        other.execute("DROP TABLE message")

    with pytest.raises(ProviderSilent):
        outbox.find("m-1")
    assert send(outbox, a_message()).outcome is Outcome.RETRYABLE


def test_the_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    outbox = Outbox(str(tmp_path / "outbox.db"))
    send(outbox, a_message())

    modes = {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
    assert modes == {0o600}


def test_a_file_that_is_something_else_is_a_fault_of_the_settings(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("Dear Sir or Madam, " * 100)

    with pytest.raises(SettingsError, match="outbox file"):
        Outbox(str(tmp_path / "letter.txt"))
    with pytest.raises(SettingsError, match="outbox file"):
        Outbox(str(tmp_path / "no such folder" / "outbox.db"))
