"""One send, step by step, and every way in which a step can fail."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from fhirmsg.answers import RecordState, Retry, State
from fhirmsg.errors import (
    PatientAmbiguous,
    PatientNotFound,
    RecipientNotFound,
    RecordUnavailable,
    StillRunning,
)
from fhirmsg.guidance.record import Gap
from fhirmsg.ports import EntryStatus, Opened, Opening, ProviderKind
from tests import builders
from tests.fakes import ACCEPTED
from tests.messaging import a_desk, moved, refused

KINDS = list(ProviderKind)
FAILURES = [
    RecordUnavailable("x"),
    PatientNotFound("x"),
    RecipientNotFound("x"),
    PatientAmbiguous("x"),
]


def codes(answer: Any) -> list[str]:
    return [finding.code for finding in answer.decision.findings]


# --- a plain send ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_message_is_opened_sent_once_and_completed(kind: ProviderKind) -> None:
    desk = a_desk(kind=kind)
    answer = desk.send()
    assert (answer.status, answer.retry, answer.record) == (
        State.ACCEPTED,
        Retry.NEVER,
        RecordState.COMPLETE,
    )
    assert answer.communication == "Communication/1"
    assert not answer.replayed
    assert desk.log.events == ["open", "settle completed"]
    assert desk.reader.reads == 2
    [message] = desk.provider.messages
    assert (message.reference, message.to) == (desk.call.message_id, "+447700900101")
    assert message.body == desk.call.request.content.body


def test_nothing_leaves_before_the_entry_is_open_and_the_record_read_again() -> None:
    desk = a_desk()
    seen: list[Any] = []
    desk.provider.before_sending = lambda: seen.append((list(desk.log.events), desk.reader.reads))
    desk.send()
    assert seen == [(["open"], 2)]


def test_the_second_decision_is_the_one_that_is_recorded_and_answered() -> None:
    desk = a_desk()
    noted = builders.a_case(
        consents=(
            builders.an_objection(
                builders.Channel.SMS, organisations=builders.made_to(builders.THEIRS)
            ),
        )
    )
    desk.reader.then = [noted]
    answer = desk.send()
    assert codes(answer) == ["objection.other-organisation"]
    assert desk.log.settled[0]["decision"] == answer.decision


def test_the_providers_own_time_of_acceptance_is_recorded() -> None:
    at = datetime(2026, 11, 24, 10, 0, 7, tzinfo=UTC)
    desk = a_desk()
    desk.provider.script = [replace(ACCEPTED, at=at)]
    desk.send()
    assert desk.log.settled[0]["sent"] == at


def test_a_check_opens_nothing_and_sends_nothing() -> None:
    desk = a_desk()
    answer = desk.check()
    assert (answer.status, answer.record) == (State.ALLOWED, RecordState.NONE)
    assert (desk.log.events, desk.sent, desk.reader.reads) == ([], 0, 1)


@pytest.mark.parametrize("failure", FAILURES, ids=lambda each: type(each).__name__)
def test_a_first_read_that_fails_ends_the_call(failure: Exception) -> None:
    desk = a_desk()
    desk.reader.then = [failure]
    desk.reader.reads = 1
    with pytest.raises(type(failure)):
        desk.send()
    assert (desk.log.events, desk.sent) == ([], 0)


# --- decided against ---------------------------------------------------------------------------


def test_what_is_decided_against_is_not_opened() -> None:
    desk = a_desk(refused())
    answer = desk.send()
    assert (answer.status, answer.retry, answer.record) == (
        State.REFUSED,
        Retry.NEVER,
        RecordState.NONE,
    )
    assert (desk.log.events, desk.sent) == ([], 0)


def test_what_could_not_be_read_holds_and_may_be_asked_again() -> None:
    desk = a_desk(builders.a_case(gaps=(Gap(sentence="A page is missing."),)))
    answer = desk.send()
    assert (answer.status, answer.retry) == (State.HELD, Retry.AFTER)
    assert answer.retry_after
    assert desk.sent == 0


def test_a_record_read_too_long_ago_holds() -> None:
    desk = a_desk()
    desk.reader.seconds_ago = desk.case.policy.freshness_seconds + 1
    assert codes(desk.send()) == ["read.incomplete"]
    assert (desk.log.events, desk.sent) == ([], 0)


def test_when_earlier_entries_cannot_be_looked_up_this_call_sends_nothing() -> None:
    desk = a_desk()
    desk.reader.entries_fail = lambda read: True
    answer = desk.send()
    assert answer.status is State.HELD
    assert "This call sent nothing" in answer.decision.findings[0].sentence  # type: ignore[union-attr]
    assert (desk.log.events, desk.sent) == ([], 0)


# --- opening -----------------------------------------------------------------------------------


def test_a_record_that_cannot_be_opened_holds() -> None:
    desk = a_desk()
    desk.log.opening = Opening(outcome=Opened.UNAVAILABLE)
    answer = desk.send()
    assert codes(answer) == ["record.unavailable"]
    assert (answer.status, answer.retry) == (State.HELD, Retry.AFTER)
    assert desk.sent == 0


def test_several_entries_at_the_opening_are_waited_for() -> None:
    desk = a_desk().holding(EntryStatus.IN_PROGRESS)
    entry = desk.entry
    desk.log.entries = []
    desk.log.opening = Opening(outcome=Opened.SEVERAL, entry=entry)
    with pytest.raises(StillRunning):
        desk.send()
    assert desk.sent == 0


def test_another_call_that_was_first_at_the_opening_is_waited_for() -> None:
    desk = a_desk().holding(EntryStatus.IN_PROGRESS)
    entry = desk.entry
    desk.log.entries = []
    desk.log.opening = Opening(outcome=Opened.OTHERS, entry=entry)
    with pytest.raises(StillRunning):
        desk.send()
    assert desk.sent == 0


def test_another_call_that_is_done_at_the_opening_is_answered() -> None:
    desk = a_desk().holding(EntryStatus.COMPLETED)
    entry = desk.entry
    desk.log.entries = []
    desk.log.opening = Opening(outcome=Opened.OTHERS, entry=entry)
    answer = desk.send()
    assert (answer.status, answer.replayed) == (State.ACCEPTED, True)
    assert desk.sent == 0


# --- the second look ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_an_objection_between_the_two_looks_stops_the_message(kind: ProviderKind) -> None:
    desk = a_desk(kind=kind)
    desk.reader.then = [refused()]
    answer = desk.send()
    assert (answer.status, answer.retry) == (State.REFUSED, Retry.NEVER)
    assert (answer.communication, answer.record) == ("Communication/1", RecordState.COMPLETE)
    assert desk.log.events == ["open", "settle not-done"]
    assert desk.sent == 0


@pytest.mark.parametrize(
    "failure", [*FAILURES, ZeroDivisionError()], ids=lambda e: type(e).__name__
)
@pytest.mark.parametrize("kind", KINDS)
def test_a_second_read_that_fails_ends_the_entry_unsent(
    failure: Exception, kind: ProviderKind
) -> None:
    desk = a_desk(kind=kind)
    desk.reader.then = [failure]
    with pytest.raises(type(failure)):
        desk.send()
    assert desk.log.events == ["open", "settle not-done"]
    assert desk.sent == 0


def test_a_second_look_that_cannot_be_written_is_pending() -> None:
    desk = a_desk()
    desk.reader.then = [refused()]
    desk.log.settles = False
    assert desk.send().record is RecordState.PENDING


def test_another_contact_point_at_the_second_look_is_to_be_asked_for_again() -> None:
    desk = a_desk()
    desk.reader.then = [moved()]
    answer = desk.send()
    assert (answer.status, answer.retry) == (State.NOT_SENT, Retry.NOW)
    assert desk.log.events == ["open", "settle not-done"]
    assert desk.sent == 0
    desk.reader.case = moved()
    assert desk.send().status is State.ACCEPTED
    assert desk.provider.messages[0].to == "+447700900999"


def test_an_entry_that_somebody_else_took_meanwhile_is_left_to_them() -> None:
    desk = a_desk()

    def taken() -> None:
        desk.log.entries = [replace(desk.entry, attempt="theirs")]

    desk.reader.then = [taken]
    with pytest.raises(StillRunning):
        desk.send()
    assert desk.log.events == ["open"]
    assert desk.sent == 0


def test_an_entry_that_is_gone_at_the_second_look_stops_the_message() -> None:
    desk = a_desk()
    desk.reader.then = [lambda: desk.log.entries.clear()]
    assert desk.send().status is State.HELD
    assert desk.sent == 0


def test_entries_that_cannot_be_looked_up_at_the_second_look_stop_the_message() -> None:
    desk = a_desk()
    desk.reader.entries_fail = lambda read: read == 2
    assert desk.send().status is State.HELD
    assert desk.log.events == ["open", "settle not-done"]
    assert desk.sent == 0


# --- what is said of it ------------------------------------------------------------------------


def test_the_audit_line_names_codes_and_never_words(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    for desk in (a_desk(), a_desk(refused())):
        desk.provider.script = [RuntimeError(desk.case.request.content.body)]
        desk.send()
    said = "".join(str(record.__dict__) for record in caplog.records)
    assert "objection.active:refuse" in said
    for personal in ("7700900101", "appointment at", "nurse"):
        assert personal not in said
