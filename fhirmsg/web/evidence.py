"""Evidence as it stands in a body, read for its types alone.

What is missing in it stays missing: whether it is complete, in time and bound to this message is
decided with the message, and told as a finding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from fhirmsg.guidance.coding import service_code
from fhirmsg.guidance.request import (
    Acknowledgement,
    Asserted,
    CitedVersion,
    Conversation,
    Emergency,
    Evidence,
    IndividualCheck,
    Override,
    PracticalReason,
    Review,
)
from fhirmsg.guidance.terms import Declared, Person, Protects
from fhirmsg.web.references import References

T = TypeVar("T")
Body = Mapping[str, Any]
Complain = Callable[[str, str], None]


def time_in(written: str | None, pointer: str, complain: Complain) -> datetime | None:
    """Give a time with its zone; one that is none is complained about at its pointer."""
    if written is None:
        return None
    try:
        moment = datetime.fromisoformat(written)
        if moment.tzinfo is not None:
            # The ends of the calendar have no place in another zone.
            moment.astimezone(UTC)
            return moment
    except (ValueError, OverflowError):
        pass
    complain(pointer, "is not a date and time with a zone, as in RFC 3339")
    return None


class EvidenceReading:
    """Reads the evidence of one body of the right shape."""

    def __init__(self, references: References, complain: Complain) -> None:
        """Reduce references by these; `complain` takes a pointer and what is wrong there."""
        self._references, self._complain = references, complain

    def evidence(self, given: Body | None) -> Evidence:
        """Give the evidence. A part that is there and says nothing is a part all the same."""
        given = given or {}
        return Evidence(
            override=self._part(given, "override", self._override),
            emergency=self._part(given, "emergency", self._emergency),
            acknowledged=tuple(map(self._acknowledgement, given.get("acknowledged") or ())),
            individual_check=self._part(given, "individual_check", self._individual_check),
            reviews=tuple(
                self._review(each, f"/evidence/reviews/{place}")
                for place, each in enumerate(given.get("reviews") or ())
            ),
            necessity=self._part(given, "necessity", _necessity),
            practical_reason=self._part(given, "practical_reason", _practical_reason),
            accessible_alternative=self._part(given, "accessible_alternative", _alternative),
        )

    @staticmethod
    def _part(given: Body, name: str, read: Callable[[Body, str], T]) -> T | None:
        value = given.get(name)
        return None if value is None else read(value, f"/evidence/{name}")

    def _time(self, given: Body, name: str, at: str) -> datetime | None:
        return time_in(given.get(name), f"{at}/{name}", self._complain)

    def _cited(self, given: list[Body] | None) -> tuple[CitedVersion, ...]:
        return tuple(
            self._references.cited(each.get("reference"), each.get("versionId"))
            for each in given or ()
        )

    def _override(self, given: Body, at: str) -> Override:
        talk = given.get("conversation")
        return Override(
            message_id=given.get("message_id"),
            message_digest=given.get("message_digest"),
            objections=self._cited(given.get("objections")),
            reason=given.get("reason"),
            circumstances=given.get("circumstances"),
            approver=_person(given.get("approver")),
            approved_at=self._time(given, "approved_at", at),
            expires_at=self._time(given, "expires_at", at),
            conversation=None
            if talk is None
            else Conversation(
                by=_person(talk.get("by")), at=self._time(talk, "at", f"{at}/conversation")
            ),
        )

    def _emergency(self, given: Body, at: str) -> Emergency:
        protects = given.get("protects")
        return Emergency(
            declared_by=_person(given.get("declared_by")),
            declared_at=self._time(given, "declared_at", at),
            reason=given.get("reason"),
            protects=None if protects is None else Protects(protects),
            consulted=_person(given.get("consulted")),
            none_available_reason=given.get("none_available_reason"),
        )

    def _acknowledgement(self, given: Body) -> Acknowledgement:
        cited = self._references.cited(given.get("reference"), given.get("versionId"))
        return Acknowledgement(
            code=given.get("code"),
            reference=cited.reference,
            version_id=cited.version_id,
            confirmed_by=_person(given.get("confirmed_by")),
        )

    def _individual_check(self, given: Body, at: str) -> IndividualCheck:
        service, answer = given.get("service"), given.get("answer")
        return IndividualCheck(
            proxy=self._references.named(given.get("proxy")),
            service=None if service is None else service_code(service),
            answer=None if answer is None else Declared(answer),
            by=_person(given.get("by")),
            at=self._time(given, "at", at),
        )

    def _review(self, given: Body, at: str) -> Review:
        return Review(
            code=given.get("code"),
            reviewer=_person(given.get("reviewer")),
            note=given.get("note"),
            at=self._time(given, "at", at),
            message_id=given.get("message_id"),
            message_digest=given.get("message_digest"),
            resources=self._cited(given.get("resources")),
        )


def _person(given: Body | None) -> Person | None:
    if given is None:
        return None
    return Person(
        identifier=given.get("identifier"), name=given.get("name"), role=given.get("role")
    )


def _necessity(given: Body, _: str) -> Asserted:
    return Asserted(reason=given.get("reason"), by=_person(given.get("by")))


def _alternative(given: Body, _: str) -> Asserted:
    return Asserted(reason=given.get("description"), by=_person(given.get("by")))


def _practical_reason(given: Body, _: str) -> PracticalReason:
    return PracticalReason(
        important_for_care=given.get("important_for_care"),
        only_practical_way=given.get("only_practical_way"),
        reason=given.get("reason"),
        by=_person(given.get("by")),
    )
