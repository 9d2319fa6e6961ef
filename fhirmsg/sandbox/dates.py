"""FHIR dates as spans of milliseconds.

Source: https://hl7.org/fhir/R4/datatypes.html#dateTime and search.html#date (a partial date
covers the whole of its year, month, day, minute or second).
"""

from __future__ import annotations

import calendar
import re
from datetime import UTC, datetime, timedelta, timezone

EARLIEST = -(2**62)
LATEST = 2**62
"""The open ends of a period, beyond every date R4 can write."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)

_DATE = re.compile(
    r"(?P<year>\d{4})(?:-(?P<month>\d\d)(?:-(?P<day>\d\d)"
    r"(?:T(?P<hour>\d\d):(?P<minute>\d\d)(?::(?P<second>\d\d)(?P<fraction>\.\d+)?)?"
    r"(?P<zone>Z|[+-]\d\d:\d\d)?)?)?)?",
    re.ASCII,
)
_DAY = 86_400_000


def milliseconds(moment: datetime) -> int:
    """The whole milliseconds from 1970 to a moment that has a zone."""
    return (moment - EPOCH) // MILLISECOND


def instant(since_epoch: int) -> str:
    """A FHIR instant in UTC with milliseconds."""
    return (EPOCH + since_epoch * MILLISECOND).isoformat(timespec="milliseconds")


def span_of(text: str) -> tuple[int, int] | None:
    """The first and last millisecond that a (partial) date covers; None when it is none.

    A date without a zone is taken as UTC.
    """
    if not (found := _DATE.fullmatch(text)):
        return None
    try:
        start = datetime(
            int(found["year"]),
            int(found["month"] or 1),
            int(found["day"] or 1),
            int(found["hour"] or 0),
            int(found["minute"] or 0),
            int(found["second"] or 0),
            tzinfo=_zone(found["zone"] or "Z"),
        )
        low = milliseconds(start) + int(float(found["fraction"] or 0) * 1000)
    except (ValueError, OverflowError):
        return None
    return low, low + _length(found, start) - 1


def _zone(text: str) -> timezone:
    if text == "Z":
        return UTC
    hours, minutes = text[1:].split(":")
    offset = timedelta(hours=int(hours), minutes=int(minutes))
    return timezone(-offset if text[0] == "-" else offset)


def _length(found: re.Match[str], start: datetime) -> int:
    """How many milliseconds the written precision covers."""
    if found["fraction"]:
        return 1
    if found["second"]:
        return 1000
    if found["hour"]:
        return 60_000
    if found["day"]:
        return _DAY
    if found["month"]:
        return _DAY * calendar.monthrange(start.year, start.month)[1]
    return _DAY * (366 if calendar.isleap(start.year) else 365)
