"""The journal's file: shared by processes, killed, full, locked, damaged, taken away."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from fhirmsg.errors import JournalUnavailable
from fhirmsg.journal import SqliteJournal, boot_id
from fhirmsg.journalcommits import Commits
from fhirmsg.journalfile import PATIENCE_SECONDS, JournalFile
from fhirmsg.ports import Owed

KEY = b"a key of the tests for journals."
OPENING = f"""
import os, sys
from fhirmsg.errors import JournalUnavailable
from fhirmsg.journal import SqliteJournal
from fhirmsg.ports import Owed
def opened():
    return SqliteJournal(sys.argv[1], [{KEY!r}])
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite3"


def opened(file: Path) -> SqliteJournal:
    return SqliteJournal(str(file), [KEY])


def keys_in(file: Path) -> list[str]:
    """Give the keys of all items, each of them opened."""
    journal = opened(file)
    items = journal.due(limit=1_000_000)
    assert sum(journal.lengths().values()) == len(items)
    assert all(each.payload["key"] == each.key for each in items)
    journal.close()
    return [each.key for each in items]


def start(file: Path, script: str, *arguments: str) -> subprocess.Popen[str]:
    """Start another process of this host with some code of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", OPENING + textwrap.dedent(script), str(file), *arguments],
        stdout=subprocess.PIPE,
        text=True,
    )


def output_of(process: subprocess.Popen[str]) -> list[str]:
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return out.split()


def test_processes_that_start_together_share_one_journal(file: Path) -> None:
    script = """
        journal = opened()
        print(journal.host_id, *(
            key for key in map(str, range(100))
            if journal.keep(Owed.RECEIPT, key, {"key": key, "by": os.getpid()}) is not None
        ))
    """
    outputs = [output_of(each) for each in [start(file, script) for _ in range(4)]]
    assert len({output[0] for output in outputs}) == 1
    told = [key for output in outputs for key in output[1:]]
    assert sorted(told) == sorted(map(str, range(100)))
    assert sorted(keys_in(file)) == sorted(told)
    assert sorted(each.name for each in file.parent.iterdir()) == [file.name]


def test_processes_and_threads_lose_and_double_nothing(file: Path) -> None:
    script = """
        from concurrent.futures import ThreadPoolExecutor
        journal, mine = opened(), sys.argv[2]
        def keep(number):
            key = f"{mine}-{number}"
            assert journal.keep(Owed.WRITE, key, {"key": key})
            shared = journal.keep(Owed.REPLY, str(number), {"key": str(number)})
            [item] = journal.due([Owed.WRITE], limit=1)
            return (shared is not None, journal.done([item]))
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(keep, range(60)))
        print(*(sum(each) for each in zip(*found)))
    """
    outputs = [output_of(each) for each in [start(file, script, str(n)) for n in range(3)]]
    shared, done = (sum(int(each[n]) for each in outputs) for n in (0, 1))
    assert shared == 60
    assert opened(file).lengths().get(Owed.WRITE, 0) == 180 - done
    assert sorted(key for key in keys_in(file) if "-" not in key) == sorted(map(str, range(60)))


@pytest.mark.parametrize("seed", range(6))
def test_what_was_told_as_kept_outlives_sigkill_at_any_moment(file: Path, seed: int) -> None:
    script = """
        import threading
        journal = opened()
        def keep(mine):
            for number in range(100_000):
                key = f"{mine}-{number}"
                journal.keep(Owed.RECEIPT, key, {"key": key, "more": "x" * 5000})
                os.write(1, (key + "\\n").encode())
        for mine in range(8):
            threading.Thread(target=keep, args=(mine,)).start()
    """
    victim = start(file, script)
    assert victim.stdout is not None
    told = [victim.stdout.readline()]
    timer = threading.Timer(random.Random(seed).uniform(0.0, 0.4), victim.kill)
    timer.start()
    told += victim.stdout.readlines()
    assert victim.wait(30) == -signal.SIGKILL
    victim.stdout.close()
    # A last line may be cut, as its writer was.
    whole = {line.strip() for line in told if line.endswith("\n")}
    assert whole
    assert whole <= set(keys_in(file))
    # At most one item for each thread was kept and not yet told of.
    assert len(keys_in(file)) - len(whole) <= 8
    assert opened(file).why_unusable() is None


def test_every_commit_is_synced(file: Path) -> None:
    database = JournalFile(str(file)).database
    assert database.execute("PRAGMA synchronous").fetchone()[0] == 2
    assert database.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    database.close()


def test_the_file_and_its_companions_are_for_their_owner_alone(file: Path) -> None:
    before = os.umask(0)
    try:
        journal = opened(file)
        journal.keep(Owed.RECEIPT, "a", {"key": "a"})
        modes = {each.name: each.stat().st_mode & 0o777 for each in file.parent.iterdir()}
    finally:
        os.umask(before)
    assert modes == {f"{file.name}{end}": 0o600 for end in ("", "-wal", "-shm")}
    file.chmod(0o666)
    (file.parent / f"{file.name}-wal").chmod(0o644)
    opened(file)
    assert {each.stat().st_mode & 0o777 for each in file.parent.iterdir()} == {0o600}


def test_a_full_disk_keeps_nothing_and_says_so(file: Path) -> None:
    script = """
        import resource, threading
        journal = opened()
        resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, 600_000))
        def keep(mine):
            for number in range(1000):
                key = f"{mine}-{number}"
                try:
                    journal.keep(Owed.RECEIPT, key, {"key": key, "more": "x" * 2000})
                except JournalUnavailable as error:
                    assert "The journal cannot keep anything: " in str(error), error
                    assert "disk" in str(error), error
                    return
                os.write(1, (key + "\\n").encode())
        threads = [threading.Thread(target=keep, args=(mine,)) for mine in range(4)]
        [each.start() for each in threads]
        [each.join() for each in threads]
        assert "disk" in journal.why_unusable()
        assert len(journal.due(limit=10)) == 10
    """
    told = output_of(start(file, script))
    assert len(told) > 10
    assert sorted(keys_in(file)) == sorted(told)
    assert opened(file).keep(Owed.RECEIPT, "room again", {"key": "room again"}) is not None


def test_a_file_that_may_not_be_written_is_told(tmp_path: Path) -> None:
    file = tmp_path / "journal.sqlite3"
    opened(file).close()
    file.chmod(0o400)
    # The superuser may write everywhere, so somebody else has to try.
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.getuid() and not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o011)
    script = """
        if os.getuid() == 0:
            os.setuid(65534)
        try:
            opened()
        except JournalUnavailable as error:
            print("told" if "permission denied" in str(error) else error)
    """
    assert output_of(start(file, script)) == ["told"]


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Hold the lock as another program would."""
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    yield
    other.close()


def test_a_lock_of_another_program_is_waited_for(file: Path) -> None:
    journal = opened(file)
    with ThreadPoolExecutor(1) as pool:
        with locked(file):
            kept = pool.submit(journal.keep, Owed.RECEIPT, "a", {"key": "a"})
            time.sleep(0.3)
            assert not kept.done()
        assert kept.result(30) is not None


def test_a_lock_that_stays_is_a_failure_for_all_in_a_few_seconds(file: Path) -> None:
    journal = opened(file)
    journal.keep(Owed.RECEIPT, "before", {"key": "before"})

    def keep(number: int) -> str:
        try:
            journal.keep(Owed.RECEIPT, str(number), {"key": str(number)})
        except JournalUnavailable as error:
            return str(error)
        return "kept"

    with ThreadPoolExecutor(8) as pool:
        with locked(file):
            began = time.monotonic()
            told = list(pool.map(keep, range(8)))
            took = time.monotonic() - began
        assert all("locked" in each or "takes too long" in each for each in told)
        assert took < 3 * PATIENCE_SECONDS
        assert journal.why_unusable() is None
    assert keys_in(file) == ["before"]


def test_one_that_fails_fails_alone(file: Path) -> None:
    commits = Commits(JournalFile(str(file)))
    begun, go_on = threading.Event(), threading.Event()

    def hold_up(database: sqlite3.Connection) -> str:
        begun.set()
        go_on.wait(30)
        return "first"

    def work(number: int) -> str:
        def do(database: sqlite3.Connection) -> str:
            if number == 3:
                raise ZeroDivisionError
            database.execute("UPDATE host SET beats = beats + 1")
            return str(number)

        try:
            return commits.write(do)
        except ZeroDivisionError:
            return "failed"

    with ThreadPoolExecutor(9) as pool:
        first = pool.submit(commits.write, hold_up)
        assert begun.wait(30)
        rest = [pool.submit(work, number) for number in range(8)]
        time.sleep(0.2)
        go_on.set()
        assert first.result(30) == "first"
        assert [each.result(30) for each in rest] == [*"012", "failed", *"4567"]
    with commits.reading() as database:
        assert database.execute("SELECT beats FROM host").fetchone()[0] == 7


def test_a_file_that_was_taken_away_or_replaced_takes_nothing(file: Path) -> None:
    journal = opened(file)
    aside = file.rename(file.with_name("aside"))
    assert "no such file" in (journal.why_unusable() or "")
    with pytest.raises(JournalUnavailable):
        journal.keep(Owed.RECEIPT, "a", {})
    with pytest.raises(JournalUnavailable):
        journal.due()
    # What belongs to it is left there, and may hold items.
    with pytest.raises(JournalUnavailable, match="companion"):
        opened(file)
    for end in ("-wal", "-shm"):
        file.with_name(file.name + end).unlink(missing_ok=True)
    opened(file)
    assert "replaced" in (journal.why_unusable() or "")
    file.unlink()
    aside.rename(file)
    assert journal.why_unusable() is None


def damage(file: Path, how: str) -> None:
    size = file.stat().st_size
    with file.open("r+b") as stream:
        if how == "header":
            stream.write(b"not SQLite")
        elif how == "pages":
            stream.seek(4096)
            stream.write(os.urandom(size - 4096))
        elif how == "cut":
            stream.truncate(size // 2 + 7)
        else:
            stream.truncate(0)


@pytest.mark.parametrize("how", ["header", "pages", "cut", "emptied"])
def test_a_damaged_file_is_told_and_left_as_it_is(file: Path, how: str) -> None:
    journal = opened(file)
    journal.keep_all([(Owed.RECEIPT, str(n), {"more": "x" * 1000}) for n in range(100)])
    journal.close()
    damage(file, how)
    before = file.read_bytes()
    with pytest.raises(JournalUnavailable, match=r"damaged|empty"):
        opened(file)
    assert file.read_bytes() == before


def test_what_is_damaged_while_it_is_open_is_never_given(file: Path) -> None:
    journal = opened(file)
    # More than SQLite keeps in memory, so that it has to look at the disk.
    payload = {"more": "x" * 10_000}
    journal.keep_all([(Owed.RECEIPT, str(n), payload) for n in range(500)])
    journal.close()
    journal = opened(file)
    damage(file, "pages")
    found = []
    with suppress(JournalUnavailable):
        found = journal.due(limit=500)
    assert len(found) < 500
    assert all(each.payload == payload for each in found)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("PRAGMA user_version = 2", "newer version"),
        ("PRAGMA user_version = 0", "damaged"),
        ("PRAGMA application_id = 7", "another program's"),
        ("DELETE FROM host", "damaged"),
        ("PRAGMA journal_mode = DELETE", "local disk"),
    ],
)
def test_a_file_of_another_kind_is_refused(file: Path, change: str, told: str) -> None:
    opened(file).close()
    other = sqlite3.connect(file)
    other.executescript(change)
    other.close()
    with pytest.raises(JournalUnavailable, match=told):
        opened(file)


def test_a_link_leads_to_the_file_and_one_that_leads_nowhere_makes_it(tmp_path: Path) -> None:
    volume, link = tmp_path / "volume" / "journal", tmp_path / "link"
    volume.parent.mkdir()
    link.symlink_to(volume)
    journal = opened(link)
    journal.keep(Owed.RECEIPT, "a", {"key": "a"})
    assert keys_in(volume) == ["a"]
    assert link.is_symlink()


def test_a_closed_journal_fails_as_a_journal_does(file: Path) -> None:
    journal = opened(file)
    journal.close()
    with pytest.raises(JournalUnavailable):
        journal.keep(Owed.RECEIPT, "a", {})
    with pytest.raises(JournalUnavailable):
        journal.due()


def test_the_kernel_names_this_boot_the_same_each_time() -> None:
    assert boot_id() == boot_id()
    if Path("/proc/sys/kernel/random/boot_id").exists():
        assert len(boot_id()) == 36
