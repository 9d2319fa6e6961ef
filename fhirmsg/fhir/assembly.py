"""From the answers of the first batch to the PatientRecord that is decided on."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from fhirmsg.fhir.client import FhirAnswer, Resource
from fhirmsg.fhir.contacts import brought_point, digests_of
from fhirmsg.fhir.earlier import earlier_messages
from fhirmsg.fhir.elements import own_keys, version_of
from fhirmsg.fhir.linked import First, Linked, read_linked
from fhirmsg.fhir.neighbours import neighbour_of
from fhirmsg.fhir.occasions import DATED_OR_ENDED, about_facts
from fhirmsg.fhir.opting_out import objections_on_person
from fhirmsg.fhir.people import patient_facts, related_person_facts
from fhirmsg.fhir.provisions import Context
from fhirmsg.fhir.reading import Reading
from fhirmsg.fhir.subjects import Gathered
from fhirmsg.guidance.policy import LocalPolicy
from fhirmsg.guidance.record import (
    AboutFacts,
    ConsentFacts,
    ConsentStatus,
    ContactPoint,
    EarlierMessage,
    Neighbour,
    PatientFacts,
    PatientRecord,
    Recipient,
    RecipientKind,
)
from fhirmsg.guidance.request import SendRequest

_DIGEST = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True, kw_only=True)
class FirstBatch:
    """What was asked, and what the first batch answered.

    references: patient and recipient as literal references. answers: by the names under which
    the reader asked.
    """

    request: SendRequest
    policy: LocalPolicy
    message_id: str
    references: tuple[str, str]
    patient: Resource
    recipient: Resource | None
    answers: dict[str, FhirAnswer]


def record_of(reading: Reading, batch: FirstBatch, contact_key: bytes | None) -> PatientRecord:
    """Translate everything, and read on where the first batch points further.

    contact_key: the key of restricted contact points, None where there is none.
    """
    patient, recipient = batch.references
    reading.cite_person(batch.patient)
    gathered = Gathered.from_answers(reading, batch.answers, reading.context)
    own_relations = reading.own_matches(batch.answers["related"], "RelatedPerson", reading.context)
    brought = batch.request.contact_point
    point = None if brought is None else brought_point(brought, reading.context.zone)
    first = First(
        request=batch.request,
        policy=batch.policy,
        patient=batch.patient,
        recipient=batch.recipient,
        consents=gathered.consents,
        requests=gathered.requests,
        about=[
            answer.resource
            for name, answer in batch.answers.items()
            if name.startswith("about ") and answer.resource is not None
        ],
        brought=point,
    )
    linked = read_linked(reading, first)
    context = reading.context
    # Who is related to another record of this patient is related to the patient.
    related = [*own_relations, *linked.related]
    told = gathered.told(reading, batch.patient, context)
    facts = patient_facts(batch.patient, patient, context, reading.at)
    facts = replace(facts, needs=(*facts.needs, *told.needs))
    if batch.recipient is not None:
        reading.cite_person(batch.recipient)
    addressed = _recipient_facts(recipient, facts, batch.recipient, related, linked, context)
    points = [*_points_of(facts, addressed), *([point] if point else [])]
    everything = (*told.consents, *linked.linked_consents, *addressed.own_consents)
    return PatientRecord(
        patient=facts,
        recipient=addressed,
        consents=told.consents,
        linked_consents=linked.linked_consents,
        linked_keys=linked.linked_keys,
        about=_about(batch, reading),
        neighbours=_neighbours(reading, related, linked, facts, addressed, points),
        earlier=_earlier(batch, reading, addressed),
        brought=point,
        digests=_digests(reading, everything, points, contact_key),
        gaps=tuple(reading.gaps),
        blind=tuple(reading.blind),
        versions=tuple(reading.versions),
        observations=first.observations,
        read_at=reading.at.isoformat(timespec="milliseconds"),
    )


def _points_of(patient: PatientFacts, recipient: Recipient) -> list[ContactPoint]:
    points = [*patient.contact_points]
    if recipient.related is not None:
        points += recipient.related.contact_points
    if recipient.own_patient is not None:
        points += recipient.own_patient.contact_points
    return points


def _digests(
    reading: Reading,
    consents: tuple[ConsentFacts, ...],
    points: list[ContactPoint],
    key: bytes | None,
) -> dict[str, str]:
    """Give the digests of all contact points, when any Consent restricts one by its digest."""
    restricting = [
        consent
        for consent in consents
        if consent.restricted_digests and consent.status is not ConsentStatus.ENTERED_IN_ERROR
    ]
    if not restricting:
        return {}
    for consent in restricting:
        if not all(map(_DIGEST.match, consent.restricted_digests)):
            reading.miss(
                "A Consent restricts a contact point in a form that cannot be compared.",
                consent.version,
            )
    if key is None:
        reading.miss(
            "Contact points are restricted, and there is no key to compare them with those on "
            "the record. Set the record key."
        )
        return {}
    return digests_of(points, key)


def _neighbours(
    reading: Reading,
    related: list[Resource],
    linked: Linked,
    patient: PatientFacts,
    recipient: Recipient,
    points: list[ContactPoint],
) -> tuple[Neighbour, ...]:
    """Give everybody else who is related to the patient or found at a contact point.

    Of those found, only who really holds one of the values: a search may match more.
    """
    own = frozenset(point.value for point in points if point.value is not None)
    themselves = patient.keys | linked.linked_keys
    if recipient.own_patient is not None:
        themselves |= recipient.own_patient.keys
    done = {recipient.reference}
    neighbours = []
    held = [*((each, False) for each in related), *((each, True) for each in linked.found)]
    for resource, found in held:
        reference = version_of(resource).reference
        if reference in done or (found and reference in themselves):
            continue
        done.add(reference)
        reading.tell_shape(resource)
        neighbour = neighbour_of(resource, reading.context, reading.at, own)
        if found:
            if not own & (neighbour.values | neighbour.former):
                continue
            reading.cite(resource)
        neighbours.append(neighbour)
    return tuple(neighbours)


def _earlier(
    batch: FirstBatch, reading: Reading, recipient: Recipient
) -> tuple[EarlierMessage, ...]:
    if "earlier" not in batch.answers:
        return ()
    messages = earlier_messages(reading, batch.answers["earlier"], batch.message_id)
    for message in messages:
        if message.recipient == recipient.reference and message.channel == batch.request.channel:
            reading.versions.append(message.version)
    return messages


def _about(batch: FirstBatch, reading: Reading) -> tuple[AboutFacts, ...]:
    found = []
    for reference in batch.request.about:
        answer = batch.answers[f"about {reference}"]
        resource = answer.resource
        if not answer.good or resource is None or version_of(resource).reference != reference:
            reading.miss(
                f"{reference}, which the message is said to be about, answered "
                f"{answer.status or 'nothing'}."
            )
            continue
        reading.cite(resource)
        if resource.get("resourceType") in DATED_OR_ENDED:
            reading.tell_shape(resource)
        facts = about_facts(resource, reading.context)
        is_appointment = resource.get("resourceType") == "Appointment"
        if is_appointment and resource.get("start") is not None and facts.starts is None:
            reading.miss(f"When {reference} begins could not be read.", facts.version)
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
        # The relation's own entry is where the proxy may have opted out too.
        own_consents=(*linked.own_consents, *objections_on_person(raw, context)),
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
