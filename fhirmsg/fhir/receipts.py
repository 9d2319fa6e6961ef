"""Providers' receipts on the record: each moves its Communication up, never down, and only once.

What arrives late or again is kept as history at most. An entry whose hand-off may still be under
way is left alone: who hands off writes what it was handed off on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import quote

from fhirmsg.clock import Deadline
from fhirmsg.errors import RecordUnavailable
from fhirmsg.fhir import codes
from fhirmsg.fhir.client import FhirAnswer, FhirClient, Resource
from fhirmsg.fhir.communication import (
    copy_for_update,
    delivery_extension,
    instant,
    put_extension,
    simple_extension,
)
from fhirmsg.fhir.endings import without_fallback
from fhirmsg.fhir.entries import entry_of, told
from fhirmsg.fhir.resources import InvalidResource, validated
from fhirmsg.fhir.searching import read_all_pages
from fhirmsg.fhir.tasks import Tasks, about
from fhirmsg.ports import (
    Delivery,
    DeliveryReceipt,
    Entry,
    EntryStatus,
    JournalItem,
)
from fhirmsg.standing import standing

log = logging.getLogger("fhirmsg.record")

_IDS_IN_A_SEARCH = 50
# So few that a slow server answers in time: what came of a call that it does not answer is not
# known, and has to be read again.
_WRITES_AT_ONCE = 50
_NOT_DONE_BUT_SENT = (
    "A provider reports on this message, and the record says that it was not sent. Find out "
    "whether it left, and correct the entry."
)
_ODD = (
    "A provider reports on this message, and the state of its record entry is not one that is "
    "understood here. Look at the entry, and at what the provider says of the message."
)
_RANK = {state: rank for rank, state in enumerate(Delivery)}
# What a receipt makes of an entry that was handed off. What a provider says later outranks what
# was believed before; a failure after a delivery is history.
_STATUS: Mapping[Delivery, Mapping[EntryStatus, EntryStatus]] = {
    Delivery.ACCEPTED: {EntryStatus.UNKNOWN: EntryStatus.COMPLETED},
    Delivery.FAILED: {
        EntryStatus.UNKNOWN: EntryStatus.STOPPED,
        EntryStatus.COMPLETED: EntryStatus.STOPPED,
    },
    Delivery.DELIVERED: {
        EntryStatus.UNKNOWN: EntryStatus.COMPLETED,
        EntryStatus.STOPPED: EntryStatus.COMPLETED,
    },
    Delivery.READ: {
        EntryStatus.UNKNOWN: EntryStatus.COMPLETED,
        EntryStatus.STOPPED: EntryStatus.COMPLETED,
    },
}


# An entry, what it is to become, and the receipts that say so.
Change = tuple[Entry, Resource, list[JournalItem]]


@dataclass(kw_only=True)
class Applied:
    """What became of some receipts: on record, to be looked at later, about no entry there is.

    failed: entries that ended in a failure now, on which another channel may follow. proven:
    entries that nobody had completed, and of which it is known now that they left.
    """

    done: list[JournalItem] = field(default_factory=list)
    later: list[JournalItem] = field(default_factory=list)
    unknown: list[JournalItem] = field(default_factory=list)
    failed: list[Entry] = field(default_factory=list)
    proven: list[Entry] = field(default_factory=list)


class Receipts:
    """Applies receipts through a FhirClient. Thread-safe."""

    def __init__(
        self, client: FhirClient, tasks: Tasks, *, lease: Callable[[Entry], float]
    ) -> None:
        """Write to the client's server; `lease` gives how long a hand-off may take, in seconds."""
        self._client = client
        self._tasks = tasks
        self._lease = lease

    def apply(self, items: Collection[JournalItem]) -> Applied:
        """Put receipts on the record, many in few round trips. Raises RecordUnavailable."""
        applied = Applied()
        by_reference: dict[str, list[JournalItem]] = {}
        for item in items:
            try:
                reference = DeliveryReceipt.from_json(item.payload).reference
            except (ValueError, KeyError, TypeError):
                # Of another version of this program; it must not keep the others waiting.
                log.error("receipt not understood", extra={"number": item.number})
                applied.later.append(item)
                continue
            by_reference.setdefault(reference, []).append(item)
        found = self._entries(list(by_reference))
        for reference in set(by_reference) - set(found):
            # What of this message is there could not be read whole.
            applied.later += by_reference.pop(reference)
        changes: list[Change] = []
        for reference, about_one in by_reference.items():
            entries = standing(found.get(reference, ()))
            if not entries:
                applied.unknown += about_one
                continue
            entry = _meant(entries, about_one)
            changed = self._changed(entry, about_one, applied)
            if changed is not None:
                changes.append((entry, changed, about_one))
        self._write(changes, applied)
        return applied

    def _entries(self, references: list[str]) -> dict[str, list[Entry]]:
        """Give every entry of each message; one of which not all could be read is left out.

        Raises RecordUnavailable when the server does not answer.
        """
        groups = [
            references[start : start + _IDS_IN_A_SEARCH]
            for start in range(0, len(references), _IDS_IN_A_SEARCH)
        ]
        deadline = Deadline(self._client.server.call_deadline)
        paths = [
            "Communication?_count=100&identifier="
            + ",".join(quote(f"{codes.MESSAGE_ID}|{each}", safe="") for each in group)
            for group in groups
        ]
        _, answers = self._client.batch(paths, deadline=deadline)
        found: dict[str, list[Entry]] = {}
        for group, answer in zip(groups, answers, strict=True):
            pages = read_all_pages(
                self._client,
                answer,
                kind="Communication",
                filtered_by="identifier",
                deadline=deadline,
            )
            if pages.gaps:
                if len(group) > 1:
                    # One that cannot be read must not keep the others waiting.
                    for reference in group:
                        found.update(self._entries([reference]))
                continue
            found.update({reference: [] for reference in group})
            for raw in pages.resources:
                entry = entry_of(raw, answer.date)
                found.setdefault(entry.message_id, []).append(entry)
        return found

    def _changed(self, entry: Entry, items: list[JournalItem], applied: Applied) -> Resource | None:
        """Give the entry as the receipts make it; None when nothing is to be written."""
        if entry.status is None:
            asked = self._tasks.ask(about(entry, "receipt-on-odd-entry", _ODD))
            (applied.done if asked else applied.later).extend(items)
            return None
        if entry.status is EntryStatus.NOT_DONE:
            asked = self._tasks.ask(about(entry, "sent-though-not-done", _NOT_DONE_BUT_SENT))
            (applied.done if asked else applied.later).extend(items)
            return None
        if entry.status is EntryStatus.IN_PROGRESS and not self._abandoned(entry):
            applied.later += items
            return None
        changed = with_receipts(entry, [_timed(each) for each in items])
        if changed is None:
            applied.done += items
            if entry.status is EntryStatus.STOPPED and "failed" in told(entry.resource):
                # Whoever wrote that may have died before another channel was tried.
                applied.failed.append(entry)
        return changed

    def _abandoned(self, entry: Entry) -> bool:
        return entry.age_seconds is not None and entry.age_seconds >= self._lease(entry)

    def _write(self, changes: list[Change], applied: Applied) -> None:
        writable: list[tuple[Change, Resource]] = []
        for change in changes:
            entry, resource, items = change
            try:
                checked = validated(resource, known=entry.resource)
            except InvalidResource:
                log.error("receipt cannot be written", extra={"message_id": entry.message_id})
                applied.later += items
                continue
            condition = f'W/"{entry.version_id}"'
            request = {"method": "PUT", "url": entry.reference, "ifMatch": condition}
            writable.append((change, {"resource": checked, "request": request}))
        for start in range(0, len(writable), _WRITES_AT_ONCE):
            some = writable[start : start + _WRITES_AT_ONCE]
            try:
                answers = self._answers([write for _, write in some])
            except RecordUnavailable:
                if not start:
                    raise
                # What went before is written, and what it calls for must not be forgotten.
                for (_, _, items), _ in writable[start:]:
                    applied.later += items
                return
            for (change, _), answer in zip(some, answers, strict=True):
                _note(change, answer, applied)

    def _answers(self, writes: list[Resource]) -> list[FhirAnswer]:
        """Write them together, which servers do much faster, and else each for itself."""
        seconds = self._client.server.call_deadline
        if len(writes) > 1:
            together = self._client.write_together(writes, deadline=Deadline(seconds))
            if together is not None:
                return together
        return self._client.batch_writes(writes, deadline=Deadline(seconds))


def _note(change: Change, answer: FhirAnswer, applied: Applied) -> None:
    """Note what became of a write, and what it calls for."""
    entry, resource, items = change
    # A conflict is somebody else's change: the next turn reads it and looks again.
    (applied.done if answer.good else applied.later).extend(items)
    failed = resource["status"] == EntryStatus.STOPPED
    if answer.good and failed and entry.status is not EntryStatus.UNKNOWN:
        # After "unknown" a person was asked already, and no other channel is tried.
        applied.failed.append(entry)
    if answer.good and entry.status is EntryStatus.IN_PROGRESS:
        applied.proven.append(entry)


def with_receipts(
    entry: Entry, receipts: Iterable[tuple[DeliveryReceipt, datetime]]
) -> Resource | None:
    """Give an entry with what a provider told about it, and when; None when nothing is new."""
    copy = copy_for_update(entry.resource)
    status = entry.status
    known = told(copy)
    news = False
    for receipt, moment in sorted(receipts, key=lambda each: _RANK[each[0].delivery]):
        at = instant(moment)
        if status is EntryStatus.IN_PROGRESS:
            # Abandoned, and the provider has it: that it was accepted is certain now.
            status = EntryStatus.COMPLETED
        state = str(receipt.delivery)
        if state not in known:
            extension = delivery_extension(state, at)
            copy["extension"] = [*copy.get("extension", []), extension]
            known |= {state}
            news = True
        status = _risen(status, receipt.delivery, known)
        if status is EntryStatus.COMPLETED and "sent" not in copy:
            copy["sent"] = at
        if receipt.delivery is Delivery.DELIVERED and "received" not in copy:
            copy["received"] = at
        if receipt.provider_id and entry.provider_id is None:
            identified = simple_extension("provider-id", "valueString", receipt.provider_id)
            put_extension(copy, identified)
        if status is EntryStatus.STOPPED and receipt.reason:
            copy["statusReason"] = {"text": receipt.reason}
    if status is not EntryStatus.STOPPED:
        copy.pop("statusReason", None)
    if known & {Delivery.DELIVERED, Delivery.READ}:
        without_fallback(copy)
    if not news and status is entry.status:
        return None
    copy["status"] = str(status)
    return copy


def _risen(
    status: EntryStatus | None, delivery: Delivery, known: frozenset[str]
) -> EntryStatus | None:
    if status is None:
        return None
    if delivery is Delivery.FAILED and known & {Delivery.DELIVERED, Delivery.READ}:
        return status
    return _STATUS[delivery].get(status, status)


def _timed(item: JournalItem) -> tuple[DeliveryReceipt, datetime]:
    """Read a receipt back; one without a time of its own counts from when it was kept."""
    receipt = DeliveryReceipt.from_json(item.payload)
    return receipt, receipt.at or item.kept_at


def _meant(entries: tuple[Entry, ...], items: list[JournalItem]) -> Entry:
    """Give the entry of the transmission that is reported on, where several were made."""
    ids = {item.payload.get("provider_id") for item in items}
    return next((each for each in entries if each.provider_id in ids), entries[0])
