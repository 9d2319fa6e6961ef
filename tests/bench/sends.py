"""One send beside the same HTTP calls made bare, and sends a second. Run by hand:

    python -m tests.bench.sends            # HAPI, started here, and the embedded store
    python -m tests.bench.sends --store    # the embedded store alone

Prints medians and ratios of one run. The bare calls go through a plain `requests` session with
bodies prepared beforehand and answers parsed as JSON, so the ratio is what fhirmsg itself costs:
reading facts, deciding twice, building and validating the entry. Both kinds alternate, so that a
server that gets slower slows both.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import requests

from fhirmsg.calls import Call, message_id_for
from fhirmsg.fhir.client import FhirClient, FhirServer
from fhirmsg.fhir.log import FhirCommunicationLog
from fhirmsg.fhir.reader import FhirRecordReader
from fhirmsg.http import make_session
from fhirmsg.messenger import Messenger
from fhirmsg.providers.outbox import Outbox
from tests import builders
from tests.hapi.server import HapiServer

ROUNDS = 150
FHIR = {"Content-Type": "application/fhir+json", "Accept": "application/fhir+json"}


def main() -> None:
    """Measure HAPI (unless --store) and the embedded store in another process."""
    if "--store" not in sys.argv:
        server = HapiServer(None)
        server.start()
        try:
            print(f"HAPI at {server.url}")
            beside_bare_calls(server.url)
        finally:
            server.stop()
    store = subprocess.Popen(
        [sys.executable, "-m", "fhirmsg.sandbox", "--port", "0"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert store.stdout is not None
        base = store.stdout.readline().split()[-1]
        print(f"Embedded store in another process at {base}")
        beside_bare_calls(base)
        throughput(base)
    finally:
        store.terminate()
        store.wait()


def a_messenger(base: str) -> Messenger:
    """Compose the real parts around the outbox."""
    client = FhirClient(FhirServer(base_url=base), make_session())
    return Messenger(
        reader=FhirRecordReader(client),
        log=FhirCommunicationLog(client),
        providers={"outbox": Outbox(None)},
        record_key=b"a key for benchmarks, no secret.",
    )


def a_call(key: str) -> Call:
    """Give a plain reminder to the patient of `put_patient`."""
    policy = builders.a_policy()
    request = builders.a_request(patient="Patient/bench-a", recipient="Patient/bench-a")
    return Call(request=request, policy=policy, message_id=message_id_for("bench", key))


def put_patient(base: str) -> None:
    """Put a patient with a mobile number on the server."""
    patient = {
        "resourceType": "Patient",
        "id": "bench-a",
        "birthDate": "1980-01-01",
        "telecom": [{"system": "phone", "use": "mobile", "value": "07700 900123"}],
    }
    requests.put(
        f"{base}/Patient/bench-a", json=patient, headers=FHIR, timeout=30
    ).raise_for_status()


class BareCalls:
    """The calls of one send and nothing else: read, open, read again, complete.

    The bodies are those of a real send, prepared beforehand, with an identifier of their own.
    """

    def __init__(self, base: str, messenger: Messenger) -> None:
        """Take the bodies from a send that is made for the purpose."""
        self.base, self.session = base, make_session()
        answer = messenger.send(a_call(str(uuid4())))
        url = f"{base}/{answer.communication}"
        self.done = self.session.get(url, headers=FHIR, timeout=30).json()
        del self.done["meta"]
        late = ("delivery", "provider-id")
        self.opened = {
            **{name: value for name, value in self.done.items() if name not in ("id", "sent")},
            "status": "in-progress",
            "extension": [
                each for each in self.done["extension"] if not each["url"].endswith(late)
            ],
        }

    def make(self, number: str) -> None:
        """Make them once, under a new identifier."""
        session, base = self.session, self.base
        system = self.opened["identifier"][0]["system"]
        own = [{"system": system, "value": number}]
        token = requests.utils.quote(f"{system}|{number}", safe="")
        batch = {
            "resourceType": "Bundle",
            "type": "batch",
            "entry": [
                {"request": {"method": "GET", "url": url}}
                for url in (
                    "Patient/bench-a",
                    "Consent?patient=Patient/bench-a&_count=100&_total=accurate",
                    "RelatedPerson?patient=Patient/bench-a&_count=100&_total=accurate",
                    f"Communication?identifier={token}",
                )
            ],
        }
        fresh = {**FHIR, "Cache-Control": "no-cache"}
        whole = {**FHIR, "Prefer": "return=representation"}
        once = {**whole, "If-None-Exist": f"identifier={token}"}
        session.post(base, json=batch, headers=fresh, timeout=30).json()
        body = {**self.opened, "identifier": own}
        opened = session.post(f"{base}/Communication", json=body, headers=once, timeout=30).json()
        session.post(base, json=batch, headers=fresh, timeout=30).json()
        match = {**whole, "If-Match": f'W/"{opened["meta"]["versionId"]}"'}
        body = {**self.done, "identifier": own, "id": opened["id"]}
        url = f"{base}/Communication/{opened['id']}"
        session.put(url, json=body, headers=match, timeout=30).raise_for_status()


def beside_bare_calls(base: str) -> None:
    """Alternate sends and bare calls; print medians and their ratio."""
    put_patient(base)
    messenger = a_messenger(base)
    calls = BareCalls(base, messenger)
    sends, bare = [], []
    for number in range(ROUNDS + 30):
        begin = time.perf_counter()
        calls.make(str(uuid4()))
        middle = time.perf_counter()
        answer = messenger.send(a_call(f"{base} {number} {uuid4()}"))
        end = time.perf_counter()
        assert answer.status == "accepted-by-provider", answer
        if number >= 30:
            bare.append(middle - begin)
            sends.append(end - middle)
    ratio = statistics.median(sends) / statistics.median(bare)
    print(
        f"  one send {statistics.median(sends) * 1000:.2f} ms, the same calls bare "
        f"{statistics.median(bare) * 1000:.2f} ms (medians of {ROUNDS}): {ratio:.3f} times"
    )


def throughput(base: str) -> None:
    """Print sends a second with one and with eight threads."""
    messenger = a_messenger(base)
    for threads in (1, 8):
        count = 200
        with ThreadPoolExecutor(threads) as pool:
            begin = time.perf_counter()
            answers = list(pool.map(lambda _: messenger.send(a_call(str(uuid4()))), range(count)))
            seconds = time.perf_counter() - begin
        assert all(answer.status == "accepted-by-provider" for answer in answers)
        print(f"  {threads} thread(s): {count / seconds:.0f} sends a second")


if __name__ == "__main__":
    main()
