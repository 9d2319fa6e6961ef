"""RecordReader: one patient's record, read fresh and whole for one decision.

One batch reads what is always needed; `linked.py` reads only what that revealed.
"""

from __future__ import annotations

from urllib.parse import quote

from fhirmsg.clock import Deadline, elapsed_clock, now
from fhirmsg.errors import (
    PatientAmbiguous,
    PatientNotFound,
    RecipientNotFound,
    RecordUnavailable,
)
from fhirmsg.fhir import codes
from fhirmsg.fhir.client import FhirAnswer, FhirClient, Resource
from fhirmsg.fhir.elements import element, identifier_key, own_keys, text_of, version_of
from fhirmsg.fhir.entries import by_message_id, entries_in
from fhirmsg.fhir.linked import Linked, consents_of, read_linked
from fhirmsg.fhir.people import about_facts, patient_facts, related_person_facts
from fhirmsg.fhir.provisions import Context
from fhirmsg.fhir.reading import Reading
from fhirmsg.fhir.searching import read_all_pages
from fhirmsg.guidance.policy import LocalPolicy
from fhirmsg.guidance.record import (
    AboutFacts,
    PatientFacts,
    PatientRecord,
    Recipient,
    RecipientKind,
)
from fhirmsg.guidance.request import SendRequest
from fhirmsg.ports import ReadResult


class FhirRecordReader:
    """Reads through a FhirClient. Thread-safe; keeps nothing between two reads."""

    def __init__(self, client: FhirClient) -> None:
        """Read from the client's server."""
        self._client = client

    def read(self, request: SendRequest, policy: LocalPolicy, message_id: str) -> ReadResult:
        """Read everything one decision needs (see `ports.RecordReader`)."""
        clock_at, read_at = elapsed_clock(), now()
        deadline = Deadline(self._client.server.call_deadline * 2)
        patient = self._patient_reference(request.patient, deadline)
        recipient = patient if request.recipient == request.patient else request.recipient
        paths = self._paths(patient, recipient, request.about, message_id)
        outer, answers = self._client.batch(list(paths.values()), deadline=deadline)
        by_name = dict(zip(paths, answers, strict=True))
        raw = _patient_in(by_name["patient"])
        recipient_raw = _recipient_in(by_name.get("recipient"), recipient)
        keys = own_keys(raw) | {patient}
        context = Context(base=self._client.base, zone=policy.zone, patient=keys)
        reading = Reading(client=self._client, deadline=deadline, context=context)
        if outer.age > 0:
            reading.miss("The record was answered from a cache, so it may be old.")
        reading.cite_person(raw)
        consents = reading.own_matches(by_name["consents"], "Consent", context)
        related = reading.own_matches(by_name["related"], "RelatedPerson", context)
        linked = read_linked(reading, raw, recipient_raw, consents)
        context = reading.context
        entries, missing = entries_in(
            self._client, by_name["entries"], message_id, deadline=deadline
        )
        facts = patient_facts(raw, patient, context, read_at)
        if recipient_raw is not None:
            reading.cite_person(recipient_raw)
        return ReadResult(
            record=PatientRecord(
                patient=facts,
                recipient=_recipient_facts(
                    recipient, facts, recipient_raw, related, linked, context
                ),
                consents=reading.consents(consents, context),
                linked_consents=linked.linked_consents,
                linked_keys=linked.linked_keys,
                about=_about(by_name, request.about, reading),
                gaps=tuple(reading.gaps),
                versions=tuple(reading.versions),
                read_at=read_at.isoformat(timespec="milliseconds"),
            ),
            entries=None if missing is not None else entries,
            clock_at=clock_at,
        )

    def _paths(
        self, patient: str, recipient: str, about: tuple[str, ...], message_id: str
    ) -> dict[str, str]:
        size = self._client.server.page_size
        paths = {
            "patient": patient,
            "consents": consents_of(patient, size),
            "related": f"RelatedPerson?patient={patient}&_count={size}&_total=accurate",
            "entries": f"Communication?{by_message_id(message_id)}",
        }
        if recipient.startswith(("RelatedPerson/", "Patient/")) and recipient != patient:
            paths["recipient"] = recipient
        paths.update({f"about {reference}": reference for reference in about})
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


def _about(
    answers: dict[str, FhirAnswer], references: tuple[str, ...], reading: Reading
) -> tuple[AboutFacts, ...]:
    found = []
    for reference in references:
        answer = answers[f"about {reference}"]
        resource = answer.resource
        if not answer.good or resource is None or version_of(resource).reference != reference:
            reading.miss(
                f"{reference}, which the message is said to be about, answered "
                f"{answer.status or 'nothing'}."
            )
            continue
        reading.cite(resource)
        facts = about_facts(resource, reading.context)
        if facts.subject_keys:
            found.append(facts)
        else:
            reading.miss(f"{reference} does not say which patient it is about.", facts.version)
    return tuple(found)


def _recipient_facts(
    reference: str,
    patient: PatientFacts,
    raw: Resource | None,
    related: list[Resource],
    linked: Linked,
    context: Context,
) -> Recipient:
    if reference in patient.keys:
        keys = patient.keys | linked.linked_keys
        return Recipient(kind=RecipientKind.PATIENT, reference=reference, keys=keys, closure=keys)
    kind = reference.partition("/")[0]
    if raw is None or kind != "RelatedPerson":
        keys = frozenset({reference}) | (own_keys(raw) if raw else frozenset())
        return Recipient(
            kind=RecipientKind.PATIENT if kind == "Patient" else RecipientKind.OTHER,
            reference=reference,
            keys=keys,
            closure=keys,
        )
    facts = related_person_facts(raw, context)
    own = linked.own_patient
    return Recipient(
        kind=RecipientKind.RELATED_PERSON,
        reference=reference,
        keys=facts.keys,
        closure=_same_human(facts.keys, related) | (own.keys if own else frozenset()),
        related=facts,
        own_patient=own,
        own_consents=linked.own_consents,
    )


def _same_human(keys: frozenset[str], related: list[Resource]) -> frozenset[str]:
    """Add every other entry of the same person among the patient's related persons."""
    others = [own_keys(each) for each in related]
    grown = keys
    while True:
        wider = grown.union(*(each for each in others if each & grown))
        if wider == grown:
            return grown
        grown = wider
