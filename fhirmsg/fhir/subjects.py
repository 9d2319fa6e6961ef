"""What is searched for about one subject (the patient, a linked record, the proxy themselves)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fhirmsg.fhir.client import FhirAnswer, Resource
from fhirmsg.fhir.elements import text_of, version_of
from fhirmsg.fhir.needs import needs_of_flag
from fhirmsg.fhir.objections_elsewhere import (
    NotReadable,
    forbids,
    objection_in_flag,
    objection_in_request,
)
from fhirmsg.fhir.opting_out import objections_on_person
from fhirmsg.fhir.provisions import Context
from fhirmsg.fhir.reading import Reading
from fhirmsg.guidance.policy import LocalPolicy
from fhirmsg.guidance.record import ConsentFacts, Need

SEARCHES = CONSENTS, REQUESTS, FLAGS = "consents", "requests", "flags"


def searches_about(reference: str, policy: LocalPolicy, page_size: int) -> dict[str, str]:
    """Give the searches for everything that may say no about one Patient, by name."""
    whole = f"&_count={page_size}&_total=accurate"
    searches = {CONSENTS: f"Consent?patient={reference}{whole}"}
    if policy.read_communication_requests:
        searches[REQUESTS] = (
            f"CommunicationRequest?subject={reference}&status=active,on-hold{whole}"
        )
    if policy.read_flags:
        # R4 has no search by the status of a Flag.
        searches[FLAGS] = f"Flag?patient={reference}{whole}"
    return searches


def search_for_related(reference: str, page_size: int) -> str:
    """Give the search for everybody who is related to one Patient."""
    return f"RelatedPerson?patient={reference}&_count={page_size}&_total=accurate"


@dataclass(frozen=True, kw_only=True)
class Told:
    """What those searches and the person's own resource say."""

    consents: tuple[ConsentFacts, ...]
    needs: tuple[Need, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Gathered:
    """The resources those searches gave."""

    consents: list[Resource]
    requests: list[Resource]
    flags: list[Resource]

    @classmethod
    def from_answers(
        cls, reading: Reading, answers: Mapping[str, FhirAnswer], context: Context
    ) -> Gathered:
        """Read each search to its end; failures become gaps of the reading."""
        others = {
            name: reading.own_matches(
                answers[name], kind, context, by=by, element="subject", cite=False
            )
            for name, kind, by in (
                (REQUESTS, "CommunicationRequest", "subject"),
                (FLAGS, "Flag", "patient"),
            )
            if name in answers
        }
        return cls(
            consents=reading.own_matches(answers[CONSENTS], "Consent", context),
            requests=others.get(REQUESTS, []),
            flags=others.get(FLAGS, []),
        )

    def told(self, reading: Reading, person: Resource | None, context: Context) -> Told:
        """Translate them; `person` is the subject's own resource, None when it was not read."""
        consents = [*reading.consents(self.consents, context)]
        if person is not None:
            consents += objections_on_person(person, context)
        for request in self.requests:
            consents += _in_request(reading, request, context)
        needs: list[Need] = []
        for flag in self.flags:
            if text_of(flag.get("status")) not in ("inactive", "entered-in-error"):
                reading.tell_shape(flag)
            objection = reading.translated(flag, objection_in_flag, context)
            met = needs_of_flag(flag, context, reading.at)
            if objection is not None:
                consents.append(objection)
            needs += met
            if objection is not None or met:
                reading.cite(flag)
        return Told(consents=tuple(consents), needs=tuple(needs))


def _in_request(reading: Reading, request: Resource, context: Context) -> list[ConsentFacts]:
    try:
        if not forbids(request):
            return []
        reading.tell_shape(request)
        objection = reading.translated(request, objection_in_request, context)
    except NotReadable:
        reading.miss(
            "A CommunicationRequest does not say in a readable way whether it asks not to be "
            "carried out.",
            version_of(request),
        )
        return []
    if objection is None:
        return []
    reading.cite(request)
    return [objection]
