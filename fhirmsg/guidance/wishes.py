"""What the recipient wishes and needs: preferred channels, and information in another form.

Source: "Contact preferences"; the Accessible Information Standard for needs, which come before
preferences and count for a carer or proxy as well.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fhirmsg.guidance.derived import derived
from fhirmsg.guidance.record import Need, Preferences
from fhirmsg.guidance.terms import Channel

if TYPE_CHECKING:
    from fhirmsg.guidance.case import Case

_NONE = Preferences()


def _merged(relation: Preferences, own: Preferences) -> Preferences:
    """Give a proxy's preferences: what the relation says, and what their own record adds.

    Of the ways the relation's come first; a prohibition counts wherever it stands.
    """
    ways = relation if relation.channels or relation.other or relation.unknown else own
    return replace(
        ways,
        no_telephone=relation.no_telephone or own.no_telephone,
        times=tuple(dict.fromkeys((*relation.times, *own.times))),
    )


class Wishes:
    """The wishes that bear on a case."""

    def __init__(self, case: Case) -> None:
        """Look at this case."""
        self._case = case
        related, own = case.recipient.related, case.recipient.own_patient
        if not case.to_proxy:
            self.preferences: Preferences = case.record.patient.preferences
            self.needs: tuple[Need, ...] = case.record.patient.needs
        else:
            recorded = (related and related.preferences) or _NONE
            self.preferences = recorded if own is None else _merged(recorded, own.preferences)
            self.needs = (*(related.needs if related else ()), *(own.needs if own else ()))

    @property
    def are_recorded(self) -> bool:
        """Whether there is any preference or need."""
        return bool(self.needs) or self.preferences != _NONE

    @property
    def stated(self) -> bool:
        """Whether a preferred way of contact is recorded at all."""
        preferences = self.preferences
        return bool(preferences.channels or preferences.other or preferences.unknown)

    @derived
    def usable(self) -> tuple[Channel, ...]:
        """Preferred channels that can be used: a contact point, no objection, a platform."""
        case = self._case
        return tuple(
            channel
            for channel in sorted(self.preferences.channels)
            if case.reach.is_there(channel) and self._is_open(channel)
        )

    def _is_open(self, channel: Channel) -> bool:
        """Tell whether a platform is approved for a channel none of whose ways is objected to."""
        case = self._case
        return any(
            not any(
                case.objects_to(each) for each in case.policy.ways_of(platform, channel).channels
            )
            for platform in case.policy.platforms_for(channel, case.day)
        )

    @property
    def unmet(self) -> tuple[Need, ...]:
        """Needs that the channel of the message does not meet."""
        channel = self._case.request.channel
        return tuple(need for need in self.needs if channel not in need.met_by)
