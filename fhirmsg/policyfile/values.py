"""Values that stand in policy files in more than one place, each read with its faults."""

from __future__ import annotations

import re
from datetime import date, time
from zoneinfo import ZoneInfo

from fhirmsg.guidance.terms import Channel
from fhirmsg.yamlfile import Section, meant, shown

CHANNELS = {channel.value: channel for channel in Channel}
CHANNEL_NAMES = ", ".join(CHANNELS)

_ODS_CODE = re.compile(r"[A-Z0-9]{3,15}")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_TIME = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")


def ods_codes(section: Section) -> frozenset[str]:
    """Read `organisations`: ODS codes, upper-cased."""
    what = "list ODS codes, for example [A12345]"
    found = section.texts("organisations", what=what, required=True, some=True)
    for code in found:
        if not _ODS_CODE.fullmatch(code.upper()):
            section.fault("organisations", f"{shown(code)} is not an ODS code; {what}")
    return frozenset(code.upper() for code in found)


def zone(top: Section) -> ZoneInfo:
    """Read `timezone`."""
    what = "name an IANA time zone, for example Europe/London"
    name = top.text("timezone", what=what, default="Europe/London")
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        top.fault("timezone", f"{shown(name)} is not a time zone; {what}")
        return ZoneInfo("UTC")


def channels(section: Section, key: str, what: str) -> frozenset[Channel]:
    """Read a list of channels that has to be there."""
    return frozenset(_channels(section, key, what, required=True))


def channels_in_order(section: Section, key: str, what: str) -> tuple[Channel, ...]:
    """Read a list of channels whose order counts, none when it is not there."""
    found = _channels(section, key, what, required=False)
    for channel in dict.fromkeys(found):
        if found.count(channel) > 1:
            section.fault(key, f"{channel} is there twice; keep one of them")
    return tuple(found)


def _channels(section: Section, key: str, what: str, *, required: bool) -> list[Channel]:
    names = section.texts(key, what=what, required=required)
    for name in names:
        if name not in CHANNELS:
            section.fault(key, f"{shown(name)} is not a channel{_one_of(name)}")
    return [CHANNELS[name] for name in names if name in CHANNELS]


def _one_of(name: str) -> str:
    return f"{meant(name, CHANNELS)}; write one of {CHANNEL_NAMES}"


def day(section: Section, key: str) -> date | None:
    """Read a day, None when it cannot be read."""
    what = "write a day as YYYY-MM-DD"
    text = section.text(key, what=what)
    if text:
        try:
            if _DAY.fullmatch(text):
                return date.fromisoformat(text)
        except ValueError:
            pass
        section.fault(key, f"is {shown(text)}; {what}")
    return None


def time_of_day(section: Section, key: str, *, midnight_ends: bool = False) -> time | None:
    """Read a time, None when it cannot be read; 24:00 may be the end of a day (`time.max`)."""
    what = "write a time as HH:MM"
    if midnight_ends:
        what += ", 24:00 being the end of the day"
    text = section.text(key, what=what)
    if text == "24:00" and midnight_ends:
        return time.max
    if _TIME.fullmatch(text):
        return time.fromisoformat(text)
    if text:
        section.fault(key, f"is {shown(text)}; {what}")
    return None
