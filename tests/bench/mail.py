"""E-mails over a connection that waited, beside a new connection for each. Run by hand:

python -m tests.bench.mail
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from fhirmsg.clock import Deadline
from fhirmsg.guidance.terms import Channel
from fhirmsg.ports import OutboundMessage, Outcome
from fhirmsg.providers.smtp import SmtpProvider, SmtpSettings
from tests.providers.servers import ca_file, mail_server, server_context

ROUNDS = 200
MESSAGE = OutboundMessage(
    reference="bench",
    channel=Channel.EMAIL,
    to="mary.jones@example.org",
    body="Please come on Monday at 9:30.\n",
)


def main() -> None:
    """Print the medians of both, in the clear and under STARTTLS, on this machine."""
    with tempfile.TemporaryDirectory() as folder:
        trusted = ca_file(Path(folder))
        for security in ("none", "starttls"):
            with mail_server(tls_context=server_context() if security == "starttls" else None) as (
                port,
                mailbox,
            ):
                for seconds in (0.0, 30.0):
                    before = mailbox.connections
                    median = _median(port, security, trusted, seconds)
                    print(
                        f"{security}: {median * 1000:.2f} ms a message (median of {ROUNDS}), "
                        f"{mailbox.connections - before} connections"
                    )


def _median(port: int, security: str, trusted: str, idle_seconds: float) -> float:
    provider = SmtpProvider(
        SmtpSettings(
            host="127.0.0.1",
            port=port,
            security=security,
            from_address="noreply@surgery.example",
            ca_file=trusted,
            idle_seconds=idle_seconds,
        )
    )
    taken = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        receipt = provider.send(MESSAGE, start_by=Deadline(30), deadline=Deadline(30))
        taken.append(time.perf_counter() - began)
        assert receipt.outcome is Outcome.ACCEPTED, receipt
    provider.close()
    return statistics.median(taken)


if __name__ == "__main__":
    main()
