"""What the journal owes to the record, written when the FHIR server takes it again.

An item leaves the journal only when the record has what it says, or when a person has been asked
about it. Everything here may happen twice: a process can end between writing and forgetting.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from fhirmsg import clock
from fhirmsg.clock import Deadline
from fhirmsg.errors import RecordUnavailable
from fhirmsg.fhir import codes, owing, tasks
from fhirmsg.fhir.client import FhirClient, Resource
from fhirmsg.fhir.communication import copy_for_update
from fhirmsg.fhir.elements import element, identifier_key, own_keys, text_of
from fhirmsg.fhir.entries import (
    by_message_id,
    entries_in,
    entry_in,
    entry_of,
    own_extension,
    part,
)
from fhirmsg.fhir.resources import InvalidResource, validated
from fhirmsg.fhir.searching import read_all_pages
from fhirmsg.fhir.settling import (
    CONFLICTS,
    UNRECORDED,
    Auditing,
    Settlement,
    Settling,
    Written,
)
from fhirmsg.fhir.tasks import Tasks, about, by_key
from fhirmsg.guidance.terms import Role
from fhirmsg.ports import (
    Entry,
    EntryStatus,
    Journal,
    JournalItem,
    Owed,
    TaskDraft,
    task_key,
)
from fhirmsg.standing import standing

log = logging.getLogger("fhirmsg.record")

_FIRST_PAUSE, _LONGEST_PAUSE = 2.0, 300.0
# Who writes an emergency to the record has it for so long, before another process may.
_DRAINED_BY, _TURN_SECONDS = "written by ", 20.0
_TWICE = (
    "The FHIR server was away, and this message was sent in an emergency from two places: both "
    "entries are true. Tell the person who received it twice if that can matter, and find out "
    "why both were asked to send."
)
_REFUSES_LATER = frozenset({408, 425, 429})


_NOT_SENT = "The message was not sent after all."
_UNFILED = (
    "A message went to a patient in an emergency while the FHIR server was away, and the patient "
    "it named cannot be found on it. Find out from the service's log, by the message id in this "
    "task's identifier, who it was about, and record the message under them."
)
_REFUSED_AS_IT_IS = frozenset({400, 404, 410, 422})
_MAY_HAVE_GONE = frozenset({EntryStatus.COMPLETED, EntryStatus.UNKNOWN})


class Backlog:
    """Writes to one server what one journal owes it. Thread-safe."""

    def __init__(
        self,
        client: FhirClient,
        journal: Journal,
        *,
        host_id: str,
        pause: Callable[[float], None],
        auditing: Auditing | None = None,
    ) -> None:
        """Drain this journal; host_id marks a second entry of a message that went twice."""
        self._auditing = auditing
        self._client = client
        self._journal = journal
        self._host_id = host_id
        self._own = f"{_DRAINED_BY}{uuid4()}"
        # What cannot be written stays where it is: it must not be owed a second time.
        nowhere = owing.Owing(None)
        self._tasks = Tasks(client, nowhere)
        self._settling = Settling(client, self._tasks, pause, nowhere, auditing)
        self._forms: Mapping[str, Callable[[Mapping[str, Any]], bool]] = {
            owing.SETTLEMENT: self._settle,
            owing.CREATE: self._create,
            owing.TASK: self._open_task,
            owing.CLOSE_TASK: self._close_task,
            owing.CONSENT: self._create,
        }

    def drain(self, *, limit: int = 100, patient: bool = True) -> int:
        """Write what is due; gives how many items left the journal.

        patient: leave an emergency to another process that began to write it a moment ago. Two
        that write it at once make one entry, and may tell those who audit twice.

        Raises JournalUnavailable, and RecordUnavailable when the server does not answer at all:
        then every item stays as it was.
        """
        gone = 0
        for item in self._journal.due([Owed.WRITE, Owed.EMERGENCY], limit=limit):
            if item.owed is Owed.EMERGENCY and item.state == EntryStatus.IN_PROGRESS:
                continue
            mine = self._taken(item, patient)
            if mine is None:
                continue
            if self._is_written(mine):
                gone += self._journal.done([mine])
            elif self.answers():
                self._journal.postpone(mine, pause_after(item.tries))
            else:
                raise RecordUnavailable("The FHIR server does not answer; the writes stay owed.")
        return gone

    def _taken(self, item: JournalItem, patient: bool) -> JournalItem | None:
        """Take an emergency for this process alone; None while another one is writing it."""
        if item.owed is not Owed.EMERGENCY or item.attempt == self._own:
            return item
        others = patient and item.attempt.startswith(_DRAINED_BY)
        if others and item.age_seconds is not None and item.age_seconds < _TURN_SECONDS:
            return None
        return self._journal.change(item, attempt=self._own)

    def answers(self) -> bool:
        """Tell whether the server answers."""
        try:
            return self._client.read("metadata?_elements=fhirVersion").good
        except RecordUnavailable:
            return False

    def _is_written(self, item: JournalItem) -> bool:
        try:
            if item.owed is Owed.EMERGENCY:
                return self._record(item)
            form = self._forms.get(str(item.payload.get("form")))
            if form is None:
                log.error("journal item not understood", extra={"kind": str(item.owed)})
                return False
            return form(item.payload)
        except RecordUnavailable:
            return False
        except (InvalidResource, KeyError, TypeError, ValueError) as error:
            # One that an older or newer version wrote must not keep the rest from the record.
            log.error("journal item not written", extra={"kind": type(error).__name__})
            return False

    # --- writes that failed --------------------------------------------------------------------

    def _settle(self, content: Mapping[str, Any]) -> bool:
        settlement = Settlement.from_json(content)
        how = self._settling.settle_later(settlement)
        if how is Written.DONE and settlement.ending.status is EntryStatus.NOT_DONE:
            # Nothing was sent: the review that was opened with the entry has nothing to review.
            review = task_key(settlement.message_id, "emergency-review")
            own = frozenset({settlement.attempt or ""})
            return self._tasks.write_closed(review, done=False, note=_NOT_SENT, attempts=own)
        return how is not Written.OWED

    def _create(self, content: Mapping[str, Any]) -> bool:
        resource = content["resource"]
        answer = self._client.create(resource, if_none_exist=content.get("if_none_exist"))
        if answer.good:
            return True
        if answer.status >= 500 or answer.status in _REFUSES_LATER:
            return False
        # It will never be taken as it is; what it stood for is put before a person.
        log.error(
            "owed resource refused",
            extra={"kind": str(resource.get("resourceType")), "status": answer.status},
        )
        if resource.get("resourceType") == "AuditEvent":
            return self._auditing is None or self._auditing.record_refused(resource)
        return resource.get("resourceType") != "Provenance" or self._ask_about(resource)

    def _ask_about(self, provenance: Resource) -> bool:
        target = text_of(element((provenance.get("target") or [{}])[0]).get("reference"))
        answer = self._client.read(target)
        if not answer.good or not answer.resource:
            return False
        written = entry_in(answer)
        return self._tasks.ask(about(written, "evidence-unrecorded", UNRECORDED))

    def _open_task(self, content: Mapping[str, Any]) -> bool:
        draft = tasks.from_json(content["task"])
        if draft.focus is None:
            entries = self._entries(draft.key.removesuffix(f":{draft.code}"))
            if entries:
                first = standing(entries)[0]
                patient = draft.patient or first.subject or ""
                draft = replace(draft, focus=first.reference, patient=patient)
        if draft.patient and not draft.patient.startswith("Patient/"):
            draft = replace(draft, patient="")
        return self._tasks.write(draft, renew=content["renew"])

    def _close_task(self, content: Mapping[str, Any]) -> bool:
        known = content["attempts"]
        return self._tasks.write_closed(
            content["key"],
            done=content["done"],
            note=content["note"],
            attempts=None if known is None else frozenset(known),
        )

    # --- emergencies that went while the server was away ---------------------------------------

    def _record(self, item: JournalItem) -> bool:
        """Write the entry of an emergency message with what belongs to it."""
        resource = self._with_patient(item.payload["communication"])
        if resource is None:
            self._ask_whose_it_is(item)
            return False
        ours = entry_of({**resource, "id": "0"}, None)
        there = standing(self._entries(ours.message_id))
        if not there:
            return self._write_new(item, resource, ours)
        found = there[0]
        same = ours.provider_id is not None and found.provider_id == ours.provider_id
        if found.attempt == ours.attempt:
            # Opened on the server by a create whose answer was lost, or written by us before.
            open_there = found.status is EntryStatus.IN_PROGRESS
            ended = ours.status is not EntryStatus.IN_PROGRESS
            return not (open_there and ended) or self._write_over(item, resource, found)
        if same:
            # Somebody found it with the provider; on what it went only this journal knows.
            return self._write_what_is_beside(item, found)
        if found.status is EntryStatus.IN_PROGRESS:
            # It is being sent from somewhere else; what becomes of that has to be known first.
            return False
        if ours.status is EntryStatus.NOT_DONE:
            return True
        if found.status is EntryStatus.NOT_DONE:
            return self._write_over(item, resource, found)
        return self._write_second(item, resource, found)

    def _write_new(self, item: JournalItem, resource: Resource, ours: Entry) -> bool:
        search = by_message_id(ours.message_id)
        inner = self._transaction(item, resource, {"ifNoneExist": search})
        if inner is None:
            return self._write_alone(item, resource, search)
        written = entry_of(element(inner), None)
        # Somebody else's was faster: the next turn looks at both.
        return written.attempt == ours.attempt

    def _write_over(self, item: JournalItem, resource: Resource, found: Entry) -> bool:
        """Have an entry that was given up say what was sent under its id."""
        over = {**copy_for_update(resource), "id": found.reference.partition("/")[2]}
        condition = {"ifMatch": f'W/"{found.version_id}"'}
        return self._transaction(item, over, condition) is not None

    def _write_second(self, item: JournalItem, resource: Resource, found: Entry) -> bool:
        """Write a second entry: the message went twice, and the record says so."""
        message_id = f"{found.message_id}-h-{self._host_id}"
        second = {
            **resource,
            "identifier": [{"system": codes.MESSAGE_ID, "value": message_id}],
            "partOf": [{"reference": found.reference}],
        }
        if not self._entries(message_id):
            condition = {"ifNoneExist": by_message_id(message_id)}
            if self._transaction(item, second, condition) is None:
                return False
        ours = EntryStatus(second["status"])
        if ours not in _MAY_HAVE_GONE or found.status not in _MAY_HAVE_GONE:
            return True
        return self._tasks.write(about(found, "sent-twice", _TWICE), renew=False)

    def _write_alone(self, item: JournalItem, resource: Resource, search: str) -> bool:
        """Write the entry by itself where the server takes no such transaction, then the rest."""
        answer = self._client.create(validated(resource), if_none_exist=search)
        written = entry_in(answer) if answer.good and answer.resource else None
        if written is None or written.attempt != text_of(_attempt_id(resource)):
            if answer.status in _REFUSED_AS_IT_IS:
                self._ask_whose_it_is(item)
            return False
        return self._write_what_is_beside(item, written)

    def _ask_whose_it_is(self, item: JournalItem) -> None:
        """Ask a person about an emergency that cannot be filed under anybody."""
        self._tasks.ask(
            TaskDraft(
                key=task_key(item.key, "emergency-unfiled"),
                code="emergency-unfiled",
                text=_UNFILED,
                roles=(str(Role.IG_TEAM),),
            )
        )

    def _write_what_is_beside(self, item: JournalItem, written: Entry) -> bool:
        """Write review, Provenance and AuditEvent of an entry, each by itself."""
        review = item.payload["review"]
        if review is not None:
            draft = tasks.from_json(review)
            patient = written.subject or ""
            draft = replace(draft, focus=written.reference, patient=patient)
            if not self._tasks.write(draft, renew=True):
                return False
        for each in item.payload["beside"]:
            about_it = {"target": [{"reference": written.reference}]} if "target" in each else {}
            if not self._create({"resource": {**each, **about_it}}):
                return False
        return True

    def _transaction(
        self, item: JournalItem, resource: Resource, condition: dict[str, str]
    ) -> Resource | None:
        """Write the entry, its review and what stands beside it together; gives the entry."""
        url = f"Communication/{resource['id']}" if "id" in resource else "Communication"
        full_url = url if "id" in resource else uuid4().urn
        method = "PUT" if "id" in resource else "POST"
        entries: list[Resource] = [
            {
                "fullUrl": full_url,
                "resource": validated(resource),
                "request": {"method": method, "url": url, **condition},
            }
        ]
        review = item.payload["review"]
        if review is not None:
            draft = replace(tasks.from_json(review), focus=full_url)
            patient = text_of(element(resource.get("subject")).get("reference"))
            written = tasks.task(replace(draft, patient=patient), clock.now())
            entries.append(_post(written, ifNoneExist=by_key(draft.key)))
        for each in item.payload["beside"]:
            about_it = {"target": [{"reference": full_url}]} if "target" in each else {}
            entries.append(_post({**each, **about_it}))
        outer, inner = self._client.transaction(entries)
        if not outer.good:
            level = logging.WARNING if outer.status in CONFLICTS else logging.ERROR
            log.log(level, "owed entry not written", extra={"status": outer.status})
            return None
        return inner[0].resource or resource

    def _entries(self, message_id: str) -> tuple[Entry, ...]:
        """Give the entries of a message. Raises RecordUnavailable."""
        deadline = Deadline(self._client.server.call_deadline)
        answer = self._client.read(f"Communication?{by_message_id(message_id)}", deadline=deadline)
        entries, missing = entries_in(self._client, answer, message_id, deadline=deadline)
        if missing is not None:
            raise RecordUnavailable(missing)
        return entries

    def _with_patient(self, resource: Resource) -> Resource | None:
        """Give the entry with a literal patient; None while the one named cannot be found."""
        logical = element(element(resource.get("subject")).get("identifier"))
        if not logical:
            return resource
        system, value = text_of(logical.get("system")), text_of(logical.get("value"))
        token = quote(f"{system}|{''.join(value.split())}", safe="")
        deadline = Deadline(self._client.server.call_deadline)
        answer = self._client.search_by_post("Patient", f"identifier={token}", deadline=deadline)
        found = read_all_pages(
            self._client, answer, kind="Patient", filtered_by=None, deadline=deadline
        )
        asked = identifier_key({"system": system, "value": "".join(value.split())})
        ids = {text_of(each.get("id")) for each in found.resources if asked in own_keys(each)}
        if found.gaps or len(ids) != 1:
            log.error("patient of an emergency message not found", extra={"kind": "identifier"})
            return None
        literal = {"reference": f"Patient/{ids.pop()}"}
        return {**resource, "subject": literal, "recipient": [literal]}


def _attempt_id(resource: Resource) -> object:
    return part(own_extension(resource, "attempt"), "id").get("valueString")


def _post(resource: Resource, **condition: str) -> Resource:
    request = {"method": "POST", "url": resource["resourceType"], **condition}
    return {"resource": validated(resource), "request": request}


def pause_after(tries: int) -> float:
    """Give how long to leave an item alone that could not be written so many times, in seconds."""
    return min(_FIRST_PAUSE * 2.0 ** min(tries, 16), _LONGEST_PAUSE)
