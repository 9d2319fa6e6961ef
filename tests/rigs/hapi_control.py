"""The real HAPI going away and coming back with its data: refused, or silent.

Its data live in memory, so it is never stopped: a proxy before it closes its port, or the JVM is
stopped by SIGSTOP and takes calls without answering them.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.hapi.server import HapiServer
from tests.rigs.faultproxy import FaultProxy


@contextmanager
def behind_a_proxy(base_url: str) -> Iterator[tuple[FaultProxy, str]]:
    """Put a proxy before a FHIR server; gives it and the base URL to use instead."""
    with FaultProxy.before(base_url) as proxy:
        yield proxy, proxy.url_of(base_url)


@contextmanager
def outage(proxy: FaultProxy, seconds: float | None = None) -> Iterator[None]:
    """Refuse every connection for so long, at most until the block ends."""
    timer = None if seconds is None else threading.Timer(seconds, proxy.accept)
    proxy.refuse()
    if timer is not None:
        timer.start()
    try:
        yield
    finally:
        if timer is not None:
            timer.cancel()
            timer.join()
        proxy.accept()


@contextmanager
def silence(server: HapiServer, seconds: float | None = None) -> Iterator[None]:
    """Stop the JVM for so long, at most until the block ends; it takes calls and is silent."""
    timer = None if seconds is None else threading.Timer(seconds, server.signal, [signal.SIGCONT])
    server.signal(signal.SIGSTOP)
    if timer is not None:
        timer.start()
    try:
        yield
    finally:
        if timer is not None:
            timer.cancel()
            timer.join()
        server.signal(signal.SIGCONT)
