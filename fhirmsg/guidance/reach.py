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
    ConsentFacts,
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
_MAY_BE_IN_FORCE = frozenset({ConsentStatus.ACTIVE, ConsentStatus.UNKNOWN})


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
                found |= neighbour.values
        return frozenset(found)

    @property
    def _restricted_digests(self) -> frozenset[str]:
        found: set[str] = set()
        for consent in self._restrictions:
            if not consent.performer_related or consent.confirmed_with_patient:
                found |= consent.restricted_digests
        return frozenset(found)

    @property
    def _restrictions(self) -> tuple[ConsentFacts, ...]:
        """Consents that rule out contact points, and may be in force now."""
        case = self._case
        own = (consent for consent, _ in case.own_kinds) if case.to_proxy else ()
        found = []
        for consent in (*case.consents_with_linked, *own):
            if consent.restricted_digests and consent.status in _MAY_BE_IN_FORCE:
                period = consent.root.period if consent.root else None
                if period is None or period.contains(case.as_of, denial=True) is not Match.NO:
                    found.append(consent)
        return tuple(found)

    @derived
    def unconfirmed_restrictions(self) -> tuple[ConsentFacts, ...]:
        """Restrictions of the very value used that a related person entered, not confirmed yet.

        They hold a message and rule nothing out: they may protect the patient or cut them off.
        """
        point, digests = self.point, self._case.record.digests
        if point is None or not digests:
            return ()
        digest = digests.get(point.value or "")
        return tuple(
            consent
            for consent in self._restrictions
            if digest in consent.restricted_digests
            and consent.performer_related
            and not consent.confirmed_with_patient
        )

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
        """Those at the contact point of whom a Consent may say that they are not to be told.

        Somebody who is denied for certain is among them where the value was theirs before.
        """
        point = self.point
        former = [
            each
            for each in self._case.record.neighbours
            if point is not None and point.value in each.former and self._denied(each)
        ]
        there = [each for each in self.others_there if self._denied(each) is Denied.PERHAPS]
        return tuple(dict.fromkeys((*there, *former)))

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
        """Tell whether this human, under any of their names, is an authorised proxy here."""
        case, human = self._case, self._same_human(neighbour)
        queries = case.queries(human)
        if case.denials_of(queries, case.grants_that_deny(human, queries)):
            # Whoever would not be written to themselves is no authorised proxy here.
            return False
        for name in case.record.neighbours:
            if name.keys & human and name.in_use and name.related_to & case.patient_keys:
                grant = case.grant_to(name.keys, human)
                if grant is not None and grant.effect(emergency=case.emergency) < Effect.HOLD:
                    return True
        return False

    # --- how good it is --------------------------------------------------------------------------

    @derived
    def is_the_patients_own(self) -> bool:
        """Whether the value that is used is one of the patient's, though it goes to a proxy."""
        point = self.point
        return (
            point is not None
            and self._case.to_proxy
            and any(own.value == point.value for own in self._case.record.patient.contact_points)
        )

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
            and any(
                contact.is_as_good(point, other)
                for other in self.usable
                if other.value not in self.excluded
            )
        )

    def is_there(self, channel: Channel) -> bool:
        """Tell whether the recipient has a contact point for a channel that may be used."""
        found = contact.select(self.points, channel, self._case.as_of, self.excluded)
        return found is not None
