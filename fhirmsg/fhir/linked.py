"""What the first batch revealed, followed to its end: linked records, the proxy's own record, the
people who are denied something, organisations named.

Each round is one batch of whatever the rounds before pointed to. Most records need one round or
none; records that were merged twice need more.
"""

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
    nhs_numbers,
    own_keys,
    text_of,
    version_of,
)
from fhirmsg.fhir.named import Named, organisations_named, people_denied
from fhirmsg.fhir.names import known_identifiers
from fhirmsg.fhir.neighbours import are_looked_for, found_at, searches_at, usable_values
from fhirmsg.fhir.people import linked_patients, links_not_followed, patient_facts
from fhirmsg.fhir.provisions import Context
from fhirmsg.fhir.reading import Reading
from fhirmsg.fhir.subjects import SEARCHES, Gathered, Told, search_for_related, searches_about
from fhirmsg.guidance.content import look_through
from fhirmsg.guidance.derived import derived
from fhirmsg.guidance.policy import LocalPolicy
from fhirmsg.guidance.record import ConsentFacts, ContactPoint, PatientFacts
from fhirmsg.guidance.request import SendRequest
from fhirmsg.guidance.terms import Channel
from fhirmsg.guidance.wording import Observation

# More merges in a row than anybody has; what lies beyond is told.
_MOST_ROUNDS = 5


@dataclass(frozen=True, kw_only=True)
class First:
    """What the first batch gave that may point further, and for which message it was read."""

    request: SendRequest
    policy: LocalPolicy
    patient: Resource
    recipient: Resource | None
    consents: list[Resource]
    requests: list[Resource] = field(default_factory=list)
    about: list[Resource] = field(default_factory=list)
    brought: ContactPoint | None = None

    @derived
    def observations(self) -> tuple[Observation, ...]:
        """What the checker sees in the words."""
        return look_through(self.request, known_identifiers(self.patient), self.policy)

    def values(self, context: Context, at: datetime) -> frozenset[str]:
        """Give the values that the message could go to, as far as the first batch has them."""
        holder = self.recipient or self.patient
        points = [*contact_points(holder, context.zone)]
        if self.brought is not None:
            points.append(self.brought)
        return usable_values(points, self.channels, at)

    @property
    def channels(self) -> frozenset[Channel]:
        """The channels on which its words can arrive, wherever a supplier falls back to."""
        platform = self.policy.platforms[self.request.platform]
        return self.policy.ways_of(platform, self.request.channel).content


@dataclass(kw_only=True)
class Linked:
    """Facts from beyond the patient's own record; empty where there was nothing to follow.

    related: RelatedPersons of the linked records. found: people found at the contact points that
    the message could go to, and people whom something denies.
    """

    linked_keys: frozenset[str] = frozenset()
    linked_consents: tuple[ConsentFacts, ...] = ()
    own_patient: PatientFacts | None = None
    own_consents: tuple[ConsentFacts, ...] = ()
    organisations: dict[str, frozenset[str]] = field(default_factory=dict)
    related: list[Resource] = field(default_factory=list)
    found: list[Resource] = field(default_factory=list)


def read_linked(reading: Reading, first: First) -> Linked:
    """Read in further batches whatever the ones before pointed to; failures become gaps."""
    walk = _Walk(reading, first)
    for _ in range(_MOST_ROUNDS):
        paths = walk.next_paths()
        if not paths:
            return walk.result
        try:
            outer, answers = reading.client.batch(list(paths.values()), deadline=reading.deadline)
        except RecordUnavailable:
            reading.miss("Records that this one points to could not be read; try again.")
            return walk.result
        reading.note_hidden(outer.hidden)
        walk.take(dict(zip(paths, answers, strict=True)))
    if walk.next_paths():
        reading.miss("The patient's records are linked further than they are followed.")
    return walk.result


class _Walk:
    """One walk from record to record; every path is asked for once."""

    def __init__(self, reading: Reading, first: First) -> None:
        self.reading, self.first, self.result = reading, first, Linked()
        self._base = reading.client.base
        self._size = reading.client.server.page_size
        self._asked: set[str] = set()
        self._linked = self._links_of(first.patient)
        self._own_links: list[str] = []
        self._organisations = organisations_named(first.consents, self._base)
        self._denied = people_denied(first.consents, first.requests, self._base)
        self._numbers = self._numbers_of_proxy()
        self._own: list[Resource] = []
        self._own_searches = False

    # --- what is asked for ---------------------------------------------------------------------

    def next_paths(self) -> dict[str, str]:
        """Give the paths of the next round, by name; none when there is nothing left to follow."""
        paths = {f"organisation {each}": each for each in self._organisations}
        for each in self._linked:
            paths[f"patient {each}"] = each
            paths[f"related {each}"] = search_for_related(each, self._size)
            paths |= self._searches_about(each, each)
        for number in self._numbers:
            paths[f"proxy {number}"] = f"Patient?identifier={_number_token(number)}"
        if self._own_searches:
            paths |= self._searches_about("own", version_of(self._own[0]).reference)
        for each in self._own_links:
            paths[f"own link {each}"] = each
            paths |= self._searches_about(f"own link {each}", each)
        paths |= {f"denied {each}": each for each in self._denied.references}
        for number in self._denied.numbers:
            paths[f"denied {number}"] = f"Patient?identifier={_number_token(number)}"
        paths |= self._searches_at()
        paths = {name: path for name, path in paths.items() if name not in self._asked}
        self._asked |= paths.keys()
        return paths

    def _searches_about(self, name: str, reference: str) -> dict[str, str]:
        searches = searches_about(reference, self.first.policy, self._size)
        return {f"{kind} of {name}": path for kind, path in searches.items()}

    def _searches_at(self) -> dict[str, str]:
        """Look for others at the contact points, where the content or a denial makes it matter."""
        first = self.first
        labelled = (first.patient, *first.about)
        private = are_looked_for(first.request, first.policy, labelled, first.observations)
        if not private and not self._denied:
            return {}
        context, at = self.reading.context, self.reading.at
        values = self.first.values(context, at)
        holder = self.first.recipient or self.first.patient
        if not values and self._own:
            # Without a contact point of the relation the proxy's own one may be used.
            holder = self._own[0]
            points = contact_points(holder, context.zone)
            values = usable_values(points, self.first.channels, at)
        return searches_at(values, (holder,), self._size)

    def _links_of(self, person: Resource) -> list[str]:
        if links_not_followed(person, self._base):
            self.reading.miss(
                "The patient has another record elsewhere; objections on it are not seen."
            )
        return linked_patients(person, self._base)

    def _numbers_of_proxy(self) -> list[str]:
        recipient = self.first.recipient
        if recipient is None or recipient.get("resourceType") != "RelatedPerson":
            return []
        numbers = nhs_numbers(recipient)
        usable = [each for each in numbers if each.isascii() and each.isprintable()]
        if len(usable) < len(numbers):
            self.reading.miss(
                "The related person's NHS number is none, so it could not be looked up."
            )
        return usable

    # --- what comes back -------------------------------------------------------------------------

    def take(self, answers: dict[str, FhirAnswer]) -> None:
        """Translate the answers of one round, and note what they point to."""
        for name, answer in answers.items():
            if name.startswith("organisation "):
                self.result.organisations[name.partition(" ")[2]] = _ods_of(answer.resource)
        self.reading.context = replace(
            self.reading.context, organisations=self.result.organisations
        )
        for each in [*self._linked]:
            if f"patient {each}" in answers:
                self._take_linked(each, answers)
        if self._own_searches and "consents of own" in answers:
            self._take_own(self._own[0], "own", answers)
        for each in [*self._own_links]:
            if f"own link {each}" in answers:
                self._take_own_link(each, answers)
        if self._numbers and f"proxy {self._numbers[0]}" in answers:
            self._take_proxy(answers)
        self._take_denied(answers)
        self.result.found += found_at(self.reading, answers)

    def _take_linked(self, reference: str, answers: dict[str, FhirAnswer]) -> None:
        person, keys = self._person_in(answers[f"patient {reference}"], reference)
        if person is not None:
            known = {*self._linked, version_of(self.first.patient).reference}
            self._linked += [each for each in self._links_of(person) if each not in known]
        context = replace(self.reading.context, patient=keys | self.reading.context.patient)
        gathered, told = self._gathered(reference, person, context, answers)
        self._also_denied(gathered)
        self.result.related += self.reading.own_matches(
            answers[f"related {reference}"], "RelatedPerson", context
        )
        self.result.linked_keys |= keys
        self.result.linked_consents += told.consents

    def _person_in(
        self, answer: FhirAnswer, reference: str
    ) -> tuple[Resource | None, frozenset[str]]:
        keys = frozenset({reference})
        if not answer.good or answer.resource is None:
            self.reading.miss(f"{reference}, another record of a person, could not be read.")
            return None, keys
        self.reading.cite_person(answer.resource)
        return answer.resource, keys | own_keys(answer.resource)

    def _gathered(
        self,
        name: str,
        person: Resource | None,
        context: Context,
        answers: dict[str, FhirAnswer],
    ) -> tuple[Gathered, Told]:
        named = {kind: answers.get(f"{kind} of {name}") for kind in SEARCHES}
        there = {kind: each for kind, each in named.items() if each is not None}
        gathered = Gathered.from_answers(self.reading, there, context)
        return gathered, gathered.told(self.reading, person, context)

    def _also_denied(self, gathered: Gathered) -> None:
        self._denied |= people_denied(gathered.consents, gathered.requests, self._base)

    # --- the proxy's own record ------------------------------------------------------------------

    def _take_proxy(self, answers: dict[str, FhirAnswer]) -> None:
        """Find the proxy's own Patient, whose objections bind a message to the proxy."""
        found: dict[str, Resource] = {}
        before = len(self.reading.gaps)
        for number in self._numbers:
            asked = identifier_key({"system": codes.NHS_NUMBER, "value": number})
            pages = self.reading.pages(answers[f"proxy {number}"], "Patient", "identifier")
            for each in pages.resources:
                if asked in own_keys(each):
                    found[version_of(each).reference] = each
                else:
                    self.reading.miss(
                        "The search for the related person's own record found somebody else."
                    )
        if len(found) != 1:
            if len(self.reading.gaps) == before:
                count = "several records carry it" if found else "no record carries it"
                self.reading.miss(
                    f"The related person has an NHS number and {count}, so their own objections "
                    "could not be looked up."
                )
            return
        (own,) = found.values()
        self.reading.cite_person(own)
        self.result.own_patient = patient_facts(
            own, version_of(own).reference, self.reading.context, self.reading.at
        )
        self._own = [own]
        self._own_searches = True
        self._own_links = self._links_of_own(own)

    def _links_of_own(self, own: Resource) -> list[str]:
        """Give the proxy's other records, the one that replaced this among them."""
        if links_not_followed(own, self._base):
            self.reading.miss(
                "The related person has another record elsewhere; objections on it are not seen."
            )
        replaced = (
            literal(element(link.get("other")).get("reference"), self._base) or ""
            for link in elements(own.get("link"))
            if text_of(link.get("type")) == "replaced-by"
        )
        known = {version_of(own).reference}
        found = [*linked_patients(own, self._base), *replaced]
        return [each for each in found if each.startswith("Patient/") and each not in known]

    def _take_own(self, own: Resource, name: str, answers: dict[str, FhirAnswer]) -> None:
        context = replace(self.reading.context, patient=own_keys(own))
        _, told = self._gathered(name, own, context, answers)
        self.result.own_consents += told.consents
        facts = self.result.own_patient
        if facts is not None:
            self.result.own_patient = replace(facts, needs=(*facts.needs, *told.needs))

    def _take_own_link(self, reference: str, answers: dict[str, FhirAnswer]) -> None:
        person, keys = self._person_in(answers[f"own link {reference}"], reference)
        context = replace(self.reading.context, patient=keys | own_keys(self._own[0]))
        _, told = self._gathered(f"own link {reference}", person, context, answers)
        self.result.own_consents += told.consents
        if person is not None:
            known = {*self._own_links, version_of(self._own[0]).reference}
            self._own_links += [each for each in self._links_of_own(person) if each not in known]

    # --- people who are denied something ---------------------------------------------------------

    def _take_denied(self, answers: dict[str, FhirAnswer]) -> None:
        """Take the people whom something denies: their numbers are not used for anybody."""
        for reference in [*self._denied.references]:
            answer = answers.get(f"denied {reference}")
            if answer is None or answer.status in (404, 410):
                continue
            if not answer.good or answer.resource is None:
                self.reading.miss("Somebody who is denied a message could not be read; try again.")
                continue
            self.result.found.append(answer.resource)
            numbers = (each for each in nhs_numbers(answer.resource) if each.isascii())
            self._denied |= Named(numbers=frozenset(numbers))
        for number in [*self._denied.numbers]:
            if (answer := answers.get(f"denied {number}")) is not None:
                pages = self.reading.pages(answer, "Patient", "identifier")
                self.result.found += pages.resources


def _number_token(number: str) -> str:
    return quote(f"{codes.NHS_NUMBER_AS_WRITTEN}|{number}", safe="")


def _ods_of(organisation: Resource | None) -> frozenset[str]:
    return frozenset(
        text_of(identifier.get("value")).upper()
        for identifier in elements(element(organisation).get("identifier"))
        if codes.is_ods(identifier.get("system")) and text_of(identifier.get("value"))
    )
