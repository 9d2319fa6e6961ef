"""Refusals: one exception per situation, each with its HTTP status and its OperationOutcome.

Source: https://hl7.org/fhir/R4/http.html (status codes), operationoutcome.html (shape),
valueset-issue-type.html (issue codes). Texts name types, ids and parameters, never values.
"""

from __future__ import annotations

import json
from typing import ClassVar


class Refused(Exception):
    """A request the store does not carry out; its text says what happened and what to do."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "exception"


class BadRequest(Refused):
    """Not JSON, not the right shape, or against the store's rules: 400."""

    status = 400
    code = "invalid"


class NotSupported(Refused):
    """A valid FHIR request that this store does not know: 400, as HAPI answers."""

    status = 400
    code = "not-supported"


class ConditionNotMet(Refused):
    """A conditional create whose own criteria do not find what it creates: 400."""

    status = 400
    code = "business-rule"


class NotFound(Refused):
    """No such resource, version or resource type: 404."""

    status = 404
    code = "not-found"


class Conflict(Refused):
    """A version that is no longer current, or a delete of something still referenced: 409."""

    status = 409
    code = "conflict"


class Gone(Refused):
    """Deleted, or a page of a search that is no longer kept: 410.

    `location` is the relative address of the version that says so, when there is one.
    """

    status = 410
    code = "deleted"

    def __init__(self, text: str, location: str | None = None) -> None:
        super().__init__(text)
        self.location = location


class PreconditionFailed(Refused):
    """A condition that finds more than one resource, or fails in a transaction: 412."""

    status = 412
    code = "conflict"


class UnsupportedMediaType(Refused):
    """A body that is not declared as JSON: 415."""

    status = 415
    code = "not-supported"


class WrongTarget(Refused):
    """A reference to a type of resource that may not stand there: 422."""

    status = 422
    code = "processing"


def outcome(severity: str, code: str, text: str) -> str:
    """One OperationOutcome with one issue, as JSON text."""
    issue = {"severity": severity, "code": code, "diagnostics": text}
    return json.dumps({"resourceType": "OperationOutcome", "issue": [issue]}, ensure_ascii=False)


def outcome_of(refusal: Refused) -> str:
    """The OperationOutcome that answers a refused request, as JSON text."""
    return outcome("error", refusal.code, str(refusal))
