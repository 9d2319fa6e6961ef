"""A FHIR server behind the fault proxy, the points of one send at which it fails, and the end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from fhirmsg.calls import Times
from tests.builders import NHS_NUMBER
from tests.delivery.desk import Office
from tests.rigs import faults
from tests.rigs.faultproxy import FaultProxy
from tests.rigs.faults import Exchange, Fault
from tests.world import a_patient_resource, put


def _is_batch(each: Exchange) -> bool:
    return each.request.startswith(b"POST") and b'"type": "batch"' in each.request


def _is_opening(each: Exchange) -> bool:
    line = each.request.split(b"\r\n", 1)[0]
    return line.startswith(b"POST") and b"/Communication " in line


def _is_settling(each: Exchange) -> bool:
    return b'"type": "transaction"' in each.request or each.request.startswith(b"PUT")


# The points of one send: what is asked of the server there, and the how-manieth it is.
STEPS: dict[str, tuple[Callable[[Exchange], bool], int]] = {
    "first batch": (_is_batch, 0),
    "open": (_is_opening, 0),
    "second batch": (_is_batch, 1),
    "settle": (_is_settling, 0),
}

REFUSED = "connect-refused"


@dataclass
class Lane:
    """A FHIR server at `direct`, with Amara in it, and the proxy before it at `base`."""

    direct: str
    proxy: FaultProxy
    base: str = field(init=False)

    def __post_init__(self) -> None:
        """Name the way through the proxy."""
        self.base = self.proxy.url_of(self.direct)

    def fail_at(self, step: str, fault: Fault | None, *, lasting: bool) -> None:
        """Plan a fault at a step: once, or for all that is asked from then on.

        Without a fault the port is closed at that step, and stays so.
        """
        is_step, skip = STEPS[step]
        reached = threading.Event()
        seen = 0

        def strikes(each: Exchange) -> bool:
            nonlocal seen
            if is_step(each):
                seen += 1
                if seen > skip:
                    reached.set()
                    if fault is None:
                        self.proxy.refuse()
                    return lasting or seen == skip + 1
            return lasting and reached.is_set()

        away = faults.RESET_BEFORE_REQUEST if fault is None else fault
        self.proxy.on(away, matching=strikes, times=None)

    def mend(self) -> None:
        """End every fault."""
        self.proxy.clear()
        self.proxy.accept()


def amara() -> dict[str, Any]:
    """Give Amara with an NHS number that somebody verified, as NHS Notify needs it."""
    status = {
        "system": "https://fhir.hl7.org.uk/CodeSystem/UKCore-NHSNumberVerificationStatus",
        "code": "01",
    }
    verified = {
        "url": "https://fhir.hl7.org.uk/StructureDefinition/Extension-UKCore-NHSNumberVerificationStatus",
        "valueCodeableConcept": {"coding": [status]},
    }
    identifier = {"system": NHS_NUMBER, "value": "9990000018", "extension": [verified]}
    return a_patient_resource(identifier=[identifier])


@contextmanager
def lane_to(server: str) -> Iterator[Lane]:
    """Put Amara on a server, and the proxy before it."""
    put(server, amara())
    with FaultProxy.before(server) as proxy:
        yield Lane(server, proxy)


def end_of(office: Office, seconds: float = 20.0, **changes: Any) -> Any:
    """Make the same call again until it is answered with a state; gives that answer.

    Between two calls the service catches up and recovers, as it does by itself.
    """
    until = time.monotonic() + seconds
    while True:
        office.catch_up()
        office.service.catch_up.recover()
        answer = office.send(**changes)
        if answer["http"] < 300 or time.monotonic() > until:
            office.catch_up()
            return answer
        time.sleep(0.3)


QUICK = Times(start_within=4.0, handoff=1.0, margin=0.0)
