"""The keys of an issuer, fetched from its address and kept for a while.

Kept fresh for five minutes, which is how long a key that the issuer removed goes on working. When
the issuer does not answer, the keys it gave last are believed for an hour more.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Protocol

import requests
from cachetools import TTLCache

from fhirmsg.clock import Deadline, elapsed_clock
from fhirmsg.http import exchange
from fhirmsg.publickeys import KeySet, PublicKey, keys_in

log = logging.getLogger("fhirmsg.web")

FRESH_SECONDS = 300.0
STALE_SECONDS = 3600.0
# A name that is not known may be that of a new key; whoever makes names up gets no more than this.
COOLDOWN_SECONDS = 30.0
AGAIN_SECONDS = 10.0

_DEADLINE_SECONDS = 3.0
_CONNECT_SECONDS = 2.0
# So long a call waits while another one fetches.
_PATIENCE_SECONDS = 1.0
_LARGEST_BYTES = 256 * 1024


class KeysUnavailable(Exception):
    """The issuer's keys cannot be fetched, so nobody knows whether a token is signed by one."""


class Keys(Protocol):
    """The keys of an issuer."""

    def fitting(self, kid: str | None, algorithm: str) -> tuple[PublicKey, ...]:
        """Give the keys good for an algorithm, those of that name when one is given."""
        ...


class RemoteKeys:
    """The keys at one address. Thread-safe; one call at a time fetches."""

    def __init__(
        self,
        url: str,
        session: requests.Session,
        *,
        issuer: str = "",
        clock: Callable[[], float] = elapsed_clock,
    ) -> None:
        """Fetch nothing yet; `issuer` is what logs say."""
        self._url, self._session, self._issuer, self._clock = url, session, issuer, clock
        self._condition = threading.Condition()
        self._fresh: TTLCache[str, KeySet] = TTLCache(1, FRESH_SECONDS, timer=clock)
        self._stale: TTLCache[str, KeySet] = TTLCache(1, FRESH_SECONDS + STALE_SECONDS, timer=clock)
        self._fetching = False
        self._worked = False
        self._not_before = clock()

    def fitting(self, kid: str | None, algorithm: str) -> tuple[PublicKey, ...]:
        """Give the keys that fit, asking the issuer when none of those kept does.

        Raises KeysUnavailable.
        """
        with self._condition:
            fresh = self._fresh.get(self._url)
        found = fresh.fitting(kid, algorithm) if fresh is not None else ()
        if found:
            return found
        current = self._ask()
        with self._condition:
            kept = self._fresh.get(self._url) or self._stale.get(self._url)
        found = kept.fitting(kid, algorithm) if kept is not None else ()
        if not found and not current:
            raise KeysUnavailable
        return found

    def _ask(self) -> bool:
        """Fetch, unless that is under way or was done just now; tell whether it worked."""
        with self._condition:
            if self._fetching:
                self._condition.wait_for(lambda: not self._fetching, _PATIENCE_SECONDS)
                return self._worked and not self._fetching
            if self._clock() < self._not_before:
                return self._worked
            self._fetching = True
        found = None
        try:
            found = self._fetched()
        finally:
            with self._condition:
                self._fetching, self._worked = False, found is not None
                self._not_before = self._clock() + (COOLDOWN_SECONDS if found else AGAIN_SECONDS)
                if found is not None:
                    self._fresh[self._url] = self._stale[self._url] = found
                self._condition.notify_all()
        return found is not None

    def _fetched(self) -> KeySet | None:
        try:
            response = exchange(
                self._session,
                "GET",
                self._url,
                deadline=Deadline(_DEADLINE_SECONDS),
                connect_timeout=_CONNECT_SECONDS,
                read_timeout=_DEADLINE_SECONDS,
                headers={"Accept": "application/jwk-set+json, application/json"},
                largest=_LARGEST_BYTES,
            )
            if response.status_code != 200:
                self._failed(f"answered {response.status_code}")
                return None
            found = keys_in(response.json())
        except requests.exceptions.RequestException as error:
            self._failed(type(error).__name__)
            return None
        except (ValueError, RecursionError):
            self._failed("not a key set")
            return None
        if found.set_aside or not found.keys:
            log.warning(
                "an issuer has keys that are not used" if found.keys else "an issuer has no keys",
                extra={"issuer": self._issuer, "reason": "; ".join(found.set_aside)},
            )
        return found

    def _failed(self, reason: str) -> None:
        log.warning(
            "the keys of an issuer cannot be fetched",
            extra={"issuer": self._issuer, "reason": reason, "retry_after": AGAIN_SECONDS},
        )
