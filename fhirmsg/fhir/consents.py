"""Consent as raw JSON, translated to facts by meaning and not by one fixed path.

NHS England's proxy service alone has published nine shapes: the proxy stands in `performer`, in
an extension or in an actor; the ground in `policyRule` (an object or a list), in an extension or
in an actor's role; systems come with http and https.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

from fhirmsg.fhir import codes
from fhirmsg.fhir.assessments import capacity_on, competence_on
from fhirmsg.fhir.elements import (
    Element,
    codings,
    days_of,
    element,
    elements,
    extensions,
    identifier_key,
    moment_of,
    text_of,
    version_of,
)
from fhirmsg.fhir.provisions import (
    Context,
    actor_of,
    code_term,
    ods_codes,
    provision_tree,
)
from fhirmsg.fhir.standing import ending_of, grantors, restricted_digests, standing_reviews
from fhirmsg.guidance.coding import normal_system
from fhirmsg.guidance.provisions import Actor, ActorKind, CodeTerm, Direction, Provision
from fhirmsg.guidance.readable import says_something
from fhirmsg.guidance.record import Basis, ConsentFacts, ConsentStatus, OrganisationRef, Scope

_OBJECTION = (normal_system(codes.CATEGORY_SYSTEM), "message-objection")
_POLICY_RULES = {"OPTIN": Direction.PERMIT, "OPTOUT": Direction.DENY}
_OTHER_POLICY_RULES = frozenset({"OPTINR", "OPTOUTE", "NOCONSENT", "IMPLIED", "IMPLIEDD"})


def consent_facts(consent: Element, context: Context) -> ConsentFacts:
    """Translate one Consent. Raises TooLarge for a tree nobody can have meant."""
    declared = frozenset(codings(consent.get("category"))) | frozenset(
        codings(consent.get("policyRule"))
    )
    root = _root(consent, declared, context)
    own_codes = declared | frozenset(codings(element(consent.get("provision")).get("code")))
    people = _people(consent, root, context)
    return ConsentFacts(
        version=version_of(consent),
        status=_status(consent),
        scope=_scope(consent),
        root=root,
        policy_direction=_policy_direction(consent),
        policy_rule=any(
            system == codes.ACT_CODE and (code in _POLICY_RULES or code in _OTHER_POLICY_RULES)
            for system, code in codings(consent.get("policyRule"))
        ),
        organisations=tuple(
            OrganisationRef(ods=ods_codes(reference, context))
            for reference in elements(consent.get("organization"))
        ),
        altered=_is_altered(consent),
        identifiers=_identifiers(consent),
        signed=moment_of(consent.get("dateTime"), context.zone),
        grantors=grantors(consent, context),
        ended=ending_of(consent),
        capacity=capacity_on(consent, context.zone),
        competence=competence_on(consent, context.zone),
        standing_reviews=standing_reviews(consent, context.zone),
        restricted_digests=restricted_digests(consent),
        **_subject(consent, own_codes),
        **people,
        **_bases(consent, root, people["performers"], context),
        **_reason(consent),
        **_verification(consent),
    )


def _identifiers(consent: Element) -> frozenset[str]:
    keys = (identifier_key(each) for each in elements(consent.get("identifier")))
    return frozenset(key for key in keys if key)


def _is_altered(consent: Element) -> bool:
    parts = [consent, *elements(consent.get("verification")), *elements(consent.get("policy"))]
    return bool(consent.get("implicitRules")) or any(
        each.get("modifierExtension") for each in parts
    )


def _root(
    consent: Element, declared: frozenset[tuple[str, str]], context: Context
) -> Provision | None:
    raw = consent.get("provision")
    root = provision_tree(raw, context, consent) if isinstance(raw, dict) else None
    terms = _channel_terms(declared)
    if terms and not (root and root.codes):
        # A channel named in the category limits the Consent as one named in the root would.
        root = replace(root or Provision(), codes=terms)
    return root


def _channel_terms(declared: frozenset[tuple[str, str]]) -> tuple[CodeTerm, ...]:
    terms = (
        code_term({"coding": [{"system": system, "code": code}]})
        for system, code in sorted(declared)
    )
    return tuple(term for term in terms if term.understood)


def _status(consent: Element) -> ConsentStatus:
    try:
        return ConsentStatus(consent.get("status"))
    except ValueError:
        return ConsentStatus.UNKNOWN


def _scope(consent: Element) -> Scope:
    scope = consent.get("scope")
    found = set(codings(scope))
    if not found:
        return Scope.UNKNOWN if text_of(element(scope).get("text")) else Scope.ABSENT
    named = {code for system, code in found if system == codes.CONSENT_SCOPE}
    if len(named) < len(found):
        return Scope.UNKNOWN
    if named == {"patient-privacy"}:
        return Scope.PRIVACY
    return Scope.OTHER if named <= codes.OTHER_SCOPES else Scope.UNKNOWN


def _policy_direction(consent: Element) -> Direction | None:
    # R5 moved the direction to `decision`; servers that keep unknown elements hand it on.
    decision = {"deny": Direction.DENY, "permit": Direction.PERMIT}.get(
        text_of(consent.get("decision"))
    )
    if decision is not None:
        return decision
    found = {
        _POLICY_RULES[code]
        for system, code in codings(consent.get("policyRule"))
        if system == codes.ACT_CODE and code in _POLICY_RULES
    }
    return found.pop() if len(found) == 1 else None


def _subject(consent: Element, own_codes: frozenset[tuple[str, str]]) -> dict[str, Any]:
    """Tell what the Consent says it is about."""
    snomed = {code for system, code in own_codes if system == codes.SNOMED}
    text_permission = (codes.LOINC, codes.LOINC_TEXT_PERMISSION) in own_codes
    declines = bool(snomed & codes.SNOMED_DECLINED.keys())
    act_codes = {code for system, code in own_codes if system == codes.ACT_CODE}
    flag_record = any(
        codes.FLAG_CATEGORY_MARK in f"{system}|{code}".lower()
        for system, code in codings(consent.get("category"))
    )
    return {
        "message_marker": _OBJECTION in own_codes
        or declines
        or text_permission
        or bool(snomed & codes.SNOMED_CONSENTED.keys()),
        "text_permission": text_permission,
        "declines": declines,
        "disclosure": bool(act_codes & codes.DISCLOSURE_CATEGORIES),
        "access_only": "INFA" in act_codes,
        "other_category": flag_record or bool(own_codes & codes.OTHER_CATEGORIES),
        "flag_record": flag_record,
    }


def _people(consent: Element, root: Provision | None, context: Context) -> dict[str, Any]:
    named = [
        actor.keys for actor in (root.actors if root else ()) if actor.kind is ActorKind.PERSON
    ]
    for extension in extensions(consent, "Consent.grantee"):
        actor = actor_of({}, extension.get("valueReference"), context, consent)
        if actor.kind is ActorKind.PERSON:
            named.append(actor.keys)
    performers = [
        actor_of({}, reference, context, consent)
        for reference in elements(consent.get("performer"))
    ]
    if any(system == codes.PROXY_BASIS for system, _ in _basis_codes(consent)):
        # Under a national basis the performer is the proxy; elsewhere it is the patient.
        named += [actor.keys for actor in performers if actor.kind is ActorKind.PERSON]
    others = [keys for keys in named if not keys & context.patient]
    purposes = {
        text_of(coding.get("code"))
        for coding in elements(element(consent.get("provision")).get("purpose"))
    }
    return {
        "grantees": frozenset[str]().union(*others),
        "performers": frozenset[str]().union(*(actor.keys for actor in performers)),
        "performer_related": any(
            text_of(reference.get("type")) == "RelatedPerson"
            or "RelatedPerson/" in text_of(reference.get("reference"))
            for reference in elements(consent.get("performer"))
        ),
        "refusal_purposes": bool(purposes & codes.REFUSAL_PURPOSES),
    }


def _reason(consent: Element) -> dict[str, Any]:
    safety = recorded = False
    said: list[str] = []
    for extension in extensions(consent, "/objection-reason"):
        concept = element(extension.get("valueCodeableConcept"))
        found = {code for _, code in codings(concept)}
        safety = safety or bool(found & codes.SAFETY_REASONS)
        text = text_of(concept.get("text"))
        recorded = recorded or bool(found) or says_something(text)
        said += [text] if says_something(text) else sorted(found)
    confirmed = any(
        days_of(extension.get("valueDateTime")) is not None
        for extension in extensions(consent, "/confirmed-with-patient")
    )
    return {
        "safety": safety,
        "reason_recorded": recorded,
        "reason": "; ".join(said) or None,
        "confirmed_with_patient": confirmed,
    }


def _first_day(text: object) -> date | None:
    days = days_of(text)
    return days[0] if days else None


def _verification(consent: Element) -> dict[str, Any]:
    dated = sorted(
        (_first_day(each.get("verificationDate")) or date.min, each.get("verified") is True)
        for each in elements(consent.get("verification"))
        if isinstance(each.get("verified"), bool)
    )
    days = [day for day, verified in dated if verified and day != date.min]
    signed = _first_day(consent.get("dateTime"))
    if signed is not None:
        days.append(signed)
    # A verification without a date cannot be outdone by a later one, so its "no" stands.
    undated_no = (date.min, False) in dated
    return {
        "reviewed": max(days, default=None),
        "unverified": undated_no or (bool(dated) and not dated[-1][1]),
    }


def _basis_codes(consent: Element) -> list[tuple[str, str]]:
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


def _bases(
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
    for system, code in _basis_codes(consent):
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


def _basis_of_role(code: str, *, explicit: bool) -> Basis | None:
    if code in codes.DELEGATE_ROLES:
        return Basis.EXPLICIT_CONSENT if explicit else None
    if code in codes.STANDING_ROLES:
        return Basis.UNLISTED
    return Basis.RELATIONSHIP if code in codes.RELATIONSHIP_ROLES else None
