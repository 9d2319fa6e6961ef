"""On what a message went out beside the plain rules, as a FHIR R4 Provenance, label R.

https://hl7.org/fhir/R4/provenance.html. It holds what must not stand on the Communication, where
a proxy could read it: an override, an emergency, and every other piece of evidence with its
reasons and the people who stand for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from fhirmsg.fhir import codes
from fhirmsg.fhir.client import Resource
from fhirmsg.fhir.communication import LABEL_RESTRICTED, instant, person_reference
from fhirmsg.guidance.decision import Decision
from fhirmsg.guidance.readable import as_read, says_something
from fhirmsg.guidance.request import Evidence, SendRequest
from fhirmsg.guidance.rule import Finding, Lift
from fhirmsg.guidance.terms import Person, ResourceVersion

# What each way of lifting a finding is an instance of; an acknowledgement belongs to its emergency.
_ACTIVITY = {
    Lift.OVERRIDE: "override-objection",
    Lift.ACKNOWLEDGEMENT: "emergency-send",
}
_EVIDENCE = "evidence"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ground:
    """One reason and the people who stand for it, each in the part that they took."""

    system: str
    code: str
    text: str
    people: tuple[tuple[str, Person], ...] = ()


def activities(decision: Decision) -> tuple[str, ...]:
    """Give what a decision stands on beside the plain rules; empty for a plain message."""
    found = {_ACTIVITY.get(lift, _EVIDENCE) for lift, _ in _lifted(decision)}
    if decision.emergency:
        found.add("emergency-send")
    return tuple(sorted(found))


def provenance(
    target: str, request: SendRequest, decision: Decision, recorded: datetime
) -> Resource:
    """Give the one Provenance of an entry, with every ground that its decision stands on.

    Raises ValueError for a decision that stands on the plain rules alone.
    """
    stands_on = activities(decision)
    if not stands_on:
        raise ValueError("the decision stands on no evidence")
    grounds = list(_grounds(request, decision))
    people = [("author", request.requester)]
    people += [each for ground in grounds for each in ground.people]
    resource: Resource = {
        "resourceType": "Provenance",
        "meta": {"security": [LABEL_RESTRICTED]},
        "target": [{"reference": target}],
        "recorded": instant(recorded),
        "reason": [
            {
                "coding": [{"system": ground.system, "code": ground.code}],
                "text": ground.text,
            }
            for ground in grounds
        ],
        "activity": {
            "coding": [{"system": codes.ACTIVITY_SYSTEM, "code": each} for each in stands_on]
        },
        "agent": [
            _agent(part, person, request.organization) for part, person in dict.fromkeys(people)
        ],
    }
    sources = _sources(decision)
    if sources:
        resource["entity"] = [{"role": "source", "what": _cited(each)} for each in sources]
    return resource


def _lifted(decision: Decision) -> Iterator[tuple[Lift, Finding]]:
    for finding in decision.findings:
        if finding.lifted is not None:
            yield finding.lifted.by, finding


def _grounds(request: SendRequest, decision: Decision) -> Iterator[_Ground]:
    evidence = request.evidence
    lifts = tuple(_lifted(decision))
    if any(lift is Lift.OVERRIDE for lift, _ in lifts):
        yield _override(evidence)
    if decision.emergency:
        yield _emergency(evidence, decision)
    for lift, finding in lifts:
        if lift not in _ACTIVITY:
            yield _of_evidence(evidence, lift, finding)


def _override(evidence: Evidence) -> _Ground:
    override = evidence.override
    if override is None or override.approver is None:
        raise ValueError("the request has no override")
    talk = override.conversation
    people = [("verifier", override.approver)]
    if talk is not None and talk.by is not None:
        people.append(("informant", talk.by))
    return _Ground(
        system=codes.ACT_REASON_AS_WRITTEN,
        code="BTG",
        text=f"{override.reason} (circumstances: {override.circumstances})",
        people=tuple(people),
    )


def _emergency(evidence: Evidence, decision: Decision) -> _Ground:
    emergency = evidence.emergency
    if emergency is None or emergency.declared_by is None:
        raise ValueError("the request declares no emergency")
    words = [f"{emergency.reason} (to protect: {emergency.protects}"]
    if emergency.declared_at is not None:
        words.append(f", declared at {instant(emergency.declared_at)}")
    words.append(")")
    if says_something(emergency.none_available_reason):
        words.append(f". Nobody could be asked: {emergency.none_available_reason}")
    lowered = dict.fromkeys(finding.code for finding in decision.lowered)
    if lowered:
        words.append(f". Lowered: {', '.join(lowered)}")
    people = [("author", emergency.declared_by)]
    if emergency.consulted is not None:
        people.append(("informant", emergency.consulted))
    people += [
        ("informant", each.confirmed_by)
        for each in evidence.acknowledged
        if each.confirmed_by is not None and each.code in lowered
    ]
    return _Ground(
        system=codes.ACT_REASON_AS_WRITTEN,
        code="ETREAT",
        text="".join(words),
        people=tuple(people),
    )


def _of_evidence(evidence: Evidence, lift: Lift, finding: Finding) -> _Ground:
    """Give who lifted one finding, and what they said."""
    who = finding.lifted.who if finding.lifted is not None else ""
    part, said, person = "informant", None, None
    if lift is Lift.REVIEW:
        part = "verifier"
        for review in evidence.reviews:
            if review.code == finding.code and _is(review.reviewer, who):
                said, person = review.note, review.reviewer
    elif lift is Lift.INDIVIDUAL_CHECK and evidence.individual_check is not None:
        check = evidence.individual_check
        said, person = f"the individual's answer was {check.answer}", check.by
    elif lift is Lift.PRACTICAL_REASON and evidence.practical_reason is not None:
        said, person = evidence.practical_reason.reason, evidence.practical_reason.by
    else:
        asserted = {
            Lift.NECESSITY: evidence.necessity,
            Lift.ACCESSIBLE_ALTERNATIVE: evidence.accessible_alternative,
        }.get(lift)
        if asserted is not None:
            said, person = asserted.reason, asserted.by
    # What stands on the record itself, such as a standing review, came with no request.
    return _Ground(
        system=codes.LIFT_SYSTEM,
        code=str(lift),
        text=f"{finding.code}: {said or 'as it stands on the record'}",
        people=((part, person or Person(identifier=who)),),
    )


def _is(person: Person | None, identifier: str) -> bool:
    return person is not None and as_read(person.identifier) == as_read(identifier)


def _sources(decision: Decision) -> list[ResourceVersion]:
    """Give the versions that were set aside, acknowledged or reviewed, each once."""
    lifted = [finding for _, finding in _lifted(decision)]
    cited = [each for finding in (*lifted, *decision.lowered) for each in finding.evidence]
    return sorted(set(cited), key=lambda each: (each.reference, each.version_id or ""))


def _cited(version: ResourceVersion) -> Resource:
    if not version.version_id:
        return {"reference": version.versioned}
    return {
        "reference": version.versioned,
        # HAPI strips the version off a reference here, so it is said in words too.
        "display": f"{version.reference}, version {version.version_id}",
    }


def _agent(part: str, person: Person, organisation: str) -> Resource:
    return {
        "type": {"coding": [{"system": codes.PROVENANCE_PARTICIPANT, "code": part}]},
        "who": person_reference(person),
        "onBehalfOf": {"identifier": {"system": codes.ODS_CODE_AS_WRITTEN, "value": organisation}},
    }
