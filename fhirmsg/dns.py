"""Names of hosts, looked up with a time-out: the system's own look-up knows none."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import Any


def addresses(host: str, port: int, seconds: float) -> list[Any]:
    """Give what `socket.getaddrinfo` says for TCP, in its order.

    A thread waits for it, and may be left behind. Raises TimeoutError after so many seconds, and
    OSError when there is no address.
    """
    found: list[Any] = []

    def ask() -> None:
        with suppress(OSError, ValueError):
            found.extend(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))

    thread = threading.Thread(target=ask, name="dns", daemon=True)
    thread.start()
    thread.join(seconds)
    if not found:
        raise TimeoutError if thread.is_alive() else OSError("no address found")
    return found
