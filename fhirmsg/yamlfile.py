"""YAML as people write it: every scalar stays the text that is in the file, every fault is kept.

YAML's own guesses lose what was meant: `no` becomes false, the version 1.10 becomes 1.1, a date
becomes an object. Here nothing is guessed: who asks for a value says what it has to be.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TypeVar

import yaml

T = TypeVar("T")

_TAG = "tag:yaml.org,2002:"
_SCALARS = frozenset(
    _TAG + kind for kind in ("str", "int", "float", "bool", "timestamp", "merge", "value")
)
_BOOLEANS = {"true": True, "false": False}
_LONGEST_SHOWN = 60


class _Reader:
    """Turns YAML nodes into dict, list, str and None."""

    def __init__(self, faults: list[str]) -> None:
        self._faults = faults
        self._known: dict[int, object] = {}
        self._open: set[int] = set()

    def read(self, node: yaml.Node) -> object:
        # An alias is the same node again: read once, so that nested aliases cannot multiply.
        if id(node) in self._open:
            self._fault(node, "a value contains itself; write it out")
            return None
        if id(node) not in self._known:
            self._open.add(id(node))
            self._known[id(node)] = self._value(node)
            self._open.discard(id(node))
        return self._known[id(node)]

    def _value(self, node: yaml.Node) -> object:
        if isinstance(node, yaml.MappingNode) and node.tag == f"{_TAG}map":
            return self._mapping(node)
        if isinstance(node, yaml.SequenceNode) and node.tag == f"{_TAG}seq":
            return [self.read(each) for each in node.value]
        if isinstance(node, yaml.ScalarNode) and node.tag in _SCALARS:
            return str(node.value)
        if node.tag != f"{_TAG}null":
            self._fault(node, "a tag (!) is not understood here; remove it")
        return None

    def _mapping(self, node: yaml.MappingNode) -> dict[str, object]:
        found: dict[str, object] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self._fault(key_node, "a key is not plain text")
                continue
            key = str(key_node.value)
            if key in found:
                self._fault(key_node, f"{key!r} is there twice in one place; keep one of them")
                continue
            found[key] = self.read(value_node)
        return found

    def _fault(self, node: yaml.Node, text: str) -> None:
        self._faults.append(f"line {node.start_mark.line + 1}: {text}")


def read_yaml(data: bytes, faults: list[str]) -> object:
    """Read one YAML document into dict, list, str and None; faults are added to the list."""
    try:
        node = yaml.compose(data, Loader=yaml.SafeLoader)
        return None if node is None else _Reader(faults).read(node)
    except yaml.MarkedYAMLError as error:
        line = "" if error.problem_mark is None else f"line {error.problem_mark.line + 1}: "
        faults.append(f"{line}this is not YAML: {error.problem or error.context}")
    except yaml.YAMLError:
        faults.append("the file holds characters that YAML does not allow; save it as UTF-8 text")
    except RecursionError:
        faults.append("the file is nested too deeply")
    return None


def shown(value: object) -> str:
    """Give a value as a fault shows it."""
    if isinstance(value, str):
        return repr(value if len(value) <= _LONGEST_SHOWN else value[:_LONGEST_SHOWN] + "...")
    if isinstance(value, Mapping):
        return "a mapping"
    return "a list" if isinstance(value, list) else "nothing"


def meant(word: str, words: Iterable[str]) -> str:
    """Give a question that names the closest of the words, nothing when none is close."""
    close = difflib.get_close_matches(word, list(words), n=1)
    return f"; did you mean {close[0]}?" if close else ""


class Section:
    """One mapping of a file. What is asked for and is not right becomes a fault under its path.

    `readable` is false when it is missing or something else than a mapping. `keys` may be there.
    A value that is not right is answered by one of the right type, so that reading goes on.
    """

    def __init__(
        self, value: object, path: str, faults: list[str], *, keys: Collection[str] | None
    ) -> None:
        """Look at a value that should be a mapping; `keys` None allows any."""
        self.path = path
        self.faults = faults
        self.readable = isinstance(value, dict)
        self._values: dict[str, object] = value if isinstance(value, dict) else {}
        if not self.readable:
            self.faults.append(f"{path or 'the file'}: is {shown(value)}; {_write_mapping(keys)}")
        for key in self._values:
            if keys is not None and key not in keys:
                self.fault(key, f"is not a key that is known here{meant(key, keys)}")

    def __iter__(self) -> Iterator[str]:
        """Give the keys that are there."""
        return iter(self._values)

    def __contains__(self, key: str) -> bool:
        """Tell whether a key is there, whatever its value."""
        return key in self._values

    def get(self, key: str) -> object:
        """Give a value as it was read, None when it is missing."""
        return self._values.get(key)

    def at(self, key: str) -> str:
        """Give the path of a key."""
        return f"{self.path}.{key}" if self.path else key

    def fault(self, key: str, text: str) -> None:
        """Report what is wrong with a key."""
        self.faults.append(f"{self.at(key)}: {text}")

    def _missing(self, key: str, what: str) -> None:
        if self.readable:
            self.fault(key, f"{'has no value' if key in self else 'is missing'}; {what}")

    def text(self, key: str, *, what: str, default: str | None = None) -> str:
        """Give a text on one line; `what` says what to write. Without a default it is required."""
        value = self._values.get(key)
        if value is None:
            if default is not None and key not in self:
                return default
            self._missing(key, what)
        elif not isinstance(value, str) or not value.strip() or not value.strip().isprintable():
            self.fault(key, f"is {shown(value)}; {what}")
        else:
            return value.strip()
        return default or ""

    def choice(self, key: str, options: Mapping[str, T], *, default: T) -> T:
        """Give what one of the words stands for."""
        what = f"write {_listed(options, 'or')}"
        if key not in self:
            return default
        word = self.text(key, what=what)
        if word and word not in options:
            self.fault(key, f"is {shown(word)}; {what}")
        return options.get(word, default)

    def flag(self, key: str, *, default: bool) -> bool:
        """Give a boolean, written true or false."""
        value = self._values.get(key)
        if isinstance(value, str) and value.lower() in _BOOLEANS:
            return _BOOLEANS[value.lower()]
        return self.choice(key, _BOOLEANS, default=default)

    def number(self, key: str, low: float, high: float, *, default: float) -> float:
        """Give a number within bounds, both inclusive."""
        what = f"write a number from {low:g} to {high:g}"
        return self._number(key, low, high, default, what)

    def whole(self, key: str, low: int, high: int, *, default: int) -> int:
        """Give a whole number within bounds, both inclusive."""
        what = f"write a whole number from {low} to {high}"
        number = self._number(key, low, high, default, what)
        if not number.is_integer():
            self.fault(key, f"is {shown(self.get(key))}; {what}")
        return int(number)

    def _number(self, key: str, low: float, high: float, default: float, what: str) -> float:
        if key not in self:
            return float(default)
        text = self.text(key, what=what)
        number = number_in(text)
        if number is not None and low <= number <= high:
            return number
        if text:
            self.fault(key, f"is {shown(text)}; {what}")
        return float(default)

    def items(self, key: str, *, what: str, required: bool) -> list[tuple[str, object]]:
        """Give the members of a list with their paths."""
        value = self._values.get(key)
        if isinstance(value, list):
            return [(f"{self.at(key)}[{number}]", each) for number, each in enumerate(value)]
        if value is None:
            if required or key in self:
                self._missing(key, what)
        else:
            self.fault(key, f"is {shown(value)}; {what}")
        return []

    def texts(self, key: str, *, what: str, required: bool, some: bool = False) -> list[str]:
        """Give a list of texts; with `some` it may not be empty."""
        found = []
        members = self.items(key, what=what, required=required)
        for path, value in members:
            if isinstance(value, str) and value.strip() and value.strip().isprintable():
                found.append(value.strip())
            else:
                self.faults.append(f"{path}: is {shown(value)}; {what}")
        if some and self._values.get(key) == []:
            self.fault(key, f"is an empty list; {what}")
        return found

    def section(self, key: str, keys: Collection[str] | None, *, required: bool) -> Section:
        """Give the mapping under a key; an empty one when it is missing and need not be there."""
        value = self._values.get(key)
        if value is None and (required or key in self):
            self._missing(key, _write_mapping(keys))
        members = {} if value is None else value
        found = Section(members, self.at(key), self.faults, keys=keys)
        found.readable = found.readable and value is not None
        return found


def number_in(text: str) -> float | None:
    """Read a decimal number; None when it is none."""
    if not text.isascii() or not text.replace(".", "", 1).isdecimal():
        return None
    return float(text)


def _write_mapping(keys: Collection[str] | None) -> str:
    return f"write a mapping of {_listed(keys)}" if keys else "write a mapping"


def _listed(words: Iterable[str], last: str = "and") -> str:
    *first, end = words
    return f"{', '.join(first)} {last} {end}" if first else end
