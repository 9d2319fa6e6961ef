"""CommunicationLog on a FHIR server: conditional create, version-checked updates, second looks.

A lost answer is never taken for a failure or a success: the server is asked what it holds.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from urllib.parse import quote

from fhirmsg import clock
from fhirmsg.clock import Deadline
from fhirmsg.errors import RecordUnavailable
from fhirmsg.fhir import codes, communication
from fhirmsg.fhir.client import FhirAnswer, FhirClient, Resource
from fhirmsg.fhir.elements import element, text_of
from fhirmsg.fhir.entries import by_message_id, entries_in, entry_of, own_extension
from fhirmsg.fhir.resources import InvalidResource, validated
from fhirmsg.guidance.decision import Decision
from fhirmsg.guidance.request import SendRequest
from fhirmsg.ports import Entry, EntryDraft, EntryStatus, Opened, Opening

log = logging.getLogger("fhirmsg.record")

# An unclear answer is looked into this often, at these intervals in seconds.
_LOOKS = (0.05, 0.45, 1.5)
_CONFLICTS = (409, 412)
_UNRECORDED = (
    "The message was sent on an override, and the override could not be recorded. Write down who "
    "approved it, and why."
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


class FhirCommunicationLog:
    """Writes entries through a FhirClient. Thread-safe."""

    def __init__(self, client: FhirClient, *, pause: Callable[[float], None] = time.sleep) -> None:
        """Write to the client's server; `pause` waits between looks."""
        self._client = client
        self._pause = pause

    def open(self, draft: EntryDraft) -> Opening:
        """Create the entry unless there is one (see `ports.CommunicationLog`)."""
        try:
            resource = validated(communication.opened(draft))
        except InvalidResource as error:
            log.error("entry cannot be written", extra={"reason": str(error)})
            return Opening(outcome=Opened.UNAVAILABLE)
        for _ in range(2):
            opening = self._create(resource, draft)
            if opening is not None:
                return opening
            seen = self._look(draft.message_id)
            if len(seen) > 1:
                return Opening(outcome=Opened.SEVERAL, entry=seen[0])
            if seen:
                return self._opening(seen[0], draft)
        return Opening(outcome=Opened.UNAVAILABLE)

    def note_refusal(self, draft: EntryDraft) -> bool:
        """Write what was not sent (see `ports.CommunicationLog`); a failure is logged."""
        resource = communication.settled(communication.opened(draft), EntryStatus.NOT_DONE)
        try:
            answer = self._client.create(
                validated(resource), if_none_exist=by_message_id(draft.message_id)
            )
        except (RecordUnavailable, InvalidResource):
            answer = None
        if answer is None or not answer.good:
            log.error("refusal not recorded", extra={"message_id": draft.message_id})
            return False
        return True

    def _create(self, resource: Resource, draft: EntryDraft) -> Opening | None:
        """Try once; None when the answer does not say whose entry there is now."""
        try:
            answer = self._client.create(resource, if_none_exist=by_message_id(draft.message_id))
        except RecordUnavailable:
            return None
        if not answer.good:
            log.warning("entry not opened", extra={"status": answer.status})
            return None
        if element(answer.resource).get("resourceType") != "Communication":
            return None
        entry = _entry(answer)
        return self._opening(entry, draft) if entry.message_id == draft.message_id else None

    @staticmethod
    def _opening(entry: Entry, draft: EntryDraft) -> Opening:
        ours = entry.attempt == draft.attempt
        return Opening(outcome=Opened.OURS if ours else Opened.OTHERS, entry=entry)

    def _look(self, message_id: str) -> tuple[Entry, ...]:
        for wait in _LOOKS:
            self._pause(wait)
            try:
                found = self.find(message_id)
            except RecordUnavailable as error:
                log.warning("look failed", extra={"reason": str(error)})
                continue
            if found:
                return found
        return ()

    def find(self, message_id: str) -> tuple[Entry, ...]:
        """Give every entry with this message id. Raises RecordUnavailable."""
        deadline = Deadline(self._client.server.call_deadline)
        answer = self._client.read(f"Communication?{by_message_id(message_id)}", deadline=deadline)
        entries, missing = entries_in(self._client, answer, message_id, deadline=deadline)
        if missing is not None:
            raise RecordUnavailable(missing)
        return entries

    def claim(self, entry: Entry, draft: EntryDraft | None, attempt: str) -> Entry | None:
        """Take an entry over (see `ports.CommunicationLog`)."""
        if draft is None:
            # Whatever others have written on it was taken by the server: only ours is checked.
            resource = communication.reclaimed(entry.resource, attempt, clock.now())
            validated(resource, known=entry.resource)
        else:
            resource = validated({**communication.opened(draft), "id": _id(entry)})
        return self._update(resource, entry, attempt)

    def settle(
        self,
        entry: Entry,
        status: EntryStatus,
        *,
        sent: datetime | None = None,
        provider_id: str | None = None,
        decision: Decision | None = None,
        overriding: SendRequest | None = None,
    ) -> Entry | None:
        """Record how the hand-off ended (see `ports.CommunicationLog`)."""
        current = entry
        attempt = own_extension(entry.resource, "attempt") or None
        for wait in (0.0, *_LOOKS):
            if wait:
                self._pause(wait)
                found = self._again(entry)
                if found is None:
                    continue
                current = found
                if current.status is status:
                    return current
                moved = current.attempt != entry.attempt
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
                attempt=attempt,
            )
            written = self._write(resource, current, overriding)
            if written is not None:
                return written
        log.error("entry not settled", extra={"message_id": entry.message_id})
        return None

    def _write(
        self, resource: Resource, current: Entry, overriding: SendRequest | None
    ) -> Entry | None:
        if overriding is None:
            return self._put(resource, current)
        put = {"method": "PUT", "url": current.reference, "ifMatch": f'W/"{current.version_id}"'}
        post = {"method": "POST", "url": "Provenance"}
        try:
            provenance = communication.override_provenance(
                current.reference, overriding, clock.now()
            )
            entries = [
                {"resource": validated(resource, known=current.resource), "request": put},
                {"resource": validated(provenance), "request": post},
            ]
            outer, inner = self._client.transaction(entries)
        except RecordUnavailable:
            return None
        except (InvalidResource, ValueError):
            return self._put_without_provenance(resource, current)
        if outer.status in _CONFLICTS:
            return None
        if not outer.good:
            # That it was sent has to be on the record, whatever the server makes of the rest.
            return self._put_without_provenance(resource, current, provenance)
        written = inner[0].resource
        return _entry(inner[0]) if written else replace(current, status=_status(resource))

    def _put_without_provenance(
        self, resource: Resource, current: Entry, provenance: Resource | None = None
    ) -> Entry | None:
        """Write the entry by itself, then the Provenance; a person is asked when it cannot be."""
        written = self._put(resource, current)
        if written is None:
            return None
        try:
            recorded = provenance is not None and self._client.create(provenance).good
        except RecordUnavailable:
            recorded = False
        if not recorded:
            self.ask_a_person(written, "override-unrecorded", _UNRECORDED)
        return written

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
            return _entry(answer)
        return replace(current, status=_status(resource))

    def _update(self, resource: Resource, entry: Entry, attempt: str) -> Entry | None:
        """Write over exactly the version seen; after an unclear answer, look whose it is."""
        try:
            answer = self._client.update(resource, version_id=entry.version_id)
            if answer.status in _CONFLICTS:
                return None
            if answer.good and element(answer.resource).get("resourceType") == "Communication":
                return _entry(answer)
        except RecordUnavailable:
            pass
        found = self._look(entry.message_id)
        ours = [each for each in found if each.attempt == attempt]
        return ours[0] if len(ours) == 1 and len(found) == 1 else None

    def _again(self, entry: Entry) -> Entry | None:
        try:
            answer = self._client.read(entry.reference)
        except RecordUnavailable:
            return None
        return _entry(answer) if answer.good and answer.resource else None

    def ask_a_person(self, entry: Entry, code: str, text: str) -> None:
        """Open a Task, once for each message and code; a failure is logged and no more."""
        patient = text_of(element(entry.resource.get("subject")).get("reference"))
        resource = communication.task(
            message_id=entry.message_id,
            code=code,
            text=text,
            focus=entry.reference,
            patient=patient,
            authored=clock.now(),
        )
        token = quote(f"{codes.TASK_SYSTEM}|{entry.message_id}:{code}", safe="")
        try:
            answer = self._client.create(validated(resource), if_none_exist=f"identifier={token}")
            good = answer.good
        except (RecordUnavailable, InvalidResource):
            good = False
        if not good:
            log.error("task not opened", extra={"message_id": entry.message_id, "code": code})


def _id(entry: Entry) -> str:
    return entry.reference.partition("/")[2]


def _status(resource: Resource) -> EntryStatus:
    return EntryStatus(resource["status"])


def _entry(answer: FhirAnswer) -> Entry:
    return entry_of(answer.resource or {}, answer.date)
