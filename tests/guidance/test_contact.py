"""Which contact point is used."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from itertools import permutations

import pytest

from fhirmsg.guidance.contact import is_as_good, is_usable, select, tail
from fhirmsg.guidance.record import ContactPoint
from fhirmsg.guidance.terms import Channel, Period
from tests.builders import NOW, TODAY, a_mobile, an_email, days, instants

YESTERDAY, TOMORROW = TODAY - timedelta(days=1), TODAY + timedelta(days=1)


def selected(*points: ContactPoint, channel: Channel = Channel.SMS) -> ContactPoint | None:
    found = {select(order, channel, NOW) for order in permutations(points)}
    assert len(found) == 1, "the order of entries must not matter"
    return found.pop()


@pytest.mark.parametrize(
    "point",
    [
        a_mobile(use="old"),
        a_mobile(value=None),
        a_mobile(period=days(end=YESTERDAY)),
        a_mobile(period=days(start=TOMORROW)),
        a_mobile(period=Period(malformed=True)),
        an_email(),
    ],
)
def test_an_old_ended_future_blank_or_unfit_entry_is_never_used(point: ContactPoint) -> None:
    assert not is_usable(point, Channel.SMS, NOW)
    assert selected(point) is None


@pytest.mark.parametrize("period", [None, days(end=TODAY), days(start=TODAY), instants()])
def test_an_entry_is_used_in_its_period(period: Period | None) -> None:
    assert is_usable(a_mobile(period=period), Channel.SMS, NOW)


def test_nothing_is_selected_from_nothing() -> None:
    assert selected() is None


def test_the_rank_comes_first_and_a_missing_one_last() -> None:
    first, second, unranked = a_mobile(rank=1, use="work"), a_mobile(rank=2), a_mobile()
    assert selected(second, unranked, first) == first
    assert selected(second, unranked) == second


def test_then_the_use_in_a_fixed_order() -> None:
    points = [a_mobile(use=use) for use in ("mobile", "home", "temp", "work", None)]
    for number, point in enumerate(points):
        assert selected(*points[number:]) == point


def test_then_the_newest_start_and_a_missing_one_last() -> None:
    new = a_mobile(period=days(date(2026, 1, 1)))
    old = a_mobile(period=days(date(1960, 1, 1)))
    undated = a_mobile()
    assert selected(undated, old, new) == new
    assert selected(undated, old) == old


def test_then_the_value() -> None:
    low, high = a_mobile("+447700900101"), a_mobile("+447700900102")
    assert selected(high, low) == low


def test_a_number_does_not_print_itself() -> None:
    assert "7700900" not in repr(replace(a_mobile(), use="home"))


# --- two entries of one value ------------------------------------------------------------------


def test_of_one_value_the_confirmed_entry_is_used() -> None:
    sure, unsure = a_mobile(), a_mobile(confirmed=False)
    assert selected(unsure, sure) == sure
    assert selected(a_mobile(confirmed=False, use="mobile"), a_mobile(use="mobile")) == a_mobile(
        use="mobile"
    )


def test_of_one_value_and_worth_the_use_decides_and_then_the_one_that_lasts_longer() -> None:
    start = date(2026, 1, 1)
    nothing, other = a_mobile(use=None), a_mobile(use="billing")
    assert selected(other, nothing) == nothing
    open_ended = a_mobile(period=days(start))
    long, short = a_mobile(period=days(start, TOMORROW)), a_mobile(period=days(start, TODAY))
    assert selected(short, open_ended, long) == open_ended
    assert selected(short, long) == long
    assert selected(short, a_mobile(period=days(start, TODAY), confirmed=False), long) == long


def test_another_value_of_the_same_worth_is_as_good() -> None:
    low, high = a_mobile("+447700900101"), a_mobile("+447700900102")
    assert is_as_good(low, high)
    assert not is_as_good(low, low)
    assert not is_as_good(low, replace(high, rank=1))
    assert not is_as_good(low, replace(high, use="home"))


def test_a_hint_of_a_contact_point_is_its_last_three_characters() -> None:
    assert tail("+447700900101") == "101"
    assert tail("") == tail(None) == ""
