"""What stands in braces in a scenario: days and times counted from now, and names for long URIs.

{today} {today-9y} {now-10m} {month-15y} {year-15y} {weekday+3d}    days and times
{nhs-number} {our-extension}                                        words of `given/words.toml`
{restricted +447700900123}                  the keyed digest of a contact point
{id} {digest} {version of Consent/x}        left for the answer to a check of the message
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

LONDON = ZoneInfo("Europe/London")
NONE = "{none}"

_BRACES = re.compile(r"\{([^{}]*)\}")
_MOMENT = re.compile(r"(today|now|month|year|weekday)(?:([+-]\d+)([ydhm]))?")
_STEPS = {"d": "days", "h": "hours", "m": "minutes"}
_OF_THE_ANSWER = re.compile(r"id|digest|version of [A-Za-z]+/[A-Za-z0-9.-]+")


class UnknownWord(Exception):
    """Braces hold something that nothing is known to stand for."""


@dataclass(frozen=True, kw_only=True)
class Words:
    """What braces stand for at one instant; `record_key` is that of the running service."""

    now: datetime
    record_key: bytes = b""
    names: Mapping[str, str] = field(default_factory=dict)

    def filled(self, value: Any) -> Any:
        """Fill in every text in a value. Raises UnknownWord."""
        return _everywhere(value, lambda text: _BRACES.sub(self._replacement, text))

    def _replacement(self, found: re.Match[str]) -> str:
        word = found[1]
        if word in self.names:
            return self.names[word]
        if moment := _MOMENT.fullmatch(word):
            return _moment(self.now, moment[1], int(moment[2] or 0), moment[3] or "d")
        if word.startswith("restricted "):
            value = word.removeprefix("restricted ")
            return hmac.new(self.record_key, value.encode(), hashlib.sha256).hexdigest()
        if word == "none" or _OF_THE_ANSWER.fullmatch(word):
            return found[0]
        raise UnknownWord(f"{found[0]} stands for nothing")


def filled_by(value: Any, replacement: Callable[[str], str]) -> Any:
    """Fill in what was left for the answer to a check."""

    def fill(found: re.Match[str]) -> str:
        return replacement(found[1]) if _OF_THE_ANSWER.fullmatch(found[1]) else found[0]

    return _everywhere(value, lambda text: _BRACES.sub(fill, text))


def _everywhere(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, dict):
        return {name: _everywhere(each, change) for name, each in value.items()}
    if isinstance(value, list):
        return [_everywhere(each, change) for each in value]
    return change(value) if isinstance(value, str) else value


def _moment(now: datetime, kind: str, amount: int, unit: str) -> str:
    if kind == "now":
        return (now + timedelta(**{_STEPS[unit]: amount})).isoformat(timespec="seconds")
    day = now.astimezone(LONDON).date()
    day = _years(day, amount) if unit == "y" else day + timedelta(days=amount)
    shapes = {"today": "%Y-%m-%d", "month": "%Y-%m", "year": "%Y", "weekday": "%a"}
    return day.strftime(shapes[kind]).lower()


def _years(day: date, amount: int) -> date:
    try:
        return day.replace(year=day.year + amount)
    except ValueError:
        return date(day.year + amount, 2, 28)


def merged(base: Any, change: Any) -> Any:
    """Change a value: tables go into one another, anything else takes the place of what was.

    In a list a table's keys are places, counted from 0, and `add` appends. `{none}` removes.
    """
    if not isinstance(change, dict):
        return change
    if isinstance(base, list) or (base is None and set(change) == {"add"}):
        return _merged_list(base or [], change)
    result = dict(base) if isinstance(base, dict) else {}
    for name, value in change.items():
        result[name] = merged(result.get(name), value)
        if value == NONE:
            del result[name]
    return result


def _merged_list(base: list[Any], change: dict[str, Any]) -> list[Any]:
    result = list(base)
    for place in sorted(filter(str.isdecimal, change), key=int, reverse=True):
        if change[place] == NONE:
            del result[int(place)]
        else:
            result[int(place)] = merged(result[int(place)], change[place])
    more = change.get("add", [])
    if unknown := [name for name in change if name != "add" and not name.isdecimal()]:
        raise UnknownWord(f"{unknown[0]!r} is no place in a list, and not `add`")
    return [*result, *(more if isinstance(more, list) else [more])]
