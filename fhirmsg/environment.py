"""The `FHIRMSG_*` environment variables, one by one; what is wrong with them is collected.

A fault may name a file, never another value of a variable.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from fhirmsg.yamlfile import meant, number_in

T = TypeVar("T")

PREFIX = "FHIRMSG_"


class Variables:
    """The environment, asked without the prefix; a fault names the whole variable."""

    def __init__(self, environment: Mapping[str, str], faults: list[str]) -> None:
        """Look at those that begin with the prefix."""
        self._values = {
            name.removeprefix(PREFIX): value
            for name, value in environment.items()
            if name.startswith(PREFIX)
        }
        self._asked: set[str] = set()
        self.faults = faults

    def __contains__(self, name: str) -> bool:
        """Tell whether it is set."""
        return name in self._values

    def fault(self, name: str, text: str) -> None:
        """Report what is wrong with a variable."""
        fault = f"{PREFIX}{name}: {text}"
        if fault not in self.faults:
            self.faults.append(fault)

    def text(self, name: str, *, default: str | None = None, what: str = "give it a value") -> str:
        """Give a value without surrounding blanks; one that is set and empty is a fault."""
        self._asked.add(name)
        value = self._values.get(name)
        if value is None:
            if default is None:
                self.fault(name, f"is not set; {what}")
            return default or ""
        if not value.strip():
            self.fault(name, f"is set to nothing; {what}, or do not set it")
        return value.strip()

    def seconds(self, name: str, low: float, high: float, default: float) -> float:
        """Give a number within bounds, both inclusive."""
        what = f"write a number of seconds from {low:g} to {high:g}"
        return self._number(name, low, high, default, what)

    def whole(self, name: str, low: int, high: int, default: int) -> int:
        """Give a whole number within bounds, both inclusive."""
        what = f"write a whole number from {low} to {high}"
        number = self._number(name, low, high, float(default), what)
        if not number.is_integer():
            self.fault(name, f"is not right; {what}")
        return int(number)

    def _number(self, name: str, low: float, high: float, default: float, what: str) -> float:
        text = self.text(name, default="", what=what)
        number = number_in(text)
        if text and (number is None or not low <= number <= high):
            self.fault(name, f"is not right; {what}")
            return default
        return default if number is None else number

    def choice(
        self,
        name: str,
        options: Mapping[str, T],
        default: T,
        form: Callable[[str], str] = str.lower,
    ) -> T:
        """Give what one of the words stands for, whatever its letter case."""
        what = f"write one of {', '.join(options)}"
        text = form(self.text(name, default="", what=what))
        if text and text not in options:
            self.fault(name, f"is not right; {what}")
        return options.get(text, default)

    def content(self, name: str, path: str) -> bytes | None:
        """Give the content of a file that a variable names."""
        try:
            return Path(path).read_bytes()
        except (OSError, ValueError) as error:
            reason = (getattr(error, "strerror", None) or "not a path").lower()
            # A secret put where its file should be named must not be shown.
            file = "a file" if name.endswith("KEY_FILE") or "PASSWORD" in name else path
            self.fault(name, f"{file} cannot be read ({reason}); name a file that can be")
            return None

    def secret(self, name: str, *, what: str) -> str | None:
        """Give a secret from NAME or from the file in NAME_FILE, None when there is none."""
        self.text(name, default="", what=what)
        path = self.text(f"{name}_FILE", default="", what="name a file")
        if name in self and f"{name}_FILE" in self:
            self.fault(name, f"is set beside {PREFIX}{name}_FILE; keep one of the two")
        if not path:
            return self._values.get(name)
        content = self.content(f"{name}_FILE", path)
        try:
            text = None if content is None else content.decode().rstrip("\r\n")
        except ValueError:
            self.fault(f"{name}_FILE", "names a file that is not UTF-8 text; write it as text")
            return None
        if text == "":
            self.fault(f"{name}_FILE", f"names an empty file; {what}")
        return text or None

    def starting_with(self, start: str) -> list[str]:
        """Give the names that are set, were asked for and start like this."""
        return sorted(name for name in self._values.keys() & self._asked if name.startswith(start))

    def report_unknown(self) -> None:
        """Report what is set and was never asked for: a typo must not switch something off."""
        for name in sorted(self._values.keys() - self._asked):
            question = meant(name, self._asked)
            question = question.replace("mean ", f"mean {PREFIX}") or "; remove it"
            self.fault(name, f"is not a setting of this version{question}")
