"""Logs: what gets into a line, and above all what does not."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhirmsg import logs
from fhirmsg.logs import REDACTED, redacted


@pytest.fixture
def lines() -> Iterator[Any]:
    """The log of this process, configured; gives a function that reads the lines written."""
    root, names = logging.getLogger(), ("fhirmsg", "fhirmsg.audit", "urllib3", "waitress")
    before = root.handlers[:], root.level, sys.excepthook, sys.unraisablehook
    in_thread, shown = threading.excepthook, warnings.showwarning
    levels = {name: logging.getLogger(name).level for name in names}
    stream = io.StringIO()
    logs.configure("INFO", stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    logging.captureWarnings(False)
    root.handlers[:], level, sys.excepthook, sys.unraisablehook = before
    root.setLevel(level)
    threading.excepthook, warnings.showwarning = in_thread, shown
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def test_a_line_is_json_with_time_level_logger_message_and_fields(lines: Any) -> None:
    extra = {
        "message_id": "5b1f2f0a-6a1c-5e0e-9a52-0c6a2f3d7e11",
        "codes": ["objection.active:refuse"],
        "status": 200,
        "milliseconds": 12.5,
        "reason": None,
    }
    logging.getLogger("fhirmsg.audit").info("checked", extra=extra)
    (line,) = lines()
    assert datetime.fromisoformat(line.pop("time")).tzinfo == UTC
    assert line == {
        "level": "info",
        "logger": "fhirmsg.audit",
        "message": "checked",
        "message_id": "5b1f2f0a-6a1c-5e0e-9a52-0c6a2f3d7e11",
        "codes": ["objection.active:refuse"],
        "status": 200,
        "milliseconds": 12.5,
    }


def test_a_field_that_is_not_on_the_list_is_left_out(lines: Any) -> None:
    logging.getLogger("fhirmsg").warning("x", extra={"body": "Dear Amara", "to": "Amara"})
    assert set(lines()[0]) == {"time", "level", "logger", "message"}


def test_of_a_value_of_an_unexpected_type_only_the_type_is_written(lines: Any) -> None:
    values = {"reason": {"name": "Amara"}, "kind": b"Amara", "code": object(), "codes": [{1}, {}]}
    logging.getLogger("fhirmsg").warning("x", extra=values)
    (line,) = lines()
    assert (line["reason"], line["kind"], line["code"]) == ("dict", "bytes", "object")
    assert line["codes"] == [[1], "dict"]


def test_a_line_break_cannot_begin_a_line_of_its_own(lines: Any) -> None:
    logging.getLogger("fhirmsg").warning('x\n{"level": "info"}\u2028y', extra={"reason": "a\nb"})
    assert len(lines()) == 1


def test_of_an_exception_the_type_and_the_places_are_written_and_never_the_text(
    lines: Any,
) -> None:
    def reads_a_name() -> None:
        raise KeyError("Amara Okafor")

    try:
        try:
            reads_a_name()
        except KeyError as error:
            error.add_note("her mother is Ada")
            raise ValueError("no such patient: Amara Okafor") from error
    except ValueError:
        logging.getLogger("fhirmsg").exception("failed")
    (line,) = lines()
    assert "Amara" not in json.dumps(line)
    assert "Ada" not in json.dumps(line)
    outer, inner = line["exception"]
    assert (outer["type"], inner["type"]) == ("builtins.ValueError", "builtins.KeyError")
    assert inner["at"][-1].startswith(f"{__name__}.reads_a_name:")


def test_exceptions_that_cause_each_other_are_written_once_and_end(lines: Any) -> None:
    error, other = ValueError(), KeyError()
    error.__cause__, other.__cause__ = other, error
    logging.getLogger("fhirmsg").error("failed", exc_info=error)
    assert len(lines()[0]["exception"]) <= 5


def test_what_others_say_is_withheld_but_for_who_and_where(lines: Any) -> None:
    logging.getLogger("urllib3.connectionpool").warning(
        "Retrying after %s: %s", "x", "/Patient?identifier=9990000018"
    )
    logging.getLogger("somebody").error("Amara", extra={"reason": "Amara"})
    url, other = lines()
    assert url["message"] == "urllib3.connectionpool warning (text withheld)"
    assert url["where"].startswith("test_logs:")
    assert "Amara" not in json.dumps(other)
    assert "Patient" not in json.dumps(url)


def test_what_others_say_below_a_warning_is_not_written_even_when_we_debug(lines: Any) -> None:
    logging.getLogger("fhirmsg").setLevel(logging.DEBUG)
    for name in ("urllib3.connectionpool", "requests", "waitress", "werkzeug", "somebody"):
        logging.getLogger(name).info("GET /Patient/1")
        logging.getLogger(name).debug("GET /Patient/1")
    logging.getLogger("fhirmsg.fhir").debug("ours")
    assert [line["message"] for line in lines()] == ["ours"]


def test_a_few_harmless_texts_of_others_are_let_through(lines: Any) -> None:
    logging.getLogger("waitress.queue").warning("Task queue depth is %d", 7)
    assert lines()[0]["message"] == "Task queue depth is 7"


def test_what_was_decided_is_written_at_any_level(lines: Any) -> None:
    logging.getLogger("fhirmsg").setLevel(logging.ERROR)
    logging.getLogger("fhirmsg.audit").info("checked")
    logging.getLogger("fhirmsg.fhir").warning("not this")
    assert [line["message"] for line in lines()] == ["checked"]


def test_a_fault_of_logging_itself_shows_no_arguments(
    lines: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    # By hand: pytest has a handler of its own, which is to raise what ours must not.
    handler = logging.getLogger().handlers[0]
    for text, arguments in (("%d of %s", ("Amara", "Amara")), ("%s", (Unprintable(),))):
        record = logging.LogRecord("fhirmsg", 30, "x.py", 1, text, arguments, None)
        handler.handle(record)
    assert [line["message"] for line in lines()] == ["%d of %s", "%s"]
    assert "Amara" not in capsys.readouterr().err


class Unprintable:
    def __str__(self) -> str:
        raise ValueError("Amara")


def test_a_warning_and_an_uncaught_exception_become_lines_too(lines: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn_explicit("Amara", UserWarning, "there.py", 1)
    thread = threading.Thread(target=lambda: [][1], name="Amara")
    thread.start()
    thread.join()
    sys.excepthook(ValueError, ValueError("Amara"), None)
    sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)
    warned, threaded, uncaught = lines()
    assert warned["logger"] == "py.warnings"
    assert threaded["exception"][0]["type"] == "builtins.IndexError"
    assert uncaught["exception"][0]["type"] == "builtins.ValueError"
    assert "Amara" not in json.dumps([warned, threaded, uncaught])


# --- the last line of defence -----------------------------------------------------------------


@pytest.mark.parametrize(
    "personal",
    [
        "9990000018",
        "999 000 0018",
        "999-000-0018",
        "999.000.0018",
        "07700900123",
        "07700 900123",
        "07700 900 123",
        "077 00 90 01 23",
        "07700-900-123",
        "07700.900.123",
        "07700\u00a0900\u2013123",
        "+447700900123",
        "+44 7700 900123",
        "+44 (0)7700 900123",
        "00447700900123",
        "447700900123",
        "7700900123",
        "(0191) 498 0123",
        "0191 498 0123",
        "+1 (212) 555-0123",
        "+3531234567",
        "amara@example.com",
        "amara.o'neil+surgery@mail.example.co.uk",
        "amara@localhost",
        "amara%40example.com",
        "AMARA@EXAMPLE.COM",
        "amára@exämple.com",
        "３３３３３３３３３３",
    ],
)
@pytest.mark.parametrize(
    "around", ["{}", "to {} failed", "tel:{}", '"{}"', "<{}>", "x={}&y=1", "Patient?id={}", "a{}."]
)
def test_what_looks_like_a_number_or_address_of_a_person_is_redacted(
    personal: str, around: str
) -> None:
    left = redacted(around.format(personal))
    assert REDACTED in left
    assert personal not in left
    assert sum(character.isdigit() for character in left) <= 1


@pytest.mark.parametrize(
    "text",
    [
        "5b1f2f0a-6a1c-5e0e-9a52-0c6a2f3d7e11",
        "12345678-1234-4234-8234-123456789012",
        "urn:uuid:5b1f2f0a-6a1c-5e0e-9a52-0c6a2f3d7e11",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "2026-11-24",
        "2026-11-24T10:00:00.123456+00:00",
        "2026-11-24 10:00:00Z",
        "0.1.0",
        "3.11.7",
        "urllib3 2.6.1, requests 2.32.5",
        "4.0.1",
        "127.0.0.1:8080",
        "192.168.100.200",
        "Consent/12345/_history/3",
        "objection.active:refuse",
        "data 451 timed-out",
        "outbox-1234",
        "12345678",
        "A12345",
        "/v1/patients/<id>/messages",
        "a@",
        "",
    ],
)
def test_ids_digests_times_and_versions_survive(text: str) -> None:
    assert redacted(text) == text
    assert redacted(f"x {text} y") == f"x {text} y"


@given(st.binary())
def test_every_uuid_and_digest_survives(seed: bytes) -> None:
    for text in (
        hashlib.sha256(seed).hexdigest(),
        hashlib.sha1(seed).hexdigest(),
        hashlib.md5(seed).hexdigest(),
        str(uuid4()),
    ):
        assert redacted(text) == text
        assert redacted(f"id={text}, next") == f"id={text}, next"


@given(
    st.text("0123456789", min_size=9, max_size=10).map(lambda rest: f"0{rest}")
    | st.text("0123456789", min_size=10, max_size=10),
    st.lists(st.sampled_from(["", " ", "-", "  "]), min_size=11, max_size=11),
    st.text(alphabet="abz ,;:/_=\n\u00e9", max_size=5),
)
def test_no_number_is_left_however_it_is_spaced(
    number: str, between: list[str], around: str
) -> None:
    spaced = "".join(a + b for a, b in zip(number, between, strict=False)).strip()
    left = redacted(f"{around}{spaced}{around}")
    assert not any(character.isdigit() for character in left)


def test_an_address_is_redacted_in_every_field_and_as_a_number_too(lines: Any) -> None:
    logging.getLogger("fhirmsg").warning(
        "to %s",
        "07700 900123",
        extra={
            "reason": "amara@example.com",
            "codes": ["9990000018"],
            "correlation_id": "tel-07700900123",
            "status": 9990000018,
            "milliseconds": 9990000018.0,
        },
    )
    (line,) = lines()
    assert line["message"] == f"to {REDACTED}"
    assert (line["reason"], line["codes"]) == (REDACTED, [REDACTED])
    assert line["correlation_id"] == f"tel-{REDACTED}"
    assert (line["status"], line["milliseconds"]) == (REDACTED, REDACTED)


def test_a_long_text_is_cut_and_costs_little() -> None:
    assert len(redacted("x" * 10_000_000)) <= 2000
    assert len(redacted("1 " * 10_000_000)) <= 2000
    assert len(redacted("@" * 10_000)) <= 2000
