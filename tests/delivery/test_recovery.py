"""Entries whose process ended are brought to a truthful end; nothing is sent for it."""

from __future__ import annotations

from typing import NoReturn

import pytest

from fhirmsg.calls import Times
from fhirmsg.ports import OutboundMessage, ProviderKind
from tests.delivery.conftest import Line
from tests.delivery.desk import Office, Taking

# Less than nothing: the Date of an answer has whole seconds.
AT_ONCE = Times(start_within=0.5, handoff=0.5, margin=-3.0)


class Died(BaseException):
    """The end of the process, as far as a test in one process can have it."""


def abandoned(line: Line, kind: ProviderKind, *, after: bool) -> Office:
    """Give an office that finds the entry of a process that died before or after its hand-off."""
    provider = Taking(kind=kind)
    before = Office(base=line.base, direct=line.direct, first=provider)
    sending = provider.send

    def die(message: OutboundMessage, **more: object) -> NoReturn:
        if after:
            sending(message, **more)  # type: ignore[arg-type]
        raise Died

    provider.send = die  # type: ignore[method-assign,assignment]
    with pytest.raises(Died):
        before.send()
    provider.send = sending  # type: ignore[method-assign]
    return Office(base=line.base, direct=line.direct, first=provider, times=AT_ONCE)


@pytest.mark.parametrize(
    ("kind", "after", "status", "tasks"),
    [
        (ProviderKind.SEARCHABLE, True, "completed", []),
        (ProviderKind.SEARCHABLE, False, "not-done", []),
        (ProviderKind.REJECTS_REPEATS, True, "in-progress", ["still-open"]),
        (ProviderKind.REJECTS_REPEATS, False, "in-progress", ["still-open"]),
        (ProviderKind.NEITHER, True, "unknown", ["unknown"]),
        (ProviderKind.NEITHER, False, "unknown", ["unknown"]),
    ],
)
def test_an_abandoned_entry_ends_by_what_its_provider_tells(
    line: Line, kind: ProviderKind, after: bool, status: str, tasks: list[str]
) -> None:
    office = abandoned(line, kind, after=after)
    office.service.catch_up.recover()
    [entry] = office.record()
    assert (entry["status"], office.tasks()) == (status, tasks)
    assert len(office.first.taken) == int(after)
    assert office.service.catch_up.recover().get("unknown", 0) == 0


def test_an_entry_within_its_lease_is_left_alone(line: Line) -> None:
    abandoned(line, ProviderKind.SEARCHABLE, after=False)
    patient = Office(base=line.base, direct=line.direct)
    assert patient.service.catch_up.recover() == {"being sent": 1}
    [entry] = patient.record()
    assert entry["status"] == "in-progress"


def test_a_provider_that_is_silent_leaves_it_open(line: Line) -> None:
    office = abandoned(line, ProviderKind.SEARCHABLE, after=True)
    office.first.silent = True
    assert office.service.catch_up.recover() == {"provider silent": 1}
    office.first.silent = False
    assert office.service.catch_up.recover() == {"completed": 1}


def test_what_a_provider_may_have_forgotten_is_unknown(line: Line) -> None:
    provider = abandoned(line, ProviderKind.SEARCHABLE, after=False).first
    provider.retention_seconds = -5.0
    office = Office(base=line.base, direct=line.direct, first=provider, times=AT_ONCE)
    assert office.service.catch_up.recover() == {"unknown": 1}
    assert office.tasks() == ["unknown"]


def test_an_emergency_that_only_a_retry_can_end_goes_to_the_record_open(line: Line) -> None:
    later = after_dying_in_an_outage(line, Taking(kind=ProviderKind.REJECTS_REPEATS))
    later.service.catch_up.recover()
    later.catch_up()
    [entry] = later.record()
    assert (entry["status"], later.owed()) == ("in-progress", 0)
    assert later.tasks() == ["emergency-review", "still-open"]


def test_an_emergency_abandoned_in_an_outage_ends_on_the_record(line: Line) -> None:
    later = after_dying_in_an_outage(line, Taking())
    later.service.catch_up.recover()
    later.catch_up()
    [entry] = later.record()
    assert (entry["status"], later.owed()) == ("completed", 0)
    assert later.tasks() == ["completed-without-evidence", "emergency-review"]
    assert len(later.first.taken) == 1


def after_dying_in_an_outage(line: Line, provider: Taking) -> Office:
    """Give an office that finds the journal of one that died after an emergency hand-off."""
    office = Office(base=line.base, direct=line.direct, first=provider)
    sending = provider.send

    def die(message: OutboundMessage, **more: object) -> NoReturn:
        sending(message, **more)  # type: ignore[arg-type]
        raise Died

    provider.send = die  # type: ignore[method-assign,assignment]
    line.away = True
    with pytest.raises(Died):
        office.emergency()
    provider.send = sending  # type: ignore[method-assign]
    later = Office(
        base=line.base,
        direct=line.direct,
        first=provider,
        times=AT_ONCE,
        journal=office.service.journal,
    )
    line.away = False
    return later


def test_a_receipt_completes_what_its_process_left_open(line: Line) -> None:
    office = abandoned(line, ProviderKind.REJECTS_REPEATS, after=True)
    office.receipt("delivered")
    office.catch_up()
    [entry] = office.record()
    assert entry["status"] == "completed"
