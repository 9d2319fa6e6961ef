"""Whose trace goes on, whose does not, and what is sent along."""

from __future__ import annotations

import io
import json
import logging
import re
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhirmsg import tracing
from fhirmsg.logs import JsonFormatter
from fhirmsg.tracing import Trace, outgoing_headers, taking_part, trace_from

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
VALID = f"00-{TRACE}-{PARENT}-01"
HEADER = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-0[0-3]")


@pytest.mark.parametrize(
    ("given_header", "flags"),
    [
        (VALID, 1),
        (f"00-{TRACE}-{PARENT}-00", 0),
        (f"00-{TRACE}-{PARENT}-03", 3),
        # Flags nobody knows are not passed on.
        (f"00-{TRACE}-{PARENT}-fd", 1),
        # A version of the future, read as far as ours goes.
        (f"cc-{TRACE}-{PARENT}-01", 1),
        (f"cc-{TRACE}-{PARENT}-01-what-the-future-brings", 1),
        (f"01-{TRACE}-{PARENT}-01-", 1),
    ],
)
def test_a_valid_trace_goes_on_under_a_span_of_ours(given_header: str, flags: int) -> None:
    found = trace_from(given_header)
    assert (found.trace_id, found.flags) == (TRACE, flags)
    assert found.span_id != PARENT
    assert HEADER.fullmatch(found.traceparent)


@pytest.mark.parametrize(
    "given_header",
    [
        "",
        "garbage",
        f"00-{TRACE}-{PARENT}",
        f"00-{TRACE}-{PARENT}-1",
        f"00-{TRACE}-{PARENT}-01-",
        f"00-{TRACE}-{PARENT}-01-more",
        f"00-{TRACE}-{PARENT}-01\n",
        f" 00-{TRACE}-{PARENT}-01",
        f"00-{TRACE.upper()}-{PARENT}-01",
        f"00-{TRACE}-{PARENT.upper()}-01",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-{PARENT}-01",
        f"0-{TRACE}-{PARENT}-01",
        f"cc-{TRACE}-{PARENT}-01.more",
        f"cc-{TRACE}-{PARENT}-011",
        f"00-{TRACE[:-1]}-{PARENT}-01",
        f"00-{TRACE}0-{PARENT}-01",
        f"00-{TRACE[:-1]}g-{PARENT}-01",
        f"{VALID},{VALID}",
    ],
)
def test_what_is_not_valid_begins_a_trace_of_its_own(given_header: str) -> None:
    found, again = trace_from(given_header), trace_from(given_header)
    assert found.trace_id not in (TRACE, again.trace_id)
    assert HEADER.fullmatch(found.traceparent)
    assert found.flags == 0


@given(st.text(max_size=80))
def test_whatever_comes_what_goes_on_is_valid(text: str) -> None:
    found = trace_from(text)
    assert HEADER.fullmatch(found.traceparent)
    assert found.trace_id.strip("0")
    assert found.span_id.strip("0")


def test_each_call_outward_is_a_span_of_its_own_in_the_same_trace() -> None:
    trace = trace_from(VALID, correlation_id="trace-7")
    with taking_part(trace):
        one, other = outgoing_headers(), outgoing_headers()
    assert one["X-Correlation-ID"] == "trace-7"
    assert one["traceparent"].split("-")[1] == TRACE
    assert len({one["traceparent"], other["traceparent"], trace.traceparent, VALID}) == 4


def test_outside_a_trace_nothing_is_sent_along() -> None:
    assert outgoing_headers() == {}
    with taking_part(Trace(trace_id=TRACE, span_id=PARENT)):
        assert set(outgoing_headers()) == {"traceparent"}
    assert outgoing_headers() == {}


def test_another_thread_does_not_take_part() -> None:
    seen: list[Trace | None] = []
    with taking_part(trace_from(VALID)):
        thread = threading.Thread(target=lambda: seen.append(tracing.current()))
        thread.start()
        thread.join()
    assert seen == [None]


def test_a_log_line_says_to_which_trace_it_belongs() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    logger = logging.getLogger("fhirmsg.audit")
    logger.addHandler(handler)
    try:
        with taking_part(trace_from(VALID, correlation_id="tel-07700900123")):
            logger.warning("in it")
            logger.warning("in it", extra={"correlation_id": "own"})
        logger.warning("outside")
    finally:
        logger.removeHandler(handler)
    inside, own, outside = map(json.loads, stream.getvalue().splitlines())
    assert inside["trace_id"] == own["trace_id"] == TRACE
    assert inside["correlation_id"] == "tel-[redacted]"
    assert own["correlation_id"] == "own"
    assert "trace_id" not in outside
