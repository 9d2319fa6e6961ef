"""The register of platforms: what each carries, since when, and what may come of it."""

from __future__ import annotations

import re
from collections.abc import Collection

from fhirmsg.guidance.policy import Approval, Fallback, Platform, Window
from fhirmsg.guidance.terms import Channel
from fhirmsg.policyfile import keys
from fhirmsg.policyfile.values import CHANNEL_NAMES, CHANNELS, channels, day, time_of_day
from fhirmsg.yamlfile import Section, meant, shown

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

# What mobile networks take in the place of a number.
_SENDER_NAME = re.compile(r"[A-Za-z0-9 ]{1,11}")

# As `date.weekday` counts them.
_DAYS = {name: at for at, name in enumerate(("mon", "tue", "wed", "thu", "fri", "sat", "sun"))}
_WRITE_DAYS = f"list days out of {', '.join(_DAYS)}"


def register(top: Section) -> dict[str, Platform]:
    """Read `platforms`, by name."""
    section = top.section("platforms", None, required=True)
    if top.get("platforms") == {}:
        top.fault("platforms", "is empty, so nothing could be sent; register a platform")
    found = {}
    for name in section:
        if not _NAME.fullmatch(name):
            section.fault(name, "is not a name of letters, digits, full stops and hyphens")
        entry = section.section(name, keys.PLATFORM, required=True)
        if entry.readable:
            found[name] = _platform(name, entry, section)
    return found


def _platform(name: str, entry: Section, section: Section) -> Platform:
    platform = Platform(
        name=name,
        provider=entry.text("provider", what="name the provider that carries it, as smtp"),
        channels=channels(entry, "channels", f"list channels ({CHANNEL_NAMES}), or []"),
        approval=_approval(entry),
        falls_back=_fallbacks(entry, section),
        notifies_by=channels(
            entry,
            "notifies_by",
            "list the channels on which it tells people that something waits; write [] only "
            "when the supplier has confirmed that there are none",
        ),
        confidential=entry.flag("confidential", default=False),
        requires_login=entry.flag("requires_login", default=False),
        lock_screen=entry.flag("lock_screen", default=True),
        windows=_windows(entry),
        sender_names=_sender_names(entry),
    )
    if platform.confidential and not platform.requires_login:
        entry.fault(
            "confidential",
            "is true, and requires_login is not: the guidance accepts confidential content where "
            "people have to log in or enter a password to read it; write requires_login: true if "
            "that is so here, or confidential: false",
        )
    return platform


def _approval(entry: Section) -> Approval | None:
    """Read `approved`; missing or null means registered and not approved."""
    if entry.get("approved") is None:
        return None
    approved = entry.section("approved", keys.APPROVED, required=True)
    if not approved.readable:
        return None
    start = day(approved, "from")
    end = None if approved.get("until") is None else day(approved, "until")
    if start is None:
        return None
    if end is not None and end < start:
        approved.fault("until", "is before `from`, so it is never approved; correct one of them")
    return Approval(start=start, end=end)


def _fallbacks(entry: Section, section: Section) -> tuple[Fallback, ...]:
    what = (
        "list the channels, or {platform, channel} pairs, that the supplier may fall back to; "
        "write [] only when the supplier has confirmed that there are none"
    )
    found = []
    for path, value in entry.items("fallbacks", what=what, required=True):
        platform = None
        if isinstance(value, dict):
            pair = Section(value, path, entry.faults, keys=keys.FALLBACK)
            name = pair.text("channel", what=f"write one of {CHANNEL_NAMES}")
            platform = pair.text("platform", what="name a platform of this file")
            if platform and platform not in section:
                pair.fault("platform", f"{shown(platform)} is not under platforms; register it")
        elif isinstance(value, str):
            name = value
        else:
            entry.faults.append(f"{path}: is {shown(value)}; {what}")
            continue
        if name in CHANNELS:
            found.append(Fallback(channel=CHANNELS[name], platform=platform))
        elif name:
            entry.faults.append(
                f"{path}: {shown(name)} is not a channel; write one of {CHANNEL_NAMES}"
            )
    return tuple(found)


def _windows(entry: Section) -> tuple[Window, ...]:
    what = "list {days, from, until} in local time, or [] when it delivers at any time"
    found = []
    for path, value in entry.items("windows", what=what, required=False):
        window = Section(value, path, entry.faults, keys=keys.WINDOW)
        if not window.readable:
            continue
        days = window.texts("days", what=_WRITE_DAYS, required=True, some=True)
        for name in days:
            if name not in _DAYS:
                window.fault("days", f"{shown(name)} is not a day; {_WRITE_DAYS}")
        start = time_of_day(window, "from")
        end = time_of_day(window, "until", midnight_ends=True)
        if start is None or end is None:
            continue
        if end <= start:
            window.fault(
                "until", "is not after `from`; write two windows for one that goes past midnight"
            )
        weekdays = frozenset(_DAYS[name] for name in days if name in _DAYS)
        found.append(Window(weekdays=weekdays, start=start, end=end))
    return tuple(found)


def _sender_names(entry: Section) -> tuple[str, ...]:
    what = "list names of at most 11 letters, digits and spaces, which is what networks take"
    found = entry.texts("sender_names", what=what, required=False)
    for name in found:
        if not _SENDER_NAME.fullmatch(name):
            entry.fault("sender_names", f"{shown(name)} is not such a name; {what}")
    return tuple(found)


def default_platforms(top: Section, platforms: dict[str, Platform]) -> dict[Channel, str]:
    """Read `default_platform`: for each channel the platform that is taken unless one is named."""
    section = top.section("default_platform", CHANNELS, required=False)
    found = {}
    for channel in (CHANNELS[key] for key in section if key in CHANNELS):
        name = section.text(channel, what="name a platform of this file")
        platform = platforms.get(name)
        if platform is None:
            # One that is there and could not be read has its faults already.
            if name and name not in _names(top.get("platforms")):
                question = meant(name, platforms)
                section.fault(channel, f"{shown(name)} is not under platforms{question}")
        elif channel not in platform.channels:
            section.fault(channel, f"{name} does not list {channel} among its channels; add it")
        else:
            found[channel] = name
    return found


def _names(value: object) -> Collection[str]:
    return value if isinstance(value, dict) else ()
