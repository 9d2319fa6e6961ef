"""RecordReader: one patient's record, read fresh and whole for one decision.

One batch reads what is always needed; `linked.py` reads only what that revealed; `assembly.py`
makes the facts of it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from urllib.parse import quote

from fhirmsg.clock import Deadline, elapsed_clock, now
from fhirmsg.errors import (
    PatientAmbiguous,
    PatientNotFound,
    RecipientNotFound,
    RecordUnavailable,
    RecordUnreachable,
)
from fhirmsg.fhir import codes
from fhirmsg.fhir.assembly import FirstBatch, record_of
from fhirmsg.fhir.client import FhirAnswer, Resource
from fhirmsg.fhir.earlier import search_for_earlier
from fhirmsg.fhir.elements import element, identifier_key, own_keys, text_of
from fhirmsg.fhir.entries import by_message_id, entries_in
from fhirmsg.fhir.provisions import Context
from fhirmsg.fhir.reading import Reading
from fhirmsg.fhir.searching import read_all_pages
from fhirmsg.fhir.source import FhirSource
from fhirmsg.fhir.subjects import search_for_related, searches_about
from fhirmsg.guidance.policy import LocalPolicy
from fhirmsg.guidance.request import SendRequest
from fhirmsg.ports import ReadResult


class FhirRecordReader:
    """Reads through a FhirClient, or from files. Thread-safe; keeps nothing between two reads."""

    def __init__(
        self,
        client: FhirSource,
        *,
        contact_key: bytes | None = None,
        clock: Callable[[], datetime] = now,
    ) -> None:
        """Read from the client's server.

        contact_key: the organisation's key, under which restricted contact points are known.
        clock: gives the instant at which a read begins, aware.
        """
        self._client = client
        self._contact_key = contact_key
        self._clock = clock

    def read(self, request: SendRequest, policy: LocalPolicy, message_id: str) -> ReadResult:
        """Read everything one decision needs (see `ports.RecordReader`)."""
        clock_at, read_at = elapsed_clock(), self._clock()
        deadline = Deadline(self._client.server.call_deadline * 2)
        patient = self._patient_reference(request.patient, deadline)
        recipient = patient if request.recipient == request.patient else request.recipient
        paths = self._paths(request, policy, (patient, recipient), message_id, read_at)
        outer, answers = self._client.batch(list(paths.values()), deadline=deadline)
        by_name = dict(zip(paths, answers, strict=True))
        raw = _patient_in(by_name["patient"])
        recipient_raw = _recipient_in(by_name.get("recipient"), recipient)
        keys = own_keys(raw) | {patient}
        context = Context(base=self._client.base, zone=policy.zone, patient=keys)
        reading = Reading(client=self._client, deadline=deadline, context=context, at=read_at)
        reading.note_hidden(outer.hidden)
        if outer.age > 0:
            reading.miss("The record was answered from a cache, so it may be old.")
        entries, missing = entries_in(
            self._client, by_name["entries"], message_id, deadline=deadline
        )
        batch = FirstBatch(
            request=request,
            policy=policy,
            message_id=message_id,
            references=(patient, recipient),
            patient=raw,
            recipient=recipient_raw,
            answers=by_name,
        )
        return ReadResult(
            record=record_of(reading, batch, self._contact_key),
            entries=None if missing is not None else entries,
            clock_at=clock_at,
        )

    def _paths(
        self,
        request: SendRequest,
        policy: LocalPolicy,
        references: tuple[str, str],
        message_id: str,
        at: datetime,
    ) -> dict[str, str]:
        patient, recipient = references
        size = self._client.server.page_size
        paths = {
            "patient": patient,
            **searches_about(patient, policy, size),
            "related": search_for_related(patient, size),
            "entries": f"Communication?{by_message_id(message_id)}",
        }
        earlier = search_for_earlier(patient, policy, at, size)
        if earlier is not None:
            paths["earlier"] = earlier
        if recipient.startswith(("RelatedPerson/", "Patient/")) and recipient != patient:
            paths["recipient"] = recipient
        paths.update({f"about {reference}": reference for reference in request.about})
        return paths

    def _patient_reference(self, written: str, deadline: Deadline) -> str:
        """Resolve an identifier to a reference; numbers travel in a body, never in a URL."""
        if "|" not in written:
            return written
        system, _, value = written.rpartition("|")
        if codes.is_nhs_number(system):
            # People write it in groups; servers keep it without spaces.
            value = "".join(value.split())
            written = f"{system}|{value}"
        answer = self._client.search_by_post(
            "Patient", f"identifier={quote(written, safe='')}&_count=10", deadline=deadline
        )
        if answer.status >= 500:
            raise RecordUnreachable(
                f"The FHIR server answered {answer.status} to the search for the patient. This "
                "call sent nothing; try again."
            )
        found = read_all_pages(
            self._client, answer, kind="Patient", filtered_by=None, deadline=deadline
        )
        # A posted search does not show its filter, so each answer has to show the identifier.
        asked = identifier_key({"system": system, "value": value})
        if found.gaps or any(asked not in own_keys(patient) for patient in found.resources):
            raise RecordUnavailable(
                "The search for the patient could not be read whole. This call sent nothing; "
                "try again."
            )
        ids = {text_of(patient.get("id")) for patient in found.resources}
        if len(ids) > 1:
            raise PatientAmbiguous(
                "The identifier matches several patients; name the one by reference (Patient/id)."
            )
        if not ids:
            raise PatientNotFound(
                "No patient has this identifier. Check it; this call sent nothing."
            )
        return f"Patient/{ids.pop()}"


def _patient_in(answer: FhirAnswer) -> Resource:
    if answer.status in (404, 410):
        raise PatientNotFound(
            "The FHIR server does not know this patient. Check the reference; this call sent "
            "nothing."
        )
    resource = answer.resource
    if not answer.good or resource is None or resource.get("resourceType") != "Patient":
        raise RecordUnavailable(
            f"The read of the patient answered {answer.status or 'nothing'}. This call sent "
            "nothing; try again."
        )
    return resource


def _recipient_in(answer: FhirAnswer | None, reference: str) -> Resource | None:
    if answer is None:
        return None
    kind = reference.partition("/")[0]
    if answer.status in (404, 410):
        raise RecipientNotFound(
            f"The FHIR server does not know the recipient ({kind}). Check the reference; this "
            "call sent nothing."
        )
    if not answer.good or element(answer.resource).get("resourceType") != kind:
        raise RecordUnavailable(
            f"The read of the recipient answered {answer.status or 'nothing'}. This call sent "
            "nothing; try again."
        )
    return answer.resource
