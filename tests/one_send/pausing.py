"""A serving process that stops for ever at one point of a hand-off, so that it can be killed there.

    PAUSE_AT=before|after PAUSE_MARK=FILE python -m tests.one_send.pausing

It is the real `fhirmsg serve` with its providers wrapped. The file appears when it has stopped.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from fhirmsg import app
from fhirmsg.clock import Deadline
from fhirmsg.config import Settings
from fhirmsg.ports import OutboundMessage, Provider, Receipt


class PausingProvider:
    """Hands over to a real provider, and stops before or after doing so."""

    def __init__(self, inner: Provider, where: str, mark: Path) -> None:
        """Wrap `inner`."""
        self.name, self.kind = inner.name, inner.kind
        self.settle_seconds = inner.settle_seconds
        self.retention_seconds = inner.retention_seconds
        self._inner, self._where, self._mark = inner, where, mark

    def send(self, message: OutboundMessage, *, start_by: Deadline, deadline: Deadline) -> Receipt:
        """Stop, hand over, stop."""
        if self._where == "before":
            self._stop()
        receipt = self._inner.send(message, start_by=start_by, deadline=deadline)
        if self._where == "after":
            self._stop()
        return receipt

    def find(self, reference: str) -> Receipt | None:
        """Ask the real one."""
        return self._inner.find(reference)

    def _stop(self) -> None:
        self._mark.touch()
        time.sleep(3600)


def main() -> None:
    """Serve."""
    settings = Settings.from_environment(
        {name: value for name, value in os.environ.items() if not name.startswith("PAUSE_")}
    )
    where, mark = os.environ["PAUSE_AT"], Path(os.environ["PAUSE_MARK"])
    wrapped = {
        name: PausingProvider(provider, where, mark)
        for name, provider in app.providers_of(settings).items()
    }
    app.serve(app.build(settings, providers=wrapped), settings)


if __name__ == "__main__":
    main()
