"""What is counted and timed, told without a word about anybody."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from fhirmsg.ports.providers import Outcome


class Meter(Protocol):
    """Takes figures. Thread-safe; never raises, and never waits for anything.

    Every word comes from a small closed set: no id, no path, no value. seconds: by a clock that
    does not step.
    """

    def decided(self, verdict: str, codes: Collection[str]) -> None:
        """Count a decision, and each code that its findings have."""
        ...

    def handed_off(self, provider: str, outcome: Outcome, seconds: float) -> None:
        """Count and time one hand-off to a provider."""
        ...

    def fhir_call(self, kind: str, result: str, seconds: float) -> None:
        """Count and time a call to the FHIR server.

        kind: read, page, batch, search, create, update, transaction or delete. result: the
        status as "2xx", or "unanswered", "not-fhir", "circuit-open".
        """
        ...

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count and time an HTTP request to us; `route` is the template of its path."""
        ...

    def rate_limited(self, limit: str) -> None:
        """Count a request that was refused by a limit on how many may come."""
        ...


class NoMeter:
    """Takes no notice."""

    def decided(self, verdict: str, codes: Collection[str]) -> None:
        """Take no notice."""

    def handed_off(self, provider: str, outcome: Outcome, seconds: float) -> None:
        """Take no notice."""

    def fhir_call(self, kind: str, result: str, seconds: float) -> None:
        """Take no notice."""

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Take no notice."""

    def rate_limited(self, limit: str) -> None:
        """Take no notice."""


NO_METER: Meter = NoMeter()
