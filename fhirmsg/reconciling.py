"""Reconciliation: the proof that nothing was lost, doubled or left unexplained.

Every message that a provider knows has exactly one record entry, and every open entry is
explained: it is being sent, the journal owes it, or a person has been asked about it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol

from fhirmsg.errors import ProviderSilent
from fhirmsg.guidance.policy import LocalPolicy
from fhirmsg.ports import (
    Entry,
    EntryStatus,
    Journal,
    KnownMessage,
    ListsMessages,
    Owed,
    Provider,
    TellsByItsId,
)
from fhirmsg.recovering import Recovery
from fhirmsg.standing import standing

# Our references: a UUID, and what a further leg or a second host adds to it.
_OURS = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}(-\d+)?(-h-[0-9a-f]+)?"
)
_SECOND_HOST = re.compile(r"-h-[0-9a-f]+\Z")
_ASKED = (
    *("unknown", "still-open", "several-entries", "sent-twice", "sent-though-not-done"),
    "emergency-unfiled",
)
# A provider may list with a delay, and clocks differ.
_SLACK = timedelta(minutes=5)


class Survey(Protocol):
    """Gives the entries on the server (`fhirmsg.fhir.survey`)."""

    def changed_since(self, since: datetime) -> Iterable[Entry]:
        """Give every entry changed since then. Raises RecordUnavailable."""
        ...

    def in_progress(self) -> Iterable[Entry]:
        """Give every open entry. Raises RecordUnavailable."""
        ...

    def of(self, message_id: str) -> tuple[Entry, ...]:
        """Give every entry of a message. Raises RecordUnavailable."""
        ...

    def is_asked_about(self, entry: Entry, codes_of_tasks: tuple[str, ...]) -> bool:
        """Tell whether a person has been asked about it. Raises RecordUnavailable."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Unexplained:
    """Something that is not explained. message_id may be empty where there is none."""

    code: str
    message_id: str
    sentence: str


@dataclass(kw_only=True)
class Reconciled:
    """What was counted, and what is not explained."""

    since: datetime
    counts: Counter[str] = field(default_factory=Counter)
    unexplained: list[Unexplained] = field(default_factory=list)


class Reconciliation:
    """Compares record, providers and journal. Thread-safe."""

    def __init__(
        self,
        *,
        survey: Survey,
        journal: Journal,
        providers: Mapping[str, Provider],
        policies: Mapping[str, LocalPolicy],
        recovery: Recovery,
    ) -> None:
        """Use these ports; `recovery` knows the leases."""
        self._survey = survey
        self._journal = journal
        self._providers = providers
        self._policies = policies
        self._recovery = recovery

    def run(self, since: datetime) -> Reconciled:
        """Compare everything since an instant.

        Raises RecordUnavailable or JournalUnavailable; a provider that does not answer is an
        exception of its own.
        """
        found = Reconciled(since=since)
        entries: dict[str, list[Entry]] = {}
        # Everything that is owed is looked at, whatever pause it was given.
        self._journal.hurry()
        seen: set[str] = set()
        # An open entry has to be explained however old it is.
        for entry in (*self._survey.changed_since(since), *self._survey.in_progress()):
            if entry.reference in seen or entry.sender not in self._policies:
                continue
            seen.add(entry.reference)
            entries.setdefault(entry.message_id, []).append(entry)
            found.counts[f"entries {entry.status or 'not understood'}"] += 1
        for owed, length in self._journal.lengths().items():
            found.counts[f"journal {owed}"] += length
        known: set[str] = set()
        for name, provider in self._providers.items():
            if isinstance(provider, ListsMessages):
                known |= self._compare(found, name, provider, entries)
        for message_id, several in entries.items():
            found.unexplained += self._explain(message_id, several)
        self._compare_back(found, entries, known)
        return found

    # --- from the provider to the record -----------------------------------------------------

    def _compare(
        self,
        found: Reconciled,
        name: str,
        provider: ListsMessages,
        entries: Mapping[str, list[Entry]],
    ) -> set[str]:
        """Look for the entry of each message a provider has; gives the references it knows."""
        try:
            messages = list(provider.known_since(found.since))
        except ProviderSilent:
            sentence = f"{name} did not tell which messages it has, so none could be compared."
            found.unexplained.append(Unexplained(code="provider", message_id="", sentence=sentence))
            return set()
        ours = [each for each in messages if _OURS.fullmatch(each.reference)]
        found.counts[f"known to {name}"] += len(ours)
        found.counts[f"of others at {name}"] += len(messages) - len(ours)
        for reference, times in Counter(each.reference for each in ours).items():
            if times > 1 and not self._is_explained_double(reference):
                sentence = f"{name} has this message {times} times."
                found.unexplained.append(
                    Unexplained(code="doubled", message_id=reference, sentence=sentence)
                )
            found.unexplained += self._without_entry(name, reference, entries)
        return {each.reference for each in ours}

    def _is_explained_double(self, reference: str) -> bool:
        """Tell whether a person was asked about a message that two hosts sent in an outage."""
        stand = standing(self._survey.of(reference))
        return bool(stand) and self._survey.is_asked_about(stand[0], ("sent-twice",))

    def _without_entry(
        self, name: str, reference: str, entries: Mapping[str, list[Entry]]
    ) -> Iterator[Unexplained]:
        several = tuple(entries.get(reference) or self._survey.of(reference))
        if not several:
            if self._journal.find(Owed.EMERGENCY, reference) is None:
                sentence = f"{name} has this message, and no record entry tells of it."
                yield Unexplained(code="unrecorded", message_id=reference, sentence=sentence)
            return
        first = standing(several)[0]
        if first.status is EntryStatus.NOT_DONE and not self._is_asked(first):
            sentence = f"{name} has this message, and its record entry says that it was not sent."
            yield Unexplained(code="untrue", message_id=reference, sentence=sentence)

    # --- the record by itself ------------------------------------------------------------------

    def _explain(self, message_id: str, several: list[Entry]) -> Iterator[Unexplained]:
        stand = standing(several)
        if len(stand) > 1 and not self._is_asked(stand[0]):
            sentence = f"{len(stand)} record entries tell of this message."
            yield Unexplained(code="several", message_id=message_id, sentence=sentence)
        for entry in stand:
            if entry.status is EntryStatus.IN_PROGRESS:
                age = entry.age_seconds
                if age is not None and age < self._recovery.lease(entry):
                    continue
                if not self._is_owed(entry) and not self._is_asked(entry):
                    sentence = "The entry is open past its lease, and nobody was asked about it."
                    yield Unexplained(code="open", message_id=message_id, sentence=sentence)
            elif entry.status in (EntryStatus.UNKNOWN, None) and not self._is_asked(entry):
                sentence = "Nobody knows whether it left, and nobody was asked about it."
                yield Unexplained(code="unknown", message_id=message_id, sentence=sentence)

    def _is_asked(self, entry: Entry) -> bool:
        # What two hosts sent is asked about under the id that both share.
        shared = replace(entry, message_id=_SECOND_HOST.sub("", entry.message_id))
        return self._survey.is_asked_about(entry, _ASKED) or (
            shared != entry and self._survey.is_asked_about(shared, _ASKED)
        )

    def _is_owed(self, entry: Entry) -> bool:
        return any(
            item.payload.get("message_id") == entry.message_id
            for item in self._journal.due([Owed.WRITE], limit=10_000)
        )

    # --- from the record to the provider -----------------------------------------------------

    def _compare_back(
        self, found: Reconciled, entries: Mapping[str, list[Entry]], known: set[str]
    ) -> None:
        """Look with the provider for each message that it is said to have taken."""
        for message_id, several in entries.items():
            entry = standing(several)[0]
            if entry.status is not EntryStatus.COMPLETED or message_id in known:
                continue
            if _SECOND_HOST.search(message_id):
                # The provider knows it under the id of the first entry.
                continue
            name, provider = self._provider_of(entry)
            found.counts["completed"] += 1
            if provider is None or not _can_be_compared(entry, found.since):
                continue
            try:
                if self._is_there(provider, entry):
                    continue
            except ProviderSilent:
                sentence = f"{name} did not answer whether it has this message."
                problem = Unexplained(code="provider", message_id=message_id, sentence=sentence)
                found.unexplained.append(problem)
                continue
            sentence = f"The record says that {name} took this message, and it does not know it."
            problem = Unexplained(code="unsent", message_id=message_id, sentence=sentence)
            found.unexplained.append(problem)

    @staticmethod
    def _is_there(provider: Provider, entry: Entry) -> bool:
        if isinstance(provider, TellsByItsId) and entry.provider_id:
            told: KnownMessage | None = provider.known_by_id(entry.provider_id)
            return told is not None
        # One that lists all it has was asked already; of the others nothing can be found out.
        return not isinstance(provider, ListsMessages)

    def _provider_of(self, entry: Entry) -> tuple[str, Provider | None]:
        policy = self._policies.get(entry.sender or "")
        platform = None if policy is None else policy.platforms.get(entry.platform or "")
        name = "" if platform is None else platform.provider
        return name, self._providers.get(name)


def _can_be_compared(entry: Entry, since: datetime) -> bool:
    """Tell whether a list from that instant on has to hold it."""
    try:
        return datetime.fromisoformat(entry.sent or "") >= since + _SLACK
    except (ValueError, TypeError):
        return False
