"""Clocks: the wall clock in UTC, and one that counts while the machine or the process sleeps."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

# CLOCK_BOOTTIME goes on through suspension; where it is missing, the monotonic clock has to do.
_BOOT_CLOCK: int = getattr(time, "CLOCK_BOOTTIME", getattr(time, "CLOCK_MONOTONIC", 1))


def now() -> datetime:
    """Give the present instant, aware, in UTC."""
    return datetime.now(UTC)


def elapsed_clock() -> float:
    """Give seconds on a clock that never steps back and counts suspension."""
    return time.clock_gettime(_BOOT_CLOCK) if hasattr(time, "clock_gettime") else time.monotonic()


class Deadline:
    """A point on the elapsed clock by which something has to be done."""

    def __init__(self, seconds: float, *, clock: Callable[[], float] = elapsed_clock) -> None:
        """Start counting now; `seconds` from now it has passed."""
        self._clock = clock
        self._at = clock() + seconds

    @property
    def left(self) -> float:
        """Seconds left, never below zero."""
        return max(0.0, self._at - self._clock())

    @property
    def passed(self) -> bool:
        """Whether it is too late."""
        return self._clock() >= self._at
