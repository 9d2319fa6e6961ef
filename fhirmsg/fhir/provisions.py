"""Consent.provision as raw JSON, translated to the tree that the guidance evaluates.

Shapes and codes: https://hl7.org/fhir/R4/consent.html; cover of channels: `codes.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import tzinfo

from fhirmsg.fhir import codes
from fhirmsg.fhir.elements import (
    Element,
    codings,
    element,
    elements,
    identifier_key,
    own_keys,
    period_of,
    reference_keys,
    text_of,
)
from fhirmsg.guidance.coding import any_system, normal_system
from fhirmsg.guidance.provisions import (
    MAX_DEPTH,
    MAX_NODES,
    Actor,
    ActorKind,
    CodeTerm,
    Direction,
    Provision,
)
from fhirmsg.guidance.terms import PURPOSE_PARENT, Channel, Match

_MESSAGES = frozenset({"Communication", "CommunicationRequest"})
_NOT_MESSAGING = frozenset({"collect", "correct"})
_STAFF = frozenset({"Practitioner", "PractitionerRole"})
_PEOPLE = frozenset({"Patient", "RelatedPerson"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What is needed to read a resource: the server's base, the local zone, known organisations.

    `organisations` gives the ODS codes of `Organization/id` references that were looked up.
    """

    base: str
    zone: tzinfo
    patient: frozenset[str] = frozenset()
    organisations: dict[str, frozenset[str]] = field(default_factory=dict)


def code_term(concept: object) -> CodeTerm:
    """Translate one CodeableConcept: the channels it covers, and its tokens as a topic."""
    covers: set[Channel] = set()
    may_cover: set[Channel] = set()
    covers_results: set[Channel] = set()
    tokens: set[str] = set()
    understood = False
    found = tuple(codings([concept] if isinstance(concept, dict) else concept))
    # A service named by a code alone is that service in whatever system a message names it.
    bare = all(system == _OWN_SERVICE for system, _ in found)
    for system, code in found:
        sure, results, perhaps, known = _channels_of(system, code)
        covers |= sure
        covers_results |= results
        may_cover |= perhaps
        understood = understood or known
        tokens |= {code, f"{system}|{code}"} | ({any_system(code)} if bare else set())
    return CodeTerm(
        covers=frozenset(covers),
        covers_results=frozenset(covers_results),
        may_cover=frozenset(may_cover),
        tokens=frozenset(tokens),
        understood=understood,
        service=any(system == _OWN_SERVICE for system, _ in found),
    )


_NOTHING: frozenset[Channel] = frozenset()
_CHANNELS = {str(channel): frozenset({channel}) for channel in Channel}
_OWN_CHANNEL = normal_system(codes.CHANNEL_SYSTEM)
_OWN_SERVICE = normal_system(codes.SERVICE_SYSTEM)


def _channels_of(
    system: str, code: str
) -> tuple[frozenset[Channel], frozenset[Channel], frozenset[Channel], bool]:
    """Give the channels a code covers, covers for results, may cover, and whether it is known."""
    if system == _OWN_CHANNEL and code in _CHANNELS:
        return _CHANNELS[code], _NOTHING, _NOTHING, True
    if system == _OWN_SERVICE:
        return _NOTHING, _NOTHING, _NOTHING, True
    if system == codes.PARTICIPATION_MODE and code in codes.PARTICIPATION_COVERS:
        perhaps = codes.PARTICIPATION_MAY_COVER.get(code, _NOTHING)
        return codes.PARTICIPATION_COVERS[code], _NOTHING, perhaps, True
    if system == codes.CONTACT_POINT_SYSTEM and code in codes.CONTACT_SYSTEM_COVERS:
        perhaps = codes.CONTACT_SYSTEM_MAY_COVER.get(code, _NOTHING)
        return codes.CONTACT_SYSTEM_COVERS[code], _NOTHING, perhaps, True
    if system == codes.PREFERRED_METHOD and code in (codes.METHOD_COVERS | codes.METHOD_MAY_COVER):
        covers = codes.METHOD_COVERS.get(code, _NOTHING)
        return covers, _NOTHING, codes.METHOD_MAY_COVER.get(code, _NOTHING), True
    snomed = codes.SNOMED_DECLINED | codes.SNOMED_CONSENTED
    if system == codes.SNOMED and code in snomed:
        channel = frozenset({snomed[code]})
        if code in codes.SNOMED_RESULTS_ONLY:
            return _NOTHING, channel, _NOTHING, True
        return channel, _NOTHING, _NOTHING, True
    if system == codes.LOINC and code == codes.LOINC_TEXT_PERMISSION:
        return frozenset({Channel.SMS}), _NOTHING, _NOTHING, True
    return _NOTHING, _NOTHING, _NOTHING, False


def ods_codes(reference: object, context: Context) -> frozenset[str]:
    """Give the ODS codes of an organisation reference; empty when it cannot be resolved."""
    holder = element(reference)
    if codes.is_ods(element(holder.get("identifier")).get("system")):
        value = text_of(element(holder.get("identifier")).get("value"))
        if value:
            return frozenset({value.upper()})
    for key in reference_keys(holder, context.base):
        if key in context.organisations:
            return context.organisations[key]
    return frozenset()


def _contained(resource: Element, reference: str) -> Element:
    for each in elements(resource.get("contained")):
        if f"#{text_of(each.get('id'))}" == reference:
            return each
    return {}


def actor_of(holder: Element, reference: object, context: Context, consent: Element) -> Actor:
    """Translate whom a provision names; `holder` carries the role, `consent` what it contains."""
    target = element(reference)
    written = text_of(target.get("reference"))
    keys = reference_keys(target, context.base)
    kind_name = text_of(target.get("type"))
    ods = ods_codes(target, context)
    if written.startswith("#"):
        inside = _contained(consent, written)
        kind_name = text_of(inside.get("resourceType"))
        keys = own_keys({**inside, "id": None})
        for identifier in elements(inside.get("identifier")):
            if codes.is_ods(identifier.get("system")):
                ods |= {text_of(identifier.get("value")).upper()}
    elif written:
        kind_name = written.partition("/_history/")[0].rstrip("/").rpartition("/")[0]
        kind_name = kind_name.rpartition("/")[2]
    return Actor(
        kind=_kind_of_actor(kind_name, element(target.get("identifier"))),
        keys=keys,
        ods=ods,
        roles=tuple(code for _, code in codings(holder.get("role"))),
    )


def _kind_of_actor(name: str, identifier: Element) -> ActorKind:
    if name in _PEOPLE:
        return ActorKind.PERSON
    if name == "Organization":
        return ActorKind.ORGANISATION
    if name in _STAFF:
        return ActorKind.STAFF
    if not name and identifier_key(identifier):
        if codes.is_nhs_number(identifier.get("system")):
            return ActorKind.PERSON
        if codes.is_ods(identifier.get("system")):
            return ActorKind.ORGANISATION
    return ActorKind.OTHER


class TooLarge(ValueError):
    """The provision tree is larger than anybody writes on purpose."""


def provision_tree(raw: Element, context: Context, consent: Element) -> Provision:
    """Translate a root and everything below it. Raises TooLarge."""
    left = [MAX_NODES]
    return _node(raw, context, consent, MAX_DEPTH, left)


def _node(
    raw: Element, context: Context, consent: Element, depth: int, left: list[int]
) -> Provision:
    left[0] -= 1
    if depth <= 0 or left[0] < 0:
        raise TooLarge
    written_type = raw.get("type")
    direction = {"permit": Direction.PERMIT, "deny": Direction.DENY}.get(text_of(written_type))
    actions = [{code for _, code in codings(action)} for action in elements(raw.get("action"))]
    return Provision(
        type=direction,
        unknown_type=written_type is not None and direction is None,
        period=period_of(raw.get("period"), context.zone),
        purposes=tuple(_purpose(coding) for coding in elements(raw.get("purpose"))),
        classes=tuple(_class(coding) for coding in elements(raw.get("class"))),
        codes=tuple(code_term(concept) for concept in elements(raw.get("code"))),
        actors=tuple(
            actor_of(actor, actor.get("reference"), context, consent)
            for actor in elements(raw.get("actor"))
        ),
        labels=frozenset(
            f"{normal_system(label.get('system'))}|{text_of(label.get('code'))}"
            for label in elements(raw.get("securityLabel"))
        ),
        data=bool(raw.get("data")) or raw.get("dataPeriod") is not None,
        altered=any(
            each.get("modifierExtension")
            for each in (raw, *elements(raw.get("actor")), *elements(raw.get("data")))
        ),
        other_action=bool(actions) and all(each and each <= _NOT_MESSAGING for each in actions),
        nested=tuple(
            _node(nested, context, consent, depth - 1, left)
            for nested in elements(raw.get("provision"))
        ),
    )


def _purpose(coding: Element) -> str | None:
    code = text_of(coding.get("code"))
    known = normal_system(coding.get("system")) == codes.ACT_REASON
    return code if known and code in PURPOSE_PARENT else None


def _class(coding: Element) -> Match:
    code = text_of(coding.get("code"))
    if normal_system(coding.get("system")) != codes.RESOURCE_TYPES or not code:
        return Match.UNKNOWN
    if code in _MESSAGES:
        return Match.YES
    return Match.NO if code in codes.RESOURCES else Match.UNKNOWN
