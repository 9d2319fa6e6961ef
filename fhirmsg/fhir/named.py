"""Whom Consents and CommunicationRequests name: organisations, and people they may deny."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from fhirmsg.fhir import codes
from fhirmsg.fhir.client import Resource
from fhirmsg.fhir.elements import Element, element, elements, identifier_key, literal, text_of
from fhirmsg.fhir.standing import organisations_granting

_NOT_IN_FORCE = frozenset({"inactive", "rejected", "entered-in-error", "draft", "proposed"})
_PEOPLE = ("Patient/", "RelatedPerson/")
# A tree that is larger than this is not understood anyway.
_MOST_NODES = 2000


@dataclass(frozen=True, kw_only=True)
class Named:
    """People by literal reference, and by NHS number."""

    references: frozenset[str] = frozenset()
    numbers: frozenset[str] = frozenset()

    def __or__(self, other: Named) -> Named:
        """Give both."""
        return Named(
            references=self.references | other.references, numbers=self.numbers | other.numbers
        )

    def __bool__(self) -> bool:
        """Tell whether anybody is named."""
        return bool(self.references or self.numbers)


def _nodes(consent: Resource) -> Iterator[Element]:
    waiting = [element(consent.get("provision"))]
    for _ in range(_MOST_NODES):
        if not waiting:
            return
        node = waiting.pop()
        yield node
        waiting += elements(node.get("provision"))


def organisations_named(consents: Iterable[Resource], base: str) -> list[str]:
    """Give the organisations that Consents name by literal reference alone."""
    found = set()
    for consent in consents:
        references = organisations_granting(consent)
        for node in _nodes(consent):
            references += [element(actor.get("reference")) for actor in elements(node.get("actor"))]
        for reference in references:
            target = literal(reference.get("reference"), base) or ""
            identifier = element(reference.get("identifier"))
            if target.startswith("Organization/") and not codes.is_ods(identifier.get("system")):
                found.add(target)
    return sorted(found)


def people_denied(consents: Iterable[Resource], requests: Iterable[Resource], base: str) -> Named:
    """Give the people whom Consents in force, or requests not to communicate, may deny something.

    Whether they really do is for the rules; whoever may be denied is looked at.
    """
    references = [
        element(actor.get("reference"))
        for consent in consents
        if text_of(consent.get("status")) not in _NOT_IN_FORCE
        for node in _nodes(consent)
        if node.get("type") != "permit"
        for actor in elements(node.get("actor"))
    ]
    for request in requests:
        if request.get("doNotPerform") is True:
            references += elements(request.get("recipient"))
    found = Named()
    for reference in references:
        found |= _person(reference, base)
    return found


def _person(reference: Element, base: str) -> Named:
    target = literal(reference.get("reference"), base) or ""
    identifier = element(reference.get("identifier"))
    number = ""
    if codes.is_nhs_number(identifier.get("system")):
        number = (identifier_key(identifier) or "").rpartition("|")[2]
    return Named(
        references=frozenset({target}) if target.startswith(_PEOPLE) else frozenset(),
        numbers=frozenset({number}) if number.isascii() and number else frozenset(),
    )
