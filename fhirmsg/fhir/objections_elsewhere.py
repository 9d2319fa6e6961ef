"""Objections in CommunicationRequests and Flags, told as the Consents they amount to.

Sources: https://hl7.org/fhir/R4/communicationrequest.html (doNotPerform: do not communicate),
https://hl7.org/fhir/R4/flag.html with the SNOMED CT (UK) codes of GP systems.
"""

from __future__ import annotations

from fhirmsg.fhir import codes
from fhirmsg.fhir.elements import (
    Element,
    codings,
    elements,
    moment_of,
    period_of,
    reference_keys,
    text_of,
    version_of,
)
from fhirmsg.fhir.opting_out import denial
from fhirmsg.fhir.provisions import Context, actor_of, code_term
from fhirmsg.guidance.provisions import Actor, ActorKind, Direction, Provision
from fhirmsg.guidance.readable import says_something
from fhirmsg.guidance.record import ConsentFacts, ConsentStatus

_IN_FORCE = frozenset({"active", "on-hold"})
_NOT_IN_FORCE = frozenset({"draft", "revoked", "completed", "entered-in-error", "unknown"})
_FLAG_STATUSES = {
    "active": ConsentStatus.ACTIVE,
    "inactive": ConsentStatus.INACTIVE,
    "entered-in-error": ConsentStatus.ENTERED_IN_ERROR,
}
# Recipients of these kinds are neither the patient nor anybody related to the patient.
_NOBODY_HERE = frozenset({ActorKind.ORGANISATION, ActorKind.STAFF})


class NotReadable(ValueError):
    """It may be an objection, and nobody can tell."""


def forbids(request: Element) -> bool:
    """Tell whether a CommunicationRequest says not to communicate. Raises NotReadable."""
    said = request.get("doNotPerform")
    if said is None and "_doNotPerform" not in request:
        return False
    if not isinstance(said, bool):
        raise NotReadable
    return said


def objection_in_request(request: Element, context: Context) -> ConsentFacts | None:
    """Give what a CommunicationRequest forbids; None when it forbids nothing now, or nobody here.

    Without a medium it is about every channel. Raises NotReadable.
    """
    status = text_of(request.get("status"))
    if status in _NOT_IN_FORCE or not forbids(request):
        return None
    named = [
        actor_of({}, reference, context, request)
        for reference in elements(request.get("recipient"))
    ]
    concerned = tuple(actor for actor in named if actor.kind not in _NOBODY_HERE)
    if named and not concerned:
        return None
    requesters = elements(request.get("requester"))
    reasons = [
        *elements(request.get("reasonCode")),
        *elements(request.get("statusReason")),
        *elements(request.get("note")),
    ]
    return ConsentFacts(
        version=version_of(request),
        status=ConsentStatus.ACTIVE if status in _IN_FORCE else ConsentStatus.UNKNOWN,
        message_marker=True,
        signed=moment_of(request.get("authoredOn"), context.zone),
        root=Provision(
            type=Direction.DENY,
            period=period_of(request.get("occurrencePeriod"), context.zone),
            codes=tuple(code_term(medium) for medium in elements(request.get("medium"))),
            actors=_without_the_patient_alone(concerned, context),
        ),
        performers=frozenset[str]().union(
            *(reference_keys(each, context.base) for each in requesters)
        ),
        performer_related=any(
            text_of(each.get("type")) == "RelatedPerson"
            or "RelatedPerson/" in text_of(each.get("reference"))
            for each in requesters
        ),
        safety=any(
            code in codes.SAFETY_REASONS for reason in reasons for _, code in codings([reason])
        ),
        reason_recorded=any(
            says_something(text_of(reason.get("text"))) or any(codings([reason]))
            for reason in reasons
        ),
        altered=bool(request.get("modifierExtension") or request.get("implicitRules")),
    )


def _without_the_patient_alone(actors: tuple[Actor, ...], context: Context) -> tuple[Actor, ...]:
    """Leave out recipients where they are the patient only: that says nothing more."""
    return () if all(actor.keys & context.patient for actor in actors) else actors


def objection_in_flag(flag: Element, context: Context) -> ConsentFacts | None:
    """Give what a Flag with a code for a declined channel amounts to, None for other Flags."""
    status = _FLAG_STATUSES.get(text_of(flag.get("status")), ConsentStatus.UNKNOWN)
    if status in (ConsentStatus.INACTIVE, ConsentStatus.ENTERED_IN_ERROR):
        return None
    declined = [
        {"system": system, "code": code}
        for system, code in codings(flag.get("code"))
        if system == codes.SNOMED and code in codes.SNOMED_DECLINED
    ]
    if not declined:
        return None
    return denial(
        version_of(flag),
        "",
        code_term({"coding": declined}),
        status=status,
        period=period_of(flag.get("period"), context.zone),
        performers=reference_keys(flag.get("author"), context.base),
        altered=bool(flag.get("modifierExtension") or flag.get("implicitRules")),
    )
