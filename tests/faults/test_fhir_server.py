"""Every fault of the network and of the FHIR server, at every step of one send.

What the caller is told, what has left, what stands on the record and in the journal by then; and
how it ends when the fault is over and the same call comes again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from fhirmsg.sandbox import Store, serve_in_thread
from tests.delivery.desk import Office
from tests.faults.lanes import QUICK, REFUSED, Lane, end_of, lane_to
from tests.rigs import faults
from tests.rigs.faults import Fault, Where

BRIEF_STALLS = {
    "stall-before-the-answer": faults.stall(3),
    "stall-mid-answer": faults.stall(3, Where.MID_ANSWER),
}
# Without a fault the port is closed.
FAULTS: dict[str, Fault | None] = {**faults.CATALOGUE, **BRIEF_STALLS, REFUSED: None}
# The server has taken it in, though nobody was told.
TAKEN_IN = frozenset(
    {
        *("reset-before-answer", "reset-mid-answer", "truncated-right-length"),
        *("truncated-wrong-length", "drip", "200-after-forwarding", "429-after-forwarding"),
        *("500-after-forwarding", "503-after-forwarding", *BRIEF_STALLS),
    }
)


@dataclass(frozen=True)
class Told:
    """The answer (state, or None for a problem), and what there is by then."""

    http: int
    status: str | None
    retry: str
    entries: tuple[str, ...]
    taken: int
    owed: int


NOT_READ = Told(503, None, "after", (), 0, 0)
SENT = Told(201, "accepted-by-provider", "never", ("completed",), 1, 0)
SENT_OWED = Told(201, "accepted-by-provider", "never", ("in-progress",), 1, 1)
SENT_UNSEEN = Told(201, "accepted-by-provider", "never", ("completed",), 1, 1)
HELD = Told(200, "held", "after", (), 0, 1)
HELD_OPENED = Told(200, "held", "after", ("in-progress",), 0, 1)
UNDONE = Told(503, None, "after", ("not-done",), 0, 0)
UNDONE_OWED = Told(503, None, "after", ("in-progress",), 0, 1)
UNDONE_UNSEEN = Told(503, None, "after", ("not-done",), 0, 1)

# step -> what a fault leads to that strikes once, and one that goes on: not taken in, taken in.
EXPECTED: dict[str, tuple[Told, Told, Told]] = {
    "first batch": (NOT_READ, NOT_READ, NOT_READ),
    "open": (SENT, HELD, HELD_OPENED),
    "second batch": (UNDONE, UNDONE_OWED, UNDONE_UNSEEN),
    "settle": (SENT, SENT_OWED, SENT_UNSEEN),
}
# The others wait out the same pauses, and are asked for with FHIRMSG_TEST_LONG=1.
ALWAYS_ON_AND_ON = frozenset({REFUSED, "reset-before-answer"})
SELDOM_ONCE = frozenset(
    {
        *((step, "drip") for step in EXPECTED),
        *((step, "stall-mid-answer") for step in EXPECTED),
        *(("open", name) for name in ("reset-before-request", "200", "500", "503")),
    }
)
LONG_ALONE = pytest.mark.skipif(
    os.environ.get("FHIRMSG_TEST_LONG") != "1", reason="set FHIRMSG_TEST_LONG=1: takes minutes"
)
ONCE = [
    pytest.param(step, name, marks=[LONG_ALONE] if (step, name) in SELDOM_ONCE else [])
    for step in EXPECTED
    for name in FAULTS
    if name != REFUSED
]
ON_AND_ON = [
    pytest.param(step, name, marks=[] if name in ALWAYS_ON_AND_ON else [LONG_ALONE])
    for step in EXPECTED
    for name in FAULTS
    if name != "drip"
]
ON_HAPI = [
    *(("open", name) for name in ("reset-before-answer", "503-after-forwarding")),
    *(("second batch", name) for name in ("reset-mid-answer", "429")),
    *(("settle", name) for name in ("reset-before-request", "reset-before-answer", "200")),
    *(("settle", name) for name in ("truncated-right-length", "503-after-forwarding")),
]


@pytest.fixture
def lane() -> Iterator[Lane]:
    with serve_in_thread(Store()) as store, lane_to(store.base_url) as found:
        yield found


def an_office(lane: Lane, read_timeout: float = 1.0) -> Office:
    return Office(base=lane.base, direct=lane.direct, times=QUICK, read_timeout=read_timeout)


def told_by(office: Office) -> Told:
    answer = office.send()
    if answer["http"] < 300:
        told = "pending" if office.owed() and office.first.taken else answer["record"]
        assert answer["record"] == told
    return Told(
        answer["http"],
        answer["status"] if answer["http"] < 300 else None,
        answer["retry"],
        tuple(each["status"] for each in office.record()),
        len(office.first.taken),
        office.owed(),
    )


def check_the_end(office: Office, lane: Lane) -> None:
    """The same call comes again: sent once, on record once, nothing owed, nobody asked."""
    lane.mend()
    answer = end_of(office)
    assert (answer["http"], answer["status"]) in (
        (200, "accepted-by-provider"),
        (201, "accepted-by-provider"),
    )
    assert len(office.first.taken) == 1
    assert [each["status"] for each in office.record()] == ["completed"]
    assert (office.owed(), office.tasks()) == (0, [])
    assert office.send()["replayed"] is True
    assert len(office.first.taken) == 1


@pytest.mark.parametrize(("step", "name"), ONCE)
def test_a_fault_that_strikes_once(lane: Lane, step: str, name: str) -> None:
    office = an_office(lane)
    lane.fail_at(step, FAULTS[name], lasting=False)
    assert told_by(office) == EXPECTED[step][0]
    check_the_end(office, lane)


@pytest.mark.parametrize(("step", "name"), ON_AND_ON)
def test_a_fault_that_goes_on(lane: Lane, step: str, name: str) -> None:
    office = an_office(lane)
    lane.fail_at(step, FAULTS[name], lasting=True)
    assert told_by(office) == EXPECTED[step][2 if name in TAKEN_IN else 1]
    check_the_end(office, lane)


@pytest.mark.hapi
@pytest.mark.parametrize("lasting", [False, pytest.param(True, marks=LONG_ALONE)])
@pytest.mark.parametrize(("step", "name"), ON_HAPI)
def test_a_fault_before_a_real_server(hapi: str, step: str, name: str, lasting: bool) -> None:
    with lane_to(hapi) as lane:
        office = an_office(lane, read_timeout=10.0)
        lane.fail_at(step, FAULTS[name], lasting=lasting)
        expected = EXPECTED[step]
        assert told_by(office) == expected[(2 if name in TAKEN_IN else 1) if lasting else 0]
        check_the_end(office, lane)
