"""How long one decision takes: `python -m tests.bench.decisions`.

Prints three things, measured in one run: all rules on facts already read, without content checks;
a whole decision from raw FHIR JSON (read, translated, content checked); and how the
cost grows with the number of Consents. A plain loop is timed beside them, as a measure of the
machine: ratios to it compare across machines, microseconds do not.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter_ns
from typing import Any

from fhirmsg.fhir.client import FhirAnswer
from fhirmsg.fhir.files import FhirFiles
from fhirmsg.fhir.reader import FhirRecordReader
from fhirmsg.guidance.case import Case
from fhirmsg.guidance.decision import decide
from fhirmsg.guidance.record import Basis
from fhirmsg.guidance.request import Content, SendRequest, message_digest
from fhirmsg.guidance.terms import Channel
from fhirmsg.policyfile import read_policy
from tests.builders import (
    a_case,
    a_child,
    a_consent,
    a_grant,
    a_mobile,
    a_proxy_case,
    a_request,
    an_objection,
    days,
    deny,
)
from tests.world import a_patient_resource, an_objection_resource

ROUNDS = 5_000
NOW = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)
POLICY = Path(__file__).parents[2] / "fixtures" / "policy" / "example.yaml"
WORDS = (
    "Example Surgery: your appointment with the practice nurse is on Monday 14 December at 10:30. "
    "Please arrive ten minutes early and bring your repeat list with you. If you cannot come, "
    "ring 01632 960001 before Friday so that somebody else can have the time. See "
    "https://www.nhs.uk/services for how to find us and where to park."
)


def patient_case() -> Case:
    """Three Consents: an ended objection, one to email, and somebody's grant."""
    ended = an_objection(
        Channel.SMS, id="ended", root=deny(on=[Channel.SMS], period=days(end=date(2026, 1, 31)))
    )
    return a_case(consents=(ended, an_objection(Channel.EMAIL, id="email"), a_grant()))


def proxy_case() -> Case:
    """Three Consents: a parental grant, the child's objection to texts, an unrelated one."""
    return a_proxy_case(
        a_grant(basis=Basis.PARENTAL_RESPONSIBILITY),
        an_objection(Channel.SMS),
        a_consent(id="research", other_category=True, root=deny()),
        patient=a_child(9, contact_points=(a_mobile(),)),
    )


def without_content(build: Callable[[], Case]) -> Callable[[], Case]:
    """Give the case with its words looked through already, and nothing seen in them."""

    def built() -> Case:
        case = build()
        case.content.__dict__["observations"] = ()
        return case

    return built


def measure(build: Callable[[], Any], run: Callable[[Any], Any], rounds: int) -> list[float]:
    """Time one run on each of many new things, in microseconds."""
    taken = []
    gc.collect()
    gc.disable()
    for _ in range(rounds):
        thing = build()
        began = perf_counter_ns()
        run(thing)
        taken.append((perf_counter_ns() - began) / 1000)
    gc.enable()
    return taken


def show(name: str, taken: list[float], unit: float) -> None:
    """Print median, 99th percentile, and the ratio to the plain loop."""
    print(
        f"{name:44} median {median(taken):9.1f} µs   p99 {quantiles(taken, n=100)[98]:9.1f} µs   "
        f"{median(taken) / unit:7.2f} x the loop"
    )


def resources(consents: int = 5) -> list[dict[str, Any]]:
    """Give a Patient, a RelatedPerson and so many Consents, as raw JSON."""
    related = {
        "resourceType": "RelatedPerson",
        "id": "ben",
        "patient": {"reference": "Patient/amara"},
        "telecom": [{"system": "phone", "use": "mobile", "value": "07700 900456"}],
    }
    kinds = ("email", "letter", "voice", "nhs-app", "email")
    objections = [
        an_objection_resource(f"objection-{number}", kinds[number % len(kinds)])
        for number in range(consents)
    ]
    return [a_patient_resource(), related, *objections]


class Answers(FhirFiles):
    """Resources at hand whose answers are made before anything is timed, as a server's are."""

    def __init__(self, held: list[dict[str, Any]]) -> None:
        """Keep every answer from its first time on."""
        super().__init__(held)
        self._made: dict[str, FhirAnswer] = {}

    def _answer(self, path: str) -> FhirAnswer:
        if path not in self._made:
            self._made[path] = super()._answer(path)
        return self._made[path]


def from_raw(held: list[dict[str, Any]]) -> Callable[[SendRequest], Any]:
    """Give a function that reads, translates and decides, content checks among it."""
    policy = read_policy(POLICY)
    reader = FhirRecordReader(Answers(held), clock=lambda: NOW)

    def run(request: SendRequest) -> Any:
        read = reader.read(request, policy, "m")
        case = Case(
            request=request,
            record=read.record,
            policy=policy,
            as_of=NOW,
            message_id="m",
            message_digest=message_digest(request),
        )
        return decide(case)

    return run


def a_raw_request() -> SendRequest:
    """Give a plain text message of more than 300 characters."""
    return a_request(platform="demo-texts", content=Content(body=WORDS))


def loop(_: object) -> int:
    """Do plain work of Python's own."""
    return sum(number * number for number in range(1000))


def main() -> None:
    """Print the figures."""
    measure(object, loop, 500)
    unit = median(measure(object, loop, 2000))
    print(f"a plain loop of 1,000 squares: {unit:.1f} µs")
    for name, build in (("to the patient", patient_case), ("to a proxy", proxy_case)):
        bare = without_content(build)
        measure(bare, decide, 500)
        show(f"all rules on facts read, {name}", measure(bare, decide, ROUNDS), unit)
    run = from_raw(resources())
    measure(a_raw_request, run, 200)
    show(f"from raw FHIR, {len(WORDS)} characters", measure(a_raw_request, run, 1000), unit)
    for count in (10, 100, 1000):
        taken = measure(a_raw_request, from_raw(resources(count)), max(10, 2000 // count))
        print(f"from raw FHIR, {count:5} Consents: {median(taken) / count:8.1f} µs for each")


if __name__ == "__main__":
    main()
