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


def _simple(name: str, kind: str, value: str) -> Resource:
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
    extensions = [_simple("payload-fidelity", "valueCode", "exact" if exact else "summary")]
    if exact and content.subject:
        extensions.append(_simple("payload-subject", "valueString", content.subject))
    text = content.body if exact else content.summary or ""
    return {"extension": extensions, "contentString": text}


def opened(draft: EntryDraft) -> Resource:
    """Give the Communication that opens an entry."""
    request = draft.request
    medium, words = codes.MEDIUM[request.channel]
    extensions = [
        attempt_extension(draft.attempt, draft.attempt_at),
        _simple("message-digest", "valueString", draft.message_digest),
        _simple("content-digest", "valueString", draft.content_digest),
        decision_extension(draft.decision),
        _simple("platform", "valueString", request.platform),
    ]
    if draft.contact_tail:
        extensions.append(_simple("contact-point-tail", "valueString", draft.contact_tail))
    if draft.correlation_id:
        extensions.append(_simple("correlation-id", "valueString", draft.correlation_id))
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
    if draft.proxy_consent:
        communication["note"] = [{"text": f"Sent to a proxy under {draft.proxy_consent}."}]
    _with_reasons(communication, draft.decision, request)
    if draft.label_restricted:
        communication["meta"] = {"security": [LABEL_RESTRICTED]}
    return communication


def _with_extension(resource: Resource, extension: Resource) -> None:
    kept = [each for each in resource.get("extension", []) if each.get("url") != extension["url"]]
    resource["extension"] = [*kept, extension]


def _copy(resource: Resource) -> Resource:
    """Copy a Communication for an update; of its meta only labels and tags are ours to send."""
    meta: dict[str, Any] = resource.get("meta") or {}
    kept = {name: meta[name] for name in ("security", "tag") if meta.get(name)}
    copy = {name: value for name, value in resource.items() if name not in ("meta", "text")}
    return {**copy, "meta": kept} if kept else copy


def reclaimed(resource: Resource, attempt: str, at: datetime) -> Resource:
    """Give the entry under a new attempt, all else as it was."""
    copy = _copy(resource)
    _with_extension(copy, attempt_extension(attempt, at))
    return copy


def settled(
    resource: Resource,
    status: EntryStatus,
    *,
    sent: datetime | None = None,
    provider_id: str | None = None,
    decision: Decision | None = None,
    grounds: SendRequest | None = None,
    attempt: Resource | None = None,
) -> Resource:
    """Give the entry with what became of the hand-off.

    `decision` is the one it was handed off on, `grounds` the request whose evidence that stands
    on. An entry that ends `not-done` loses its text and says no reason: who may read the record
    must not learn from it why nothing was sent.
    """
    copy = _copy(resource)
    copy["status"] = str(status)
    copy.pop("statusReason", None)
    if attempt is not None:
        _with_extension(copy, attempt)
    if status is EntryStatus.NOT_DONE:
        for name in ("payload", "note", "sent", "reasonCode"):
            copy.pop(name, None)
        labels = [*copy.get("meta", {}).get("security", [])]
        if not any(_is_restricted(label) for label in labels):
            labels.append(LABEL_RESTRICTED)
        copy["meta"] = {**copy.get("meta", {}), "security": labels}
        if decision is not None:
            _with_extension(copy, decision_extension(decision))
        return copy
    if sent is not None:
        copy["sent"] = instant(sent)
        accepted = _delivery("accepted", sent)
        if accepted not in copy.get("extension", []):
            copy["extension"] = [*copy.get("extension", []), accepted]
    if provider_id:
        _with_extension(copy, _simple("provider-id", "valueString", provider_id))
    if decision is not None:
        _with_extension(copy, decision_extension(decision))
    if decision is not None and grounds is not None:
        _with_reasons(copy, decision, grounds)
    return copy


def _is_restricted(label: Resource) -> bool:
    system = normal_system(label.get("system"))
    return system == codes.CONFIDENTIALITY and label.get("code") == LABEL_RESTRICTED["code"]


def _delivery(state: str, at: datetime) -> Resource:
    return {
        "url": codes.own_extension("delivery"),
        "extension": [
            {"url": "state", "valueCode": state},
            {"url": "time", "valueDateTime": instant(at)},
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


def _reasons(decision: Decision, request: SendRequest) -> list[Resource]:
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


def _with_reasons(resource: Resource, decision: Decision, request: SendRequest) -> None:
    """Have the reasons be those of this decision; what others wrote there stays."""
    others = [
        each
        for each in resource.get("reasonCode", [])
        if not any(
            coding.get("system") == codes.MESSAGE_REASON_SYSTEM
            for coding in elements(element(each).get("coding"))
        )
    ]
    reasons = [*others, *_reasons(decision, request)]
    if reasons:
        resource["reasonCode"] = reasons
    else:
        resource.pop("reasonCode", None)
