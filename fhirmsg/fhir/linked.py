"""What the first batch revealed: linked records, the proxy's own record, organisations named."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from urllib.parse import quote

from fhirmsg.errors import RecordUnavailable
from fhirmsg.fhir import codes
from fhirmsg.fhir.client import FhirAnswer, Resource
from fhirmsg.fhir.contacts import contact_points
from fhirmsg.fhir.elements import (
    element,
    elements,
    identifier_key,
    literal,
    nhs_number,
    own_keys,
    text_of,
    version_of,
)
from fhirmsg.fhir.neighbours import are_looked_for, found_at, searches_at, usable_values
from fhirmsg.fhir.people import linked_patients, links_not_followed, patient_facts
from fhirmsg.fhir.provisions import Context
from fhirmsg.fhir.reading import Reading
from fhirmsg.fhir.standing import organisations_granting
from fhirmsg.fhir.subjects import SEARCHES, Gathered, searches_about
from fhirmsg.guidance.policy import LocalPolicy
from fhirmsg.guidance.record import ConsentFacts, ContactPoint, PatientFacts
from fhirmsg.guidance.request import SendRequest


@dataclass(frozen=True, kw_only=True)
class First:
    """What the first batch gave that may point further, and for which message it was read."""

    request: SendRequest
    policy: LocalPolicy
    patient: Resource
    recipient: Resource | None
    consents: list[Resource]
    brought: ContactPoint | None = None

    def values(self, context: Context, at: datetime) -> frozenset[str]:
        """Give the values that the message could go to, as far as the first batch has them."""
        holder = self.recipient or self.patient
        points = [*contact_points(holder, context.zone)]
        if self.brought is not None:
            points.append(self.brought)
        return usable_values(points, self.request.channel, at)


@dataclass(kw_only=True)
class Linked:
    """Facts from beyond the patient's own record; empty where there was nothing to follow.

    found: people found at the contact points that the message could go to.
    """

    linked_keys: frozenset[str] = frozenset()
    linked_consents: tuple[ConsentFacts, ...] = ()
    own_patient: PatientFacts | None = None
    own_consents: tuple[ConsentFacts, ...] = ()
    organisations: dict[str, frozenset[str]] = field(default_factory=dict)
    found: list[Resource] = field(default_factory=list)


def read_linked(reading: Reading, first: First) -> Linked:
    """Read in a second batch whatever the first one pointed to; failures become gaps."""
    base = reading.client.base
    if links_not_followed(first.patient, base):
        reading.miss("The patient has another record elsewhere; objections on it are not seen.")
    linked = linked_patients(first.patient, base)
    organisations = organisations_named(first.consents, base)
    number = _number_of_proxy(first.recipient)
    if number is not None and not (number.isascii() and number.isprintable()):
        reading.miss("The related person's NHS number is none, so it could not be looked up.")
        number = None
    size = reading.client.server.page_size
    paths = {f"patient {each}": each for each in linked}
    for each in linked:
        searches = searches_about(each, first.policy, size)
        paths |= {f"{name} {each}": path for name, path in searches.items()}
    paths |= {f"organisation {each}": each for each in organisations}
    if number:
        token = quote(f"{codes.NHS_NUMBER_AS_WRITTEN}|{number}", safe="")
        paths["proxy"] = f"Patient?identifier={token}"
    if are_looked_for(first.request) or any(map(denies_somebody, first.consents)):
        values = first.values(reading.context, reading.at)
        paths |= searches_at(values, (first.recipient or first.patient,), size)
    result = Linked()
    if not paths:
        return result
    try:
        _, answers = reading.client.batch(list(paths.values()), deadline=reading.deadline)
    except RecordUnavailable:
        reading.miss("Records that this one points to could not be read; try again.")
        return result
    by_name = dict(zip(paths, answers, strict=True))
    for each in organisations:
        result.organisations[each] = _ods_of(by_name[f"organisation {each}"].resource)
    reading.context = replace(reading.context, organisations=result.organisations)
    for each in linked:
        _read_linked_patient(reading, each, by_name, result)
    result.found += found_at(reading, by_name)
    if number:
        _read_proxys_own(reading, first, by_name["proxy"], number, result)
    return result


def denies_somebody(consent: Resource) -> bool:
    """Tell whether a Consent in force may deny a person, whose contact points are then not used."""
    waiting = [element(consent.get("provision"))]
    while waiting and consent.get("status") == "active":
        node = waiting.pop()
        if node.get("type") != "permit" and any(
            not text_of(element(actor.get("reference")).get("reference")).startswith("Organization")
            for actor in elements(node.get("actor"))
        ):
            return True
        waiting += elements(node.get("provision"))
    return False


def _number_of_proxy(recipient: Resource | None) -> str | None:
    if recipient is None or recipient.get("resourceType") != "RelatedPerson":
        return None
    return nhs_number(recipient)


def organisations_named(consents: list[Resource], base: str) -> list[str]:
    """Give the organisations that Consents name by literal reference alone."""
    found = set()
    for consent in consents:
        root = element(consent.get("provision"))
        waiting, references = [root], organisations_granting(consent)
        while waiting:
            node = waiting.pop()
            references += [element(actor.get("reference")) for actor in elements(node.get("actor"))]
            waiting += elements(node.get("provision"))
        for reference in references:
            target = literal(reference.get("reference"), base) or ""
            identifier = element(reference.get("identifier"))
            if target.startswith("Organization/") and not codes.is_ods(identifier.get("system")):
                found.add(target)
    return sorted(found)


def _ods_of(organisation: Resource | None) -> frozenset[str]:
    return frozenset(
        text_of(identifier.get("value")).upper()
        for identifier in elements(element(organisation).get("identifier"))
        if codes.is_ods(identifier.get("system")) and text_of(identifier.get("value"))
    )


def _read_linked_patient(
    reading: Reading, reference: str, by_name: dict[str, FhirAnswer], result: Linked
) -> None:
    answer = by_name[f"patient {reference}"]
    keys, person = frozenset({reference}), None
    if answer.good and answer.resource is not None:
        person = answer.resource
        keys |= own_keys(person)
        reading.cite_person(person)
    else:
        reading.miss(f"{reference}, another record of this patient, could not be read.")
    context = replace(reading.context, patient=keys | reading.context.patient)
    named = {name: by_name.get(f"{name} {reference}") for name in SEARCHES}
    answers = {name: each for name, each in named.items() if each is not None}
    told = Gathered.from_answers(reading, answers, context).told(reading, person, context)
    result.linked_keys |= keys
    result.linked_consents += told.consents


def _read_proxys_own(
    reading: Reading, first: First, answer: FhirAnswer, number: str, result: Linked
) -> None:
    """Find the proxy's own Patient, and the objections the proxy has made for themselves."""
    found = reading.pages(answer, "Patient", "identifier")
    if len(found.resources) != 1:
        if not found.gaps:
            count = "several records carry it" if found.resources else "no record carries it"
            reading.miss(
                f"The related person has an NHS number and {count}, so their own objections "
                "could not be looked up."
            )
        return
    own = found.resources[0]
    asked = identifier_key({"system": codes.NHS_NUMBER, "value": number})
    if asked not in own_keys(own):
        reading.miss("The search for the related person's own record found somebody else.")
        return
    reference = version_of(own).reference
    context = replace(reading.context, patient=own_keys(own))
    reading.cite_person(own)
    facts = patient_facts(own, reference, context, reading.at)
    result.own_patient = facts
    size = reading.client.server.page_size
    paths = searches_about(reference, first.policy, size)
    if are_looked_for(first.request) and not first.values(context, reading.at):
        # Without a contact point of the relation the proxy's own one may be used.
        values = usable_values(facts.contact_points, first.request.channel, reading.at)
        paths |= searches_at(values, (own,), size)
    try:
        _, answers = reading.client.batch(list(paths.values()), deadline=reading.deadline)
    except RecordUnavailable:
        reading.miss("The related person's own objections could not be read; try again.")
        return
    by_name = dict(zip(paths, answers, strict=True))
    told = Gathered.from_answers(reading, by_name, context).told(reading, own, context)
    result.own_consents = told.consents
    result.own_patient = replace(facts, needs=(*facts.needs, *told.needs))
    result.found += found_at(reading, by_name)
