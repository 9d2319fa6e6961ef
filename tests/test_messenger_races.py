"""Two entries for one message: at most one of the calls behind them sends."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fhirmsg.answers import State
from fhirmsg.calls import Times
from fhirmsg.errors import StillRunning
from fhirmsg.ports import Entry, EntryStatus
from fhirmsg.standing import comes_first, is_confused, others, standing
from tests.messaging import a_desk

IN_PROGRESS, NOT_DONE = EntryStatus.IN_PROGRESS, EntryStatus.NOT_DONE
HANDED_OFF = [EntryStatus.COMPLETED, EntryStatus.STOPPED, EntryStatus.UNKNOWN]
LEASE = Times().lease(0.0)


# --- met at the second look --------------------------------------------------------------------


def test_the_first_of_two_waits_until_the_other_has_given_way() -> None:
    desk = a_desk()

    def other_gives_way() -> None:
        desk.log.entries = [desk.log.entries[0]]

    desk.reader.then = [lambda: desk.beside(IN_PROGRESS) and None, desk.case, other_gives_way]
    assert desk.send().status is State.ACCEPTED
    assert desk.log.events == ["open", "settle completed"]
    assert (desk.sent, desk.waits) == (1, [0.1, 0.3])


def test_the_first_of_two_gives_way_when_the_other_does_not() -> None:
    desk = a_desk()
    desk.reader.then = [lambda: desk.beside(IN_PROGRESS) and None, desk.case]
    with pytest.raises(StillRunning):
        desk.send()
    assert desk.log.events == ["open", "settle not-done"]
    assert desk.sent == 0
    assert sum(desk.waits) < desk.times.start_within


@pytest.mark.parametrize("status", HANDED_OFF)
def test_the_first_of_two_gives_way_when_the_other_was_handed_off(status: EntryStatus) -> None:
    desk = a_desk()
    desk.reader.then = [lambda: desk.beside(status) and None]
    with pytest.raises(StillRunning):
        desk.send()
    assert desk.log.events == ["open", "settle not-done"]
    assert (desk.sent, desk.waits) == (0, [])


@pytest.mark.parametrize("status", [IN_PROGRESS, *HANDED_OFF])
def test_the_second_of_two_gives_way_at_once(status: EntryStatus) -> None:
    desk = a_desk()
    desk.reader.then = [lambda: desk.beside(status, 0) and None]
    with pytest.raises(StillRunning):
        desk.send()
    assert desk.log.events == ["open", "settle not-done"]
    assert (desk.sent, desk.waits) == (0, [])


def test_one_that_was_not_done_is_in_nobodys_way() -> None:
    desk = a_desk()
    desk.reader.then = [lambda: desk.beside(NOT_DONE, 0) and None]
    assert desk.send().status is State.ACCEPTED


def test_an_entry_that_was_claimed_gives_way_by_ending_unsent() -> None:
    desk = a_desk().holding(NOT_DONE)
    desk.reader.then = [lambda: desk.beside(IN_PROGRESS, 0) and None]
    with pytest.raises(StillRunning):
        desk.send()
    assert desk.log.events == ["claim anew", "settle not-done"]
    assert desk.sent == 0


def test_an_entry_that_was_taken_over_is_left_open_beside_another() -> None:
    desk = a_desk().holding(IN_PROGRESS, age=LEASE + 1)
    desk.reader.then = [lambda: desk.beside(IN_PROGRESS, 0) and None]
    with pytest.raises(StillRunning):
        desk.send()
    assert desk.log.events == ["claim"]
    assert desk.sent == 0


def test_another_entry_that_comes_between_the_tries_stops_the_second() -> None:
    from tests.fakes import ACCEPTED, RETRYABLE

    desk = a_desk()
    desk.provider.script = [RETRYABLE, ACCEPTED]
    desk.reader.then = [desk.case, lambda: desk.beside(EntryStatus.COMPLETED) and None]
    with pytest.raises(StillRunning):
        desk.send()
    assert desk.sent == 1


# --- found by a later call ---------------------------------------------------------------------


def test_two_that_are_being_sent_are_waited_for() -> None:
    desk = a_desk().holding(IN_PROGRESS, age=1.0).beside(IN_PROGRESS)
    with pytest.raises(StillRunning):
        desk.send()
    assert (desk.log.events, desk.log.tasks, desk.sent) == ([], [], 0)


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (IN_PROGRESS, IN_PROGRESS),
        (EntryStatus.COMPLETED, EntryStatus.COMPLETED),
        (EntryStatus.COMPLETED, EntryStatus.UNKNOWN),
    ],
)
def test_two_between_which_only_a_person_can_tell_hold(one: EntryStatus, two: EntryStatus) -> None:
    desk = a_desk().holding(one, age=LEASE + 1).beside(two)
    assert desk.send().status is State.HELD
    assert desk.log.tasks == ["several-entries"]
    assert (desk.log.events, desk.sent) == ([], 0)


@pytest.mark.parametrize("beside", [IN_PROGRESS, NOT_DONE])
def test_one_that_was_handed_off_stands_beside_one_that_was_not(beside: EntryStatus) -> None:
    desk = a_desk().holding(EntryStatus.COMPLETED, age=LEASE + 1).beside(beside, 0)
    answer = desk.send()
    assert (answer.status, answer.replayed) == (State.ACCEPTED, True)
    assert (desk.log.events, desk.sent) == ([], 0)


def test_one_that_is_being_sent_stands_beside_one_that_was_not_done() -> None:
    desk = a_desk().holding(NOT_DONE).beside(IN_PROGRESS)
    with pytest.raises(StillRunning):
        desk.send()
    assert (desk.log.events, desk.sent) == ([], 0)


def test_of_two_that_were_not_done_the_first_is_claimed() -> None:
    desk = a_desk().holding(NOT_DONE).beside(NOT_DONE)
    assert desk.send().status is State.ACCEPTED
    assert {entry.reference: entry.status for entry in desk.log.entries} == {
        "Communication/1": EntryStatus.COMPLETED,
        "Communication/2": NOT_DONE,
    }


# --- the order ---------------------------------------------------------------------------------


def entry(number: int, status: EntryStatus | None = IN_PROGRESS, **changes: Any) -> Entry:
    plain = Entry(
        reference=f"Communication/{number}",
        version_id="1",
        status=status,
        message_id="m",
        attempt="a",
        message_digest="d",
    )
    return replace(plain, **changes)


def test_everybody_agrees_who_comes_first() -> None:
    for one, two in ((9, 10), (99, 100), (1, 2)):
        assert comes_first(entry(one), [entry(two)])
        assert not comes_first(entry(two), [entry(one)])


def test_what_was_handed_off_is_never_given_way_to_by_itself() -> None:
    assert not comes_first(entry(1), [entry(2, EntryStatus.COMPLETED)])
    assert not comes_first(entry(1), [entry(2, None)])


def test_an_entry_in_an_unknown_state_is_confusing_wherever_it_stands() -> None:
    assert is_confused([entry(1, None)])
    assert is_confused([entry(1, None), entry(2, EntryStatus.COMPLETED)])
    assert is_confused([entry(1, NOT_DONE), entry(2, None)])
    assert not is_confused([])


def test_our_own_entry_is_not_beside_itself() -> None:
    assert others([entry(1), entry(2, NOT_DONE)], entry(1)) == ()
    assert standing([entry(2), entry(1)]) == (entry(1), entry(2))
