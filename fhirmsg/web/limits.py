"""How often a client may call, and how often an address may fail to say who it is.

Counted in this process alone. Nothing that an address does takes anything from a client.
"""

from __future__ import annotations

import hashlib
import math
import os
import threading
import time
from collections.abc import Callable

from limits import RateLimitItemPerSecond
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from fhirmsg.clients import DEFAULT_RATE, Client, RateLimit
from fhirmsg.clock import elapsed_clock

FAILURES = RateLimit(calls=20, seconds=60)

# Addresses share so many counters, so that no number of them fills the memory.
_ADDRESSES = 4096
_STEP_SECONDS = 2.0


class RateLimits:
    """Counts calls in moving windows."""

    def __init__(
        self,
        rate: RateLimit = DEFAULT_RATE,
        failures: RateLimit = FAILURES,
        *,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """Allow `rate` to each client that has none of its own, `failures` to an address."""
        self._rate, self._failures, self._wall_clock = rate, failures, wall_clock
        self._storage = MemoryStorage()
        self._windows = MovingWindowRateLimiter(self._storage)
        self._lock = threading.Lock()
        self._ahead = wall_clock() - elapsed_clock()
        self._salt = os.urandom(16)

    def wait_of(self, client: Client) -> int | None:
        """Count a call of a client; give the seconds to wait when there is no room for it."""
        return self._wait("client", client.id, client.rate_limit or self._rate)

    def wait_after_failure(self, address: str) -> int | None:
        """Count a call that did not say who it is; give the seconds to wait when it is too many."""
        digest = hashlib.blake2b(address.encode(), key=self._salt, digest_size=4).digest()
        place = int.from_bytes(digest) % _ADDRESSES
        return self._wait("failures", str(place), self._failures)

    def _wait(self, kind: str, name: str, rate: RateLimit) -> int | None:
        self._mind_the_clock()
        item = RateLimitItemPerSecond(rate.calls, rate.seconds, namespace=kind)
        if self._windows.hit(item, name):
            return None
        reset = self._windows.get_window_stats(item, name).reset_time
        return min(max(1, math.ceil(reset - time.time())), rate.seconds)

    def _mind_the_clock(self) -> None:
        """Forget all counts when the wall clock was set, which the windows go by.

        Set back by an hour, it would keep every client out for that hour.
        """
        ahead = self._wall_clock() - elapsed_clock()
        with self._lock:
            if abs(ahead - self._ahead) > _STEP_SECONDS:
                self._storage.reset()
                self._ahead = ahead
