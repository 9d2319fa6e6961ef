"""What the doctor says, a line for each thing that was looked at."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad it is: a fault keeps something from working, `not tried` says nothing either way."""

    OK = "ok"
    NOT_TRIED = "not tried"
    WARNING = "warning"
    FAULT = "fault"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One finding. about: the part looked at. text: what was seen, and what it means.

    advice: what to do. None of them holds patient data; counts may be given.
    """

    level: Level
    about: str
    text: str
    advice: str = ""

    def as_text(self) -> str:
        """Give it as one line for a terminal."""
        advice = f" {self.advice}" if self.advice else ""
        return f"{self.level.upper():<9} {self.about}: {self.text}{advice}"

    def as_json(self) -> dict[str, str]:
        """Give it for programs."""
        return {
            "level": str(self.level),
            "about": self.about,
            "text": self.text,
            "advice": self.advice,
        }


def ok(about: str, text: str) -> Line:
    """Give a line that says that something works."""
    return Line(level=Level.OK, about=about, text=text)


def not_tried(about: str, text: str) -> Line:
    """Give a line that says that something was not looked at, and why."""
    return Line(level=Level.NOT_TRIED, about=about, text=text)


def warning(about: str, text: str, advice: str) -> Line:
    """Give a line about something that works less well than it should."""
    return Line(level=Level.WARNING, about=about, text=text, advice=advice)


def fault(about: str, text: str, advice: str) -> Line:
    """Give a line about something that does not work."""
    return Line(level=Level.FAULT, about=about, text=text, advice=advice)


def count(lines: Iterable[Line], level: Level) -> int:
    """Count the lines of one level."""
    return sum(line.level is level for line in lines)
