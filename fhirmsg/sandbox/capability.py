"""The CapabilityStatement, made of the table of search parameters.

Source: https://hl7.org/fhir/R4/capabilitystatement.html.
"""

from __future__ import annotations

import json

from .dates import instant
from .r4 import FHIR_VERSION, RESOURCE_TYPES
from .search import parameters_of

_INTERACTIONS = ("create", "delete", "history-instance", "read", "search-type", "update", "vread")
_SYSTEM_INTERACTIONS = ("batch", "transaction")


def capability_statement(base: str, since: int) -> str:
    """The statement of the server at this base URL, running since then, as JSON text."""
    return json.dumps(
        {
            "resourceType": "CapabilityStatement",
            "status": "active",
            "date": instant(since),
            "kind": "instance",
            "software": {"name": "fhirmsg sandbox"},
            "implementation": {"description": "The embedded FHIR store", "url": base},
            "fhirVersion": FHIR_VERSION,
            "format": ["application/fhir+json", "json"],
            "rest": [
                {
                    "mode": "server",
                    "resource": [_resource(name) for name in sorted(RESOURCE_TYPES)],
                    "interaction": _codes(_SYSTEM_INTERACTIONS),
                }
            ],
        }
    )


def _resource(resource_type: str) -> dict[str, object]:
    always = [("_id", "token"), ("_lastUpdated", "date")]
    named = [(name, one.kind.value) for name, one in parameters_of(resource_type).items()]
    return {
        "type": resource_type,
        "interaction": _codes(_INTERACTIONS),
        "versioning": "versioned-update",
        "readHistory": True,
        "updateCreate": True,
        "conditionalCreate": True,
        "conditionalUpdate": False,
        "conditionalDelete": "not-supported",
        "searchParam": [{"name": name, "type": kind} for name, kind in sorted(always + named)],
    }


def _codes(codes: tuple[str, ...]) -> list[dict[str, str]]:
    return [{"code": code} for code in codes]
