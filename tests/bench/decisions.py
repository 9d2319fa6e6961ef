"""How long one decision takes: `python -m tests.bench.decisions`.

Each case is built outside the timing and judged once, since derived facts are kept on it.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from datetime import date
from statistics import median, quantiles
from time import perf_counter_ns

from fhirmsg.guidance.case import Case
from fhirmsg.guidance.decision import decide
from fhirmsg.guidance.record import Basis
from fhirmsg.guidance.terms import Channel
from tests.builders import (
    a_case,
    a_child,
    a_consent,
    a_grant,
    a_proxy_case,
    an_objection,
    days,
    deny,
)

ROUNDS = 20_000


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
        patient=a_child(9),
    )


def measure(build: Callable[[], Case]) -> list[float]:
    """Time one decision on each of many new cases, in microseconds."""
    taken = []
    gc.collect()
    gc.disable()
    for _ in range(ROUNDS):
        case = build()
        began = perf_counter_ns()
        decide(case)
        taken.append((perf_counter_ns() - began) / 1000)
    gc.enable()
    return taken


def main() -> None:
    """Print decisions a second, median and 99th percentile for both sorts of recipient."""
    for name, build in (("patient", patient_case), ("proxy", proxy_case)):
        measure(build)
        taken = measure(build)
        print(
            f"{name:8} {1_000_000 / (sum(taken) / len(taken)):9,.0f} decisions/s   "
            f"median {median(taken):6.1f} µs   p99 {quantiles(taken, n=100)[98]:6.1f} µs"
        )


if __name__ == "__main__":
    main()
