"""Bytes to JSON, strictly: what two parsers could read differently is not read at all."""

from __future__ import annotations

import json
from typing import Any

from fhirmsg.web.contract import Fault
from fhirmsg.web.texts import is_text

MAX_BYTES = 256 * 1024
# The contract goes six levels deep.
_DEEPEST = 32


class NotReadable(Exception):
    """The body is no JSON object; `fault` says what and where, never quoting it."""

    def __init__(self, detail: str) -> None:
        """Keep the fault."""
        super().__init__(detail)
        self.fault = Fault(pointer="", detail=detail)


def json_object(raw: bytes) -> dict[str, Any]:
    """Read a JSON object. Raises NotReadable."""
    try:
        body = json.loads(
            raw.decode("utf-8"), object_pairs_hook=_no_name_twice, parse_constant=_no_constant
        )
    except UnicodeDecodeError as error:
        raise NotReadable(f"the body is not UTF-8 (at byte {error.start})") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise NotReadable(f"the body is not JSON: it breaks off or goes wrong at {where}") from None
    except RecursionError:
        raise NotReadable("the body is nested too deeply") from None
    except ValueError as error:
        raise NotReadable(str(error) if isinstance(error, _Refused) else _NUMBER) from None
    if not isinstance(body, dict):
        raise NotReadable("the body has to be a JSON object")
    if _is_deeper_than(_DEEPEST, body):
        raise NotReadable("the body is nested too deeply")
    return body


def _is_deeper_than(limit: int, body: Any) -> bool:
    """Tell whether a value is nested deeper than this; interpreters differ in what they take."""
    level = [body]
    for _ in range(limit):
        level = [
            inner
            for each in level
            for inner in (each.values() if isinstance(each, dict) else each)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True


_NUMBER = "the body holds a number that cannot be read"


class _Refused(ValueError):
    pass


def _no_name_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _Refused("the body has an object in which a name stands twice")
    for name in found:
        if not is_text(name):
            raise _Refused("the body has a name that is no text")
    return found


def _no_constant(_: str) -> Any:
    raise _Refused("the body holds NaN or Infinity, which JSON does not have")
