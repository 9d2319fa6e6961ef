"""What one read of a record gathers on its way: facts, versions, gaps."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from fhirmsg.clock import Deadline, now
from fhirmsg.fhir.client import FhirAnswer, Resource
from fhirmsg.fhir.consents import consent_facts
from fhirmsg.fhir.elements import elements, reference_keys, text_of, version_of
from fhirmsg.fhir.provisions import Context, TooLarge
from fhirmsg.fhir.searching import Found, hidden_sign, read_all_pages
from fhirmsg.fhir.shapes import misshapen
from fhirmsg.fhir.source import FhirSource
from fhirmsg.guidance.record import ConsentFacts, Gap
from fhirmsg.guidance.terms import ResourceVersion

_T = TypeVar("_T")

# What tolerant reading can still run into, in shapes that nobody has thought of.
_NOT_UNDERSTOOD = (ValueError, TypeError, AttributeError, KeyError, RecursionError, OverflowError)


@dataclass(kw_only=True)
class Reading:
    """State of one read: the client, its deadline, and what was found or missed so far.

    `at` is the instant the read began.
    """

    client: FhirSource
    deadline: Deadline
    context: Context
    at: datetime = field(default_factory=now)
    gaps: list[Gap] = field(default_factory=list)
    blind: list[Gap] = field(default_factory=list)
    versions: list[ResourceVersion] = field(default_factory=list)

    def cite(self, resource: Resource) -> None:
        """Note a resource version as relied on."""
        self.versions.append(version_of(resource))

    def cite_person(self, person: Resource) -> None:
        """Note a Patient or RelatedPerson as relied on, and what of it has the wrong shape."""
        self.cite(person)
        self.tell_shape(person)
        if person.get("implicitRules") or any(
            part.get("modifierExtension") for part in (person, *elements(person.get("link")))
        ):
            self.miss(
                f"A {text_of(person.get('resourceType'))} carries a modifier (modifierExtension or "
                "implicitRules) that is not understood and may change what all of it means.",
                version_of(person),
            )

    def tell_shape(self, resource: Resource) -> None:
        """Note which elements of a resource have the wrong shape."""
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

    def note_hidden(self, kinds: Iterable[str]) -> None:
        """Note kinds of which this service may not see everything; each is told once."""
        for kind in sorted(kinds):
            if (sign := hidden_sign(kind)) not in self.blind:
                self.blind.append(sign)

    def pages(self, first: FhirAnswer, kind: str, filtered_by: str) -> Found:
        """Follow a search to its last page; its gaps become gaps of the read."""
        found = read_all_pages(
            self.client, first, kind=kind, filtered_by=filtered_by, deadline=self.deadline
        )
        self.gaps += found.gaps
        self.blind += [sign for sign in dict.fromkeys(found.blind) if sign not in self.blind]
        return found

    def own_matches(
        self,
        first: FhirAnswer,
        kind: str,
        context: Context,
        *,
        by: str = "patient",
        element: str = "patient",
        cite: bool = True,
    ) -> list[Resource]:
        """Follow a search by patient; only entries about that patient are handed on.

        by: the search parameter. element: where such a resource says whom it is about.
        """
        own = []
        for resource in self.pages(first, kind, by).resources:
            if reference_keys(resource.get(element), context.base) & context.patient:
                own.append(resource)
                if cite:
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
        for consent in raw:
            if consent.get("status") != "entered-in-error":
                self.tell_shape(consent)
        return tuple(
            facts
            for consent in raw
            if (facts := self.translated(consent, consent_facts, context)) is not None
        )

    def translated(
        self, resource: Resource, translate: Callable[[Resource, Context], _T], context: Context
    ) -> _T | None:
        """Translate one resource; what goes wrong is noted, and then there is nothing of it."""
        kind = text_of(resource.get("resourceType"))
        try:
            return translate(resource, context)
        except TooLarge:
            self.miss(f"A {kind} is too large to be understood.", version_of(resource))
        except _NOT_UNDERSTOOD:
            self.miss(f"A {kind} could not be understood.", version_of(resource))
        return None
