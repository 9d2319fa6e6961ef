"""The journal against a model of it that is too simple to be wrong, by whatever steps."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from fhirmsg.ports import JournalItem, Owed
from tests.test_journal import Host

KEYS = st.sampled_from(["a", "b", "c", "d"])
KINDS = st.sampled_from(list(Owed)[:3])
TEXTS = st.sampled_from(["", "one", "two", "é"])
PAYLOADS = st.dictionaries(st.text(max_size=3), st.none() | st.integers() | st.text(max_size=9))


@dataclass
class Kept:
    """What the model knows of an item."""

    number: int
    payload: dict[str, Any]
    state: str
    attempt: str
    revision: int = 1
    changed: float = 0.0
    due: float = 0.0
    tries: int = 0


class JournalSteps(RuleBasedStateMachine):
    """Steps of two processes of one host, which share the file."""

    def __init__(self) -> None:
        super().__init__()
        self.host = Host()
        self.folder = Path(tempfile.mkdtemp(prefix="journal-"))
        self.open_both()
        self.model: dict[tuple[Owed, str], Kept] = {}
        self.read: list[JournalItem] = []
        self.last = 0

    def open_both(self) -> None:
        self.journals = [self.host.journal(self.folder / "journal") for _ in range(2)]

    def teardown(self) -> None:
        for each in self.journals:
            each.close()
        shutil.rmtree(self.folder)

    def known(self, item: JournalItem) -> Kept | None:
        """Give what the model has of an item, if it is as it was read."""
        kept = self.model.get((item.owed, item.key))
        same = kept and (kept.number, kept.revision) == (item.number, item.revision)
        return kept if same else None

    @rule(by=st.integers(0, 1), owed=KINDS, key=KEYS, payload=PAYLOADS, state=TEXTS)
    def keep(self, by: int, owed: Owed, key: str, payload: dict[str, Any], state: str) -> None:
        item = self.journals[by].keep(owed, key, payload, state=state, attempt="x")
        assert (item is None) == ((owed, key) in self.model)
        if item is not None:
            assert item.number > self.last
            self.last = item.number
            self.model[owed, key] = Kept(item.number, payload, state, "x")
            self.model[owed, key].changed = self.host.elapsed
            self.read.append(item)

    @rule(by=st.integers(0, 1), items=st.lists(st.tuples(KINDS, KEYS, PAYLOADS), max_size=4))
    def keep_all(self, by: int, items: list[tuple[Owed, str, dict[str, Any]]]) -> None:
        new = {(owed, key) for owed, key, _ in items} - self.model.keys()
        assert self.journals[by].keep_all(items) == len(new)
        for owed, key, payload in items:
            if (owed, key) in new and (owed, key) not in self.model:
                item = self.journals[1 - by].find(owed, key)
                assert item is not None
                self.last = max(self.last, item.number)
                self.model[owed, key] = Kept(item.number, payload, "", "")
                self.model[owed, key].changed = self.host.elapsed

    @rule(by=st.integers(0, 1), data=st.data(), state=st.none() | TEXTS, attempt=st.none() | TEXTS)
    def change(self, by: int, data: st.DataObject, state: str | None, attempt: str | None) -> None:
        if not self.read:
            return
        item = data.draw(st.sampled_from(self.read))
        payload = data.draw(st.none() | PAYLOADS)
        kept = self.known(item)
        found = self.journals[by].change(item, payload=payload, state=state, attempt=attempt)
        assert (found is None) == (kept is None)
        if found is not None and kept is not None:
            kept.payload = kept.payload if payload is None else payload
            kept.state = kept.state if state is None else state
            kept.attempt = kept.attempt if attempt is None else attempt
            kept.revision += 1
            kept.changed = self.host.elapsed
            self.read.append(found)

    @rule(by=st.integers(0, 1), data=st.data(), seconds=st.integers(0, 100))
    def postpone(self, by: int, data: st.DataObject, seconds: int) -> None:
        if self.read:
            item = data.draw(st.sampled_from(self.read))
            self.journals[by].postpone(item, seconds)
            if kept := self.known(item):
                kept.due, kept.tries = self.host.elapsed + seconds, kept.tries + 1

    @rule(by=st.integers(0, 1), data=st.data())
    def done(self, by: int, data: st.DataObject) -> None:
        if self.read:
            items = data.draw(st.lists(st.sampled_from(self.read), max_size=3, unique_by=id))
            gone = {(each.owed, each.key) for each in items if self.known(each)}
            assert self.journals[by].done(items) == len(gone)
            for each in gone:
                del self.model[each]

    @rule(by=st.integers(0, 1))
    def hurry(self, by: int) -> None:
        self.journals[by].hurry()
        for kept in self.model.values():
            kept.due = 0.0

    @rule(seconds=st.integers(1, 60))
    def sleep(self, seconds: int) -> None:
        self.host.sleep(seconds)

    @rule()
    def start_again(self) -> None:
        for each in self.journals:
            each.close()
        self.open_both()

    @invariant()
    def what_is_due_agrees(self) -> None:
        expected = sorted(
            (
                (kept.number, *place, kept.payload, kept.state, kept.attempt, kept.revision)
                for place, kept in self.model.items()
                if kept.due <= self.host.elapsed
            ),
            key=lambda each: each[0],
        )
        for journal in self.journals:
            found = journal.due()
            self.read += found
            assert expected == [
                (e.number, e.owed, e.key, e.payload, e.state, e.attempt, e.revision) for e in found
            ]
            for each in found:
                kept = self.model[each.owed, each.key]
                assert each.age_seconds == self.host.elapsed - kept.changed
                assert each.tries == kept.tries
            assert sum(journal.lengths().values()) == len(self.model)


TestJournalSteps = JournalSteps.TestCase
TestJournalSteps.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
