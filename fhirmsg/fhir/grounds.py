"""The grounds on which a Consent lets somebody receive, from each of the places they stand in.

NHS England's proxy service alone has had them in `policyRule`, in an extension and in an actor's
role; what each code means is in `codes.py`.
"""

from __future__ import annotations

from typing import Any

from fhirmsg.fhir import codes
from fhirmsg.fhir.elements import Element, codings, element, elements, extensions
from fhirmsg.fhir.provisions import Context
from fhirmsg.guidance.provisions import Actor, ActorKind, Direction, Provision
from fhirmsg.guidance.record import Basis


def ground_codes(consent: Element) -> list[tuple[str, str]]:
    """Give the (system, code) of every coding that may name a ground, from each of its places."""
    found = list(codings(consent.get("policyRule")))
    for extension in extensions(consent, "Consent.regulatoryBasis"):
        found += codings(extension.get("valueCodeableConcept"))
    for actor in elements(element(consent.get("provision")).get("actor")):
        found += codings(actor.get("role"))
    return found


def _is_delegate(actor: Actor) -> bool:
    """Tell whether an actor is a related person in the role of somebody who was authorised.

    By NHS number alone it is one too: who the number belongs to is compared elsewhere.
    """
    related = any(key.startswith("RelatedPerson/") for key in actor.keys)
    by_number = any(map(codes.is_nhs_number, actor.keys)) and not any(
        key.startswith("Patient/") for key in actor.keys
    )
    return (
        actor.kind is ActorKind.PERSON
        and (related or by_number)
        and bool(codes.DELEGATE_ROLES.intersection(actor.roles))
    )


def bases_in(
    consent: Element, root: Provision | None, performers: frozenset[str], context: Context
) -> dict[str, Any]:
    """Collect the grounds a Consent gives, from each of the places where they are found."""
    bases: set[Basis] = set()
    unlisted: set[str] = set()
    by_patient = bool(performers & context.patient)
    typed_permit = root is not None and root.type is Direction.PERMIT
    delegated = root is not None and any(
        _is_delegate(actor) and not actor.keys & context.patient for actor in root.actors
    )
    if _grounds_differ(root, context.patient):
        # Which of them has which ground is not for everybody's Consent to say.
        bases.add(Basis.UNKNOWN)
    for system, code in ground_codes(consent):
        basis: Basis | None = None
        if system == codes.PROXY_BASIS:
            basis = codes.PROXY_BASES.get(code, Basis.UNKNOWN)
        elif system == codes.NULL_FLAVOR:
            basis = Basis.UNKNOWN
        elif system == codes.FLAG_PROXY_ROLE:
            basis = Basis.UNLISTED
        elif system == codes.ROLE_CODE:
            basis = _basis_of_role(code, explicit=by_patient and typed_permit and delegated)
        if basis is not None:
            bases.add(basis)
        if basis is Basis.UNLISTED:
            unlisted.add(code)
    return {"bases": frozenset(bases), "unlisted": frozenset(unlisted)}


def _grounds_differ(root: Provision | None, patient: frozenset[str]) -> bool:
    """Tell whether several people stand in a Consent in different roles."""
    people = [
        frozenset(actor.roles)
        for actor in (root.actors if root is not None else ())
        if actor.kind is ActorKind.PERSON and not actor.keys & patient
    ]
    return len(people) > 1 and len(set(people)) > 1


def _basis_of_role(code: str, *, explicit: bool) -> Basis | None:
    if code in codes.DELEGATE_ROLES:
        return Basis.EXPLICIT_CONSENT if explicit else None
    if code in codes.STANDING_ROLES:
        return Basis.UNLISTED
    return Basis.RELATIONSHIP if code in codes.RELATIONSHIP_ROLES else None
