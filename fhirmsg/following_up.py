"""What every outcome leaves for people to do, and to be remembered.

An emergency leaves a review; a held message asks those who can let it go; a safety restriction
calls for a talk with the patient; an individual's "no" is kept for whoever asks next. None of
this ever changes what a call is answered: what cannot be written is logged.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator

from fhirmsg.answers import PASSING
from fhirmsg.calls import Call
from fhirmsg.guidance.case import Case
from fhirmsg.guidance.decision import Decision, Verdict
from fhirmsg.guidance.policy import LocalPolicy
from fhirmsg.guidance.readable import same_role
from fhirmsg.guidance.record import RecipientKind
from fhirmsg.guidance.request import Emergency, Evidence
from fhirmsg.guidance.rule import Effect, Finding
from fhirmsg.guidance.terms import Person, Protects, Role
from fhirmsg.ports import CommunicationLog, Declined, Entry, TaskDraft, task_key

audit = logging.getLogger("fhirmsg.audit")

REVIEW = "emergency-review"
HOLD = "hold"
STILL_OPEN = "still-open"
_RETRIED = "The same call came again and told what became of the message."
_UNREMEMBERED = "declined-unrecorded"

_REVIEW_TEXT = (
    "A message goes out in an emergency, to protect {whom}: declared by {who}{at}. Talk over what "
    "the emergency set aside, listed here, and put right what has to be. To be closed, with its "
    "outcome, by one of the roles named and not by the person who declared it."
)
_LOST_REVIEW_TEXT = (
    "A message went out in an emergency, and the process that sent it ended before it could say "
    "what the emergency set aside. Find out from the person who declared it, and talk it over. To "
    "be closed, with its outcome, by somebody else than that person."
)
_NO_EVIDENCE_TEXT = (
    "The message left, and the process that decided on it ended before it could record on what "
    "ground. The call that came after brought evidence, such as an override or an emergency "
    "declaration: write down who stands for it and why."
)
_HOLD_TEXT = (
    "A message is held and was not sent. What holds it is listed here; one of the roles named can "
    "supply what is missing. The sender then sends it again under the same Idempotency-Key."
)
_SAFETY_TEXT = (
    "A message was stopped because a safety restriction covers where it would have gone. Talk "
    "with the patient, in a way that is safe for them, about taking the contact detail off the "
    "record altogether."
)
_SAFETY_BY_PROXY_TEXT = (
    "A message was stopped by a safety restriction that a related person entered and nobody has "
    "confirmed with the patient. It may protect the patient, or cut them off. Find out from the "
    "patient, in a way that is safe for them, and confirm it or have it withdrawn."
)
_UNREMEMBERED_TEXT = (
    "The individual was asked whether this person may hear of a service, and said no. That could "
    "not be put on record. Put it there as a Consent that denies this person this service, so that "
    "the next sender meets it."
)
_NOT_SENT = "Nothing was sent."
_SENT = "The message was sent."

# What a restriction calls for when it stops a message: code of the Task, its text, whom to ask.
_SAFETY = {
    "objection.safety": (
        "safety-contact",
        "safety",
        _SAFETY_TEXT,
        (Role.CALDICOTT_GUARDIAN, Role.SENIOR),
    ),
    "objection.safety-by-proxy": (
        "safety-by-proxy",
        "safety-by-proxy",
        _SAFETY_BY_PROXY_TEXT,
        (Role.CALDICOTT_GUARDIAN,),
    ),
}


def review_of(
    call: Call, decision: Decision, *, patient: str, attempt: str | None, focus: str | None = None
) -> TaskDraft | None:
    """Draft the review of an emergency ("Emergencies"); None when the decision is of none.

    It lists what the emergency lowered. Why it was declared is not on it: that is in the
    Provenance.
    """
    emergency = call.request.evidence.emergency
    if not decision.emergency or emergency is None:
        return None
    declarer = emergency.declared_by or call.request.requester
    return TaskDraft(
        key=task_key(call.message_id, REVIEW),
        code=REVIEW,
        text=_review_text(emergency, declarer),
        patient=patient,
        focus=focus,
        findings=_listed(decision.lowered),
        roles=_reviewers(call.policy, declarer),
        requester=declarer,
        attempt=attempt,
    )


def _review_text(emergency: Emergency, declarer: Person) -> str:
    at = "" if emergency.declared_at is None else f" at {emergency.declared_at.isoformat()}"
    others = emergency.protects is Protects.OTHERS
    return _REVIEW_TEXT.format(
        whom="others" if others else "the patient",
        who=", ".join(filter(None, (declarer.name, declarer.role))) or "somebody not named",
        at=at,
    )


def _reviewers(policy: LocalPolicy, declarer: Person) -> tuple[str, ...]:
    """Give the roles that may close a review, the declarer's own left out where others are."""
    roles = sorted(policy.review)
    others = [role for role in roles if not same_role(declarer.role, (role,))]
    return tuple(others or roles)


def _listed(findings: Iterable[Finding]) -> tuple[tuple[str, str], ...]:
    return tuple((finding.code, finding.sentence) for finding in findings)


def hold_of(call: Call, case: Case, decision: Decision) -> TaskDraft | None:
    """Draft the Task about a held message; None where nobody has to do anything about it.

    Nobody has to where it is refused, or where what holds it passes by itself.
    """
    holding = [finding for finding in decision.findings if finding.effect is Effect.HOLD]
    if decision.verdict is not Verdict.HOLD or not {each.code for each in holding} - PASSING:
        return None
    roles = dict.fromkeys(str(role) for finding in holding for role in finding.ask)
    return TaskDraft(
        key=task_key(call.message_id, HOLD),
        code=HOLD,
        text=_HOLD_TEXT,
        patient=case.record.patient.version.reference,
        findings=_listed(holding),
        roles=tuple(roles),
        requester=call.request.requester,
        urgent=False,
    )


def safety_tasks(case: Case, decision: Decision) -> Iterator[TaskDraft]:
    """Draft a Task for each restriction that stopped a message, one for each Consent.

    It is about the person whose record holds the restriction, who may be the proxy.
    """
    own = case.recipient.own_patient
    proxys = {consent.version.reference for consent in case.recipient.own_consents}
    for finding in decision.findings:
        if finding.effect < Effect.HOLD or finding.code not in _SAFETY:
            continue
        code, prefix, text, roles = _SAFETY[finding.code]
        for version in finding.evidence:
            whose = own if own is not None and version.reference in proxys else case.record.patient
            yield TaskDraft(
                key=f"{prefix}:{version.reference.removeprefix('Consent/')}",
                code=code,
                text=text,
                patient=whose.version.reference,
                focus=version.reference,
                roles=tuple(map(str, roles)),
            )


def declined(call: Call, case: Case, decision: Decision) -> Declined | None:
    """Give the "no" that is to be remembered; None where there is none, or of no one service."""
    check = call.request.evidence.individual_check
    service = call.request.service.code or (check and check.service)
    if (
        check is None
        or not service
        or case.recipient.kind is not RecipientKind.RELATED_PERSON
        or all(finding.code != "sensitive.declined" for finding in decision.findings)
    ):
        return None
    return Declined(
        patient=case.record.patient.version.reference,
        proxy=case.recipient.reference,
        proxy_keys=case.recipient.keys,
        service=service,
        at=check.at or case.as_of,
        by=check.by,
    )


def ask_for_review(log: CommunicationLog, entry: Entry) -> None:
    """Have an emergency reviewed of which it is not known any more what it set aside.

    A review that is there already lists what nobody can know now: it stays as it is.
    """
    if entry.emergency:
        log.ask_a_person(entry, REVIEW, _LOST_REVIEW_TEXT)


def ask_for_evidence(log: CommunicationLog, entry: Entry, *, surely: bool = False) -> None:
    """Ask on what ground a message left, where the decision died with its process.

    surely: it did stand on evidence, whatever the entry says of itself.
    """
    if surely or entry.on_evidence:
        log.ask_a_person(entry, "completed-without-evidence", _NO_EVIDENCE_TEXT)


class FollowUp:
    """Has what an outcome leaves behind written. Thread-safe; never raises."""

    def __init__(self, log: CommunicationLog) -> None:
        """Write through this log."""
        self._log = log

    def not_sent(self, call: Call, case: Case, decision: Decision) -> None:
        """Leave what a held or refused message leaves."""
        self._safely(call, lambda: self._leave_unsent(call, case, decision))

    def _leave_unsent(self, call: Call, case: Case, decision: Decision) -> None:
        hold = hold_of(call, case, decision) if call.policy.hold_tasks else None
        if hold is not None:
            self._log.keep_task(hold)
        for task in safety_tasks(case, decision):
            self._log.keep_task(task)
        self._remember(call, case, decision)

    def _remember(self, call: Call, case: Case, decision: Decision) -> None:
        if all(finding.code != "sensitive.declined" for finding in decision.findings):
            return
        no = declined(call, case, decision)
        if no is not None and self._log.remember(no):
            return
        self._log.keep_task(
            TaskDraft(
                key=task_key(call.message_id, _UNREMEMBERED),
                code=_UNREMEMBERED,
                text=_UNREMEMBERED_TEXT,
                patient=case.record.patient.version.reference,
                focus=case.recipient.reference,
                roles=(str(Role.CALDICOTT_GUARDIAN),),
            )
        )

    def handed_off(self, call: Call, entry: Entry, decision: Decision | None) -> None:
        """See to the review of an emergency message that left or may have.

        `decision` is the one it left on, None when that is not known any more.
        """
        self._safely(call, lambda: self._review(call, entry, decision))

    def _review(self, call: Call, entry: Entry, decision: Decision | None) -> None:
        if decision is None:
            ask_for_review(self._log, entry)
            return
        review = review_of(
            call,
            decision,
            patient=entry.subject or "",
            attempt=entry.attempt,
            focus=entry.reference,
        )
        if review is not None:
            self._log.keep_task(review)

    def sent(self, call: Call) -> None:
        """Complete what was asked for while the message was held.

        Only what brings evidence is looked up: a plain message is not made to wait for it.
        """
        if call.policy.hold_tasks and call.request.evidence != Evidence():
            key = task_key(call.message_id, HOLD)
            self._safely(call, lambda: self._log.close_task(key, done=True, note=_SENT))

    def ended_by_retry(self, call: Call) -> None:
        """Complete what asked for this very call, where a process had left the message open."""
        key = task_key(call.message_id, STILL_OPEN)
        self._safely(call, lambda: self._log.close_task(key, done=True, note=_RETRIED))

    def ended_unsent(self, call: Call, entry: Entry, attempts: Iterable[str | None]) -> None:
        """Cancel the review of an emergency message that was not sent after all.

        `attempts` are those that may have opened it; one that somebody else has is theirs.
        """
        if not entry.emergency and call.request.evidence.emergency is None:
            return
        key = task_key(call.message_id, REVIEW)
        own = frozenset(filter(None, attempts))
        self._safely(
            call, lambda: self._log.close_task(key, done=False, note=_NOT_SENT, attempts=own)
        )

    @staticmethod
    def _safely(call: Call, write: Callable[[], object]) -> None:
        """Write; whatever goes wrong in that, the caller gets an answer."""
        try:
            write()
        except Exception as error:
            audit.error(
                "follow-up not written",
                extra={"message_id": call.message_id, "kind": type(error).__name__},
            )
