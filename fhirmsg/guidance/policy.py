"""LocalPolicy: what one organisation has approved and decided ("Using acceptable apps ...")."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, tzinfo

from fhirmsg.guidance.readable import same_role
from fhirmsg.guidance.terms import Channel, Device, Purpose
from fhirmsg.guidance.wording import Lexicon


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """The days, both inclusive and local, between which a platform may be used."""

    start: date
    end: date | None = None

    def covers(self, day: date) -> bool:
        """Tell whether the approval is in force on that local day."""
        return self.start <= day and (self.end is None or day <= self.end)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Local times at which a platform delivers: weekdays (Monday is 0), from, and before when.

    An `end` of `time.max` is the end of the day.
    """

    weekdays: frozenset[int]
    start: time
    end: time

    def contains(self, local: datetime) -> bool:
        """Tell whether a local time lies in the window."""
        at = local.time()
        in_time = self.start <= at and (at < self.end or self.end == time.max)
        return local.weekday() in self.weekdays and in_time


@dataclass(frozen=True, slots=True, kw_only=True)
class Fallback:
    """Where a supplier may turn by itself; `platform` is None when only the channel is known."""

    channel: Channel
    platform: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """One platform on the organisation's register.

    `falls_back` and `notifies_by` are what the supplier may use besides the requested channel.
    confidential: approved for confidential content. requires_login: the reader logs in or enters
    a password. lock_screen: a locked screen may show the text. windows: when it delivers, at any
    time if there are none. sender_names: names that messages come from.
    """

    name: str
    provider: str
    channels: frozenset[Channel] = frozenset()
    approval: Approval | None = None
    falls_back: tuple[Fallback, ...] = ()
    notifies_by: frozenset[Channel] = frozenset()
    confidential: bool = False
    requires_login: bool = False
    lock_screen: bool = True
    windows: tuple[Window, ...] = ()
    sender_names: tuple[str, ...] = ()

    @property
    def fallbacks(self) -> frozenset[Channel]:
        """The channels the supplier may fall back to."""
        return frozenset(each.channel for each in self.falls_back)

    @property
    def is_secure(self) -> bool:
        """Whether it is approved for confidential content and the reader has to log in."""
        return self.confidential and self.requires_login

    def delivers_at(self, local: datetime) -> bool:
        """Tell whether it delivers at a local time."""
        return not self.windows or any(window.contains(local) for window in self.windows)

    def is_approved(self, day: date) -> bool:
        """Tell whether the organisation's approval covers a local day."""
        return self.approval is not None and self.approval.covers(day)

    def reaches(self, channel: Channel) -> frozenset[Channel]:
        """Give every channel a message sent on `channel` can come out of.

        A platform registered without channels has not said where it ends, so it reaches all.
        """
        if not self.channels:
            return frozenset(Channel)
        return frozenset({channel}) | self.fallbacks | self.notifies_by


@dataclass(frozen=True, slots=True, kw_only=True)
class Ways:
    """Every way a message can take, through whatever platforms fall back to one another.

    content: channels on which its words can arrive. notices: channels on which people are told
    that something waits. secure: everywhere the reader has to log in, on an approved platform.
    others: the platforms it may be handed on to, each with the channel it would use there.
    """

    content: frozenset[Channel]
    notices: frozenset[Channel]
    secure: bool
    others: tuple[tuple[Platform, Channel], ...] = ()

    @property
    def channels(self) -> frozenset[Channel]:
        """All of them."""
        return self.content | self.notices


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalPolicy:
    """An organisation's decisions. `sha256` is that of the policy file, `version` its own.

    review_by_code: roles that may review one finding, narrower than `review`. fallback_order:
    channels that may be tried next. forbidden: (purpose, channel) pairs that the content matrix
    rules out. individual_check_days: for how long an individual's answer counts.
    repeat_window_hours: within which the same message again is a repeat; 0 looks for none.
    devices: those that may be used. link_hosts: hosts that messages may link to.
    """

    version: str
    sha256: str
    organisations: frozenset[str]
    name: str
    zone: tzinfo
    approve_overrides: frozenset[str]
    review: frozenset[str] = frozenset()
    review_by_code: Mapping[str, frozenset[str]] = field(default_factory=dict)
    platforms: dict[str, Platform] = field(default_factory=dict)
    default_platform: dict[Channel, str] = field(default_factory=dict)
    accept_unlisted_bases: frozenset[str] = frozenset()
    accept_access_roles: bool = False
    parental_review_ages: tuple[int, ...] = (13,)
    record_copy: bool = True
    record_refusals: bool = False
    hold_tasks: bool = True
    freshness_seconds: float = 30.0
    sensitive_services: frozenset[str] = frozenset()
    fallback_order: tuple[Channel, ...] = ()
    forbidden: frozenset[tuple[Purpose, Channel]] = frozenset()
    require_capacity_record: bool = False
    individual_check_days: int = 180
    read_flags: bool = True
    read_communication_requests: bool = True
    devices: frozenset[Device] = frozenset({Device.ORGANISATION})
    repeat_window_hours: float = 24.0
    link_hosts: frozenset[str] = frozenset({"nhs.uk"})
    lexicon: Lexicon = field(default_factory=Lexicon.empty, repr=False)

    def platforms_for(self, channel: Channel, day: date) -> tuple[Platform, ...]:
        """Give the platforms that are approved for a channel on a local day."""
        return tuple(
            platform
            for platform in self.platforms.values()
            if channel in platform.channels and platform.is_approved(day)
        )

    def ways_of(self, platform: Platform, channel: Channel) -> Ways:
        """Give every way of a message sent on a channel by a platform.

        A platform registered without channels has not said where it ends, so it reaches all. A
        fallback to a platform that is not named, or not on the register, is not secure.
        """
        content, notices, secure = {channel}, set[Channel](), True
        waiting, seen = [(platform, channel)], dict[tuple[str, Channel], Platform]()
        while waiting:
            at, on = waiting.pop()
            if (at.name, on) in seen:
                continue
            seen[at.name, on] = at
            secure = secure and at.is_secure
            content |= at.reaches(on) - at.notifies_by if at.channels else frozenset(Channel)
            notices |= at.notifies_by
            for fallback in at.falls_back:
                following = self.platforms.get(fallback.platform or "")
                content.add(fallback.channel)
                if following is None:
                    secure = False
                else:
                    waiting.append((following, fallback.channel))
        del seen[platform.name, channel]
        return Ways(
            content=frozenset(content),
            notices=frozenset(notices),
            secure=secure,
            others=tuple((seen[key], key[1]) for key in sorted(seen)),
        )

    def may_review(self, role: str | None, code: str) -> bool:
        """Tell whether a role may review a finding."""
        return same_role(role, self.review_by_code.get(code, self.review))
