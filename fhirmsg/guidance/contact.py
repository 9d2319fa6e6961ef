"""Which contact point is used: deterministic, and only ever one of the recipient's own."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime

from fhirmsg.guidance.record import ContactPoint
from fhirmsg.guidance.terms import Channel, Match

_USES = {"mobile": 0, "home": 1, "temp": 2, "work": 3}


def is_usable(point: ContactPoint, channel: Channel, now: datetime) -> bool:
    """Tell whether an entry can carry this channel now: a value, not old, in its period.

    A period that cannot be understood counts as over.
    """
    return (
        point.value is not None
        and channel in point.channels
        and point.use != "old"
        and (point.period is None or point.period.contains(now) is Match.YES)
    )


def _worth(point: ContactPoint) -> tuple[float, int, float]:
    rank = float("inf") if point.rank is None else float(point.rank)
    start = point.period.start if point.period is not None else None
    newest_first = float("inf") if start is None else -start.timestamp()
    return rank, _USES.get(point.use or "", len(_USES)), newest_first


def _rest(point: ContactPoint) -> tuple[bool, str, float]:
    """Tell two entries of one value apart, so that their order on the record is no matter."""
    end = point.period.end if point.period is not None else None
    last = float("inf") if end is None else end.timestamp()
    return not point.confirmed, point.use or "", -last


def usable(
    points: Iterable[ContactPoint], channel: Channel, now: datetime
) -> tuple[ContactPoint, ...]:
    """Give the contact points that can carry this channel now, the one to use first.

    Order: FHIR rank (missing last), use (mobile, home, temp, work), newest period, value; of one
    value the confirmed entry first.
    """
    found = [point for point in points if is_usable(point, channel, now)]
    if len(found) > 1:
        found.sort(key=lambda point: (*_worth(point), point.value or "", *_rest(point)))
    return tuple(found)


def select(
    points: Iterable[ContactPoint],
    channel: Channel,
    now: datetime,
    excluded: Collection[str] = (),
) -> ContactPoint | None:
    """Give the contact point to use, or None; never one whose value is excluded."""
    allowed = (point for point in usable(points, channel, now) if point.value not in excluded)
    return next(allowed, None)


def is_as_good(one: ContactPoint, other: ContactPoint) -> bool:
    """Tell whether only the fixed order of values decides between two contact points."""
    return one.value != other.value and _worth(one) == _worth(other)


def tail(value: str | None) -> str:
    """Give a hint of a contact point that does not give it away: its last three characters."""
    return value[-3:] if value else ""
