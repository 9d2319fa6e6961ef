"""Circuit breakers: a server that has stopped answering is left alone for a while.

One for each server and provider. An open one only says that nothing was asked; what an earlier
call has left open stays open.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum

from fhirmsg.clock import elapsed_clock

log = logging.getLogger("fhirmsg.breaker")

_REGARDLESS: ContextVar[bool] = ContextVar("fhirmsg_regardless_of_breakers", default=False)


class BreakerOpen(Exception):
    """Nothing was asked: the server has not answered for some time. Never leaves its caller."""


class State(StrEnum):
    """Whether calls go through."""

    CLOSED = "closed"
    HALF_OPEN = "half-open"
    """The next call is the one trial, or that is under way."""
    OPEN = "open"


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerSettings:
    """failures: so many in a row open it, 0 never. pause_seconds: until the first trial."""

    failures: int = 5
    pause_seconds: float = 10.0


@dataclass(slots=True)
class PassedCall:
    """A call that went through. `answered`: whether the server did; None says nothing of it."""

    trial: bool
    answered: bool | None = None


class Breaker:
    """Counts calls in a row that were not answered. Thread-safe."""

    def __init__(
        self,
        name: str,
        settings: BreakerSettings | None = None,
        *,
        clock: Callable[[], float] = elapsed_clock,
    ) -> None:
        """Begin closed; `name` is a server's or provider's in logs and metrics."""
        self.name = name
        self._settings = settings or BreakerSettings()
        self._clock = clock
        self._lock = threading.Lock()
        self._failed = 0
        self._opened_at: float | None = None
        self._on_trial = False

    @property
    def state(self) -> State:
        """Whether calls go through now."""
        with self._lock:
            return self._state()

    @contextmanager
    def call(self, *, regardless: bool = False) -> Iterator[PassedCall]:
        """Let one call through; what it learns is set on what this gives.

        Raises BreakerOpen before anything is asked; never for a call that goes `regardless`, nor
        within `regardless_of_breakers`.
        """
        passed = PassedCall(self._let_through(regardless or _REGARDLESS.get()))
        try:
            yield passed
        finally:
            self._learn(passed)

    def _let_through(self, regardless: bool) -> bool:
        """Tell whether it is the trial. Raises BreakerOpen."""
        with self._lock:
            state = self._state()
            if state is State.CLOSED:
                return False
            if state is State.HALF_OPEN and not self._on_trial:
                self._on_trial = True
                return True
            if regardless:
                return False
            raise BreakerOpen

    def _learn(self, passed: PassedCall) -> None:
        with self._lock:
            before = self._opened_at
            if passed.trial:
                self._on_trial = False
            if passed.answered:
                self._failed, self._opened_at = 0, None
            elif passed.answered is False:
                self._failed += 1
                # One that went regardless, or began before, does not put the trial off.
                if passed.trial or before is None:
                    self._open_if_due()
            opened, closed = self._opened_at is not None, before is not None
        if opened and not closed:
            log.warning("circuit breaker opened", extra={"provider": self.name})
        elif closed and not opened:
            log.warning("circuit breaker closed", extra={"provider": self.name})

    def _open_if_due(self) -> None:
        if self._settings.failures and self._failed >= self._settings.failures:
            self._opened_at = self._clock()

    def _state(self) -> State:
        if self._opened_at is None:
            return State.CLOSED
        past = self._clock() - self._opened_at >= self._settings.pause_seconds
        return State.HALF_OPEN if past else State.OPEN


@contextmanager
def regardless_of_breakers(really: bool = True) -> Iterator[None]:
    """Have every call inside go through, whatever its breaker says.

    For the first read and the hand-off of a complete emergency, and for writing down what became
    of a hand-off. Without `really`, breakers are heeded inside, whatever is said around. It holds
    for what this thread does inside, and for no other thread. What those calls learn counts.
    """
    token = _REGARDLESS.set(really)
    try:
        yield
    finally:
        _REGARDLESS.reset(token)
