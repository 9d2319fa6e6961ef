"""Which contact point is used: deterministic, and only ever one of the recipient's own."""

from __future__ import annotations

from collections.abc import Iterable
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


def _order(point: ContactPoint) -> tuple[float, int, float, str]:
    rank = float("inf") if point.rank is None else float(point.rank)
    start = point.period.start if point.period is not None else None
    newest_first = float("inf") if start is None else -start.timestamp()
    return rank, _USES.get(point.use or "", len(_USES)), newest_first, point.value or ""


def select(points: Iterable[ContactPoint], channel: Channel, now: datetime) -> ContactPoint | None:
    """Give the contact point to use, or None.

    Order: FHIR rank (missing last), use (mobile, home, temp, work), newest period, value.
    """
    usable = (point for point in points if is_usable(point, channel, now))
    return min(usable, key=_order, default=None)
