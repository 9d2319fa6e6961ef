"""The one place that imports fhir.resources: what we write is valid before it leaves.

Its R4B models stand in for R4, which the package does not have; for the resources written here
the two do not differ. They accept any code in a required binding, so those are checked here.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any

from fhirmsg.fhir.client import Resource

_MODELS = {
    "AuditEvent": ("auditevent", "AuditEvent"),
    "Communication": ("communication", "Communication"),
    "Consent": ("consent", "Consent"),
    "Provenance": ("provenance", "Provenance"),
    "Task": ("task", "Task"),
    "Patient": ("patient", "Patient"),
    "RelatedPerson": ("relatedperson", "RelatedPerson"),
}
_STATUSES = {
    "Communication": {"in-progress", "completed", "stopped", "not-done", "unknown"},
    # The others are what somebody at work on a Task of ours may have made of it.
    "Task": {
        *("requested", "completed", "cancelled"),
        *("received", "accepted", "ready", "in-progress", "on-hold"),
    },
    "Consent": {"draft", "proposed", "active", "rejected", "inactive", "entered-in-error"},
}
# Elements without which a resource is not valid, of those that are written again.
_REQUIRED = ("resourceType", "status", "intent")
_PRIORITIES = {"routine", "urgent", "asap", "stat"}


class InvalidResource(ValueError):
    """A resource of ours is not valid FHIR: a fault of this program, named by element path."""


@cache
def _model(kind: str) -> Any:
    # Loaded on first use: the models take a third of a second to import.
    module, name = _MODELS[kind]
    return getattr(import_module(f"fhir.resources.R4B.{module}"), name)


def validated(resource: Resource, *, known: Resource | None = None) -> Resource:
    """Give the resource back, unchanged, if it is valid. Raises InvalidResource without values.

    `known` is a version of it that was valid already: then only what differs is looked at, which
    is most of the cost of an update that changes a status and two extensions.
    """
    kind = resource["resourceType"]
    try:
        _model(kind).model_validate(_difference(resource, known) if known else resource)
    except ValueError as error:
        details: list[dict[str, Any]] = getattr(error, "errors", list)()
        paths = sorted({".".join(str(step) for step in each.get("loc", ())) for each in details})
        raise InvalidResource(f"{kind}: {', '.join(paths) or 'invalid'}") from None
    status = resource.get("status")
    if kind in _STATUSES and status not in _STATUSES[kind]:
        raise InvalidResource(f"{kind}: status")
    if "priority" in resource and resource["priority"] not in _PRIORITIES:
        raise InvalidResource(f"{kind}: priority")
    return resource


def _difference(resource: Resource, known: Resource) -> Resource:
    """Give the elements that differ, of a list the members that are new; what has to be stays."""
    changed: Resource = {}
    for name, value in resource.items():
        before = known.get(name)
        if isinstance(value, list) and isinstance(before, list):
            new = [each for each in value if each not in before]
            if new:
                changed[name] = new
        elif value != before or name in _REQUIRED:
            changed[name] = value
    return changed


def warm_up() -> None:
    """Import the models the first message would otherwise wait for."""
    _model("Communication")
