"""The trace and the correlation id of what is being done, from who asks to whom we ask.

W3C Trace Context (https://www.w3.org/TR/trace-context/), `traceparent` alone: `tracestate` may
hold anything of its sender's, and ends here.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace

_TRACEPARENT = re.compile(
    r"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<parent>[0-9a-f]{16})"
    r"-(?P<flags>[0-9a-f]{2})(?P<more>-.*)?",
    re.DOTALL,
)
# sampled, and the trace id is random: all that version 00 knows of.
_KNOWN_FLAGS = 0x03


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """One request of ours as a part of a trace.

    trace_id: 32 hexadecimal digits, the same for everybody who takes part. span_id: 16 of them,
    ours. flags: as they came, as far as they are known.
    """

    trace_id: str
    span_id: str
    flags: int = 0
    correlation_id: str = ""

    @property
    def traceparent(self) -> str:
        """The header as it names this span, in version 00."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags:02x}"


_CURRENT: ContextVar[Trace | None] = ContextVar("fhirmsg_trace", default=None)


def trace_from(traceparent: str, *, correlation_id: str = "") -> Trace:
    """Go on with the trace of a header under a span of our own; begin one when it is not valid.

    A version above 00 is read as far as 00 goes, as the standard wants it.
    """
    found = _TRACEPARENT.fullmatch(traceparent)
    if found is None or not _is_valid(found):
        return Trace(
            trace_id=secrets.token_hex(16), span_id=new_span_id(), correlation_id=correlation_id
        )
    return Trace(
        trace_id=found["trace"],
        span_id=new_span_id(),
        flags=int(found["flags"], 16) & _KNOWN_FLAGS,
        correlation_id=correlation_id,
    )


def _is_valid(found: re.Match[str]) -> bool:
    return (
        found["version"] != "ff"
        and not (found["version"] == "00" and found["more"])
        and found["trace"].strip("0") != ""
        and found["parent"].strip("0") != ""
    )


def new_span_id() -> str:
    """Give an id for a span; all zeros would say that there is none."""
    return f"{secrets.randbelow((1 << 64) - 1) + 1:016x}"


def current() -> Trace | None:
    """Give the trace of what this thread is doing."""
    return _CURRENT.get()


def take_part(trace: Trace | None) -> None:
    """Have what this thread does from now on belong to a trace, or to none."""
    _CURRENT.set(trace)


@contextmanager
def taking_part(trace: Trace) -> Iterator[Trace]:
    """Have what is done inside belong to a trace; what is started on another thread does not."""
    token = _CURRENT.set(trace)
    try:
        yield trace
    finally:
        _CURRENT.reset(token)


def outgoing_headers() -> dict[str, str]:
    """Give what a call outward carries: the same trace under a span id of its own; {} without."""
    trace = current()
    if trace is None:
        return {}
    headers = {"traceparent": replace(trace, span_id=new_span_id()).traceparent}
    if trace.correlation_id:
        headers["X-Correlation-ID"] = trace.correlation_id
    return headers
