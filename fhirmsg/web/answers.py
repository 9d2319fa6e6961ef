"""Answers as JSON, or as an OperationOutcome with one issue a finding."""

from __future__ import annotations

import json
from typing import Any

from flask import Response, request

from fhirmsg.answers import Answer, Retry, State, state_of
from fhirmsg.guidance.rule import Effect
from fhirmsg.ports import Entry
from fhirmsg.web.errors import FHIR_JSON

_FINDING_SYSTEM = "https://fhirmsg.example/CodeSystem/finding"
_STATUS_OF_STATE = {State.UNKNOWN: 202, State.QUEUED: 202}
_SEVERITY = {
    Effect.REFUSE: ("error", "business-rule"),
    Effect.HOLD: ("error", "business-rule"),
    Effect.WARN: ("warning", "business-rule"),
    Effect.NOTE: ("information", "informational"),
}


def response_to_call(answer: Answer) -> Response:
    """Give 201 when this very call got the message accepted, 202 when nobody knows, else 200."""
    status = 200 if answer.replayed else _STATUS_OF_STATE.get(answer.status, 200)
    if answer.status is State.ACCEPTED and not answer.replayed:
        status = 201
    as_fhir = request.accept_mimetypes.best == FHIR_JSON
    body = _outcome(answer) if as_fhir else answer_as_json(answer)
    response = Response(
        json.dumps(body), status=status, content_type=FHIR_JSON if as_fhir else "application/json"
    )
    if answer.retry is Retry.AFTER and answer.retry_after is not None:
        response.headers["Retry-After"] = str(answer.retry_after)
    return response


def answer_as_json(answer: Answer) -> dict[str, Any]:
    """Give the shape `Answer` of the contract."""
    if answer.decision is None:
        # The record entry keeps the verdict and the digest of the receipt, not the findings.
        told = answer.findings
        findings = None if told is None else [finding.as_json() for finding in told]
        decision: dict[str, Any] = {"verdict": answer.verdict, "findings": findings}
    else:
        decision = answer.decision.as_json()
    return {
        "id": answer.id,
        "status": str(answer.status),
        "retry": str(answer.retry),
        "record": str(answer.record),
        "communication": answer.communication,
        "replayed": answer.replayed,
        "message_digest": answer.message_digest,
        "sent": answer.sent,
        "note": answer.note,
        "decision": {**decision, "receipt_digest": answer.receipt_digest},
    }


def _outcome(answer: Answer) -> dict[str, Any]:
    findings = () if answer.decision is None else answer.decision.findings
    issues: list[dict[str, Any]] = [
        {
            "severity": _SEVERITY[finding.effect][0],
            "code": _SEVERITY[finding.effect][1],
            "details": {"coding": [{"system": _FINDING_SYSTEM, "code": finding.code}]},
            "diagnostics": finding.sentence,
        }
        for finding in findings
    ]
    state = {
        "severity": "information",
        "code": "informational",
        "diagnostics": f"{answer.status}; message {answer.id}; digest {answer.message_digest}",
    }
    return {"resourceType": "OperationOutcome", "issue": [*issues, state]}


_SEVERAL = "The record holds several entries for this message; a person has to look at them."


def state_as_json(entries: tuple[Entry, ...], legs: tuple[Entry, ...]) -> dict[str, Any]:
    """Give the shape `MessageState` of the contract; legs: those that followed a failure."""
    entry = entries[0]
    several = len(entries) > 1
    state = State.UNKNOWN if several else state_of(entry)
    again = state is State.NOT_SENT
    return {
        "id": entry.message_id,
        "status": str(state),
        "retry": str(Retry.NOW if again else Retry.NEVER),
        "communication": entry.reference,
        "channel": entry.channel,
        "platform": entry.platform,
        "sent": entry.sent,
        "opened_at": entry.opened_at,
        "note": _SEVERAL if several else None,
        "legs": [
            {
                "id": leg.message_id,
                "status": str(state_of(leg)),
                "communication": leg.reference,
                "channel": leg.channel,
                "platform": leg.platform,
                "sent": leg.sent,
            }
            for leg in legs
        ],
    }


def entry_as_json(entry: Entry) -> dict[str, Any]:
    """Give the shape `RecordEntry` of the contract."""
    return {
        "id": entry.message_id or None,
        "communication": entry.reference,
        "status": str(state_of(entry)),
        "channel": entry.channel,
        "platform": entry.platform,
        "recipient": entry.recipient,
        "sent": entry.sent,
        "opened_at": entry.opened_at,
        "sender": entry.sender,
        "content": {"text": entry.text, "fidelity": entry.fidelity},
    }
