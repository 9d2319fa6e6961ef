"""How a hand-off ended, written over exactly the version seen, with its grounds beside it.

Somebody else may have the entry by then, or know more: theirs stands. Only that a message was
accepted is true whoever asked for it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from fhirmsg import clock
from fhirmsg.errors import RecordUnavailable
from fhirmsg.fhir import communication
from fhirmsg.fhir.client import FhirClient, Resource
from fhirmsg.fhir.elements import element, elements
from fhirmsg.fhir.entries import entry_in, own_extension
from fhirmsg.fhir.provenance import activities, provenance
from fhirmsg.fhir.resources import InvalidResource, validated
from fhirmsg.fhir.tasks import Tasks, about
from fhirmsg.guidance.decision import Decision
from fhirmsg.guidance.request import SendRequest
from fhirmsg.ports import Entry, EntryStatus

log = logging.getLogger("fhirmsg.record")

# An unclear answer is looked into this often, at these intervals in seconds.
LOOKS = (0.05, 0.45, 1.5)
CONFLICTS = (409, 412)
_UNRECORDED = (
    "The message was handed over on an override, an emergency declaration or other evidence, and "
    "that could not be recorded. Write down who stands for it, and why."
)

# From where an entry may move on. `unknown` can still turn out either way, and what a provider
# says later outranks what was believed before.
ALLOWED: dict[EntryStatus, frozenset[EntryStatus | None]] = {
    EntryStatus.COMPLETED: frozenset(
        {EntryStatus.IN_PROGRESS, EntryStatus.UNKNOWN, EntryStatus.STOPPED}
    ),
    EntryStatus.STOPPED: frozenset(
        {EntryStatus.IN_PROGRESS, EntryStatus.UNKNOWN, EntryStatus.COMPLETED}
    ),
    EntryStatus.NOT_DONE: frozenset({EntryStatus.IN_PROGRESS, EntryStatus.UNKNOWN}),
    EntryStatus.UNKNOWN: frozenset({EntryStatus.IN_PROGRESS}),
    EntryStatus.IN_PROGRESS: frozenset({EntryStatus.NOT_DONE}),
}


class Settling:
    """Writes the ends of hand-offs through a FhirClient. Thread-safe."""

    def __init__(self, client: FhirClient, tasks: Tasks, pause: Callable[[float], None]) -> None:
        """Write to the client's server; `pause` waits between looks."""
        self._client = client
        self._tasks = tasks
        self._pause = pause

    def settle(
        self,
        entry: Entry,
        status: EntryStatus,
        *,
        sent: datetime | None = None,
        provider_id: str | None = None,
        decision: Decision | None = None,
        grounds: SendRequest | None = None,
    ) -> Entry | None:
        """Record how the hand-off ended (see `ports.CommunicationLog`)."""
        current = entry
        owed: list[Resource | None] = []
        attempt = own_extension(entry.resource, "attempt") or None
        for wait in (0.0, *LOOKS):
            if wait:
                self._pause(wait)
                found = self._again(entry)
                if found is None:
                    continue
                current = found
                if current.status is status:
                    # Our own write, whose answer was lost: what belongs beside it is still due.
                    if owed and not moved_on(current, entry) and not self._is_beside(current):
                        self._beside(current, owed[-1])
                    return current
                moved = moved_on(current, entry)
                if current.status not in ALLOWED[status] or (
                    moved and status is not EntryStatus.COMPLETED
                ):
                    # Somebody else has it now, or knows more: theirs stands. Only that a message
                    # was accepted is true whoever asked for it.
                    return None
            resource = communication.settled(
                current.resource,
                status,
                sent=sent,
                provider_id=provider_id,
                decision=decision,
                grounds=grounds,
                attempt=attempt,
            )
            written = self._write(resource, current, decision, grounds, owed)
            if written is not None:
                return written
        log.error("entry not settled", extra={"message_id": entry.message_id})
        return None

    def _write(
        self,
        resource: Resource,
        current: Entry,
        decision: Decision | None,
        grounds: SendRequest | None,
        owed: list[Resource | None],
    ) -> Entry | None:
        """Write it with its Provenance; in `owed` stands what is to be written by itself."""
        if decision is None or grounds is None or not activities(decision):
            return self._put(resource, current)
        put = {"method": "PUT", "url": current.reference, "ifMatch": f'W/"{current.version_id}"'}
        post = {"method": "POST", "url": "Provenance"}
        try:
            beside = validated(provenance(current.reference, grounds, decision, clock.now()))
            entries = [
                {"resource": validated(resource, known=current.resource), "request": put},
                {"resource": beside, "request": post},
            ]
            outer, inner = self._client.transaction(entries)
        except RecordUnavailable:
            return None
        except (InvalidResource, ValueError):
            return self._put_and_then(resource, current, None, owed)
        if outer.status in CONFLICTS:
            return None
        if not outer.good:
            # That it was sent has to be on the record, whatever the server makes of the rest.
            return self._put_and_then(resource, current, beside, owed)
        written = inner[0].resource
        return entry_in(inner[0]) if written else replace(current, status=_status(resource))

    def _put_and_then(
        self,
        resource: Resource,
        current: Entry,
        beside: Resource | None,
        owed: list[Resource | None],
    ) -> Entry | None:
        """Write the entry by itself, then the Provenance."""
        owed.append(beside)
        written = self._put(resource, current)
        if written is not None:
            self._beside(written, beside)
        return written

    def _is_beside(self, written: Entry) -> bool:
        """Tell whether the Provenance is there, since a refusal may come after the writing."""
        try:
            answer = self._client.read(f"Provenance?target={written.reference}")
        except RecordUnavailable:
            return False
        return answer.good and bool(elements(element(answer.resource).get("entry")))

    def _beside(self, written: Entry, provenance: Resource | None) -> None:
        """Write the Provenance by itself; a person is asked when it cannot be."""
        try:
            recorded = provenance is not None and self._client.create(provenance).good
        except RecordUnavailable:
            recorded = False
        if not recorded:
            self._tasks.ask(about(written, "evidence-unrecorded", _UNRECORDED))

    def _put(self, resource: Resource, current: Entry) -> Entry | None:
        try:
            answer = self._client.update(
                validated(resource, known=current.resource), version_id=current.version_id
            )
        except (RecordUnavailable, InvalidResource) as error:
            log.warning("update failed", extra={"kind": type(error).__name__})
            return None
        if not answer.good:
            return None
        if element(answer.resource).get("resourceType") == "Communication":
            return entry_in(answer)
        return replace(current, status=_status(resource))

    def _again(self, entry: Entry) -> Entry | None:
        try:
            answer = self._client.read(entry.reference)
        except RecordUnavailable:
            return None
        return entry_in(answer) if answer.good and answer.resource else None


def moved_on(current: Entry, entry: Entry) -> bool:
    """Tell whether somebody else has taken the entry over."""
    return current.attempt != entry.attempt


def _status(resource: Resource) -> EntryStatus:
    return EntryStatus(resource["status"])
