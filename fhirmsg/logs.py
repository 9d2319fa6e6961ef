"""Logs: one JSON object a line on stderr, made so that no patient data gets in.

Three lines of defence: only fields of an allow-list are written; of an exception its type and
places are written and never its text; and whatever is written is searched for what looks like a
telephone number, an NHS number or an e-mail address.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
import traceback
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, TextIO

from fhirmsg import tracing

# Extra fields that may be written: ids, codes, words of ours and counts.
FIELDS = (
    *("message_id", "verdict", "codes", "correlation_id", "reason", "kind", "status", "method"),
    *("route", "milliseconds", "client", "code", "scope", "organisation", "version", "provider"),
    *("retry_after", "signal", "trace_id", "outcome", "number", "count"),
    *("kid", "issuer", "remote"),
)

REDACTED = "[redacted]"

# Loggers of our own; what any other says is withheld, it may hold an address or a value.
_OWN = re.compile(r"fhirmsg(\.|$)")

# What others say that holds nothing but a number and helps whoever runs the service.
_HARMLESS = frozenset(
    {
        "Task queue depth is %d",
        "%d thread(s) still running",
        "Canceling %d pending task(s)",
        "total open connections reached the connection limit, no longer accepting new connections",
        "total open connections dropped below the connection limit, listening again",
    }
)
_LONGEST = 2000
_FEWEST_DIGITS = 9
_MOST_CAUSES = 5

# At each place the first that fits: an address; then what has many digits and is none of a
# person's (uuid, digest, time); then digits with what people write between them.
_SUSPECT = re.compile(
    r"""
    (?P<address>[^\s@<>"(),;:=\[\]{}]{1,64}(?:@|%40|＠)[^\s@<>"(),;\[\]{}]+)
    |(?P<kept>
        (?<![0-9A-Za-z])[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}(?![0-9A-Za-z])
        |(?<![0-9A-Za-z])(?:[0-9a-f]{64}|[0-9a-f]{40}|[0-9a-f]{32})(?![0-9A-Za-z])
        |(?<![0-9A-Za-z])(?=[0-9]*[a-f])[0-9a-f]{16,128}(?![0-9A-Za-z])
        |(?<![0-9])[0-9]{4}-[0-9]{2}-[0-9]{2}
            (?:[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?(?:Z|[+-][0-9]{2}:?[0-9]{2})?)?
            (?![0-9])
    )
    |(?P<digits>\+?\(?\d(?:[\s().\-\u2010-\u2015/]{0,3}\d)+)
    """,
    re.VERBOSE | re.IGNORECASE,
)


def redacted(text: str) -> str:
    """Give a text without anything that looks like a number or address of a person."""
    return _SUSPECT.sub(_replacement, text[:_LONGEST])


def _replacement(found: re.Match[str]) -> str:
    text = found.group()
    if found.lastgroup == "kept":
        return text
    if found.lastgroup == "digits" and not _looks_personal(text):
        return text
    return REDACTED


def _looks_personal(text: str) -> bool:
    """Tell whether digits may be a telephone or NHS number; in doubt they are."""
    digits = sum(character.isdigit() for character in text)
    if text.startswith("+"):
        return digits >= _FEWEST_DIGITS - 2
    groups = text.split(".")
    if len(groups) > 1 and all(group.isdecimal() and len(group) <= 3 for group in groups):
        # A version or an IP address, unless it begins as a telephone number does.
        return digits >= _FEWEST_DIGITS and groups[0].startswith("0") and len(groups[0]) > 1
    return digits >= _FEWEST_DIGITS


def _safe(value: object) -> object:
    """Give a value as it may be written; of a type that is not expected only the type's name."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return value if abs(value) < 10 ** (_FEWEST_DIGITS - 1) else REDACTED
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, list | tuple | set | frozenset):
        return [_safe(each) for each in value]
    return type(value).__name__


class JsonFormatter(logging.Formatter):
    """One record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Write time, level, logger, message, the allowed fields and the exception's places."""
        own = _OWN.match(record.name) is not None
        line: dict[str, object] = {
            "time": _time_of(record),
            "level": record.levelname.lower(),
            "logger": redacted(record.name),
            "message": redacted(_message_of(record, own)),
        }
        if not own:
            line["where"] = f"{record.module}:{record.lineno}"
        # A formatter runs on the thread that logs, so what that thread does is the current trace.
        trace = tracing.current()
        known = (
            {"trace_id": trace.trace_id, "correlation_id": trace.correlation_id} if trace else {}
        )
        for name in FIELDS:
            value = record.__dict__.get(name, known.get(name))
            if (own or name in known) and value is not None:
                line[name] = _safe(value)
        error = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
        if error is not None:
            line["exception"] = _described(error)
        return json.dumps(line)


def _time_of(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")


def _message_of(record: logging.LogRecord, own: bool) -> str:
    if not own and str(record.msg) not in _HARMLESS:
        return f"{record.name} {record.levelname.lower()} (text withheld)"
    try:
        return record.getMessage()
    except Exception:
        # Arguments that do not fit the text, which must not show up in an error of logging.
        return str(record.msg)


def _described(error: BaseException) -> list[dict[str, object]]:
    """Give type and code places of an exception and of its causes; never a text or a value."""
    found: list[dict[str, object]] = []
    seen: BaseException | None = error
    while seen is not None and len(found) < _MOST_CAUSES:
        kind = type(seen)
        found.append(
            {
                "type": redacted(f"{kind.__module__}.{kind.__qualname__}"),
                "at": [
                    f"{frame.f_globals.get('__name__', '?')}.{frame.f_code.co_name}:{line}"
                    for frame, line in traceback.walk_tb(seen.__traceback__)
                ],
            }
        )
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    return found


class _Handler(logging.StreamHandler[TextIO]):
    def handleError(self, record: logging.LogRecord) -> None:
        """Say nothing: logging's own report would show the record's arguments."""


def configure(level: str = "INFO", stream: TextIO | None = None) -> None:
    """Send every log of this process through the formatter, to stderr when no stream is given.

    What would otherwise print by itself (warnings, uncaught exceptions) goes there too.
    """
    handler = _Handler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    # Others write from WARNING on, whatever our level: their DEBUG is full of addresses.
    root.setLevel(logging.WARNING)
    logging.getLogger("fhirmsg").setLevel(level)
    # What was decided about a message is written at any level.
    logging.getLogger("fhirmsg.audit").setLevel(logging.INFO)
    for name in ("urllib3", "requests", "waitress", "werkzeug"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(True)
    sys.excepthook = _on_uncaught
    threading.excepthook = _on_uncaught_in_thread
    sys.unraisablehook = _on_unraisable


def _uncaught(error: BaseException | None) -> None:
    info = None if error is None else (type(error), error, error.__traceback__)
    logging.getLogger("fhirmsg").critical("uncaught exception", exc_info=info)


def _on_uncaught(
    kind: type[BaseException], error: BaseException, _trace: TracebackType | None
) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    _uncaught(error)


def _on_uncaught_in_thread(arguments: threading.ExceptHookArgs) -> None:
    if not issubclass(arguments.exc_type, SystemExit):
        _uncaught(arguments.exc_value)


def _on_unraisable(arguments: Any) -> None:
    _uncaught(arguments.exc_value)
