"""What the first batch revealed: linked records, the proxy's own record, organisations named."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from urllib.parse import quote

from fhirmsg.clock import now
from fhirmsg.errors import RecordUnavailable
from fhirmsg.fhir import codes
from fhirmsg.fhir.client import FhirAnswer, Resource
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
from fhirmsg.fhir.people import linked_patients, links_not_followed, patient_facts
from fhirmsg.fhir.reading import Reading
from fhirmsg.guidance.record import ConsentFacts, PatientFacts


@dataclass(kw_only=True)
class Linked:
    """Facts from beyond the patient's own record; empty where there was nothing to follow."""

    linked_keys: frozenset[str] = frozenset()
    linked_consents: tuple[ConsentFacts, ...] = ()
    own_patient: PatientFacts | None = None
    own_consents: tuple[ConsentFacts, ...] = ()
    organisations: dict[str, frozenset[str]] = field(default_factory=dict)


def consents_of(reference: str, page_size: int) -> str:
    """Give the search for every Consent of one patient."""
    return f"Consent?patient={reference}&_count={page_size}&_total=accurate"


def read_linked(
    reading: Reading, patient: Resource, recipient: Resource | None, consents: list[Resource]
) -> Linked:
    """Read in a second batch whatever the first one pointed to; failures become gaps."""
    base = reading.client.base
    if links_not_followed(patient, base):
        reading.miss("The patient has another record elsewhere; objections on it are not seen.")
    linked = linked_patients(patient, base)
    organisations = organisations_named(consents, base)
    number = _number_of_proxy(recipient)
    size = reading.client.server.page_size
    paths = {f"patient {each}": each for each in linked}
    paths |= {f"consents {each}": consents_of(each, size) for each in linked}
    paths |= {f"organisation {each}": each for each in organisations}
    if number:
        token = quote(f"{codes.NHS_NUMBER_AS_WRITTEN}|{number}", safe="")
        paths["proxy"] = f"Patient?identifier={token}"
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
    if number:
        _read_proxys_own(reading, by_name["proxy"], number, result)
    return result


def _number_of_proxy(recipient: Resource | None) -> str | None:
    if recipient is None or recipient.get("resourceType") != "RelatedPerson":
        return None
    return nhs_number(recipient)


def organisations_named(consents: list[Resource], base: str) -> list[str]:
    """Give the organisations that Consents name by literal reference alone."""
    found = set()
    for consent in consents:
        root = element(consent.get("provision"))
        waiting, references = [root], list(elements(consent.get("organization")))
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
    keys = frozenset({reference})
    if answer.good and answer.resource is not None:
        keys |= own_keys(answer.resource)
        reading.cite(answer.resource)
    else:
        reading.miss(f"{reference}, another record of this patient, could not be read.")
    context = replace(reading.context, patient=keys | reading.context.patient)
    own = reading.own_matches(by_name[f"consents {reference}"], "Consent", context)
    result.linked_keys |= keys
    result.linked_consents += reading.consents(own, context)


def _read_proxys_own(reading: Reading, answer: FhirAnswer, number: str, result: Linked) -> None:
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
    result.own_patient = patient_facts(own, reference, context, now())
    search = consents_of(reference, reading.client.server.page_size)
    try:
        first = reading.client.read(search, deadline=reading.deadline)
    except RecordUnavailable:
        reading.miss("The related person's own objections could not be read; try again.")
        return
    result.own_consents = reading.consents(reading.own_matches(first, "Consent", context), context)
