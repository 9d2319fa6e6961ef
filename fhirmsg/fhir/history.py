"""MessageHistory on a FHIR server: what is on a patient's record, page by page."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

from itsdangerous import BadSignature, URLSafeSerializer

from fhirmsg.clock import Deadline
from fhirmsg.errors import CursorRefused, PatientNotFound, RecordUnavailable
from fhirmsg.fhir.client import FhirAnswer, FhirClient, Resource
from fhirmsg.fhir.elements import element, elements, literal
from fhirmsg.fhir.entries import entry_of
from fhirmsg.fhir.log import FhirCommunicationLog
from fhirmsg.fhir.searching import next_link
from fhirmsg.ports import Entry, EntryStatus, HistoryPage


class FhirMessageHistory:
    """Reads through a FhirClient. Thread-safe.

    A cursor is the server's own page link, signed with the patient it was given out for: it can
    neither be made up nor be used to read something else.
    """

    def __init__(
        self,
        client: FhirClient,
        *,
        cursor_key: bytes,
        kept: Callable[[str], tuple[Entry, ...]] = lambda message_id: (),
    ) -> None:
        """Read from the client's server; `cursor_key` signs the cursors.

        kept: gives the entries of a message that wait in the journal of this host.
        """
        self._kept = kept
        self._client = client
        self._log = FhirCommunicationLog(client)
        self._signer = URLSafeSerializer(cursor_key, salt="fhirmsg.history")

    def find(self, message_id: str) -> tuple[Entry, ...]:
        """Give every entry with this message id, or those that wait for the server.

        Raises RecordUnavailable.
        """
        waiting = self._kept(message_id)
        try:
            return self._log.find(message_id) or waiting
        except RecordUnavailable:
            if not waiting:
                raise
            return waiting

    def legs(self, entry: Entry) -> tuple[Entry, ...]:
        """Give the legs that followed an entry that failed, in order. Raises RecordUnavailable."""
        if entry.status is not EntryStatus.STOPPED:
            return ()
        return self._log.legs(entry.message_id)

    def page(self, patient: str, *, count: int, cursor: str | None = None) -> HistoryPage:
        """Give one page of entries about a patient (see `ports.MessageHistory`)."""
        deadline = Deadline(self._client.server.call_deadline)
        if cursor is None:
            answer = self._first(patient, count, deadline)
        else:
            answer = self._client.follow(self._link(cursor, patient), deadline=deadline)
            if answer.status in (404, 410):
                raise CursorRefused("The page is no longer kept; start again from the first one.")
        bundle = answer.resource or {}
        if answer.status != 200 or bundle.get("type") != "searchset":
            raise RecordUnavailable(
                f"The search for messages answered {answer.status}. Try again later."
            )
        entries = tuple(
            entry_of(resource, answer.date)
            for each in elements(bundle.get("entry"))
            for resource in elements(each.get("resource"))
            if resource.get("resourceType") == "Communication"
            and self._subject(resource) == patient
        )
        link = next_link(bundle)
        signed = None if link is None else str(self._signer.dumps([patient, link]))
        return HistoryPage(entries=entries, next=signed)

    def _first(self, patient: str, count: int, deadline: Deadline) -> FhirAnswer:
        search = f"Communication?subject={quote(patient)}&_sort=-_lastUpdated&_count={count}"
        _, answers = self._client.batch([patient, search], deadline=deadline)
        if answers[0].status in (404, 410):
            raise PatientNotFound("The FHIR server does not know this patient.")
        return answers[1]

    def _link(self, cursor: str, patient: str) -> str:
        try:
            owner, link = self._signer.loads(cursor)
        except (BadSignature, ValueError, TypeError):
            owner, link = None, None
        if owner != patient or not isinstance(link, str):
            raise CursorRefused("The cursor was not given out here for this patient.")
        return link

    def _subject(self, communication: Resource) -> str | None:
        reference = element(communication.get("subject")).get("reference")
        return literal(reference, self._client.base)
