"""Where a message would arrive: the recipient's contact points, and who else is there.

Sources: "Objections relating to serious harm" (a contact detail that is dangerous is not used by
anybody, for anything), "Contact preferences", and FHIR R4 ContactPoint.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirmsg.guidance import contact
from fhirmsg.guidance.consents import Denied, denial_by_name
from fhirmsg.guidance.derived import derived
from fhirmsg.guidance.record import (
    ConsentStatus,
    ContactPoint,
    Neighbour,
    RecipientKind,
)
from fhirmsg.guidance.rule import Effect
from fhirmsg.guidance.terms import Channel, Match

if TYPE_CHECKING:
    from fhirmsg.guidance.case import Case


_NOTHING: frozenset[str] = frozenset()


class Reach:
    """The contact points of a case, worked out once each. Values never leave it in words."""

    def __init__(self, case: Case) -> None:
        """Look at this case."""
        self._case = case

    @derived
    def points(self) -> tuple[ContactPoint, ...]:
        """All contact points of the recipient's own."""
        recipient = self._case.recipient
        if recipient.kind is RecipientKind.PATIENT:
            return self._case.record.patient.contact_points
        if recipient.related is None:
            return ()
        own = recipient.own_patient
        if not recipient.related.contact_points and own is not None:
            return own.contact_points
        return recipient.related.contact_points

    @derived
    def usable(self) -> tuple[ContactPoint, ...]:
        """Those that can carry the channel now, the first to be used first."""
        return contact.usable(self.points, self._case.request.channel, self._case.as_of)

    @property
    def brought(self) -> ContactPoint | None:
        """The contact point that came with the request, if it counts: beside an emergency."""
        case = self._case
        if case.request.contact_point is None or not case.emergency:
            return None
        return case.record.brought or ContactPoint()

    @derived
    def point(self) -> ContactPoint | None:
        """The contact point that is used, None when none may be."""
        brought = self.brought
        if brought is not None:
            channel, now = self._case.request.channel, self._case.as_of
            return contact.select((brought,), channel, now, self.excluded)
        for point in self.usable:
            if point.value not in self.excluded:
                return point
        return None

    @property
    def all_are_excluded(self) -> bool:
        """Whether there are contact points, and each of them is one that must not be used."""
        brought = self.brought
        if brought is not None:
            return brought.value is not None and brought.value in self.excluded
        return bool(self.usable) and self.point is None

    @property
    def may_turn_to_an_excluded_one(self) -> bool:
        """Whether the supplier may turn to another channel, and to an excluded value there.

        Which of several values it would take is not known, so one is enough.
        """
        others = self._case.reachable[1:]
        return bool(others and self.excluded) and any(
            point.value in self.excluded and contact.is_usable(point, channel, self._case.as_of)
            for channel in others
            for point in self.points
        )

    # --- contact points that must not be used ------------------------------------------------

    @derived
    def excluded(self) -> frozenset[str]:
        """Values that belong to a person who is denied this message, or are restricted."""
        digests = self._case.record.digests
        if not digests and not self._case.record.neighbours:
            return _NOTHING
        restricted = self._restricted_digests
        found = {value for value, digest in digests.items() if digest in restricted}
        for neighbour in self._case.record.neighbours:
            if (
                not neighbour.keys & self._case.recipient.closure
                and self._denied(neighbour) is Denied.YES
            ):
                found |= neighbour.values | neighbour.former
        return frozenset(found)

    @property
    def _restricted_digests(self) -> frozenset[str]:
        case = self._case
        found: set[str] = set()
        own = (consent for consent, _ in case.own_kinds) if case.to_proxy else ()
        for consent in (*case.consents_with_linked, *own):
            if consent.restricted_digests and consent.status in (
                ConsentStatus.ACTIVE,
                ConsentStatus.UNKNOWN,
            ):
                period = consent.root.period if consent.root else None
                if period is None or period.contains(case.as_of, denial=True) is not Match.NO:
                    found |= consent.restricted_digests
        return frozenset(found)

    def _denied(self, neighbour: Neighbour) -> Denied | None:
        """Tell whether a Consent that is about this person denies them this message."""
        case, human = self._case, self._same_human(neighbour)
        queries = case.queries(human)
        if case.grants_that_deny(human, queries):
            return Denied.YES
        found = {denial_by_name(consent, queries) for consent in case.consents_with_linked}
        return next((each for each in (Denied.YES, Denied.PERHAPS) if each in found), None)

    @derived
    def perhaps_denied_there(self) -> tuple[Neighbour, ...]:
        """Those at the contact point of whom a Consent may say that they are not to be told."""
        return tuple(each for each in self.others_there if self._denied(each) is Denied.PERHAPS)

    def _same_human(self, neighbour: Neighbour) -> frozenset[str]:
        keys = neighbour.keys
        while True:
            wider = keys.union(*(o.keys for o in self._case.record.neighbours if o.keys & keys))
            if wider == keys:
                return keys
            keys = wider

    # --- who else is there ---------------------------------------------------------------------

    @derived
    def others_there(self) -> tuple[Neighbour, ...]:
        """Other people where the words may arrive; the patient is nobody else.

        A supplier that falls back chooses a contact point of its own there.
        """
        point, case = self.point, self._case
        if point is None or not case.record.neighbours:
            return ()
        values = {point.value} | {
            each.value
            for channel in case.ways.content - {case.request.channel}
            for each in self.points
            if contact.is_usable(each, channel, case.as_of)
        }
        own = case.recipient.closure | case.patient_keys
        # Each once and in one order, in whatever order they were read.
        there = {
            (neighbour.version.reference, neighbour.version.version_id or ""): neighbour
            for neighbour in case.record.neighbours
            if not values.isdisjoint(neighbour.values) and not neighbour.keys & own
        }
        return tuple(there[key] for key in sorted(there))

    @derived
    def unauthorised_there(self) -> tuple[Neighbour, ...]:
        """Those of them who are no authorised proxies for this message."""
        return tuple(each for each in self.others_there if not self._is_authorised(each))

    def _is_authorised(self, neighbour: Neighbour) -> bool:
        case, human = self._case, self._same_human(neighbour)
        if not neighbour.related_to & case.patient_keys:
            return False
        queries = case.queries(human)
        if case.denials_of(queries, case.grants_that_deny(human, queries)):
            # Whoever would not be written to themselves is no authorised proxy here.
            return False
        grant = case.grant_to(neighbour.keys, human)
        return grant is not None and grant.effect(emergency=case.emergency) < Effect.HOLD

    # --- how good it is --------------------------------------------------------------------------

    @property
    def is_on_record(self) -> bool:
        """Whether a contact point that was brought is one that the record holds for use."""
        brought = self.brought
        return brought is not None and any(point.value == brought.value for point in self.usable)

    @property
    def is_a_choice(self) -> bool:
        """Whether another contact point would have been as good."""
        point = self.point
        return (
            point is not None
            and self.brought is None
            and any(contact.is_as_good(point, other) for other in self.usable)
        )

    def is_there(self, channel: Channel) -> bool:
        """Tell whether the recipient has a contact point for a channel that may be used."""
        found = contact.select(self.points, channel, self._case.as_of, self.excluded)
        return found is not None
