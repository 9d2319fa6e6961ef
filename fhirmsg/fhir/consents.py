"""Consent as raw JSON, translated to facts by meaning and not by one fixed path.

NHS England's proxy service alone has published nine shapes: the proxy stands in `performer`, in
an extension or in an actor; the ground in `policyRule` (an object or a list), in an extension or
in an actor's role; systems come with http and https.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, tzinfo
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
    instant_of,
    moment_of,
    start_of_day,
    text_of,
    version_of,
)
from fhirmsg.fhir.grounds import bases_in, ground_codes
from fhirmsg.fhir.provisions import (
    Context,
    actor_of,
    code_term,
    ods_codes,
    provision_tree,
)
from fhirmsg.fhir.standing import ending_of, grantors, restricted_digests, standing_reviews
from fhirmsg.guidance.coding import normal_system
from fhirmsg.guidance.provisions import ActorKind, CodeTerm, Direction, Provision
from fhirmsg.guidance.readable import says_something
from fhirmsg.guidance.record import ConsentFacts, ConsentStatus, OrganisationRef, Scope

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
        **bases_in(consent, root, people["performers"], context),
        **_reason(consent),
        **_verification(consent, context.zone),
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
    if any(system == codes.PROXY_BASIS for system, _ in ground_codes(consent)):
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
        # Somebody else than the patient, whether they are named as a related person or by number.
        "performer_related": not any(actor.keys & context.patient for actor in performers)
        and (
            any(
                text_of(reference.get("type")) == "RelatedPerson"
                or "RelatedPerson/" in text_of(reference.get("reference"))
                for reference in elements(consent.get("performer"))
            )
            or any(actor.kind is ActorKind.PERSON and actor.keys for actor in performers)
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


_BEGINNING = datetime.min.replace(tzinfo=UTC)
_END = datetime.max.replace(tzinfo=UTC)
_TICK = timedelta(microseconds=1)


def _verification(consent: Element, zone: tzinfo) -> dict[str, Any]:
    """Tell when it was last confirmed, and whether the latest word is that it was not.

    A date in part may be any day that it leaves open: a "no" is as late as it can be, a "yes" as
    early. Of two at one time the "no" counts, and one without a date is never outdone.
    """
    given = [
        each
        for each in elements(consent.get("verification"))
        if isinstance(each.get("verified"), bool)
    ]
    dated = sorted((_when(each, zone), each["verified"] is False) for each in given)
    days = [
        day
        for each in given
        if each["verified"] is True and (day := _first_day(each.get("verificationDate")))
    ]
    signed = _first_day(consent.get("dateTime"))
    if signed is not None:
        days.append(signed)
    return {"reviewed": max(days, default=None), "unverified": bool(dated) and dated[-1][1]}


def _when(verification: Element, zone: tzinfo) -> datetime:
    text, denied = verification.get("verificationDate"), verification["verified"] is False
    instant = instant_of(text)
    if instant is not None:
        return instant
    found = days_of(text)
    if found is None or found[0] is None or found[1] is None:
        return _END if denied else _BEGINNING
    if denied and found[1] < date.max:
        return start_of_day(found[1] + timedelta(days=1), zone) - _TICK
    return start_of_day(found[0], zone)
