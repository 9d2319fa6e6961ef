"""One FHIR request and its answer, whether it came over HTTP or in an entry of a Bundle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from .errors import Gone, Refused, outcome, outcome_of
from .r4 import Resource
from .versions import Version, Written


class Headers(Protocol):
    """Headers, asked by the names that the FHIR pages write."""

    def get(self, name: str, default: str, /) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request: `path` is below the base, `base` is the base URL as the caller wrote it.

    `resource` is a body that was parsed already.
    """

    method: str
    path: str
    query: str = ""
    base: str
    headers: Headers
    body: bytes = b""
    resource: Resource | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer: the JSON text of a resource, of an OperationOutcome, or after a write of both.

    `version` gives ETag, Last-Modified and Content-Location; `location` is below the base.
    """

    status: int
    resource: str = ""
    outcome: str = ""
    version: Version | None = None
    location: str | None = None

    def body(self, preference: str | None) -> str:
        """The body by the `return` preference of the caller; it only matters after a write."""
        if preference == "OperationOutcome" and self.outcome:
            return self.outcome
        if preference == "minimal" and self.resource and self.outcome:
            return ""
        return self.resource or self.outcome


def preference_of(call: Call) -> str | None:
    """`minimal`, `representation` or `OperationOutcome`, from the Prefer header; None: not said.

    Source: https://hl7.org/fhir/R4/http.html#ops
    """
    for part in call.headers.get("Prefer", "").replace(";", ",").split(","):
        name, _, value = part.strip().partition("=")
        if name == "return":
            return value.strip()
    return None


def refused(refusal: Refused) -> Answer:
    """The answer to a request that is not carried out."""
    location = refusal.location if isinstance(refusal, Gone) else None
    return Answer(status=refusal.status, outcome=outcome_of(refusal), location=location)


def created(written: Written) -> Answer:
    """The answer to a create: 201, or 200 with what the condition found."""
    version = written.version
    what = "Created" if written.created else "The condition found, and left as it is,"
    return Answer(
        status=201 if written.created else 200,
        resource=version.text(),
        outcome=outcome("information", "informational", f"{what} {version.address}."),
        version=version,
        location=version.address,
    )


def updated(written: Written) -> Answer:
    """The answer to an update: 200, or 201 for what was not there; HAPI gives no Location."""
    version = written.version
    return Answer(
        status=201 if written.created else 200,
        resource=version.text(),
        outcome=outcome("information", "informational", f"{version.address} is current."),
        version=version,
    )


def deleted(version: Version | None) -> Answer:
    """The answer to a delete: 200 always, for what was deleted before or never was as well."""
    text = f"{version.address} says deleted." if version else "There was nothing to delete."
    return Answer(status=200, outcome=outcome("information", "informational", text))
