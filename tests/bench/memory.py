"""How soon a serving process listens, and what memory it takes. Run by hand:

    python -m tests.bench.memory                # start-up, idle, and after a hundred messages
    python -m tests.bench.memory --long [MANY]  # and after 20,000, or as many as told

Prints the resident memory in MiB (the aim is 120 at most after a hundred messages, and no growth
to speak of after a thousand). The FHIR server is the embedded store in another process. Linux
only.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit
from uuid import uuid4

from tests import world
from tests.bench.patients import PATIENTS, put_patients
from tests.serving import KEY, Serving, a_message, serving, write_settings

AIM_MIB = 120
# What the interpreter's pools may still take between two looks, once everything was used.
FLAT_MIB = 2.0
CLIENTS = 8
LOOKS = (100, 1_000, 2_500, 5_000, 7_500, 10_000, 15_000, 20_000)


def main() -> None:
    """Start, look, send, look again."""
    starting("fhirmsg --help", [sys.executable, "-m", "fhirmsg", "--help"])
    with a_store() as base, tempfile.TemporaryDirectory() as name:
        world.put(base, world.a_patient_resource())
        settings = {
            **write_settings(Path(name), base),
            "FHIRMSG_RATE_LIMIT": "99999/second",
        }
        taken = []
        for _ in range(5):
            began = time.perf_counter()
            with serving(settings):
                taken.append(time.perf_counter() - began)
        print(f"fhirmsg serve listens after {median(taken):.2f} s (median of {len(taken)})")
        with serving(settings) as running:
            show("idle", running)
            first_hundred(running)
            if "--long" in sys.argv:
                put_patients(base)
                many = int(sys.argv[-1]) if sys.argv[-1].isdecimal() else LOOKS[-1]
                long_run(running, many)


def starting(what: str, command: list[str]) -> None:
    """Print how long a command takes, start to end."""
    taken = []
    for _ in range(7):
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        taken.append(time.perf_counter() - began)
    print(f"{what} takes {median(taken):.2f} s (median of {len(taken)})")


@contextmanager
def a_store() -> Iterator[str]:
    """Run the embedded store in a process of its own; gives its base URL."""
    store = subprocess.Popen(
        [sys.executable, "-m", "fhirmsg.sandbox", "--port", "0"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert store.stdout is not None
        yield store.stdout.readline().split()[-1]
    finally:
        store.terminate()
        store.wait()


def first_hundred(running: Serving) -> None:
    """Send a hundred, one after the other."""
    for number in range(1, 101):
        words = f"Example Surgery: please collect letter {number} at the desk."
        began = time.perf_counter()
        answer = running.send(str(uuid4()), content={"body": words})
        took = (time.perf_counter() - began) * 1000
        assert answer.status_code == 201, answer.text
        if number in (1, 2, 100):
            show(f"send {number:3} took {took:4.0f} ms", running)


def long_run(running: Serving, many: int) -> None:
    """Send as many from several clients, and say whether memory stays."""
    sent, seen = 0, []
    for look in [each for each in LOOKS if each < many] + [many]:
        began = time.perf_counter()
        with ThreadPoolExecutor(CLIENTS) as pool:
            shares = [range(sent + share, look, CLIENTS) for share in range(CLIENTS)]
            list(pool.map(lambda share: send_each(running.url, share), shares))
        rate = (look - sent) / (time.perf_counter() - began)
        sent = look
        seen.append((sent, show(f"{sent:6} by {CLIENTS} clients, {rate:.0f} a second", running)))
    steady = [(sent, mib) for sent, mib in seen if sent >= LOOKS[1]]
    if len(steady) > 1:
        (first, least), (last, most) = steady[0], steady[-1]
        growth = (most - least) * 1024 / (last - first)
        rises = [after - before for (_, before), (_, after) in pairwise(steady)]
        verdict = "flat" if rises[-1] < FLAT_MIB else "not flat"
        print(f"{growth * 1000:.0f} KiB for 1,000 sends from {first} on; {verdict} at the end")


def send_each(url: str, numbers: range) -> None:
    """Send over one connection, to one patient after the other."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
    for number in numbers:
        patient = PATIENTS[number % len(PATIENTS)]
        words = f"Example Surgery: please collect letter {number // len(PATIENTS)} at the desk."
        headers = {
            "Authorization": f"Bearer {KEY}",
            "Content-Type": "application/json",
            "Idempotency-Key": str(uuid4()),
        }
        body = json.dumps(a_message(patient=patient, content={"body": words}))
        connection.request("POST", "/v1/messages", body, headers)
        answer = connection.getresponse()
        text = answer.read()
        assert answer.status == 201, text
    connection.close()


def show(what: str, running: Serving) -> float:
    """Print the resident memory of the process, and give it in MiB."""
    lines = Path(f"/proc/{running.process.pid}/status").read_text().splitlines()
    (resident,) = (int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))
    print(f"{what:<38} {resident / 1024:6.1f} MiB", flush=True)
    return resident / 1024


if __name__ == "__main__":
    main()
