"""Whether a resource has the JSON shape that R4 gives it, as far as it can bear on a decision.

Reading is tolerant (`elements.py`): what has another shape is empty there. So it is looked for
here, and told: a label that is a number, or an actor that is a word, is a label or an actor missed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from fhirmsg.fhir.elements import Element, element, elements

# A check gives the faults of one value, as dotted paths that end in its place.
_Check = Callable[[Any, str], Iterator[str]]
# Larger trees are not understood anyway.
_MOST_NODES = 2000


def _a(kind: type) -> _Check:
    def check(value: Any, path: str) -> Iterator[str]:
        if not isinstance(value, kind):
            yield path

    return check


def _object(**members: _Check) -> _Check:
    def check(value: Any, path: str) -> Iterator[str]:
        if not isinstance(value, dict):
            yield path
            return
        for name, inner in members.items():
            if value.get(name) is not None:
                yield from inner(value[name], f"{path}.{name}")

    return check


def _list(of: _Check) -> _Check:
    def check(value: Any, path: str) -> Iterator[str]:
        if not isinstance(value, list):
            yield path
            return
        for each in value:
            yield from of(each, path)

    return check


def _object_or_list(of: _Check) -> _Check:
    """A list where R4 has one object: seen in the wild, and read as what it means."""

    def check(value: Any, path: str) -> Iterator[str]:
        yield from (_list(of) if isinstance(value, list) else of)(value, path)

    return check


_STRING, _BOOLEAN = _a(str), _a(bool)
_CODING = _object(system=_STRING, code=_STRING)
_CONCEPT = _object(coding=_list(_CODING))
_IDENTIFIER = _object(system=_STRING, value=_STRING)
_REFERENCE = _object(reference=_STRING, type=_STRING, identifier=_IDENTIFIER)
_VALUES: dict[str, _Check] = {
    "url": _STRING,
    "valueCode": _STRING,
    "valueCodeableConcept": _CONCEPT,
    "valueDate": _STRING,
    "valueDateTime": _STRING,
    "valuePeriod": _object(),
    "valueReference": _REFERENCE,
    "valueString": _STRING,
}
_EXTENSION = _object(extension=_list(_object(**_VALUES)), **_VALUES)
_TELECOM = _object(
    system=_STRING,
    use=_STRING,
    value=_STRING,
    period=_object(),
    extension=_list(_EXTENSION),
)

_KINDS = {
    "Patient": _object(
        meta=_object(security=_list(_CODING)),
        extension=_list(_EXTENSION),
        identifier=_list(_IDENTIFIER),
        telecom=_list(_TELECOM),
        link=_list(_object(type=_STRING, other=_REFERENCE)),
        name=_object_or_list(_object()),
        address=_object_or_list(_object()),
    ),
    "RelatedPerson": _object(
        meta=_object(security=_list(_CODING)),
        extension=_list(_EXTENSION),
        identifier=_list(_IDENTIFIER),
        patient=_REFERENCE,
        telecom=_list(_TELECOM),
    ),
    "CommunicationRequest": _object(
        status=_STRING,
        doNotPerform=_BOOLEAN,
        medium=_list(_CONCEPT),
        subject=_REFERENCE,
        recipient=_list(_REFERENCE),
        requester=_REFERENCE,
        occurrencePeriod=_object(),
    ),
    "Flag": _object(
        status=_STRING, code=_CONCEPT, subject=_REFERENCE, author=_REFERENCE, period=_object()
    ),
    "Appointment": _object(status=_STRING, start=_STRING),
    "Task": _object(status=_STRING),
    "ServiceRequest": _object(status=_STRING),
}
_CONSENT = _object(
    status=_STRING,
    meta=_object(lastUpdated=_STRING),
    identifier=_list(_IDENTIFIER),
    dateTime=_STRING,
    scope=_CONCEPT,
    category=_list(_CONCEPT),
    patient=_REFERENCE,
    performer=_list(_REFERENCE),
    organization=_list(_REFERENCE),
    policyRule=_object_or_list(_CONCEPT),
    decision=_STRING,
    verification=_list(_object(verified=_BOOLEAN, verificationDate=_STRING)),
    extension=_list(_EXTENSION),
    provision=_object(),
)
_PROVISION = _object(
    type=_STRING,
    period=_object(),
    purpose=_list(_CODING),
    code=_list(_CONCEPT),
    actor=_list(_object(role=_CONCEPT, reference=_REFERENCE)),
    action=_list(_CONCEPT),
    securityLabel=_list(_CODING),
    data=_list(_object()),
    provision=_list(_object()),
    **{"class": _list(_CODING)},
)


def misshapen(resource: Element) -> list[str]:
    """Name the elements whose JSON shape is not the one R4 gives them, as dotted paths.

    Looks at the kinds of resource above and, when it is none of them, for a Consent.
    """
    kind = resource.get("resourceType")
    if isinstance(kind, str) and kind in _KINDS:
        return sorted(set(_KINDS[kind](resource, kind)))
    faults = list(_CONSENT(resource, "Consent"))
    waiting = [element(resource.get("provision"))]
    for _ in range(_MOST_NODES):
        if not waiting:
            break
        node = waiting.pop()
        faults += _PROVISION(node, "Consent.provision")
        waiting += elements(node.get("provision"))
    return sorted(set(faults))
