"""Reviews and acknowledgements: whether somebody who may has looked at this very thing.

A review is bound to the message and to every version that the finding rests on. A standing review
is written on a grant itself and holds for more than one message, until the Consent changes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING

from fhirmsg.guidance.declarations import CLOCK_TOLERANCE, is_named, is_named_by
from fhirmsg.guidance.flaws import review_due
from fhirmsg.guidance.readable import says_something
from fhirmsg.guidance.record import ConsentFacts
from fhirmsg.guidance.request import Acknowledgement, Review
from fhirmsg.guidance.terms import ResourceVersion

if TYPE_CHECKING:
    from fhirmsg.guidance.case import Case

_CODE = re.compile(r"[a-z]+(?:-[a-z]+)*\.[a-z]+(?:-[a-z]+)*")

# Findings about a grant that a review on the Consent itself can lift for more than one message.
STANDING = frozenset(
    {"proxy.scope", "proxy.other-organisation", "proxy.age-review", "proxy.unlisted-basis"}
)


def is_code(text: str | None) -> bool:
    """Tell whether a text has the form of a finding's code."""
    return text is not None and _CODE.fullmatch(text) is not None


def faults_of_review(case: Case, review: Review) -> tuple[str, ...]:
    """Say what keeps a review from lifting the finding it names; empty when nothing does.

    Whether the versions that it cites are those the finding rests on is seen at the finding.
    """
    return tuple(_faults_of_review(case, review))


def _faults_of_review(case: Case, review: Review) -> Iterator[str]:
    if not is_code(review.code):
        yield "it does not say which finding it is about"
    if not is_named(review.reviewer):
        yield "it does not name a reviewer with identifier, name and role"
    elif _is_recipient(case, review):
        yield "the reviewer is the person who would receive the message"
    elif not case.policy.may_review(_role(review), review.code or ""):
        yield "the reviewer's role may not review this finding under the organisation's policy"
    if not says_something(review.note):
        yield "it holds no note of what was considered"
    if review.at is None:
        yield "it does not say when it was made"
    elif review.at > case.as_of + CLOCK_TOLERANCE:
        yield f"it is dated in the future (our time is {case.as_of.isoformat()})"
    if review.message_id != case.message_id:
        yield "it was made for another message id"
    if review.message_digest != case.message_digest:
        yield "it was made for a message with other content"


def _role(review: Review) -> str | None:
    return review.reviewer.role if review.reviewer is not None else None


def _is_recipient(case: Case, review: Review) -> bool:
    given = review.reviewer.identifier if review.reviewer is not None else None
    return case.to_proxy and is_named_by(given, case.recipient.closure)


def cites(review: Review, versions: tuple[ResourceVersion, ...]) -> bool:
    """Tell whether a review cites every version that a finding rests on, as it is now.

    Where the server gives no version nothing can be bound to it.
    """
    cited = {(each.reference, each.version_id) for each in review.resources}
    return all(
        says_something(each.version_id) and (each.reference, each.version_id) in cited
        for each in versions
    )


def reviewer_of(case: Case, code: str, evidence: tuple[ResourceVersion, ...]) -> str | None:
    """Give who reviewed a finding that rests on this evidence, None when nobody did who may."""
    for review in case.request.evidence.reviews:
        if review.code == code and not faults_of_review(case, review) and cites(review, evidence):
            return (review.reviewer and review.reviewer.identifier) or ""
    if code in STANDING:
        for consent in case.consents:
            if consent.standing_reviews and consent.version in evidence:
                return _standing_reviewer(case, code, consent)
    return None


def _standing_reviewer(case: Case, code: str, consent: ConsentFacts) -> str | None:
    for review in consent.standing_reviews:
        if (
            review.code == code
            and not review.void
            and review.at is not None
            and review.at <= case.day
            and (review.until is None or case.day <= review.until)
            and not _is_before_a_milestone(case, code, review.at)
            and says_something(review.by)
            and case.policy.may_review(review.role, code)
        ):
            return review.by
    return None


def _is_before_a_milestone(case: Case, code: str, at: date) -> bool:
    """Tell whether a child has passed an age for review since a review of parental access."""
    if code != "proxy.age-review":
        return False
    due = review_due(case.policy.parental_review_ages, case.record.patient.born, case.day)
    return due is not None and at < due


def is_acknowledged(case: Case, code: str, evidence: tuple[ResourceVersion, ...]) -> bool:
    """Tell whether the declarer of an emergency has seen this very finding."""
    return case.emergency and any(
        each.code == code and was_seen(each, evidence)
        for each in case.request.evidence.acknowledged
    )


def was_seen(given: Acknowledgement, evidence: tuple[ResourceVersion, ...]) -> bool:
    """Tell whether an acknowledgement is of a finding that rests on this evidence."""
    code = given.code or ""
    if code == "person.restricted" and not is_named(given.confirmed_by):
        return False
    if code.startswith("objection.") or given.reference or given.version_id:
        # What was seen has to be named; the same objection changed since was not seen.
        return says_something(given.version_id) and any(
            (each.reference, each.version_id) == (given.reference, given.version_id)
            for each in evidence
        )
    return True
