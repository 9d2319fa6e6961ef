"""What brings a finding down to a warning: one function for each kind of evidence.

Evidence is looked at for completeness and binding, never for merit. Everything is bound: to the
message by its id and digest, to what was seen by the versions cited, to a person by name and role.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from fhirmsg.guidance.case import Case
from fhirmsg.guidance.evidence import (
    faults_of_assertion,
    faults_of_check,
    faults_of_practical_reason,
    override_faults,
)
from fhirmsg.guidance.request import Asserted
from fhirmsg.guidance.reviews import faults_of_review, is_acknowledged, reviewer_of
from fhirmsg.guidance.rule import Breach, Card, Effect, Finding, Lift, Lifted
from fhirmsg.guidance.terms import Declared, Person


def lifted(case: Case, card: Card, breach: Breach) -> Lifted | None:
    """Give what lifts a breach and who stands for it, None when nothing does."""
    for lift in card.lifted_by:
        who = _LIFTS[lift](case, card, breach)
        if who is not None:
            return Lifted(by=lift, who=who)
    return None


def _who(person: Person | None) -> str:
    return (person and person.identifier) or ""


def _override(case: Case, card: Card, breach: Breach) -> str | None:
    override = case.request.evidence.override
    if override is None or override_faults(case):
        return None
    return _who(override.approver)


def _review(case: Case, card: Card, breach: Breach) -> str | None:
    return reviewer_of(case, card.code, breach.evidence)


def _individual_check(case: Case, card: Card, breach: Breach) -> str | None:
    check = case.request.evidence.individual_check
    if check is None or check.answer is not Declared.YES or faults_of_check(case, check):
        return None
    return _who(check.by)


def _necessity(case: Case, card: Card, breach: Breach) -> str | None:
    return _asserted(case.request.evidence.necessity)


def _practical_reason(case: Case, card: Card, breach: Breach) -> str | None:
    reason = case.request.evidence.practical_reason
    if reason is None or faults_of_practical_reason(reason):
        return None
    return _who(reason.by)


def _accessible_alternative(case: Case, card: Card, breach: Breach) -> str | None:
    return _asserted(case.request.evidence.accessible_alternative)


def _asserted(assertion: Asserted | None) -> str | None:
    if assertion is None or faults_of_assertion(assertion):
        return None
    return _who(assertion.by)


def _acknowledgement(case: Case, card: Card, breach: Breach) -> str | None:
    seen = is_acknowledged(case, card.code, breach.evidence)
    return _who(case.request.requester) if seen else None


def of_no_use(case: Case, findings: Iterable[Finding]) -> Iterator[str]:
    """Say which complete reviews and acknowledgements have nothing to lift, or another version."""
    evidence = case.request.evidence
    raised: dict[str, Finding] = {}
    for finding in findings:
        if finding.normally > Effect.WARN and (finding.code not in raised or not finding.lifted):
            raised[finding.code] = finding
    for review in evidence.reviews:
        if not faults_of_review(case, review):
            yield from _of_no_use("review", review.code, Lift.REVIEW, raised)
    for seen in evidence.acknowledged if case.emergency else ():
        yield from _of_no_use("acknowledgement", seen.code, Lift.ACKNOWLEDGEMENT, raised)


def _of_no_use(
    what: str, code: str | None, lift: Lift, raised: Mapping[str, Finding]
) -> Iterator[str]:
    finding = raised.get(code or "")
    if finding is None:
        yield f"The {what} is of no use: it names no finding of this message that stops it."
    elif lift not in finding.lifted_by:
        yield f"The {what} of {finding.code} is of no use: it does not lift that."
    elif finding.lifted is None and finding.effect > Effect.WARN:
        yield (
            f"The {what} of {finding.code} is of no use: what it says, or the versions it names, "
            "are not what the finding asks for now."
        )


_LIFTS: dict[Lift, Callable[[Case, Card, Breach], str | None]] = {
    Lift.OVERRIDE: _override,
    Lift.REVIEW: _review,
    Lift.INDIVIDUAL_CHECK: _individual_check,
    Lift.NECESSITY: _necessity,
    Lift.PRACTICAL_REASON: _practical_reason,
    Lift.ACCESSIBLE_ALTERNATIVE: _accessible_alternative,
    Lift.ACKNOWLEDGEMENT: _acknowledgement,
}
