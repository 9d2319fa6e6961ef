"""What is left for people to do, as FHIR R4 Tasks (https://hl7.org/fhir/R4/task.html), label R.

A Task says what was found and whom to ask; never the text of a message, a contact detail, or why
somebody objects.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any
from urllib.parse import quote

from fhirmsg import clock
from fhirmsg.clock import Deadline
from fhirmsg.errors import RecordUnavailable
from fhirmsg.fhir import codes
from fhirmsg.fhir.client import FhirAnswer, FhirClient, Resource
from fhirmsg.fhir.communication import LABEL_RESTRICTED, instant, person_reference
from fhirmsg.fhir.elements import element, elements, text_of, version_of
from fhirmsg.fhir.entries import own_extension
from fhirmsg.fhir.owing import CLOSE_TASK, TASK, Owing
from fhirmsg.fhir.resources import InvalidResource, validated
from fhirmsg.fhir.searching import read_all_pages
from fhirmsg.guidance.terms import Person
from fhirmsg.ports import Entry, TaskDraft, task_key

log = logging.getLogger("fhirmsg.record")

_OPEN = frozenset({"requested", "received", "accepted", "ready", "in-progress", "on-hold"})
# What is ours to bring up to date on a Task that somebody may be at work on.
_OURS = ("description", "input", "performerType", "requester", "focus")
_TRIES = 2


def task(draft: TaskDraft, authored: datetime) -> Resource:
    """Give the Task as it is opened."""
    resource: Resource = {
        "resourceType": "Task",
        "meta": {"security": [LABEL_RESTRICTED]},
        "identifier": [{"system": codes.TASK_SYSTEM, "value": draft.key}],
        "status": "requested",
        "intent": "order",
        "priority": "urgent" if draft.urgent else "routine",
        "code": {"coding": [{"system": codes.TASK_SYSTEM, "code": draft.code}]},
        "description": draft.text,
        "authoredOn": instant(authored),
    }
    if draft.attempt is not None:
        resource["extension"] = [_attempt(draft.attempt)]
    if draft.focus is not None:
        resource["focus"] = {"reference": draft.focus}
    if draft.patient:
        resource["for"] = {"reference": draft.patient}
    if draft.requester is not None:
        resource["requester"] = person_reference(draft.requester)
    if draft.roles:
        resource["performerType"] = [{"text": role} for role in draft.roles]
    if draft.findings:
        resource["input"] = [
            {
                "type": {"coding": [{"system": codes.FINDING_SYSTEM, "code": code}]},
                "valueString": sentence,
            }
            for code, sentence in draft.findings
        ]
    return resource


def about(entry: Entry, code: str, text: str) -> TaskDraft:
    """Draft the Task about one entry with this code."""
    return TaskDraft(
        key=task_key(entry.message_id, code),
        code=code,
        text=text,
        focus=entry.reference,
        patient=text_of(element(entry.resource.get("subject")).get("reference")),
    )


def by_key(key: str) -> str:
    """Give the search parameter that finds the Task of a key, percent-encoded."""
    return "identifier=" + quote(f"{codes.TASK_SYSTEM}|{key}", safe="")


def as_json(draft: TaskDraft) -> dict[str, Any]:
    """Give a draft as JSON, for the journal."""
    return asdict(draft)


def from_json(content: Mapping[str, Any]) -> TaskDraft:
    """Read it back."""
    asked_by = content["requester"]
    return TaskDraft(
        **{
            **content,
            "findings": tuple((code, sentence) for code, sentence in content["findings"]),
            "roles": tuple(content["roles"]),
            "requester": None if asked_by is None else Person(**asked_by),
        }
    )


class Tasks:
    """Writes Tasks through a FhirClient; a failure is logged and told, never raised.

    What the server cannot take now is owed, and counts as done: it will stand.
    """

    def __init__(self, client: FhirClient, owing: Owing) -> None:
        """Write to the client's server."""
        self._client = client
        self._owing = owing

    def ask(self, draft: TaskDraft) -> bool:
        """Open a Task unless there is one of its key, in whatever state."""
        return self.write(draft, renew=False) or self._owing.keep(
            TASK, draft.key, {"task": as_json(draft), "renew": False}
        )

    def keep(self, draft: TaskDraft) -> bool:
        """Have a Task stand as drafted (see `ports.CommunicationLog.keep_task`)."""
        return self.write(draft, renew=True) or self._owing.keep(
            TASK, draft.key, {"task": as_json(draft), "renew": True}
        )

    def close(self, key: str, *, done: bool, note: str, attempts: frozenset[str] | None) -> bool:
        """Complete or cancel a Task (see `ports.CommunicationLog.close_task`)."""
        content = {
            "key": key,
            "done": done,
            "note": note,
            "attempts": None if attempts is None else sorted(attempts),
        }
        return self.write_closed(key, done=done, note=note, attempts=attempts) or self._owing.keep(
            CLOSE_TASK, key, content
        )

    def write(self, draft: TaskDraft, *, renew: bool) -> bool:
        """Create the Task now, and bring one that is there up to date if asked to."""
        answer = self._create(draft)
        if answer is None or answer.status == 201 or not renew:
            return answer is not None
        wanted = task(draft, clock.now())
        found = element(answer.resource)
        for _ in range(_TRIES):
            current = found if found.get("resourceType") == "Task" else self._one(draft.key)
            if current is None:
                break
            renewed = _brought_up_to_date(
                current, wanted, reopen=draft.attempt is not None, anew=draft.code == "hold"
            )
            if renewed is None or self._put(renewed, current):
                return True
            found = {}
        log.error("task not brought up to date", extra={"code": draft.code})
        return False

    def write_closed(
        self, key: str, *, done: bool, note: str, attempts: frozenset[str] | None
    ) -> bool:
        """Complete or cancel a Task now."""
        for _ in range(_TRIES):
            try:
                found = [each for each in self._of(key) if each.get("status") in _OPEN]
            except RecordUnavailable:
                break
            if attempts is not None:
                found = [each for each in found if _attempt_of(each) in attempts]
            if all(self._put(_closed(each, done=done, note=note), each) for each in found):
                return True
        log.error("task not closed", extra={"code": key.rpartition(":")[2]})
        return False

    def _create(self, draft: TaskDraft) -> FhirAnswer | None:
        """Create conditionally; None when that failed, which is logged."""
        try:
            resource = validated(task(draft, clock.now()))
            answer = self._client.create(resource, if_none_exist=by_key(draft.key))
        except (RecordUnavailable, InvalidResource):
            answer = None
        if answer is None or not answer.good:
            log.error(
                "task not opened",
                extra={
                    "message_id": draft.key.removesuffix(f":{draft.code}"),
                    "code": draft.code,
                },
            )
            return None
        return answer

    def _of(self, key: str) -> list[Resource]:
        """Give the Tasks of a key. Raises RecordUnavailable."""
        deadline = Deadline(self._client.server.call_deadline)
        answer = self._client.read(f"Task?{by_key(key)}", deadline=deadline)
        found = read_all_pages(
            self._client, answer, kind="Task", filtered_by="identifier", deadline=deadline
        )
        if found.gaps:
            raise RecordUnavailable(found.gaps[0].sentence)
        return [
            each
            for each in found.resources
            if any(text_of(one.get("value")) == key for one in elements(each.get("identifier")))
        ]

    def _one(self, key: str) -> Resource | None:
        try:
            found = self._of(key)
        except RecordUnavailable:
            return None
        return found[0] if len(found) == 1 else None

    def _put(self, resource: Resource, current: Resource) -> bool:
        try:
            answer = self._client.update(
                validated(resource, known=current), version_id=version_of(current).version_id or ""
            )
        except (RecordUnavailable, InvalidResource):
            return False
        return answer.good


def _attempt(attempt: str) -> Resource:
    return {"url": codes.own_extension("attempt"), "valueString": attempt}


def _attempt_of(resource: Resource) -> str:
    return text_of(own_extension(resource, "attempt").get("valueString"))


def _copy(resource: Resource) -> Resource:
    """Copy a Task for an update; of its meta only labels and tags are ours to send."""
    meta = element(resource.get("meta"))
    kept = {name: meta[name] for name in ("security", "tag") if meta.get(name)}
    copy = {name: value for name, value in resource.items() if name not in ("meta", "text")}
    return {**copy, "meta": kept, "lastModified": instant(clock.now())}


def _brought_up_to_date(
    current: Resource, wanted: Resource, *, reopen: bool, anew: bool
) -> Resource | None:
    """Give the Task with what is ours on it renewed; None when there is nothing to change.

    anew: one that is closed is opened again for other findings than it lists.
    """
    status = current.get("status")
    another = anew and wanted.get("input") != current.get("input")
    if status not in _OPEN and not (reopen and status == "cancelled") and not another:
        # What somebody has seen to stays so; what is held for something else is asked anew.
        return None
    attempt = _attempt_of(wanted)
    changed = {
        name: wanted[name] for name in _OURS if name in wanted and wanted[name] != current.get(name)
    }
    gone = [name for name in ("input", "performerType") if name in current and name not in wanted]
    if status in _OPEN and not changed and not gone and attempt in ("", _attempt_of(current)):
        return None
    renewed = {**_copy(current), **changed}
    for name in gone:
        del renewed[name]
    if status not in _OPEN:
        renewed["status"] = "requested"
    if attempt:
        others = [
            each
            for each in elements(current.get("extension"))
            if each.get("url") != codes.own_extension("attempt")
        ]
        renewed["extension"] = [*others, _attempt(attempt)]
    return renewed


def _closed(resource: Resource, *, done: bool, note: str) -> Resource:
    copy = _copy(resource)
    copy["status"] = "completed" if done else "cancelled"
    copy["note"] = [*elements(copy.get("note")), {"time": instant(clock.now()), "text": note}]
    return copy
