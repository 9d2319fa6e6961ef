"""Personas: fictional patients, what is asked about each of them, and what has to come out.

A file holds a situation in one sentence, the FHIR resources that make it, and steps: the body of
a send and the verdict and deciding finding expected. Days are written as `@today-9y` or
`@now+2h`, because ages and periods have to stay true whenever the demo runs.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from fhirmsg import clock
from fhirmsg.packaged import packaged

_TOKEN = re.compile(r"@(today|now)(?:([+-]\d+)([ydhm]))?")
_ZONE = ZoneInfo("Europe/London")

# References first, so that a server that checks them finds what they point at.
_ORDER = ("Patient", "RelatedPerson", "Consent")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One send: the body asked with, and what is expected of the answer.

    `code` is the code of the deciding finding, None when nothing at all is found.
    """

    request: dict[str, Any]
    verdict: str
    code: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Persona:
    """One situation with its resources, in the order in which they can be put on a server."""

    name: str
    situation: str
    resources: tuple[dict[str, Any], ...]
    steps: tuple[Step, ...]

    @property
    def patients(self) -> tuple[str, ...]:
        """References of the Patients in it."""
        return tuple(
            f"Patient/{each['id']}" for each in self.resources if each["resourceType"] == "Patient"
        )


def load_personas(folder: Path | None = None) -> tuple[Persona, ...]:
    """Give every persona, in the order of the file names, with days as of now."""
    folder = folder or packaged("personas", in_the_repository="fixtures/personas")
    return tuple(_persona(path) for path in sorted(folder.glob("*.json")))


def _persona(path: Path) -> Persona:
    content = resolved(json.loads(path.read_text(encoding="utf-8")), clock.now())
    resources = sorted(content["resources"], key=lambda each: _ORDER.index(each["resourceType"]))
    return Persona(
        name=content["name"],
        situation=content["situation"],
        resources=tuple(resources),
        steps=tuple(
            Step(
                request=step["request"],
                verdict=step["expect"]["verdict"],
                code=step["expect"]["code"],
            )
            for step in content["steps"]
        ),
    )


def resolved(value: Any, now: datetime) -> Any:
    """Replace day and time tokens throughout; other tokens are left for the walk."""
    if isinstance(value, dict):
        return {name: resolved(each, now) for name, each in value.items()}
    if isinstance(value, list):
        return [resolved(each, now) for each in value]
    if isinstance(value, str) and (found := _TOKEN.fullmatch(value)):
        return _moment(found, now)
    return value


def _moment(found: re.Match[str], now: datetime) -> str:
    kind, amount, unit = found[1], int(found[2] or 0), found[3] or "d"
    if kind == "today":
        day = now.astimezone(_ZONE).date()
        day = _years(day, amount) if unit == "y" else day + timedelta(days=amount)
        return day.isoformat()
    steps = {"d": "days", "h": "hours", "m": "minutes"}
    return (now + timedelta(**{steps[unit]: amount})).isoformat(timespec="seconds")


def _years(day: date, amount: int) -> date:
    try:
        return day.replace(year=day.year + amount)
    except ValueError:
        return date(day.year + amount, 2, 28)
