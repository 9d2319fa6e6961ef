"""What an access token lets this service read, by its SMART scopes.

https://hl7.org/fhir/smart-app-launch/scopes-and-launch-context.html: version 2
(`system/Consent.rs`) and version 1 (`system/Consent.read`). A server that filters by scope answers
an empty search, which looks like a patient without objections.
"""

from __future__ import annotations

import re

# What is asked for where nothing else is set: each interaction that this package makes.
_NEEDED = {
    "Patient": "rs",
    "RelatedPerson": "rs",
    "Consent": "crs",
    "CommunicationRequest": "rs",
    "Flag": "rs",
    "Communication": "crus",
    "Task": "crus",
    "Provenance": "cs",
    "AuditEvent": "crs",
    "Organization": "r",
    "Appointment": "r",
    "ServiceRequest": "r",
}
DEFAULT_SCOPES = " ".join(f"system/{kind}.{letters}" for kind, letters in _NEEDED.items())

# Kinds of which an entry that is hidden changes what is decided. What a message is about and
# organisations are read by id: that they are hidden is seen.
DECIDING = frozenset(
    {"Patient", "RelatedPerson", "Consent", "CommunicationRequest", "Flag", "Communication"}
)

# Without a query, which would narrow it.
_SCOPE = re.compile(r"system/(\*|[A-Z][A-Za-z]+)\.(?:(read|write|\*)|(c?r?u?d?s?))")


def readable_kinds(scope: str) -> frozenset[str]:
    """Give the resource types that a granted scope lets be read and searched whole; `*` for all."""
    return frozenset(
        found[1]
        for each in scope.split(" ")
        if (found := _SCOPE.fullmatch(each))
        and (found[2] in ("read", "*") or {"r", "s"} <= set(found[3] or ""))
    )


def hidden_kinds(scope: str | None, kinds: frozenset[str]) -> frozenset[str]:
    """Give those of `kinds` that decide and that the scope does not let be read whole.

    scope: None where nothing limits what is read.
    """
    if scope is None:
        return frozenset()
    readable = readable_kinds(scope)
    return frozenset() if "*" in readable else (kinds & DECIDING) - readable


def kinds_in(paths: list[str]) -> frozenset[str]:
    """Give the resource types that these paths below the base read or search."""
    return frozenset(path.partition("?")[0].partition("/")[0] for path in paths)
