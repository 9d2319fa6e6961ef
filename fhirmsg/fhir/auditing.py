"""Each decision told to those who audit, as a FHIR R4 AuditEvent, label R.

https://hl7.org/fhir/R4/auditevent.html, in the shape of IHE BALP's "AuthZ-Consent". It holds
codes, versions of resources and people who act; never a word of a message, a reason, a contact
detail, or the sentence of a finding, which may repeat what somebody wrote on the record.
"""

from __future__ import annotations

import base64
import logging
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, Protocol
from urllib.parse import quote
from uuid import UUID, uuid5

from cachetools import TTLCache

from fhirmsg.clock import now
from fhirmsg.errors import DecisionLogUnavailable, RecordUnavailable
from fhirmsg.fhir import codes
from fhirmsg.fhir.capability import FhirCapability
from fhirmsg.fhir.client import FhirAnswer, FhirClient, Resource
from fhirmsg.fhir.communication import LABEL_RESTRICTED, instant, person_reference
from fhirmsg.fhir.elements import element, elements
from fhirmsg.fhir.resources import InvalidResource, validated
from fhirmsg.guidance.decision import Decision, Verdict
from fhirmsg.guidance.rule import Effect, Lift
from fhirmsg.guidance.terms import PURPOSE_OF_USE, ResourceVersion
from fhirmsg.ports import AuditDraft, Entry

log = logging.getLogger("fhirmsg.record")

RECEIPT = "receipt"
_NAMESPACE = UUID("c1d0c4d8-3e53-5f0a-8b1c-7f1c2c0a9e44")
_LITERAL = re.compile(r"[A-Z][A-Za-z]*/[A-Za-z0-9\-.]{1,64}(/_history/[A-Za-z0-9\-.]{1,64})?")
# Whoever reads an outcome alone has to see what was allowed and did not come off.
_AS_ALLOWED = frozenset({"sent", "checked", "allowed"})
_NOT_TAKEN = frozenset({404, 405, 501})
# The server took exception to what is in it: a Consent that is gone meanwhile, a condition.
_REFUSED = frozenset({400, 409, 422})
_SEVERAL = 412
_REMEMBERED_SECONDS = 600.0
NOT_AUDITED = (
    "The FHIR server takes no AuditEvent and no FHIRMSG_DECISION_LOG is set, so decisions are not "
    "audited: they stand in the service log alone. Name a file in FHIRMSG_DECISION_LOG, or have "
    "the server take AuditEvents."
)

# Gives the `what` of an entity for a literal reference.
_What = Callable[[str], Resource]


class KeepsDecisions(Protocol):
    """Where decisions are kept on this host when the FHIR server takes none."""

    def append(self, entry: Mapping[str, Any]) -> None:
        """Keep one, synced. Raises DecisionLogUnavailable."""
        ...


def decision_id(draft: AuditDraft) -> str:
    """Give the id of what is told: the same when it is told again after a lost answer."""
    told = (draft.message_id, draft.decision.as_of, str(draft.decision.verdict), draft.result)
    return str(uuid5(_NAMESPACE, "\n".join(told)))


def by_decision_id(draft: AuditDraft) -> str:
    """Give the search parameter that finds the AuditEvent of this id.

    R4 has no identifier on an AuditEvent; the name of an entity can be searched everywhere.
    """
    return f"entity-name={decision_id(draft)}"


def audit_event(draft: AuditDraft, *, literal: bool = True) -> Resource:
    """Give the AuditEvent of one decision.

    Without `literal`, resources are named in words and not referred to, for a server that
    refuses a reference to what is no longer there.
    """
    what = _refer if literal else _name
    request, decision = draft.request, draft.decision
    return {
        "resourceType": "AuditEvent",
        "meta": {"security": [LABEL_RESTRICTED]},
        "type": {"system": codes.DCM, "code": "110113"},
        "subtype": [{"system": codes.AUDIT_SUBTYPE, "code": "AuthZ-Consent"}],
        "action": "E",
        "recorded": instant(draft.at),
        "outcome": _outcome(draft),
        "outcomeDesc": _described(draft),
        "purposeOfEvent": [
            {"coding": [{"system": codes.ACT_REASON_AS_WRITTEN, "code": code}]}
            for code in _purposes(draft)
        ],
        "agent": list(_agents(draft)),
        "source": {"site": request.organization, "observer": {"display": "fhirmsg"}},
        "entity": [
            *_people(draft, what),
            *(_consent(each, what) for each in consents_relied_on(decision)),
            _message(draft, what),
            *_correlation(draft),
        ],
    }


def recovery_event(entry: Entry, end: str, at: datetime) -> Resource:
    """Give the AuditEvent of a recovery: it says that the decision is not known any more."""
    outcome = {"completed": "0", "not-done": "0"}.get(end, "4")
    people = [each for each in (entry.subject, entry.recipient) if each]
    named = [*dict.fromkeys(people), *([entry.reference] if entry.on_server else [])]
    literal = [each for each in named if _LITERAL.fullmatch(each)]
    return {
        "resourceType": "AuditEvent",
        "meta": {"security": [LABEL_RESTRICTED]},
        "type": {"system": codes.DCM, "code": "110113"},
        "subtype": [{"system": codes.AUDIT_SUBTYPE, "code": "AuthZ-Consent"}],
        "action": "E",
        "recorded": instant(at),
        "outcome": outcome,
        "outcomeDesc": f"recovered, {end}: the process that decided had ended, and what it decided "
        "on is not known any more",
        "agent": [{"who": {"display": "fhirmsg"}, "requestor": False}],
        "source": {"observer": {"display": "fhirmsg"}},
        "entity": [
            *({"what": _refer(each)} for each in literal),
            {"what": {"identifier": {"system": codes.MESSAGE_ID, "value": entry.message_id}}},
        ],
    }


def consents_relied_on(decision: Decision) -> list[ResourceVersion]:
    """Give every version of a Consent that was read for the decision or cited in it, once."""
    cited = [each for finding in decision.findings for each in finding.evidence]
    found = {
        each.versioned: each
        for each in (*decision.resources, *cited)
        if each.reference.startswith("Consent/")
    }
    return [found[key] for key in sorted(found)]


def _refer(reference: str) -> Resource:
    return {"reference": reference}


def _name(reference: str) -> Resource:
    return {"type": reference.partition("/")[0], "display": reference}


def _outcome(draft: AuditDraft) -> str:
    if draft.decision.verdict is not Verdict.SEND:
        return "8"
    return "0" if draft.result in _AS_ALLOWED else "4"


def _described(draft: AuditDraft) -> str:
    """Give verdict, result, and the codes and versions that made them; notes are left out."""
    found = [
        " ".join([each.code, *map(_version, each.evidence)])
        for each in draft.decision.findings
        if each.effect > Effect.NOTE
    ]
    start = f"{draft.decision.verdict}, {draft.result}"
    return f"{start}: {'; '.join(dict.fromkeys(found))}" if found else start


def _version(version: ResourceVersion) -> str:
    return f"{version.reference} v{version.version_id}" if version.version_id else version.reference


def _purposes(draft: AuditDraft) -> Iterator[str]:
    yield PURPOSE_OF_USE[draft.request.purpose]
    if draft.decision.emergency:
        yield "ETREAT"
    lifts = [each.lifted.by for each in draft.decision.findings if each.lifted is not None]
    if Lift.OVERRIDE in lifts:
        yield "BTG"


def _agents(draft: AuditDraft) -> Iterator[Resource]:
    requester = draft.request.requester
    asking: Resource = {
        "type": {"coding": [{"system": codes.PARTICIPATION_TYPE_AS_WRITTEN, "code": "IRCP"}]},
        "who": person_reference(requester),
        "requestor": True,
    }
    if requester.name:
        asking["name"] = requester.name
    if requester.role:
        asking["role"] = [{"text": requester.role}]
    yield asking
    if draft.client_id:
        yield {
            "type": {"coding": [{"system": codes.DCM, "code": "110153"}]},
            "who": {"display": "API client"},
            "altId": draft.client_id,
            "requestor": False,
        }
    yield {
        "type": {"coding": [{"system": codes.DCM, "code": "110150"}]},
        "who": {"display": "fhirmsg"},
        "requestor": False,
    }


def _people(draft: AuditDraft, what: _What) -> Iterator[Resource]:
    """Give the patient, and the recipient when that is somebody else, as far as they were read."""
    people = {draft.recipient: "16", draft.patient: "1"}
    for reference, role in reversed(people.items()):
        if _LITERAL.fullmatch(reference):
            yield {
                "what": what(reference),
                "type": {"system": codes.AUDIT_ENTITY_TYPE, "code": "1"},
                "role": {"system": codes.OBJECT_ROLE, "code": role},
            }


def _consent(version: ResourceVersion, what: _What) -> Resource:
    return {
        "what": what(version.versioned),
        "type": {"system": "http://hl7.org/fhir/resource-types", "code": "Consent"},
        "role": {"system": codes.OBJECT_ROLE, "code": "4"},
    }


def _message(draft: AuditDraft, what: _What) -> Resource:
    """Give the message with the receipt of the decision, whose SHA-256 stands on its entry."""
    entry = draft.communication
    reference = what(entry) if entry and _LITERAL.fullmatch(entry) else {}
    return {
        "what": {
            **reference,
            "identifier": {"system": codes.MESSAGE_ID, "value": draft.message_id},
        },
        "type": {"system": "http://hl7.org/fhir/resource-types", "code": "Communication"},
        "role": {"system": codes.OBJECT_ROLE, "code": "4"},
        "name": decision_id(draft),
        "detail": [
            {
                "type": RECEIPT,
                "valueBase64Binary": base64.b64encode(draft.decision.receipt()).decode(),
            },
            {"type": "result", "valueString": draft.result},
        ],
    }


def _correlation(draft: AuditDraft) -> Iterator[Resource]:
    if draft.correlation_id:
        yield {
            "what": {"identifier": {"value": draft.correlation_id}},
            "type": {"system": codes.AUDIT_BALP_ENTITY, "code": "XrequestId"},
        }


class FhirAudit:
    """Tells decisions to the FHIR server, or to this host's decision log. Thread-safe.

    A decision told twice does no harm, one that is not told does: in doubt it is told again.
    """

    def __init__(
        self,
        client: FhirClient,
        capability: FhirCapability,
        decision_log: KeepsDecisions | None = None,
    ) -> None:
        """Write to the client's server; without a decision log there is only that."""
        self._client = client
        self._capability = capability
        self._log = decision_log
        self._refused: TTLCache[str, bool] = TTLCache(maxsize=1, ttl=_REMEMBERED_SECONDS)
        self._lock = threading.Lock()

    def resource_for(self, draft: AuditDraft) -> Resource | None:
        """Give the AuditEvent to be written in somebody else's transaction.

        None when the server takes none, or when it cannot be made: then `record` is to be called.
        """
        if not self._server_takes_it():
            return None
        return _made(draft)

    def record(self, draft: AuditDraft) -> bool:
        """Tell one decision; tell whether it is kept anywhere. A failure is logged."""
        if self._worth_trying() and self._written(draft):
            return True
        if self._log is not None:
            try:
                self._log.append(audit_event(draft))
                return True
            except DecisionLogUnavailable as error:
                log.error("decision log unavailable", extra={"reason": str(error)})
        log.error(
            "decision not audited",
            extra={
                "message_id": draft.message_id,
                "verdict": str(draft.decision.verdict),
                "reason": draft.result,
            },
        )
        return False

    def recovery(self, entry: Entry, end: str) -> Resource | None:
        """Give the AuditEvent of an abandoned entry that was ended so."""
        try:
            return validated(recovery_event(entry, end, now()))
        except InvalidResource as error:
            log.error("audit event cannot be written", extra={"reason": str(error)})
            return None

    def record_refused(self, event: Resource) -> bool:
        """Tell an AuditEvent that the server refused as it was; tell whether it is kept anywhere.

        What it refers to may be gone by now, so it is named in words instead.
        """
        plain = {**event, "entity": [_unreferring(each) for each in elements(event.get("entity"))]}
        try:
            if plain != event and self._client.create(plain).good:
                return True
            if self._log is not None:
                self._log.append(plain)
                return True
        except (RecordUnavailable, DecisionLogUnavailable) as error:
            log.warning("audit event not kept", extra={"kind": type(error).__name__})
        log.error("decision not audited", extra={"kind": "AuditEvent"})
        return False

    def why_unaudited(self) -> str | None:
        """Tell in plain words when decisions are told to nobody, None when they are."""
        if self._log is not None or self._server_takes_it():
            return None
        return NOT_AUDITED

    def _server_takes_it(self) -> bool:
        """Tell whether to count on it: what is not told is tried, until it turns out otherwise."""
        with self._lock:
            refused = "AuditEvent" in self._refused
        return not refused and self._capability.told().takes("AuditEvent") is not False

    def _worth_trying(self) -> bool:
        if self._log is not None:
            return self._server_takes_it()
        # With nothing else to go to, a server is tried whatever it says of itself.
        with self._lock:
            return "AuditEvent" not in self._refused

    def _written(self, draft: AuditDraft) -> bool:
        told = self._capability.told()
        condition = None
        if told.creates_conditionally("AuditEvent") and told.searches_by(
            "AuditEvent", "entity-name"
        ):
            condition = by_decision_id(draft)
        for literal, if_none_exist in ((True, condition), (False, None)):
            resource = _made(draft, literal=literal)
            if resource is None:
                return False
            try:
                answer = self._client.create(resource, if_none_exist=if_none_exist)
            except RecordUnavailable:
                return False
            if answer.good or (answer.status == _SEVERAL and if_none_exist is not None):
                return True
            log.warning("audit event not taken", extra={"status": answer.status})
            if _is_not_supported(answer):
                with self._lock:
                    self._refused["AuditEvent"] = True
                return False
            if answer.status not in _REFUSED:
                return False
        return False


def _unreferring(entity: Resource) -> Resource:
    what = element(entity.get("what"))
    reference = what.get("reference")
    return {**entity, "what": _name(reference)} if isinstance(reference, str) else entity


def _made(draft: AuditDraft, *, literal: bool = True) -> Resource | None:
    try:
        return validated(audit_event(draft, literal=literal))
    except InvalidResource as error:
        log.error("audit event cannot be written", extra={"reason": str(error)})
        return None


def _is_not_supported(answer: FhirAnswer) -> bool:
    issues = elements(element(answer.resource).get("issue"))
    return answer.status in _NOT_TAKEN or any(
        each.get("code") == "not-supported" for each in issues
    )


def entity_search(communication: str) -> str:
    """Give the search for what was told about one record entry, newest first."""
    return f"AuditEvent?entity={quote(communication)}&_sort=-date&_count=50"
