"""One send beside the same calls made bare, and sends a second. Run by hand:

    python -m tests.bench.sends              # HAPI, started here, and the embedded store
    python -m tests.bench.sends --store      # the embedded store alone
    python -m tests.bench.sends --profile    # where the time of a send goes, on HAPI

Prints medians and ratios of one run. A send is one e-mail over SMTP by the parts that `serve` has
(journal on disk, breakers, audit, log lines); the bare calls are those of such a send (`bare.py`).
They alternate, so that a server that gets slower slows both.
"""

from __future__ import annotations

import cProfile
import pstats
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from uuid import uuid4

from fhirmsg import logs
from fhirmsg.answers import State
from fhirmsg.app import compose
from fhirmsg.calls import Call, message_id_for
from fhirmsg.config import Settings
from fhirmsg.fhir.client import FhirServer
from fhirmsg.guidance.policy import LocalPolicy
from fhirmsg.guidance.terms import Channel
from fhirmsg.http import make_session
from fhirmsg.messenger import Messenger
from fhirmsg.providers.smtp import SmtpProvider, SmtpSettings
from tests import builders, policies
from tests.bench.bare import BareSend, Letter, taken_down
from tests.bench.patients import PATIENTS, put_patients
from tests.hapi.server import HapiServer
from tests.providers.servers import mail_server

AIM = 1.10
ROUNDS = 200
WARM_UP = 150
FROM, TO = "noreply@surgery.example", "amara@example.com"
PLATFORMS = """
platforms:
  letters: {provider: smtp, channels: [email], approved: {from: 2025-01-01, until: null},
            fallbacks: [], notifies_by: []}
"""


@dataclass(frozen=True, kw_only=True)
class Desk:
    """The messenger as it is composed for `serve`, and the calls of one of its sends."""

    messenger: Messenger
    policy: LocalPolicy
    bare: BareSend

    def send(self, patient: str) -> None:
        """Send one e-mail."""
        send(self.messenger, self.policy, patient)


def send(messenger: Messenger, policy: LocalPolicy, patient: str) -> None:
    """Send one e-mail to a patient, under a new key."""
    call = Call(
        request=builders.a_request(
            patient=patient, recipient=patient, channel=Channel.EMAIL, platform="letters"
        ),
        policy=policy,
        message_id=message_id_for("bench", str(uuid4())),
        client_id="bench",
        correlation_id=str(uuid4()),
    )
    answer = messenger.send(call)
    assert answer.status is State.ACCEPTED, answer


@contextmanager
def a_desk(base: str) -> Iterator[Desk]:
    """Compose the parts before a FHIR server and a mail server, and take one send down."""
    put_patients(base)
    policy = policies.policy(platforms=PLATFORMS)
    with (
        tempfile.TemporaryDirectory() as name,
        (Path(name) / "log").open("w") as lines,
        mail_server() as (port, mailbox),
    ):
        logs.configure("INFO", lines)
        sys.excepthook = sys.__excepthook__
        mail = SmtpProvider(
            SmtpSettings(host="127.0.0.1", port=port, security="none", from_address=FROM)
        )
        session = make_session()
        service = compose(
            Settings(
                fhir=FhirServer(base_url=base),
                policies={"A12345": policy},
                clients=(),
                record_key=b"a key for benchmarks, no secret.",
                journal_file=str(Path(name).resolve() / "journal.sqlite3"),
            ),
            providers={"smtp": mail},
            session=session,
        )
        # What the server can do is asked once and kept: that is no part of a send.
        send(service.messenger, policy, PATIENTS[0])
        with taken_down(session) as heard:
            send(service.messenger, policy, PATIENTS[1])
        content = mailbox.envelopes[-1].content
        assert isinstance(content, bytes)
        letter = Letter(sender=FROM, to=TO, content=content)
        bare = BareSend(heard, letter, port, patient=PATIENTS[1])
        print(f"  one send: {', '.join(bare.kinds)}, and an e-mail")
        try:
            yield Desk(messenger=service.messenger, policy=policy, bare=bare)
        finally:
            bare.close()
            mail.close()


def beside_bare_calls(desk: Desk) -> None:
    """Alternate sends and bare calls; print medians and their ratio."""
    taken: dict[Callable[[str], None], list[float]] = {desk.bare.make: [], desk.send: []}
    patients = iter(PATIENTS[2:])
    for number in range(WARM_UP + ROUNDS):
        for do, times in taken.items():
            patient = next(patients)
            begin = time.perf_counter()
            do(patient)
            if number >= WARM_UP:
                times.append((time.perf_counter() - begin) * 1000)
    bare, sends = taken.values()
    for what, times in (("the same calls bare", bare), ("one send", sends)):
        low, _, high = quantiles(times, n=4)
        print(f"  {what:20} median {median(times):6.2f} ms   quartiles {low:.2f} to {high:.2f}")
    ratio = median(sends) / median(bare)
    print(f"  {ratio:.3f} times, medians of {ROUNDS} each after {WARM_UP} (aim: {AIM:.2f} at most)")


def throughput(desk: Desk) -> None:
    """Print sends a second with one and with eight threads."""
    patients = PATIENTS[-600:]
    for threads in (1, 8):
        some, patients = patients[:300], patients[300:]
        with ThreadPoolExecutor(threads) as pool:
            begin = time.perf_counter()
            list(pool.map(desk.send, some))
            seconds = time.perf_counter() - begin
        print(f"  {threads} thread(s): {len(some) / seconds:.0f} sends a second")


def profile(desk: Desk) -> None:
    """Print which functions the time of a send goes into, all waiting left out of the list."""
    for patient in PATIENTS[2:WARM_UP]:
        desk.send(patient)
    measured = cProfile.Profile(time.thread_time)
    measured.enable()
    for patient in PATIENTS[WARM_UP:][:ROUNDS]:
        desk.send(patient)
    measured.disable()
    found = pstats.Stats(measured)
    for order in ("cumulative", "tottime"):
        found.sort_stats(order).print_stats(90)


def main() -> None:
    """Measure HAPI (unless --store) and the embedded store in another process."""
    if "--store" not in sys.argv:
        server = HapiServer(None)
        server.start()
        try:
            print(f"HAPI at {server.url}")
            with a_desk(server.url) as desk:
                if "--profile" in sys.argv:
                    profile(desk)
                    return
                beside_bare_calls(desk)
        finally:
            server.stop()
    store = subprocess.Popen(
        [sys.executable, "-m", "fhirmsg.sandbox", "--port", "0"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert store.stdout is not None
        base = store.stdout.readline().split()[-1]
        print(f"Embedded store in another process at {base}")
        with a_desk(base) as desk:
            beside_bare_calls(desk)
            throughput(desk)
    finally:
        store.terminate()
        store.wait()


if __name__ == "__main__":
    main()
