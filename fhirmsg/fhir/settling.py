"""How a hand-off ended, written over exactly the version seen, with its grounds beside it.

Somebody else may have the entry by then, or know more: theirs stands. Only that a message was
accepted is true whoever asked for it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Protocol

from fhirmsg.errors import RecordUnavailable
from fhirmsg.fhir.client import FhirClient, Resource
from fhirmsg.fhir.elements import element, elements
from fhirmsg.fhir.endings import Ending
from fhirmsg.fhir.entries import entry_in, own_extension, told
from fhirmsg.fhir.owing import Owing
from fhirmsg.fhir.resources import InvalidResource, validated
from fhirmsg.fhir.tasks import Tasks, about
from fhirmsg.ports import AuditDraft, Delivery, Entry, EntryStatus

log = logging.getLogger("fhirmsg.record")

# An unclear answer is looked into this often, at these intervals in seconds.
LOOKS = (0.05, 0.45, 1.5)
CONFLICTS = (409, 412)
UNRECORDED = (
    "The message was handed over on an override, an emergency declaration or other evidence, and "
    "that could not be recorded. Write down who stands for it, and why."
)

NOT_DONE_BUT_SENT = (
    "A provider has this message, and the record said that it was not sent. The text is no longer "
    "on the entry: write down what was sent, and find out whether it was sent once more."
)

# From where an entry may move on. `unknown` can still turn out either way, and what a provider
# says later outranks what was believed before.
ALLOWED: dict[EntryStatus, frozenset[EntryStatus | None]] = {
    # Of a not-done one too: that a provider took it is true, whatever was believed before.
    EntryStatus.COMPLETED: frozenset(
        {
            EntryStatus.IN_PROGRESS,
            EntryStatus.UNKNOWN,
            EntryStatus.STOPPED,
            EntryStatus.NOT_DONE,
        }
    ),
    EntryStatus.STOPPED: frozenset(
        {EntryStatus.IN_PROGRESS, EntryStatus.UNKNOWN, EntryStatus.COMPLETED}
    ),
    EntryStatus.NOT_DONE: frozenset({EntryStatus.IN_PROGRESS, EntryStatus.UNKNOWN}),
    EntryStatus.UNKNOWN: frozenset({EntryStatus.IN_PROGRESS}),
    EntryStatus.IN_PROGRESS: frozenset({EntryStatus.NOT_DONE}),
}


class Auditing(Protocol):
    """Has decisions told to those who audit (`fhirmsg.fhir.auditing`)."""

    def resource_for(self, draft: AuditDraft) -> Resource | None:
        """Give the AuditEvent to be written beside an entry, None where it goes elsewhere."""
        ...

    def record(self, draft: AuditDraft) -> bool:
        """Have it recorded by itself; tells whether it is."""
        ...

    def recovery(self, entry: Entry, end: str) -> Resource | None:
        """Give the AuditEvent that an abandoned entry was ended so; None when it cannot be made."""
        ...

    def record_refused(self, event: Resource) -> bool:
        """Have an AuditEvent recorded that the server refused; tells whether it is."""
        ...


class Written(Enum):
    """Whether an ending stands on the record."""

    DONE = "done"
    THEIRS = "somebody else has the entry, or knows more"
    OWED = "still to be written"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """An ending with the entry it belongs to, and what is written beside it."""

    reference: str
    message_id: str
    attempt: str | None
    ending: Ending
    beside: tuple[Resource, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Give it as JSON, for the journal."""
        return {
            "reference": self.reference,
            "message_id": self.message_id,
            "attempt": self.attempt,
            "ending": self.ending.as_json(),
            "beside": list(self.beside),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Settlement:
        """Read it back."""
        return cls(
            reference=content["reference"],
            message_id=content["message_id"],
            attempt=content["attempt"],
            ending=Ending.from_json(content["ending"]),
            beside=tuple(content["beside"]),
        )

    @property
    def key(self) -> str:
        """The same for the same ending of the same attempt."""
        return f"{self.message_id}:{self.attempt}:{self.ending.status}"


class _Gone(Exception):
    """The entry was taken off the server: nothing can be put on it any more."""


class Settling:
    """Writes the ends of hand-offs through a FhirClient. Thread-safe."""

    def __init__(
        self,
        client: FhirClient,
        tasks: Tasks,
        pause: Callable[[float], None],
        owing: Owing,
        auditing: Auditing | None = None,
    ) -> None:
        """Write to the client's server; `pause` waits between looks.

        owing: keeps what cannot be written now. auditing: takes AuditEvents that were refused.
        """
        self._auditing = auditing
        self._client = client
        self._tasks = tasks
        self._pause = pause
        self._owing = owing

    def settle(self, entry: Entry | None, settlement: Settlement) -> tuple[Written, Entry | None]:
        """Put the ending on exactly the version seen; gives the entry as it stands then.

        Without an entry it is read first.
        """
        try:
            return self._settle(entry, settlement)
        except _Gone:
            log.error("entry gone", extra={"message_id": settlement.message_id})
            return Written.THEIRS, None

    def settle_later(self, settlement: Settlement) -> Written:
        """Put an ending on that was owed, whatever version stands there now."""
        return self.settle(None, settlement)[0]

    def _settle(self, entry: Entry | None, settlement: Settlement) -> tuple[Written, Entry | None]:
        current = entry
        alone: list[bool] = []
        status = settlement.ending.status
        for wait in (0.0, *LOOKS):
            if wait or current is None:
                self._pause(wait)
                found = self._again(settlement.reference)
                if found is None:
                    continue
                current = found
                if current.status is status and _is_told(current, settlement.ending):
                    # Our own write, whose answer was lost: what belongs beside it is still due.
                    ours = current.attempt == settlement.attempt
                    if alone and ours and not self._is_beside(current):
                        self._write_beside(current, settlement)
                    return Written.DONE, current
                if current.status is status and status is not EntryStatus.COMPLETED:
                    return Written.DONE, current
                moved = current.attempt != settlement.attempt
                allowed = ALLOWED[status] | {status}
                if current.status not in allowed or (moved and status is not EntryStatus.COMPLETED):
                    # Somebody else has it now, or knows more: theirs stands. Only that a message
                    # was accepted is true whoever asked for it.
                    return Written.THEIRS, None
            written = self._write(_as_it_stands(settlement, current), current, alone)
            if written is not None:
                if current.status is EntryStatus.NOT_DONE and status is EntryStatus.COMPLETED:
                    self._tasks.ask(about(written, "sent-though-not-done", NOT_DONE_BUT_SENT))
                return Written.DONE, written
        log.error("entry not settled", extra={"message_id": settlement.message_id})
        return Written.OWED, None

    def _write(self, settlement: Settlement, current: Entry, alone: list[bool]) -> Entry | None:
        """Write it with what belongs beside it; `alone` notes that the entry went by itself."""
        resource = settlement.ending.put_on(current.resource)
        if not settlement.beside:
            return self._put(resource, current)
        put = {"method": "PUT", "url": current.reference, "ifMatch": f'W/"{current.version_id}"'}
        try:
            entries = [
                {"resource": validated(resource, known=current.resource), "request": put},
                *(
                    {"resource": each, "request": {"method": "POST", "url": each["resourceType"]}}
                    for each in settlement.beside
                ),
            ]
            outer, inner = self._client.transaction(entries)
        except RecordUnavailable:
            return None
        except (InvalidResource, ValueError):
            return self._put_alone(resource, current, settlement, alone)
        if outer.status in CONFLICTS:
            return None
        if not outer.good:
            # That it was sent has to be on the record, whatever the server makes of the rest.
            return self._put_alone(resource, current, settlement, alone)
        written = inner[0].resource
        return entry_in(inner[0]) if written else replace(current, status=_status(resource))

    def _put_alone(
        self, resource: Resource, current: Entry, settlement: Settlement, alone: list[bool]
    ) -> Entry | None:
        """Write the entry by itself, then what belongs beside it."""
        alone.append(True)
        written = self._put(resource, current)
        if written is not None:
            self._write_beside(written, settlement)
        return written

    def _is_beside(self, written: Entry) -> bool:
        """Tell whether the Provenance is there, since a refusal may come after the writing."""
        try:
            answer = self._client.read(f"Provenance?target={written.reference}")
        except RecordUnavailable:
            return False
        return answer.good and bool(elements(element(answer.resource).get("entry")))

    def _write_beside(self, written: Entry, settlement: Settlement) -> None:
        """Write each by itself; what cannot be written is owed, or a person is asked."""
        for resource in settlement.beside:
            try:
                answer = self._client.create(resource)
                lost = answer.status >= 500 or answer.status == 429
            except RecordUnavailable:
                answer, lost = None, True
            if answer is not None and answer.good:
                continue
            if lost and self._owing.create(resource):
                continue
            if resource["resourceType"] == "Provenance":
                self._tasks.ask(about(written, "evidence-unrecorded", UNRECORDED))
            elif self._auditing is None or not self._auditing.record_refused(resource):
                log.error("audit not recorded", extra={"message_id": written.message_id})

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

    def _again(self, reference: str) -> Entry | None:
        try:
            answer = self._client.read(reference)
        except RecordUnavailable:
            return None
        if answer.status in (404, 410):
            raise _Gone
        return entry_in(answer) if answer.good and answer.resource else None


def _is_told(current: Entry, ending: Ending) -> bool:
    """Tell whether an entry says already what an ending tells beside its status."""
    decision = own_extension(current.resource, "decision")
    return (ending.provider_id is None or ending.provider_id == current.provider_id) and (
        ending.decision is None or ending.decision == decision
    )


def _as_it_stands(settlement: Settlement, current: Entry) -> Settlement:
    """Give what is put on an entry that a provider has said to have failed since: all but that
    it did not."""
    completes = settlement.ending.status is EntryStatus.COMPLETED
    if not completes or Delivery.FAILED not in told(current.resource):
        return settlement
    if current.status is not EntryStatus.STOPPED:
        return settlement
    return replace(settlement, ending=replace(settlement.ending, status=EntryStatus.STOPPED))


def _status(resource: Resource) -> EntryStatus:
    return EntryStatus(resource["status"])
