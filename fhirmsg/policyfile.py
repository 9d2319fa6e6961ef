"""The policy file: one organisation's decisions in YAML, read into a LocalPolicy.

A key that this version does not act on is a fault: a rule that somebody wrote down and nobody
applies would be worse than none.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection
from datetime import date
from pathlib import Path
from zoneinfo import ZoneInfo

from fhirmsg.errors import SettingsError
from fhirmsg.fhir import codes
from fhirmsg.guidance.coding import service_token
from fhirmsg.guidance.policy import Approval, Fallback, LocalPolicy, Platform
from fhirmsg.guidance.record import Basis
from fhirmsg.guidance.terms import Channel
from fhirmsg.yamlfile import Section, meant, number_in, read_yaml, shown

_KEYS = (
    *("version", "organisations", "name", "timezone", "roles", "platforms", "default_platform"),
    *("proxies", "record", "freshness_seconds", "sensitive_services"),
)
_LATER = (
    *("fallback_order", "content_matrix", "objections", "devices", "repeat_window_hours"),
    *("links", "lexicon"),
)
_PLATFORM_KEYS = ("provider", "channels", "approved", "fallbacks", "notifies_by")
_PLATFORM_LATER = ("confidential", "requires_login", "lock_screen", "windows", "sender_names")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_ODS_CODE = re.compile(r"[A-Z0-9]{3,15}")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_CHANNELS = {channel.value: channel for channel in Channel}
_CHANNEL_NAMES = ", ".join(_CHANNELS)

# Grounds outside the guidance's three that an organisation may decide to accept.
ACCEPTABLE_BASES = codes.STANDING_ROLES | {
    code for code, basis in codes.PROXY_BASES.items() if basis is Basis.UNLISTED
}


def read_policy(path: str | Path) -> LocalPolicy:
    """Read a policy file. Raises OSError, or SettingsError with every fault in it."""
    return parse_policy(Path(path).read_bytes())


def parse_policy(data: bytes) -> LocalPolicy:
    """Read the bytes of a policy file. Raises SettingsError with every fault in them."""
    faults: list[str] = []
    document = read_yaml(data, faults)
    if document is None and faults:
        raise SettingsError(faults)
    top = Section(document, "", faults, keys=_KEYS, later=_LATER)
    roles = top.section(
        "roles", ("approve_overrides", "review"), required=True, later=("review_by_code",)
    )
    proxies = top.section(
        "proxies",
        ("accept_unlisted_bases", "accept_access_roles", "parental_review_ages"),
        required=False,
        later=("require_capacity_record", "individual_check_days"),
    )
    record = top.section(
        "record", ("content", "record_refusals"), required=False, later=("hold_tasks",)
    )
    platforms = _platforms(top)
    policy = LocalPolicy(
        version=top.text("version", what="name this version of the policy, a date for instance"),
        sha256=hashlib.sha256(data).hexdigest(),
        organisations=ods_codes(top),
        name=top.text("name", what="write the organisation's name as patients know it"),
        zone=_zone(top),
        approve_overrides=frozenset(
            roles.texts(
                "approve_overrides",
                what="list the roles that may approve an override",
                required=True,
                some=True,
            )
        ),
        review=frozenset(
            roles.texts("review", what="list the roles that may review", required=False)
        ),
        platforms=platforms,
        default_platform=_default_platform(top, platforms),
        accept_unlisted_bases=_unlisted_bases(proxies),
        accept_access_roles=proxies.flag("accept_access_roles", default=False),
        parental_review_ages=_ages(proxies),
        record_copy=record.choice("content", {"copy": True, "summary": False}, default=True),
        record_refusals=record.flag("record_refusals", default=False),
        freshness_seconds=top.number("freshness_seconds", 1, 300, default=30.0),
        sensitive_services=_sensitive_services(top),
    )
    if faults:
        raise SettingsError(faults)
    return policy


def ods_codes(section: Section) -> frozenset[str]:
    """Read `organisations`: ODS codes, upper-cased."""
    what = "list ODS codes, for example [A12345]"
    found = section.texts("organisations", what=what, required=True, some=True)
    for code in found:
        if not _ODS_CODE.fullmatch(code.upper()):
            section.fault("organisations", f"{shown(code)} is not an ODS code; {what}")
    return frozenset(code.upper() for code in found)


def _zone(top: Section) -> ZoneInfo:
    what = "name an IANA time zone, for example Europe/London"
    name = top.text("timezone", what=what, default="Europe/London")
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        top.fault("timezone", f"{shown(name)} is not a time zone; {what}")
        return ZoneInfo("UTC")


def _platforms(top: Section) -> dict[str, Platform]:
    register = top.section("platforms", None, required=True)
    if top.get("platforms") == {}:
        top.fault("platforms", "is empty, so nothing could be sent; register a platform")
    found = {}
    for name in register:
        if not _NAME.fullmatch(name):
            register.fault(name, "is not a name of letters, digits, full stops and hyphens")
        entry = register.section(name, _PLATFORM_KEYS, required=True, later=_PLATFORM_LATER)
        if not entry.readable:
            continue
        found[name] = Platform(
            name=name,
            provider=entry.text("provider", what="name the provider that carries it, as smtp"),
            channels=_channels(entry, "channels", f"list channels ({_CHANNEL_NAMES}), or []"),
            approval=_approval(entry),
            falls_back=_fallbacks(entry, register),
            notifies_by=_channels(
                entry,
                "notifies_by",
                "list the channels on which it tells people that something waits; write [] only "
                "when the supplier has confirmed that there are none",
            ),
        )
    return found


def _channels(section: Section, key: str, what: str) -> frozenset[Channel]:
    names = section.texts(key, what=what, required=True)
    for name in names:
        if name not in _CHANNELS:
            section.fault(key, f"{shown(name)} is not a channel; write one of {_CHANNEL_NAMES}")
    return frozenset(_CHANNELS[name] for name in names if name in _CHANNELS)


def _fallbacks(entry: Section, register: Section) -> tuple[Fallback, ...]:
    what = (
        "list the channels, or {platform, channel} pairs, that the supplier may fall back to; "
        "write [] only when the supplier has confirmed that there are none"
    )
    found = []
    for path, value in entry.items("fallbacks", what=what, required=True):
        platform = None
        if isinstance(value, dict):
            pair = Section(value, path, entry.faults, keys=("platform", "channel"))
            name = pair.text("channel", what=f"write one of {_CHANNEL_NAMES}")
            platform = pair.text("platform", what="name a platform of this file")
            if platform and platform not in register:
                pair.fault("platform", f"{shown(platform)} is not under platforms; register it")
        elif isinstance(value, str):
            name = value
        else:
            entry.faults.append(f"{path}: is {shown(value)}; {what}")
            continue
        if name in _CHANNELS:
            found.append(Fallback(channel=_CHANNELS[name], platform=platform))
        elif name:
            entry.faults.append(
                f"{path}: {shown(name)} is not a channel; write one of {_CHANNEL_NAMES}"
            )
    return tuple(found)


def _approval(entry: Section) -> Approval | None:
    """Read `approved`; missing or null means registered and not approved."""
    if entry.get("approved") is None:
        return None
    approved = entry.section("approved", ("from", "until"), required=True)
    if not approved.readable:
        return None
    start = _day(approved, "from")
    end = None if approved.get("until") is None else _day(approved, "until")
    if start is None:
        return None
    if end is not None and end < start:
        approved.fault("until", "is before `from`, so it is never approved; correct one of them")
    return Approval(start=start, end=end)


def _day(section: Section, key: str) -> date | None:
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


def _default_platform(top: Section, platforms: dict[str, Platform]) -> dict[Channel, str]:
    section = top.section("default_platform", _CHANNELS, required=False)
    found = {}
    for channel in (_CHANNELS[key] for key in section if key in _CHANNELS):
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


def _names(register: object) -> Collection[str]:
    return register if isinstance(register, dict) else ()


def _unlisted_bases(proxies: Section) -> frozenset[str]:
    what = "list codes of grounds that the organisation accepts, or []"
    found = proxies.texts("accept_unlisted_bases", what=what, required=False)
    for code in found:
        if code not in ACCEPTABLE_BASES:
            proxies.fault(
                "accept_unlisted_bases",
                f"{shown(code)} is not one of {', '.join(sorted(ACCEPTABLE_BASES))}",
            )
    return frozenset(found)


def _ages(proxies: Section) -> tuple[int, ...]:
    key, what = "parental_review_ages", "list ages in whole years from 0 to 16, for example [13]"
    if key not in proxies:
        return (13,)
    ages = set()
    for text in proxies.texts(key, what=what, required=True):
        number = number_in(text)
        if number is None or not number.is_integer() or not 0 <= number <= 16:
            proxies.fault(key, f"{shown(text)} is not such an age; {what}")
        else:
            ages.add(int(number))
    return tuple(sorted(ages))


def _sensitive_services(top: Section) -> frozenset[str]:
    what = "list {system, code} pairs, or []"
    found = set()
    for path, value in top.items("sensitive_services", what=what, required=False):
        pair = Section(value, path, top.faults, keys=("system", "code"))
        system = pair.text("system", what="write the URI of the code system")
        code = pair.text("code", what="write the code of the service")
        if system and ":" not in system:
            pair.fault("system", f"is {shown(system)}; write the URI of the code system")
        if "|" in code:
            pair.fault("code", "holds a bar; write the system and the code apart")
        found.add(service_token(system, code))
    return frozenset(found)
