"""What one read of a record gathers on its way: facts, versions, gaps."""

from __future__ import annotations

from dataclasses import dataclass, field

from fhirmsg.clock import Deadline
from fhirmsg.fhir.client import FhirAnswer, FhirClient, Resource
from fhirmsg.fhir.consents import consent_facts
from fhirmsg.fhir.elements import reference_keys, version_of
from fhirmsg.fhir.provisions import Context, TooLarge
from fhirmsg.fhir.searching import Found, read_all_pages
from fhirmsg.fhir.shapes import misshapen
from fhirmsg.guidance.record import ConsentFacts, Gap
from fhirmsg.guidance.terms import ResourceVersion

# What tolerant reading can still run into, in shapes that nobody has thought of.
_NOT_UNDERSTOOD = (ValueError, TypeError, AttributeError, KeyError, RecursionError, OverflowError)


@dataclass(kw_only=True)
class Reading:
    """State of one read: the client, its deadline, and what was found or missed so far."""

    client: FhirClient
    deadline: Deadline
    context: Context
    gaps: list[Gap] = field(default_factory=list)
    versions: list[ResourceVersion] = field(default_factory=list)

    def cite(self, resource: Resource) -> None:
        """Note a resource version as relied on."""
        self.versions.append(version_of(resource))

    def cite_person(self, person: Resource) -> None:
        """Note a Patient or RelatedPerson as relied on, and what of it has the wrong shape."""
        self.cite(person)
        self._tell_shape(person)

    def _tell_shape(self, resource: Resource) -> None:
        faults = misshapen(resource)
        if faults:
            self.miss(
                f"A {faults[0].partition('.')[0]} could not be understood: {', '.join(faults)} has "
                "not the shape FHIR R4 gives it.",
                version_of(resource),
            )

    def miss(self, sentence: str, evidence: ResourceVersion | None = None) -> None:
        """Note that something could not be read or understood."""
        self.gaps.append(Gap(sentence=sentence, evidence=evidence))

    def pages(self, first: FhirAnswer, kind: str, filtered_by: str) -> Found:
        """Follow a search to its last page; its gaps become gaps of the read."""
        found = read_all_pages(
            self.client, first, kind=kind, filtered_by=filtered_by, deadline=self.deadline
        )
        self.gaps += found.gaps
        return found

    def own_matches(self, first: FhirAnswer, kind: str, context: Context) -> list[Resource]:
        """Follow a search by patient; only entries about that patient are handed on."""
        own = []
        for resource in self.pages(first, kind, "patient").resources:
            if reference_keys(resource.get("patient"), context.base) & context.patient:
                own.append(resource)
                self.cite(resource)
            else:
                self.miss(
                    f"The {kind} search answered an entry that is not about this patient, so its "
                    "filter cannot be trusted.",
                    version_of(resource),
                )
        return own

    def consents(self, raw: list[Resource], context: Context) -> tuple[ConsentFacts, ...]:
        """Translate Consents one by one, so that a bad one neither hides nor loses the others."""
        facts = []
        for consent in raw:
            if consent.get("status") != "entered-in-error":
                self._tell_shape(consent)
            try:
                facts.append(consent_facts(consent, context))
            except TooLarge:
                self.miss("A Consent is too large to be understood.", version_of(consent))
            except _NOT_UNDERSTOOD:
                self.miss("A Consent could not be understood.", version_of(consent))
        return tuple(facts)
