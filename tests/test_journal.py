"""The journal: what it keeps is there, whole, readable by us alone, and once."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fhirmsg.errors import JournalUnavailable
from fhirmsg.journal import SqliteJournal
from fhirmsg.ports import Journal, JournalItem, Owed

KEY = b"a key of the tests for journals."
OTHER = b"another key of the tests, newer."
PAYLOAD = {"reference": "abc", "texts": ["Grüße", "\ud800"], "deep": {"none": None, "n": 1.5}}


@dataclass
class Host:
    """The clocks of a host that a test moves."""

    wall: datetime = field(default_factory=lambda: datetime(2026, 3, 29, 0, 59, tzinfo=UTC))
    elapsed: float = 1000.0
    boot: str = "boot-1"

    def sleep(self, seconds: float) -> None:
        """Let time pass on both clocks."""
        self.wall += timedelta(seconds=seconds)
        self.elapsed += seconds

    def restart(self) -> None:
        """Start anew: another boot, whose clock begins at nought."""
        self.boot, self.elapsed = self.boot + "+", 5.0

    def journal(self, path: Path | None, *keys: bytes) -> SqliteJournal:
        """Open a journal on this host."""
        return SqliteJournal(
            None if path is None else str(path),
            keys or [KEY],
            wall_clock=lambda: self.wall,
            boot_clock=lambda: self.elapsed,
            boot=lambda: self.boot,
        )


@pytest.fixture
def host() -> Host:
    return Host()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite3"


@pytest.fixture(params=["in a file", "in memory"])
def journal(request: pytest.FixtureRequest, host: Host, file: Path) -> Iterator[SqliteJournal]:
    found = host.journal(file if request.param == "in a file" else None)
    yield found
    found.close()


def kept(journal: Journal, key: str = "a", owed: Owed = Owed.RECEIPT, **more: Any) -> JournalItem:
    item = journal.keep(owed, key, more.pop("payload", PAYLOAD), **more)
    assert item is not None
    return item


def raw(file: Path) -> sqlite3.Connection:
    """Open the file behind the journal's back."""
    return sqlite3.connect(file, isolation_level=None)


def test_what_is_kept_is_found_as_it_was(journal: SqliteJournal, host: Host) -> None:
    item = kept(journal, owed=Owed.EMERGENCY, state="opened", attempt="attempt-1")
    assert (item.payload, item.state, item.attempt) == (PAYLOAD, "opened", "attempt-1")
    assert (item.revision, item.kept_at, item.age_seconds, item.tries) == (1, host.wall, 0.0, 0)
    assert journal.find(Owed.EMERGENCY, "a") == item
    assert journal.due() == [item]
    assert journal.find(Owed.EMERGENCY, "b") is None
    assert journal.find(Owed.WRITE, "a") is None


def test_a_key_is_kept_once_for_each_kind(journal: SqliteJournal) -> None:
    first = kept(journal)
    assert journal.keep(Owed.RECEIPT, "a", {"another": True}) is None
    assert kept(journal, owed=Owed.REPLY).number > first.number
    assert journal.find(Owed.RECEIPT, "a") == first


def test_many_are_kept_together_and_those_that_are_there_stay(journal: SqliteJournal) -> None:
    first = kept(journal)
    items = [(Owed.RECEIPT, key, {"key": key}) for key in ("a", "b", "c", "b")]
    assert journal.keep_all(items) == 2
    assert journal.keep_all([]) == 0
    assert journal.find(Owed.RECEIPT, "a") == first
    assert [each.key for each in journal.due()] == ["a", "b", "c"]
    assert journal.due()[1].payload == {"key": "b"}


def test_many_are_kept_all_or_none(journal: SqliteJournal) -> None:
    with pytest.raises(TypeError):
        journal.keep_all([(Owed.RECEIPT, "a", {}), (Owed.RECEIPT, "b", {"no": object()})])
    with pytest.raises(UnicodeEncodeError):
        journal.keep_all([(Owed.RECEIPT, "a", {}), (Owed.RECEIPT, "\ud800", {})])
    assert journal.due() == []
    kept(journal)


def test_a_change_counts_only_when_nobody_else_changed(journal: SqliteJournal) -> None:
    item = kept(journal, state="opened", attempt="one")
    changed = journal.change(item, state="sent", payload={"provider_id": "7"})
    assert changed is not None
    assert (changed.state, changed.attempt, changed.revision) == ("sent", "one", 2)
    assert journal.find(Owed.RECEIPT, "a") == changed
    assert journal.change(item, state="opened again") is None
    assert journal.done([item]) == 0
    claimed = journal.change(changed, attempt="two")
    assert claimed is not None
    assert (claimed.payload, claimed.attempt) == ({"provider_id": "7"}, "two")
    assert journal.find(Owed.RECEIPT, "a") == claimed


def test_one_alone_of_many_claims_an_item(journal: SqliteJournal) -> None:
    item = kept(journal)
    with ThreadPoolExecutor(16) as pool:
        claims = list(pool.map(lambda n: journal.change(item, attempt=str(n)), range(64)))
    [winner] = [each for each in claims if each is not None]
    assert journal.find(Owed.RECEIPT, "a") == winner


def test_what_is_done_leaves_and_its_number_never_comes_again(journal: SqliteJournal) -> None:
    first, second = kept(journal, "a"), kept(journal, "b")
    assert journal.done([first, second]) == 2
    assert journal.done([first]) == 0
    assert journal.done([]) == 0
    assert journal.due() == []
    assert kept(journal, "a").number > second.number


def test_a_done_item_cannot_be_changed_though_its_key_came_again(journal: SqliteJournal) -> None:
    old = kept(journal)
    journal.done([old])
    new = kept(journal)
    assert journal.change(old, state="x") is None
    journal.postpone(old, 60)
    assert journal.due() == [new]


def test_what_is_due_comes_oldest_first_by_kind_and_number(journal: SqliteJournal) -> None:
    for number in range(5):
        kept(journal, f"r{number}")
        kept(journal, f"w{number}", Owed.WRITE)
    assert [each.key for each in journal.due([Owed.WRITE], limit=3)] == ["w0", "w1", "w2"]
    assert [each.key for each in journal.due(limit=3)] == ["r0", "w0", "r1"]
    assert journal.due([]) == []
    assert len(journal.due([Owed.RECEIPT, Owed.WRITE])) == 10


def test_a_postponed_item_waits_and_keeps_its_age(journal: SqliteJournal, host: Host) -> None:
    item = kept(journal)
    host.sleep(10)
    journal.postpone(item, 60)
    host.sleep(59.9)
    assert journal.due() == []
    host.sleep(0.1)
    [again] = journal.due()
    assert (again.tries, again.revision, again.age_seconds) == (1, 1, pytest.approx(70))
    assert journal.done([again]) == 1


def test_what_changed_is_not_postponed_by_who_did_not_see_it(journal: SqliteJournal) -> None:
    item = kept(journal)
    changed = journal.change(item, state="other")
    journal.postpone(item, 60)
    assert journal.due() == [changed]


def test_hurry_makes_everything_due(journal: SqliteJournal, host: Host) -> None:
    for key in ("a", "b"):
        journal.postpone(kept(journal, key), 3600)
    assert journal.due() == []
    journal.hurry()
    assert [(each.key, each.tries) for each in journal.due()] == [("a", 1), ("b", 1)]


@pytest.mark.parametrize("hours", [-5, 5])
def test_a_wall_clock_that_is_set_moves_neither_age_nor_postponement(
    journal: SqliteJournal, host: Host, hours: int
) -> None:
    item = kept(journal)
    journal.postpone(item, 60)
    host.wall += timedelta(hours=hours)
    host.elapsed += 59
    assert journal.due() == []
    found = journal.find(Owed.RECEIPT, "a")
    assert found is not None
    assert found.age_seconds == 59
    host.elapsed += 1
    assert len(journal.due()) == 1


def test_after_a_restart_of_the_host_no_age_is_known_and_nothing_waits(
    journal: SqliteJournal, host: Host
) -> None:
    item = kept(journal)
    journal.postpone(item, 3600)
    host.restart()
    [found] = journal.due()
    assert found.age_seconds is None
    changed = journal.change(found, state="claimed")
    assert changed is not None
    host.sleep(7)
    [found] = journal.due()
    assert found.age_seconds == 7


def test_where_no_boot_has_a_name_an_age_is_never_more_than_it_was(host: Host) -> None:
    host.boot = ""
    journal = host.journal(None)
    journal.postpone(kept(journal), 3600)
    host.elapsed = 5.0
    [found] = journal.due()
    assert found.age_seconds is None
    host.elapsed = 1010.0
    found = journal.find(Owed.RECEIPT, "a")
    assert found is not None
    assert found.age_seconds == 10


def test_lengths_and_the_oldest_age(journal: SqliteJournal, host: Host) -> None:
    assert (journal.lengths(), journal.oldest_seconds()) == ({}, None)
    first = kept(journal)
    host.sleep(0.5)
    journal.keep_all([(Owed.REPLY, "b", {}), (Owed.REPLY, "c", {})])
    host.sleep(60)
    assert journal.lengths() == {Owed.RECEIPT: 1, Owed.REPLY: 2}
    assert journal.oldest_seconds() == 60.5
    journal.done([first])
    assert journal.oldest_seconds() == 60
    host.wall -= timedelta(hours=1)
    assert journal.oldest_seconds() == 0


def test_who_waits_is_woken_by_what_is_kept(journal: SqliteJournal) -> None:
    assert not journal.wait(0.01)
    timer = threading.Timer(0.1, kept, [journal])
    timer.start()
    began = time.monotonic()
    assert journal.wait(30)
    assert time.monotonic() - began < 10
    timer.join()
    assert not journal.wait(0.01)
    journal.keep_all([(Owed.REPLY, "b", {})])
    assert journal.wait(30), "what was kept before the waiting counts"
    journal.postpone(journal.due()[0], 60)
    assert not journal.wait(0.01)
    journal.hurry()
    assert journal.wait(30)


def test_an_instance_that_can_keep_says_nothing(journal: SqliteJournal) -> None:
    assert journal.why_unusable() is None
    assert len(journal.host_id) == 8


def test_an_item_shows_nothing_of_its_payload(journal: SqliteJournal) -> None:
    assert "Grüße" not in repr(kept(journal))


def test_the_file_keeps_its_items_and_its_host_id(file: Path, host: Host) -> None:
    first = host.journal(file)
    item = kept(first)
    number = first.host_id
    first.close()
    again = host.journal(file)
    assert again.due() == [item]
    assert again.host_id == number
    assert int(number, 16) >= 0
    assert host.journal(None).host_id != host.journal(None).host_id


def test_nothing_of_a_payload_is_readable_on_the_disk(tmp_path: Path, file: Path) -> None:
    journal = Host().journal(file)
    kept(journal, payload={"body": "a word that is patient data"})
    item = journal.find(Owed.RECEIPT, "a")
    assert item is not None
    journal.change(item, payload={"body": "more words, patient data"})
    on_disk = b"".join(each.read_bytes() for each in tmp_path.iterdir())
    assert b"patient data" not in on_disk
    assert KEY not in on_disk


def test_the_same_payload_is_never_sealed_alike(file: Path) -> None:
    journal = Host().journal(file)
    item = kept(journal)
    sealed = set()
    for _ in range(20):
        sealed.add(raw(file).execute("SELECT payload FROM item").fetchone()[0][:12])
        changed = journal.change(item)
        assert changed is not None
        item = changed
    assert len(sealed) == 20


def test_the_newest_key_seals_and_every_key_opens(file: Path, host: Host) -> None:
    kept(host.journal(file, KEY), "old")
    both = host.journal(file, OTHER, KEY)
    kept(both, "new")
    assert [each.key for each in both.due()] == ["old", "new"]
    assert [each.key for each in host.journal(file, OTHER).due()] == ["new"]


@pytest.mark.parametrize("keys", [[], [b"x" * 31], [KEY, b"short"]])
def test_a_short_key_is_refused(keys: list[bytes]) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        SqliteJournal(None, keys)


def test_what_another_key_sealed_stays_is_counted_and_told_once(
    file: Path, host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(150):
        kept(host.journal(file), f"old {number}") if number < 3 else None
    journal = host.journal(file, OTHER)
    kept(journal, "new")
    with caplog.at_level(logging.ERROR, "fhirmsg.journal"):
        assert [each.key for each in journal.due(limit=1)] == ["new"]
        assert [each.key for each in journal.due()] == ["new"]
    assert [record.__dict__["number"] for record in caplog.records] == [1, 2, 3]
    assert journal.lengths() == {Owed.RECEIPT: 4}
    assert journal.keep(Owed.RECEIPT, "old 0", {}) is None
    with pytest.raises(JournalUnavailable, match="Item 1 of the journal cannot be opened"):
        journal.find(Owed.RECEIPT, "old 0")
    assert len(host.journal(file, OTHER, KEY).due()) == 4


TAMPERING = {
    "payloads swapped": (
        "CREATE TEMP TABLE was AS SELECT number, payload FROM item; UPDATE item SET payload ="
        " (SELECT payload FROM was WHERE was.number = 3 - item.number) WHERE number < 3"
    ),
    "another key": "UPDATE item SET key = 'x' || key WHERE number < 3",
    "another kind": "UPDATE item SET owed = 'reply' WHERE number < 3",
    "no such kind": "UPDATE item SET owed = 'else' WHERE number < 3",
    "another state": "UPDATE item SET state = 'sent' WHERE number < 3",
    "another attempt": "UPDATE item SET attempt = 'z' WHERE number < 3",
    "another revision": "UPDATE item SET revision = 9 WHERE number < 3",
    "another time": "UPDATE item SET kept_at = '2020-01-01T00:00:00+00:00' WHERE number < 3",
    "no time": "UPDATE item SET kept_at = 'when' WHERE number < 3",
    "no age": "UPDATE item SET changed = 'when' WHERE number < 3",
    "a byte cut off": "UPDATE item SET payload = substr(payload, 1, 38) WHERE number < 3",
    "nothing": "UPDATE item SET payload = x'' WHERE number < 3",
    "a text": "UPDATE item SET payload = 'text' WHERE number < 3",
}


@pytest.mark.parametrize("change", TAMPERING.values(), ids=TAMPERING.keys())
def test_what_was_changed_on_the_disk_is_left_out(
    file: Path, host: Host, change: str, caplog: pytest.LogCaptureFixture
) -> None:
    journal = host.journal(file)
    for key in ("a", "b", "c"):
        kept(journal, key, payload={"key": key})
    raw(file).executescript(change)
    assert [each.payload for each in journal.due()] == [{"key": "c"}]
    assert journal.lengths()[Owed.RECEIPT] >= 1
    assert len(caplog.records) == 2
