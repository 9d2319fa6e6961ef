"""What the HTTP face stands on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from fhirmsg.answers import Answer
from fhirmsg.calls import Call
from fhirmsg.clients import ClientBook
from fhirmsg.clock import now
from fhirmsg.guidance.policy import LocalPolicy
from fhirmsg.overview import Overview
from fhirmsg.ports import NO_METER, Callback, MessageHistory, Meter
from fhirmsg.web.health import Readiness
from fhirmsg.web.limits import RateLimits
from fhirmsg.web.tokens import Tokens


class DecidesAndSends(Protocol):
    """The use case, as the views see it (`fhirmsg.messenger.Messenger`)."""

    def check(self, call: Call) -> Answer:
        """Decide without effect."""
        ...

    def send(self, call: Call) -> Answer:
        """Decide, and send if allowed."""
        ...


class TakesCallbacks(Protocol):
    """Takes what providers call back with (`fhirmsg.receiving.Receiving`)."""

    def receipts(self, name: str, callback: Callback) -> int:
        """Take receipts."""
        ...

    def replies(self, name: str, callback: Callback) -> int:
        """Take what people answer."""
        ...


class GivesOverviews(Protocol):
    """Who may be told, and how (`fhirmsg.overview.ContactOverview`)."""

    def of(self, patient: str, policy: LocalPolicy, organization: str) -> Overview:
        """Give the overview of a patient."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WebServices:
    """The parts behind the views; `policies` is keyed by ODS code. tokens: None takes none."""

    messenger: DecidesAndSends
    history: MessageHistory
    overview: GivesOverviews
    receiving: TakesCallbacks
    policies: Mapping[str, LocalPolicy]
    clients: ClientBook
    readiness: Callable[[], Readiness]
    fhir_base_url: str
    meter: Meter = NO_METER
    tokens: Tokens | None = None
    limits: RateLimits = field(default_factory=RateLimits)
    clock: Callable[[], datetime] = now
