"""One table from failures to problem details (RFC 9457), and OperationOutcomes for who asks."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from flask import Response, g, request
from werkzeug.exceptions import HTTPException

from fhirmsg import errors
from fhirmsg.web.contract import Fault

FHIR_JSON = "application/fhir+json"
PROBLEM_JSON = "application/problem+json"
_RETRY_AFTER = 30


@dataclass(kw_only=True)
class Problem(Exception):
    """A request that cannot be answered as asked; everything an error answer says."""

    status: int
    title: str
    detail: str
    retry: str = "never"
    retry_after: int | None = None
    faults: tuple[Fault, ...] = ()
    challenge: str = 'Bearer realm="fhirmsg"'


# class of failure -> status, title, retry
_FAILURES: dict[type[errors.FhirmsgError], tuple[int, str, str]] = {
    errors.PatientNotFound: (404, "Patient not found", "never"),
    errors.RecipientNotFound: (404, "Recipient not found", "never"),
    errors.MessageNotFound: (404, "Message not found", "never"),
    errors.PatientAmbiguous: (409, "Several patients match", "never"),
    errors.StillRunning: (409, "Still being sent", "after"),
    errors.KeyReused: (422, "Idempotency-Key in use", "never"),
    errors.RecordUnavailable: (503, "The record cannot be read", "after"),
    errors.RecordUnreachable: (503, "The FHIR server is away", "after"),
    errors.TryLater: (503, "Not taken by the provider", "after"),
    errors.JournalUnavailable: (503, "The journal of this host cannot be used", "after"),
    errors.ProviderUnknown: (404, "No such provider", "never"),
    errors.CallbackRefused: (401, "Not from the provider", "never"),
    errors.CallbackUnreadable: (400, "Callback not understood", "never"),
    errors.CursorRefused: (400, "Not a cursor of ours", "never"),
}

# What Werkzeug finds before any view runs, in words of ours.
_HTTP: dict[int, tuple[str, str]] = {
    404: ("No such address", "There is nothing here. See /openapi.yaml for what there is."),
    405: ("Method not allowed", "This address knows other methods. See /openapi.yaml."),
    413: ("Body too large", "A body has at most 262144 bytes."),
}


def problem_of(error: Exception) -> Problem:
    """Give the problem that a failure is to a caller; what nobody foresaw says nothing."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, errors.FhirmsgError) and type(error) in _FAILURES:
        status, title, retry = _FAILURES[type(error)]
        after = getattr(error, "retry_after", _RETRY_AFTER) if retry == "after" else None
        return Problem(
            status=status, title=title, detail=str(error), retry=retry, retry_after=after
        )
    if isinstance(error, HTTPException) and error.code is not None and error.code < 500:
        title, detail = _HTTP.get(error.code, ("Bad request", "The request cannot be understood."))
        return Problem(status=error.code, title=title, detail=detail)
    return Problem(
        status=500,
        title="Fault of this service",
        detail="Something went wrong that nobody foresaw. The correlation id finds it in the log. "
        "Ask again under the same Idempotency-Key: a message is never sent twice under one.",
        retry="after",
        retry_after=_RETRY_AFTER,
    )


def response_of(problem: Problem) -> Response:
    """Write a problem as the caller wants it."""
    if request.accept_mimetypes.best == FHIR_JSON:
        body, kind = _outcome_of(problem), FHIR_JSON
    else:
        body, kind = _details_of(problem), PROBLEM_JSON
    response = Response(json.dumps(body), status=problem.status, content_type=kind)
    if problem.retry_after is not None:
        response.headers["Retry-After"] = str(problem.retry_after)
    if problem.status == 401:
        response.headers["WWW-Authenticate"] = problem.challenge
    return response


def _details_of(problem: Problem) -> dict[str, Any]:
    return {
        "type": "about:blank",
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
        "retry": problem.retry,
        "correlation_id": g.get("correlation_id", ""),
        "errors": [{"pointer": each.pointer, "detail": each.detail} for each in problem.faults],
    }


_ISSUE_CODES = {
    400: "invalid",
    401: "login",
    403: "forbidden",
    404: "not-found",
    409: "conflict",
    429: "throttled",
}


def _outcome_of(problem: Problem) -> dict[str, Any]:
    code = _ISSUE_CODES.get(problem.status, "exception" if problem.status >= 500 else "processing")
    issues: list[dict[str, Any]] = [
        {"severity": "error", "code": code, "diagnostics": f"{problem.title}. {problem.detail}"}
    ]
    issues += [
        {
            "severity": "error",
            "code": "invalid",
            "diagnostics": fault.detail,
            "expression": [fault.pointer],
        }
        for fault in problem.faults
    ]
    return {"resourceType": "OperationOutcome", "issue": issues}
