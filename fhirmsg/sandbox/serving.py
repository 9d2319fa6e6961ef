"""The store behind waitress: in a thread of this process, or as the whole process."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Any

from waitress import wasyncore
from waitress.server import create_server

from .http import create_store_app
from .store import Store

THREADS = 16


class Serving:
    """A store that answers HTTP at `base_url` until it is stopped; also a context manager."""

    def __init__(self, store: Store, host: str, port: int, base_path: str) -> None:
        self.store = store
        self._sockets: dict[int, Any] = {}
        self._server = create_server(
            create_store_app(store, base_path=base_path),
            map=self._sockets,
            # One address: waitress would listen on each one that a name stands for.
            host=socket.gethostbyname(host),
            port=port,
            threads=THREADS,
            clear_untrusted_proxy_headers=True,
        )
        self.base_url = f"http://{host}:{self._server.effective_port}{base_path}"
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self.run, name="fhir-store", daemon=True)

    def start(self) -> None:
        """Answer in a thread of this process."""
        self._thread.start()

    def run(self) -> None:
        """Answer in this thread, until `stop` is called in another or a signal ends it."""
        try:
            while not self._stopping.is_set():
                wasyncore.loop(timeout=1.0, use_poll=True, map=self._sockets, count=1)
        finally:
            self._server.task_dispatcher.shutdown()
            wasyncore.close_all(self._sockets, ignore_all=True)

    def stop(self) -> None:
        """Stop answering and free the port; the store itself stays open."""
        self._stopping.set()
        # The loop may have seen it already and closed what is pulled here.
        with suppress(OSError):
            self._server.pull_trigger()
        if self._thread.is_alive():
            self._thread.join()

    def __enter__(self) -> Serving:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def serve_in_thread(
    store: Store, port: int = 0, *, host: str = "127.0.0.1", base_path: str = "/fhir"
) -> Serving:
    """Serve the store from a thread of this process; port 0 takes a free one.

    The store answers at `.base_url` from when this returns, until `.stop()`.
    """
    serving = Serving(store, host, port, base_path)
    serving.start()
    return serving
