"""LocalPolicy: what one organisation has approved and decided ("Using acceptable apps ...")."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, tzinfo

from fhirmsg.guidance.terms import Channel


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """The days, both inclusive and local, between which a platform may be used."""

    start: date
    end: date | None = None

    def covers(self, day: date) -> bool:
        """Tell whether the approval is in force on that local day."""
        return self.start <= day and (self.end is None or day <= self.end)


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """One platform on the organisation's register.

    `fallbacks` and `notifies_by` are channels the supplier may use besides the requested one.
    """

    name: str
    provider: str
    channels: frozenset[Channel] = frozenset()
    approval: Approval | None = None
    fallbacks: frozenset[Channel] = frozenset()
    notifies_by: frozenset[Channel] = frozenset()

    def reaches(self, channel: Channel) -> frozenset[Channel]:
        """Give every channel a message sent on `channel` can come out of.

        A platform registered without channels has not said where it ends, so it reaches all.
        """
        if not self.channels:
            return frozenset(Channel)
        return frozenset({channel}) | self.fallbacks | self.notifies_by


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalPolicy:
    """An organisation's decisions. `sha256` is that of the policy file, `version` its own."""

    version: str
    sha256: str
    organisations: frozenset[str]
    name: str
    zone: tzinfo
    approve_overrides: frozenset[str]
    review: frozenset[str] = frozenset()
    platforms: dict[str, Platform] = field(default_factory=dict)
    default_platform: dict[Channel, str] = field(default_factory=dict)
    accept_unlisted_bases: frozenset[str] = frozenset()
    accept_access_roles: bool = False
    parental_review_ages: tuple[int, ...] = (13,)
    record_copy: bool = True
    record_refusals: bool = False
    freshness_seconds: float = 30.0
    sensitive_services: frozenset[str] = frozenset()
