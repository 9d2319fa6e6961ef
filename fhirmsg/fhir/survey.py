"""Looks over all entries of ours on the server, whoever they are about: for recovery and proof."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from urllib.parse import quote

from fhirmsg.clock import Deadline
from fhirmsg.errors import RecordUnavailable
from fhirmsg.fhir import codes
from fhirmsg.fhir.client import FhirClient
from fhirmsg.fhir.communication import instant
from fhirmsg.fhir.elements import elements, text_of
from fhirmsg.fhir.entries import by_message_id, entries_in, entry_of
from fhirmsg.fhir.searching import MAX_PAGES, next_link
from fhirmsg.fhir.tasks import by_key
from fhirmsg.ports import Entry, EntryStatus, task_key

_SIZE = 100


class FhirSurvey:
    """Reads through a FhirClient, page by page. Thread-safe."""

    def __init__(self, client: FhirClient) -> None:
        """Read from the client's server."""
        self._client = client

    def in_progress(self) -> Iterator[Entry]:
        """Give every entry of ours that is open. Raises RecordUnavailable."""
        return self._entries(f"status={EntryStatus.IN_PROGRESS}")

    def changed_since(self, since: datetime) -> Iterator[Entry]:
        """Give every entry of ours changed at or after an instant. Raises RecordUnavailable."""
        return self._entries(f"_lastUpdated=ge{quote(instant(since))}")

    def of(self, message_id: str) -> tuple[Entry, ...]:
        """Give every entry of a message. Raises RecordUnavailable."""
        deadline = Deadline(self._client.server.call_deadline)
        answer = self._client.read(f"Communication?{by_message_id(message_id)}", deadline=deadline)
        entries, missing = entries_in(self._client, answer, message_id, deadline=deadline)
        if missing is not None:
            raise RecordUnavailable(missing)
        return entries

    def is_asked_about(self, entry: Entry, codes_of_tasks: tuple[str, ...]) -> bool:
        """Tell whether a Task with one of these codes was opened. Raises RecordUnavailable."""
        deadline = Deadline(self._client.server.call_deadline)
        paths = [f"Task?{by_key(task_key(entry.message_id, code))}" for code in codes_of_tasks]
        _, answers = self._client.batch(paths, deadline=deadline)
        if any(answer.status != 200 for answer in answers):
            raise RecordUnavailable("The search for Tasks was not answered. Try again later.")
        return any(elements((answer.resource or {}).get("entry")) for answer in answers)

    def _entries(self, criterion: str) -> Iterator[Entry]:
        """Page through a search. What is missing in it raises, so that no list looks whole."""
        path = f"Communication?{criterion}&_count={_SIZE}"
        answer = self._client.read(path)
        seen: set[str] = set()
        for _ in range(MAX_PAGES * 10):
            bundle = answer.resource or {}
            if answer.status != 200 or bundle.get("type") != "searchset":
                raise RecordUnavailable(
                    f"The search for messages answered {answer.status}. Try again later."
                )
            for each in elements(bundle.get("entry")):
                for raw in elements(each.get("resource")):
                    if _is_ours(raw):
                        entry = entry_of(raw, answer.date)
                        if entry.reference not in seen:
                            seen.add(entry.reference)
                            yield entry
            link = next_link(bundle)
            if link is None:
                return
            deadline = Deadline(self._client.server.call_deadline)
            answer = self._client.follow(link, deadline=deadline)
        raise RecordUnavailable("The search for messages does not come to an end.")


def _is_ours(raw: dict[str, object]) -> bool:
    return raw.get("resourceType") == "Communication" and any(
        identifier.get("system") == codes.MESSAGE_ID and text_of(identifier.get("value"))
        for identifier in elements(raw.get("identifier"))
    )
