"""The record entry as a FHIR R4 Communication (https://hl7.org/fhir/R4/communication.html).

It is opened `in-progress` before anything leaves and says afterwards what became of it. What a
proxy who reads the record must not learn (an objection, an override, why something was not sent)
never stands on it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from fhirmsg.fhir import codes
from fhirmsg.fhir.client import Resource
from fhirmsg.fhir.elements import element, elements
from fhirmsg.guidance.coding import normal_system
from fhirmsg.guidance.decision import Decision
from fhirmsg.guidance.readable import says_something
from fhirmsg.guidance.request import SendRequest
from fhirmsg.guidance.rule import Lift
from fhirmsg.guidance.terms import Occasion, Person, Purpose
from fhirmsg.ports import EntryDraft, EntryStatus

LABEL_RESTRICTED = {"system": codes.CONFIDENTIALITY_AS_WRITTEN, "code": "R"}


def instant(moment: datetime) -> str:
    """Write an instant in UTC with milliseconds, as FHIR wants it."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def simple_extension(name: str, kind: str, value: str) -> Resource:
    return {"url": codes.own_extension(name), kind: value}


def attempt_extension(attempt: str, at: datetime) -> Resource:
    """Say who is handing off, and since when."""
    return {
        "url": codes.own_extension("attempt"),
        "extension": [
            {"url": "id", "valueString": attempt},
            {"url": "at", "valueDateTime": instant(at)},
        ],
    }


def stands_on_evidence(decision: Decision) -> bool:
    """Tell whether anything was lifted, or judged as in an emergency."""
    return decision.emergency or any(each.lifted is not None for each in decision.findings)


def decision_extension(decision: Decision) -> Resource:
    """Say what was decided, by digest: the findings themselves are not for every reader."""
    return {
        "url": codes.own_extension("decision"),
        "extension": [
            {"url": "verdict", "valueCode": str(decision.verdict)},
            {"url": "receipt", "valueString": decision.receipt_digest()},
            {"url": "rules", "valueString": decision.rules},
            {"url": "policy", "valueString": decision.policy_sha256},
            # That it stood on evidence, and never on which: whoever takes the entry over has to
            # know that something is to be recorded.
            {"url": "evidence", "valueBoolean": stands_on_evidence(decision)},
        ],
    }


def _category(request: SendRequest) -> str:
    reminding = request.occasion is Occasion.REMINDER
    return "reminder" if reminding or request.purpose is Purpose.APPOINTMENT else "notification"


def _payload(draft: EntryDraft) -> Resource:
    content = draft.request.content
    exact = draft.copy_body and not draft.request.summary_only
    extensions = [
        simple_extension("payload-fidelity", "valueCode", "exact" if exact else "summary")
    ]
    if exact and content.subject:
        extensions.append(simple_extension("payload-subject", "valueString", content.subject))
    text = content.body if exact else content.summary or ""
    return {"extension": extensions, "contentString": text}


def opened(draft: EntryDraft) -> Resource:
    """Give the Communication that opens an entry."""
    request = draft.request
    medium, words = codes.MEDIUM[request.channel]
    extensions = [
        attempt_extension(draft.attempt, draft.attempt_at),
        simple_extension("message-digest", "valueString", draft.message_digest),
        simple_extension("content-digest", "valueString", draft.content_digest),
        decision_extension(draft.decision),
        simple_extension("platform", "valueString", request.platform),
    ]
    if draft.contact_tail:
        extensions.append(simple_extension("contact-point-tail", "valueString", draft.contact_tail))
    if draft.correlation_id:
        extensions.append(simple_extension("correlation-id", "valueString", draft.correlation_id))
    communication: Resource = {
        "resourceType": "Communication",
        "extension": extensions,
        "identifier": [{"system": codes.MESSAGE_ID, "value": draft.message_id}],
        "status": str(EntryStatus.IN_PROGRESS),
        "category": [
            {"coding": [{"system": codes.COMMUNICATION_CATEGORY, "code": _category(request)}]}
        ],
        "priority": "routine",
        "medium": [
            {
                "coding": [
                    {"system": codes.PARTICIPATION_MODE_AS_WRITTEN, "code": medium},
                    {"system": codes.CHANNEL_SYSTEM, "code": str(request.channel)},
                ],
                "text": words,
            }
        ],
        "subject": {"reference": draft.patient},
        "recipient": [{"reference": draft.recipient}],
        "sender": {
            "identifier": {"system": codes.ODS_CODE_AS_WRITTEN, "value": request.organization}
        },
        "payload": [_payload(draft)],
    }
    if request.about:
        communication["about"] = [{"reference": reference} for reference in request.about]
    if draft.fallback:
        extensions.append(simple_extension("fallback-request", "valueString", draft.fallback))
    if draft.part_of:
        communication["partOf"] = [{"reference": draft.part_of}]
    if draft.proxy_consent:
        communication["note"] = [{"text": f"Sent to a proxy under {draft.proxy_consent}."}]
    put_reasons(communication, reasons_of(draft.decision, request))
    if draft.label_restricted:
        communication["meta"] = {"security": [LABEL_RESTRICTED]}
    return communication


def put_extension(resource: Resource, extension: Resource) -> None:
    kept = [each for each in resource.get("extension", []) if each.get("url") != extension["url"]]
    resource["extension"] = [*kept, extension]


def copy_for_update(resource: Resource) -> Resource:
    """Copy a Communication for an update; of its meta only labels and tags are ours to send."""
    meta: dict[str, Any] = resource.get("meta") or {}
    kept = {name: meta[name] for name in ("security", "tag") if meta.get(name)}
    copy = {name: value for name, value in resource.items() if name not in ("meta", "text")}
    return {**copy, "meta": kept} if kept else copy


def reclaimed(resource: Resource, attempt: str, at: datetime) -> Resource:
    """Give the entry under a new attempt, all else as it was."""
    copy = copy_for_update(resource)
    put_extension(copy, attempt_extension(attempt, at))
    return copy


def is_restricted(label: Resource) -> bool:
    system = normal_system(label.get("system"))
    return system == codes.CONFIDENTIALITY and label.get("code") == LABEL_RESTRICTED["code"]


def delivery_extension(state: str, at: str) -> Resource:
    """Say what a provider told, and when; `at` is an instant as FHIR writes it."""
    return {
        "url": codes.own_extension("delivery"),
        "extension": [
            {"url": "state", "valueCode": state},
            {"url": "time", "valueDateTime": at},
        ],
    }


def person_reference(person: Person) -> Resource:
    """Name a member of staff, by identifier where there is one, and in words."""
    reference: Resource = {
        "display": ", ".join(filter(None, (person.name, person.role))) or "not named"
    }
    if says_something(person.identifier):
        reference["identifier"] = {"value": person.identifier}
    return reference


def reasons_of(decision: Decision, request: SendRequest) -> list[Resource]:
    """Give why it is sent, as far as everybody who reads the record may know it.

    That it is an emergency, never which; and why a preference is not followed. Never an
    objection, an override, a safety or a sensitivity reason.
    """
    found = []
    if decision.emergency:
        found.append(_reason("emergency", "Sent in an emergency"))
    practical = request.evidence.practical_reason
    if practical is not None and any(
        finding.lifted is not None and finding.lifted.by is Lift.PRACTICAL_REASON
        for finding in decision.findings
    ):
        found.append(_reason("preference-not-followed", practical.reason or ""))
    return found


def _reason(code: str, text: str) -> Resource:
    concept: Resource = {"coding": [{"system": codes.MESSAGE_REASON_SYSTEM, "code": code}]}
    return {**concept, "text": text} if says_something(text) else concept


def put_reasons(resource: Resource, own: list[Resource]) -> None:
    """Have the reasons be those of this decision; what others wrote there stays."""
    others = [
        each
        for each in resource.get("reasonCode", [])
        if not any(
            coding.get("system") == codes.MESSAGE_REASON_SYSTEM
            for coding in elements(element(each).get("coding"))
        )
    ]
    reasons = [*others, *own]
    if reasons:
        resource["reasonCode"] = reasons
    else:
        resource.pop("reasonCode", None)
