"""The decision log: what was appended is there, in order, and every change to it is seen."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fhirmsg.config import Settings
from fhirmsg.decisionlog import DecisionLog, head_file
from fhirmsg.decisionlog_verified import Verified, verify
from fhirmsg.errors import DecisionLogUnavailable, SettingsError
from tests.serving import write_settings
from tests.test_cli import run

KEY = b"a key of the tests that keys nothing else"

# A process that appends as often as it is told, or until it is killed.
_APPENDING = """
import sys
from fhirmsg.decisionlog import DecisionLog
log = DecisionLog(sys.argv[1], sys.argv[2].encode())
for number in range(int(sys.argv[3])):
    log.append({"by": sys.argv[4], "number": number, "filling": "x" * 3000})
    print(number, flush=True)
"""
# The same on a disk that has no room for more than a part of the line.
_ON_A_FULL_DISK = """
import resource, signal, sys
from fhirmsg.decisionlog import DecisionLog
from fhirmsg.errors import DecisionLogUnavailable
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))
try:
    DecisionLog(sys.argv[1], sys.argv[2].encode()).append({"filling": "x" * 3000})
except DecisionLogUnavailable as error:
    print(error)
"""


def start(script: str, path: Path, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, str(path), KEY.decode(), *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
    )


def a_log(path: Path, lines: int = 5) -> DecisionLog:
    """Give a log with so many lines."""
    log = DecisionLog(path, KEY)
    for number in range(lines):
        log.append({"number": number})
    return log


def lines_of(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def entries(path: Path) -> list[object]:
    return [json.loads(line)["entry"] for line in lines_of(path)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "decisions.jsonl"


# --- appending ----------------------------------------------------------------------------------


def test_what_was_appended_is_there_in_order_and_whole(file: Path) -> None:
    a_log(file)
    assert entries(file) == [{"number": number} for number in range(5)]
    found = verify(file, KEY)
    assert (found.whole, found.remarks, found.last and found.last.n) == (True, [], 5)


def test_the_files_are_for_their_owner_alone(file: Path) -> None:
    a_log(file, 1)
    for each in (file, head_file(file)):
        assert stat.S_IMODE(each.stat().st_mode) == 0o600


def test_threads_and_processes_append_one_after_the_other(file: Path) -> None:
    processes = [start(_APPENDING, file, 25, name) for name in "abc"]
    log = DecisionLog(file, KEY)

    def append() -> None:
        for number in range(25):
            log.append({"by": threading.current_thread().name, "number": number})

    threads = [threading.Thread(target=append, name=name) for name in "de"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for process in processes:
        process.communicate(timeout=120)
        assert process.returncode == 0
    found = verify(file, KEY)
    assert (found.breaks, found.remarks, found.last and found.last.n) == ([], [], 125)
    told = [(each["by"], each["number"]) for each in entries(file)]  # type: ignore[index]
    for name in "abcde":
        assert [number for by, number in told if by == name] == list(range(25))


def test_a_killed_process_loses_nothing_that_an_append_had_returned_for(file: Path) -> None:
    for _ in range(4):
        process = start(_APPENDING, file, 10_000, "x")
        assert process.stdout is not None
        acknowledged = 0
        until = time.monotonic() + 0.3
        for line in process.stdout:
            acknowledged = int(line) + 1
            if time.monotonic() > until:
                break
        process.send_signal(signal.SIGKILL)
        acknowledged += len(process.stdout.readlines())
        process.wait(30)
        process.stdout.close()
        DecisionLog(file, KEY).append({"by": "after"})
        found = verify(file, KEY)
        assert found.breaks == []
        assert found.last is not None
        kept = [json.loads(each)["entry"] for each in lines_of(file) if each.startswith(b'{"at"')]
        last_run = [each["number"] for each in kept if each["by"] == "x"][-acknowledged:]
        assert last_run[-1] >= acknowledged - 1


def test_a_line_that_the_disk_had_no_room_for_is_told_and_accounted_for(file: Path) -> None:
    log = a_log(file)
    process = start(_ON_A_FULL_DISK, file, file.stat().st_size + 1000)
    told, _ = process.communicate(timeout=60)
    assert "The decision log cannot be written" in told
    assert not file.read_bytes().endswith(b"\n")
    torn = verify(file, KEY)
    assert (torn.whole, torn.remarks) == (True, ["line 6: an append was cut short at the end"])
    log.append({"number": "after"})
    found = verify(file, KEY)
    assert found.whole
    assert found.remarks[0].startswith("line 6: an append was cut short by a crash")
    assert found.last is not None
    assert found.last.n == 6


def test_two_crashes_in_a_row_are_accounted_for(file: Path) -> None:
    log = a_log(file)
    with file.open("ab") as raw:
        raw.write(b'{"at":"2026\n{"at":"2026-11-2')
    log.append({"number": "after"})
    log.append({"number": "later"})
    found = verify(file, KEY)
    assert (found.breaks, len(found.remarks)) == ([], 1)


def test_a_line_that_lost_its_end_alone_is_kept(file: Path) -> None:
    log = a_log(file)
    file.write_bytes(file.read_bytes().removesuffix(b"\n"))
    assert verify(file, KEY).whole
    log.append({"number": 5})
    assert verify(file, KEY).remarks == []
    assert entries(file) == [{"number": number} for number in range(6)]


def test_a_crash_between_a_line_and_the_head_is_no_tampering(file: Path) -> None:
    log = a_log(file, 4)
    before = head_file(file).read_bytes()
    log.append({"number": 4})
    head_file(file).write_bytes(before)
    assert verify(file, KEY).whole
    log.append({"number": 5})
    assert verify(file, KEY).whole


def test_a_lock_that_is_never_given_up_does_not_hold_an_append_for_ever(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fhirmsg.decisionlog._LOCK_SECONDS", 0.1)
    log = a_log(file, 1)
    with file.open("rb") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        with pytest.raises(DecisionLogUnavailable, match="another process holds its lock"):
            log.append({})
        assert "another process" in (log.why_unusable() or "")
    log.append({})


def test_a_folder_that_is_missing_is_told(tmp_path: Path) -> None:
    log = DecisionLog(tmp_path / "missing" / "file", KEY)
    with pytest.raises(DecisionLogUnavailable, match="no such file"):
        log.append({})
    assert "cannot be written" in (log.why_unusable() or "")


def test_asking_whether_it_is_usable_makes_no_file(file: Path) -> None:
    assert DecisionLog(file, KEY).why_unusable() is None
    assert not file.exists()


# --- tampering ------------------------------------------------------------------------------------

Tampering = Callable[[list[bytes]], list[bytes]]
TAMPERINGS: dict[str, tuple[Tampering, str]] = {
    "edit": (
        lambda lines: [line.replace(b'"number":2', b'"number":9') for line in lines],
        "line 3 is not as it was written",
    ),
    "edit of the last line": (
        lambda lines: [*lines[:4], lines[4].replace(b'"number":4', b'"number":9')],
        "line 5 is not as it was written",
    ),
    "other spacing": (
        lambda lines: [lines[0].replace(b",", b", ", 1), *lines[1:]],
        "line 1 is not as it was written",
    ),
    "delete": (lambda lines: lines[:2] + lines[3:], "line 3 has number 4: number 3 is missing"),
    "delete the first": (lambda lines: lines[1:], "line 1 has number 2: number 1 is missing"),
    "swap": (
        lambda lines: [lines[0], lines[2], lines[1], *lines[3:]],
        "line 2 has number 3: number 2 is missing",
    ),
    "truncate": (lambda lines: lines[:3], "at the end: numbers 4 to 5 are missing"),
    "truncate within the last line": (
        lambda lines: [*lines[:4], lines[4][:50]],
        "at the end: number 5 is missing",
    ),
    "empty": (lambda _: [], "at the end: numbers 1 to 5 are missing"),
    "insert": (
        lambda lines: [*lines[:2], b'{"entry":{}}\n', *lines[2:]],
        "line 3 is not as it was written",
    ),
    "insert at the end": (
        lambda lines: [*lines, b'{"entry":{}}\n'],
        "line 6 is not as it was written",
    ),
    "repeat": (lambda lines: [*lines, lines[-1]], "line 6 has number 5 where 6 belongs"),
}


def after(file: Path, tampering: str) -> Verified:
    a_log(file)
    file.write_bytes(b"".join(TAMPERINGS[tampering][0](lines_of(file))))
    return verify(file, KEY)


@pytest.mark.parametrize("tampering", TAMPERINGS)
def test_tampering_is_seen_and_said_where(file: Path, tampering: str) -> None:
    assert TAMPERINGS[tampering][1] in after(file, tampering).breaks


@pytest.mark.parametrize("tampering", TAMPERINGS)
def test_it_is_still_seen_after_further_appends(file: Path, tampering: str) -> None:
    after(file, tampering)
    DecisionLog(file, KEY).append({"number": "after"})
    DecisionLog(file, KEY).append({"number": "later"})
    assert not verify(file, KEY).whole


@pytest.mark.parametrize("tampering", ["truncate", "truncate within the last line", "delete"])
def test_taking_the_head_away_hides_nothing(file: Path, tampering: str) -> None:
    after(file, tampering)
    head_file(file).unlink()
    assert not verify(file, KEY).whole
    DecisionLog(file, KEY).append({"number": "after"})
    assert not verify(file, KEY).whole


def test_a_line_made_under_another_key_is_seen(file: Path) -> None:
    a_log(file)
    kept = head_file(file).read_bytes()
    DecisionLog(file, b"another key").append({"number": 5})
    assert any("line 6 is not as it was written" in each for each in verify(file, KEY).breaks)
    head_file(file).write_bytes(kept)
    assert not verify(file, KEY).whole


def test_a_line_of_another_log_of_the_same_key_is_seen(file: Path, tmp_path: Path) -> None:
    a_log(file)
    other = tmp_path / "other.jsonl"
    a_log(other)
    lines = lines_of(file)
    lines[2] = lines_of(other)[2]
    file.write_bytes(b"".join(lines))
    assert "line 3 does not follow from the line before it" in verify(file, KEY).breaks


def test_an_older_copy_of_both_files_is_told_by_a_hash_written_down_elsewhere(file: Path) -> None:
    log = a_log(file)
    log_before, head_before = file.read_bytes(), head_file(file).read_bytes()
    log.append({"number": 5})
    newest = verify(file, KEY).last
    assert newest is not None
    assert verify(file, KEY, holds=newest.hash).whole
    file.write_bytes(log_before)
    head_file(file).write_bytes(head_before)
    assert verify(file, KEY).whole
    assert not verify(file, KEY, holds=newest.hash).whole


# --- the command and the setting ------------------------------------------------------------------


def test_the_command_tells_a_whole_log(file: Path) -> None:
    a_log(file)
    found = run("audit", "verify", str(file), FHIRMSG_RECORD_KEY=KEY.decode())
    assert (found.exit_code, found.stderr) == (0, "")
    assert f"{file}: last line number 5, hash " in found.stdout
    assert "OK: " in found.stdout


def test_the_command_tells_a_broken_log(file: Path, tmp_path: Path) -> None:
    after(file, "delete")
    (tmp_path / "key").write_bytes(KEY)
    found = run("audit", "verify", str(file), FHIRMSG_RECORD_KEY_FILE=str(tmp_path / "key"))
    assert found.exit_code == 1
    assert "BROKEN: line 3 has number 4" in found.stdout
    assert "OK:" not in found.stdout


@pytest.mark.parametrize("environment", [{"FHIRMSG_RECORD_KEY": KEY.decode()}, {}])
def test_the_command_tells_what_it_cannot_read(file: Path, environment: dict[str, str]) -> None:
    if not environment:
        a_log(file)
    found = run("audit", "verify", str(file), **environment)
    assert (found.exit_code, found.stdout) == (2, "")
    assert "cannot be read" in found.stderr or "record key is missing" in found.stderr


def test_the_setting_names_a_file_in_a_folder_that_is_there(tmp_path: Path) -> None:
    base = "http://127.0.0.1:9/fhir"
    path = str(tmp_path / "decisions.jsonl")
    environment = write_settings(tmp_path, base, FHIRMSG_DECISION_LOG=path)
    assert Settings.from_environment(environment).decision_log == path
    for wrong in (str(tmp_path), str(tmp_path / "missing" / "file")):
        with pytest.raises(SettingsError, match="FHIRMSG_DECISION_LOG: is not right"):
            Settings.from_environment({**environment, "FHIRMSG_DECISION_LOG": wrong})
    assert not os.path.exists(path)
