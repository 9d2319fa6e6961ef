"""CommunicationLog on a FHIR server: conditional create, version-checked updates, second looks.

A lost answer is never taken for a failure or a success: the server is asked what it holds.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from uuid import uuid4

from fhirmsg import clock
from fhirmsg.calls import leg_id
from fhirmsg.clock import Deadline
from fhirmsg.errors import RecordUnavailable
from fhirmsg.fhir import communication
from fhirmsg.fhir.client import FhirAnswer, FhirClient, Resource
from fhirmsg.fhir.denials import by_check, denial, remember
from fhirmsg.fhir.elements import element
from fhirmsg.fhir.endings import Ending, settled, without_fallback
from fhirmsg.fhir.entries import by_message_id, entries_in, entry_in, own_extension
from fhirmsg.fhir.owing import CONSENT, SETTLEMENT, Owing
from fhirmsg.fhir.provenance import activities, provenance
from fhirmsg.fhir.resources import InvalidResource, validated
from fhirmsg.fhir.settling import (
    CONFLICTS,
    LOOKS,
    UNRECORDED,
    Auditing,
    Settlement,
    Settling,
    Written,
)
from fhirmsg.fhir.stored_findings import findings_of
from fhirmsg.fhir.tasks import Tasks, about, by_key, task
from fhirmsg.guidance.decision import Decision
from fhirmsg.guidance.request import SendRequest
from fhirmsg.guidance.rule import Finding
from fhirmsg.ports import (
    AuditDraft,
    Declined,
    Entry,
    EntryDraft,
    EntryStatus,
    Journal,
    Opened,
    Opening,
    TaskDraft,
)
from fhirmsg.standing import standing

log = logging.getLogger("fhirmsg.record")

# As many as there are channels.
_MOST_LEGS = 8
_NOT_OURS = "Another call sent the message; this one sent nothing in an emergency."


class FhirCommunicationLog:
    """Writes entries through a FhirClient. Thread-safe."""

    def __init__(
        self,
        client: FhirClient,
        *,
        journal: Journal | None = None,
        auditing: Auditing | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """Write to the client's server; `pause` waits between looks.

        journal: keeps what the server cannot take now. auditing: tells those who audit.
        """
        self._client = client
        self._pause = pause
        self._auditing = auditing
        self._owing = Owing(journal)
        self._tasks = Tasks(client, self._owing)
        self._settling = Settling(client, self._tasks, pause, self._owing, auditing)

    def open(self, draft: EntryDraft) -> Opening:
        """Create the entry unless there is one (see `ports.CommunicationLog`)."""
        opening = self._open(draft)
        review, entry = draft.review, opening.entry
        if review is not None and entry is not None:
            if opening.outcome is Opened.OURS and not opening.reviewed:
                # The message goes even if this fails: safety takes priority.
                self._tasks.keep(replace(review, focus=entry.reference))
            elif opening.outcome is Opened.OTHERS:
                self._tasks.close(
                    review.key, done=False, note=_NOT_OURS, attempts=frozenset({draft.attempt})
                )
        return opening

    def _open(self, draft: EntryDraft) -> Opening:
        try:
            resource = validated(communication.opened(draft))
        except InvalidResource as error:
            log.error("entry cannot be written", extra={"reason": str(error)})
            return Opening(outcome=Opened.UNAVAILABLE)
        # A lost answer to it is no harm: the create that follows finds what came of it.
        opening = self._create_with_review(resource, draft)
        if opening is not None:
            return opening
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
        resource = settled(communication.opened(draft), EntryStatus.NOT_DONE)
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

    def _create_with_review(self, resource: Resource, draft: EntryDraft) -> Opening | None:
        """Create both in one transaction; None when that did not work, or nobody knows."""
        if draft.review is None:
            return None
        try:
            outer, inner = self._client.transaction(_with_review(resource, draft, draft.review))
        except (RecordUnavailable, InvalidResource) as error:
            log.warning("entry not opened with its review", extra={"kind": type(error).__name__})
            return None
        if not outer.good:
            log.warning("entry not opened with its review", extra={"status": outer.status})
            return None
        return self._created(inner[0], draft, reviewed=inner[1].good)

    def _create(self, resource: Resource, draft: EntryDraft) -> Opening | None:
        """Try once; None when the answer does not say whose entry there is now."""
        try:
            answer = self._client.create(
                resource,
                if_none_exist=by_message_id(draft.message_id),
                # The same for both tries, so that the server's log shows them as one.
                request_id=draft.attempt,
            )
        except RecordUnavailable:
            return None
        if not answer.good:
            log.warning("entry not opened", extra={"status": answer.status})
            return None
        return self._created(answer, draft)

    def _created(
        self, answer: FhirAnswer, draft: EntryDraft, *, reviewed: bool = False
    ) -> Opening | None:
        if element(answer.resource).get("resourceType") != "Communication":
            return None
        entry = entry_in(answer)
        if entry.message_id != draft.message_id:
            return None
        return replace(self._opening(entry, draft), reviewed=reviewed)

    @staticmethod
    def _opening(entry: Entry, draft: EntryDraft) -> Opening:
        ours = entry.attempt == draft.attempt
        return Opening(outcome=Opened.OURS if ours else Opened.OTHERS, entry=entry)

    def _look(self, message_id: str) -> tuple[Entry, ...]:
        for wait in LOOKS:
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

    def legs(self, message_id: str) -> tuple[Entry, ...]:
        """Give the entries of the legs after this one, in order. Raises RecordUnavailable."""
        found: dict[str, Entry] = {}
        for further in range(1, _MOST_LEGS):
            entries = standing(self.find(leg_id(message_id, further)))
            if entries:
                found[entries[0].message_id] = entries[0]
            if not entries or entries[0].status not in (EntryStatus.STOPPED, EntryStatus.NOT_DONE):
                break
        return tuple(found.values())

    def claim(self, entry: Entry, draft: EntryDraft | None, attempt: str) -> Entry | None:
        """Take an entry over (see `ports.CommunicationLog`)."""
        if draft is None:
            # Whatever others have written on it was taken by the server: only ours is checked.
            resource = communication.reclaimed(entry.resource, attempt, clock.now())
            validated(resource, known=entry.resource)
        else:
            resource = validated({**communication.opened(draft), "id": _id(entry)})
        taken = self._update(resource, entry, attempt)
        if taken is not None and draft is not None and draft.review is not None:
            self._tasks.keep(replace(draft.review, focus=taken.reference))
        return taken

    def settle(
        self,
        entry: Entry,
        status: EntryStatus,
        *,
        sent: datetime | None = None,
        provider_id: str | None = None,
        decision: Decision | None = None,
        grounds: SendRequest | None = None,
        audit: AuditDraft | None = None,
    ) -> Entry | None:
        """Record how the hand-off ended (see `ports.CommunicationLog`)."""
        ending = Ending.of(
            status,
            sent=sent,
            provider_id=provider_id,
            decision=decision,
            grounds=grounds,
            attempt=own_extension(entry.resource, "attempt") or None,
        )
        provenance, unwritable = self._provenance(entry, decision, grounds)
        event = None
        if audit is not None and self._auditing is not None:
            event = self._auditing.resource_for(audit)
        settlement = Settlement(
            reference=entry.reference,
            message_id=entry.message_id,
            attempt=entry.attempt,
            ending=ending,
            beside=tuple(each for each in (provenance, event) if each is not None),
        )
        how, written = self._settling.settle(entry, settlement)
        if how is Written.OWED:
            self._owing.keep(SETTLEMENT, settlement.key, settlement.as_json())
        elif how is Written.DONE and written is not None and unwritable:
            self._tasks.ask(about(written, "evidence-unrecorded", UNRECORDED))
        if event is None and audit is not None and self._auditing is not None:
            self._auditing.record(audit)
        return written

    def _provenance(
        self, entry: Entry, decision: Decision | None, grounds: SendRequest | None
    ) -> tuple[Resource | None, bool]:
        """Give the Provenance of a decision, and whether one lacks that should be there."""
        if decision is None or grounds is None or not activities(decision):
            return None, False
        try:
            return validated(provenance(entry.reference, grounds, decision, clock.now())), False
        except (InvalidResource, ValueError):
            return None, True

    def findings_told(self, entry: Entry) -> tuple[Finding, ...] | None:
        """Give the findings as they were audited (see `ports.CommunicationLog`)."""
        return findings_of(self._client, entry)

    def end_fallback(self, entry: Entry) -> bool:
        """Take the sealed request off an entry (see `ports.CommunicationLog`)."""
        for _ in range(2):
            found = [
                each for each in self.find(entry.message_id) if each.reference == entry.reference
            ]
            if not found or found[0].sealed is None:
                return True
            resource = communication.copy_for_update(found[0].resource)
            without_fallback(resource)
            if self._client.update(resource, version_id=found[0].version_id).good:
                return True
        return False

    def note_decision(self, audit: AuditDraft) -> bool:
        """Have a decision audited on which nothing was opened (see `ports.CommunicationLog`)."""
        if self._auditing is None:
            return True
        event = self._auditing.resource_for(audit)
        if event is None:
            return self._auditing.record(audit)
        try:
            answer = self._client.create(event)
            lost = answer.status >= 500 or answer.status == 429
        except RecordUnavailable:
            return self._owing.create(event)
        return answer.good or (lost and self._owing.create(event)) or self._auditing.record(audit)

    def _update(self, resource: Resource, entry: Entry, attempt: str) -> Entry | None:
        """Write over exactly the version seen; after an unclear answer, look whose it is."""
        try:
            answer = self._client.update(resource, version_id=entry.version_id)
            if answer.status in CONFLICTS:
                return None
            if answer.good and element(answer.resource).get("resourceType") == "Communication":
                return entry_in(answer)
        except RecordUnavailable:
            pass
        found = self._look(entry.message_id)
        ours = [each for each in found if each.attempt == attempt]
        return ours[0] if len(ours) == 1 and len(found) == 1 else None

    def ask_a_person(self, entry: Entry, code: str, text: str) -> None:
        """Open a Task, once for each message and code; a failure is logged and no more."""
        self._tasks.ask(about(entry, code, text))

    def keep_task(self, task: TaskDraft) -> bool:
        """Have a Task stand as drafted (see `ports.CommunicationLog`)."""
        return self._tasks.keep(task)

    def close_task(
        self, key: str, *, done: bool, note: str, attempts: frozenset[str] | None = None
    ) -> bool:
        """Complete or cancel a Task (see `ports.CommunicationLog`)."""
        return self._tasks.close(key, done=done, note=note, attempts=attempts)

    def remember(self, declined: Declined) -> bool:
        """Put an individual's "no" on record (see `ports.CommunicationLog`)."""
        content = denial(declined)
        return remember(self._client, declined) or self._owing.keep(
            CONSENT, by_check(content), {"resource": content, "if_none_exist": by_check(content)}
        )


def _with_review(resource: Resource, draft: EntryDraft, review: TaskDraft) -> list[Resource]:
    """Give the entry and its review, both conditional, as the entries of a transaction.

    Raises InvalidResource.
    """
    full_url = uuid4().urn
    opened = validated(task(replace(review, focus=full_url), draft.attempt_at))
    create = {"method": "POST", "url": "Communication"}
    ask = {"method": "POST", "url": "Task"}
    return [
        {
            "fullUrl": full_url,
            "resource": resource,
            "request": {**create, "ifNoneExist": by_message_id(draft.message_id)},
        },
        {"resource": opened, "request": {**ask, "ifNoneExist": by_key(review.key)}},
    ]


def _id(entry: Entry) -> str:
    return entry.reference.partition("/")[2]
