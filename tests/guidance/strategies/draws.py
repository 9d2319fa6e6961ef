"""Ways of drawing that stay cheap, and time around the boundaries that matter."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import permutations
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from fhirmsg.guidance.terms import BirthInterval, Period
from tests.builders import NOW, TODAY, born, days, instants


def named(name: str, strategy: SearchStrategy[Any]) -> SearchStrategy[Any]:
    """Give the strategy under a short name, since failures print where values come from."""

    def drawn(draw: st.DrawFn) -> Any:
        return draw(strategy)

    drawn.__name__ = name
    return st.composite(drawn)()


def mostly(usual: object, *others: object) -> SearchStrategy[Any]:
    """Draw the usual value half of the time."""
    return st.sampled_from([*[usual] * len(others), *others])


def changes(most: int = 3, **pools: Sequence[object]) -> SearchStrategy[dict[str, Any]]:
    """Draw a few fields, each as likely as the others, with a value from its pool."""
    longest = max(map(len, pools.values()))
    pairs = [(name, pool[at % len(pool)]) for name, pool in pools.items() for at in range(longest)]
    return st.lists(st.sampled_from(pairs), max_size=most).map(dict)


def one_or_two(pool: Sequence[object]) -> list[tuple[object, ...]]:
    """Give every value of a pool alone, and every two of them in either order."""
    return [*((value,) for value in pool), *permutations(pool, 2)]


_DAYS = [None, *(TODAY + timedelta(days=n) for n in (-400, -1, 0, 1, 20, 400))]
_INSTANTS = [
    None,
    datetime.min.replace(tzinfo=UTC),
    *(NOW + timedelta(minutes=n) for n in (-60, -11, -10, -9, 0, 9, 10, 11, 60)),
    datetime.max.replace(tzinfo=UTC),
]
PERIODS = [
    *(days(start, end) for start in _DAYS for end in _DAYS),
    *(instants(start, end) for start in _INSTANTS for end in _INSTANTS),
    *[Period(malformed=True)] * 8,
]
periods = mostly(None, *PERIODS)

birth_days = st.dates(TODAY.replace(year=TODAY.year - 19), TODAY)


def whole_year(day: date) -> BirthInterval:
    """Give the birth dates that a year alone leaves open."""
    return BirthInterval(earliest=day.replace(month=1, day=1), latest=date(day.year, 12, 31))


birth_intervals = st.one_of(
    birth_days.map(born),
    birth_days.map(whole_year),
    st.just(BirthInterval()),
    st.sampled_from([born(TODAY.replace(year=TODAY.year - age)) for age in (14, 38)]),
)
