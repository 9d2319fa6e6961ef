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
from fhirmsg.fhir.entries import by_message_id, entries_in, entry_in, entry_of
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
from fhirmsg.ports import Entry, EntryStatus, Journal, JournalItem, Owed
from fhirmsg.standing import standing

log = logging.getLogger("fhirmsg.record")

_FIRST_PAUSE, _LONGEST_PAUSE = 2.0, 300.0
_TWICE = (
    "The FHIR server was away, and this message was sent in an emergency from two places: both "
    "entries are true. Tell the person who received it twice if that can matter, and find out "
    "why both were asked to send."
)
_REFUSES_LATER = frozenset({408, 425, 429})


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

    def drain(self, *, limit: int = 100) -> int:
        """Write what is due; gives how many items left the journal.

        Raises JournalUnavailable, and RecordUnavailable when the server does not answer at all:
        then every item stays as it was.
        """
        gone = 0
        for item in self._journal.due([Owed.WRITE, Owed.EMERGENCY], limit=limit):
            if item.owed is Owed.EMERGENCY and item.state == EntryStatus.IN_PROGRESS:
                continue
            if self._is_written(item):
                gone += self._journal.done([item])
            elif self.answers():
                self._journal.postpone(item, pause_after(item.tries))
            else:
                raise RecordUnavailable("The FHIR server does not answer; the writes stay owed.")
        return gone

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
        return self._settling.settle_later(Settlement.from_json(content)) is not Written.OWED

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
            return False
        ours = entry_of({**resource, "id": "0"}, None)
        there = standing(self._entries(ours.message_id))
        if not there:
            return self._write_new(item, resource, ours)
        found = there[0]
        same = ours.provider_id is not None and found.provider_id == ours.provider_id
        if found.attempt == ours.attempt or same:
            return True
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
            return False
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
        return self._tasks.ask(about(found, "sent-twice", _TWICE))

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


def _post(resource: Resource, **condition: str) -> Resource:
    request = {"method": "POST", "url": resource["resourceType"], **condition}
    return {"resource": validated(resource), "request": request}


def pause_after(tries: int) -> float:
    """Give how long to leave an item alone that could not be written so many times, in seconds."""
    return min(_FIRST_PAUSE * 2.0 ** min(tries, 16), _LONGEST_PAUSE)
