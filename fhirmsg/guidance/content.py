"""What the words of a message give away, and whether the way it goes is a secure one.

Source: "Minimising confidential information in messages". Declared is never enough by itself,
and neither is a checker that found nothing: the stricter of the two counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirmsg.guidance.derived import derived
from fhirmsg.guidance.policy import LocalPolicy, Platform
from fhirmsg.guidance.request import SendRequest
from fhirmsg.guidance.terms import Channel, Declared
from fhirmsg.guidance.wording import (
    KnownIdentifiers,
    MessageText,
    Observation,
    Place,
    Topic,
    WordingSettings,
    inspect,
    safer_wording,
)

if TYPE_CHECKING:
    from fhirmsg.guidance.case import Case


def settings_of(policy: LocalPolicy, platform: Platform) -> WordingSettings:
    """Give what the organisation settled about its messages."""
    return WordingSettings(
        organisation_names=(policy.name, *platform.sender_names),
        link_hosts=policy.link_hosts,
    )


def look_through(
    request: SendRequest, known: KnownIdentifiers, policy: LocalPolicy
) -> tuple[Observation, ...]:
    """Give everything the checker sees in the words of a message about somebody."""
    text = MessageText(
        body=request.content.body, subject=request.content.subject, channel=request.channel
    )
    settings = settings_of(policy, policy.platforms[request.platform])
    return inspect(text, known, policy.lexicon, settings)


class ContentSeen:
    """The content of a case, looked through once."""

    def __init__(self, case: Case) -> None:
        """Look at this case."""
        self._case = case

    @derived
    def settings(self) -> WordingSettings:
        """What the organisation settled about its messages."""
        return settings_of(self._case.policy, self._case.platform)

    @derived
    def observations(self) -> tuple[Observation, ...]:
        """Everything the checker saw."""
        record = self._case.record
        if record.observations is not None:
            return record.observations
        return look_through(self._case.request, record.patient.known, self._case.policy)

    def about(self, *topics: Topic) -> tuple[Observation, ...]:
        """Give what was seen on these parts of the guidance."""
        return tuple(each for each in self.observations if each.topic in topics)

    @derived
    def confidential(self) -> tuple[Observation, ...]:
        """What looks confidential, wherever it stands."""
        return self.about(Topic.CONFIDENTIAL) if self.observations else ()

    @property
    def may_be_confidential(self) -> bool:
        """Whether the sender or the checker leaves any doubt that the content is plain."""
        return self._case.request.confidential is not Declared.NO or bool(self.confidential)

    @property
    def goes_securely(self) -> bool:
        """Whether every way the content can take asks the reader to log in, and is approved."""
        return self._case.ways.secure

    @property
    def shows_on_locked_screen(self) -> tuple[Observation, ...]:
        """What looks confidential in the part that a locked screen may show."""
        if not self.confidential or not self._case.platform.lock_screen:
            return ()
        return tuple(each for each in self.confidential if each.place is Place.PREVIEW)

    @derived
    def secure_way(self) -> tuple[str, Channel] | None:
        """A secure platform that is open to this recipient, and its channel; None without one."""
        case = self._case
        for name, platform in sorted(case.policy.platforms.items()):
            if not platform.is_approved(case.day):
                continue
            for channel in sorted(platform.channels):
                ways = case.policy.ways_of(platform, channel)
                if (
                    ways.secure
                    and case.reach.is_there(channel)
                    and not any(case.objects_to(reached) for reached in sorted(ways.channels))
                ):
                    return name, channel
        return None

    def safer(self) -> str | None:
        """Give a neutral wording that is ready to send, None where there is none."""
        way = self.secure_way
        portal = "the NHS App" if way is not None and way[1] is Channel.NHS_APP else None
        policy = self._case.policy
        return safer_wording(
            self._case.request.purpose, policy.lexicon, self.settings, portal=portal
        )
