"""The hand-off: what each answer of a provider leads to, and what is written of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fhirmsg.answers import RecordState, Retry, State
from fhirmsg.calls import Times
from fhirmsg.errors import (
    RecordUnavailable,
    TryLater,
)
from fhirmsg.ports import ProviderKind, Receipt
from tests.fakes import ACCEPTED, MAY_HAVE_LEFT, REFUSED, RETRYABLE
from tests.messaging import a_desk, moved, overridden, refused

KINDS = list(ProviderKind)


def codes(answer: Any) -> list[str]:
    return [finding.code for finding in answer.decision.findings]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fault", [MAY_HAVE_LEFT, RuntimeError("secret"), OSError(), KeyError()])
def test_a_message_that_may_have_left_is_never_sent_again(fault: Any, kind: ProviderKind) -> None:
    desk = a_desk(kind=kind)
    desk.provider.script = [fault]
    answer = desk.send()
    assert (answer.status, answer.retry) == (State.UNKNOWN, Retry.NEVER)
    assert desk.log.events == ["open", "settle unknown"]
    assert desk.log.tasks == ["unknown"]
    again = desk.send()
    assert (again.status, again.replayed) == (State.UNKNOWN, True)
    assert desk.sent == 1


def test_a_message_refused_for_good_is_stopped() -> None:
    desk = a_desk()
    desk.provider.script = [REFUSED]
    answer = desk.send()
    assert (answer.status, answer.retry) == (State.FAILED, Retry.NEVER)
    assert desk.log.events == ["open", "settle stopped"]
    assert desk.log.settled[0]["sent"] is None


@pytest.mark.parametrize("kind", KINDS)
def test_a_message_that_surely_was_not_taken_is_tried_twice_and_decided_each_time(
    kind: ProviderKind,
) -> None:
    desk = a_desk(kind=kind)
    desk.provider.script = [RETRYABLE, ACCEPTED]
    assert desk.send().status is State.ACCEPTED
    assert (desk.sent, desk.reader.reads) == (2, 3)
    assert desk.log.events == ["open", "settle completed"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_message_that_was_not_taken_twice_may_come_again(kind: ProviderKind) -> None:
    desk = a_desk(kind=kind)
    desk.provider.script = [RETRYABLE, RETRYABLE, ACCEPTED]
    with pytest.raises(TryLater):
        desk.send()
    assert desk.log.events == ["open", "settle not-done"]
    assert desk.sent == 2
    assert desk.send().status is State.ACCEPTED
    assert desk.log.events[2:] == ["claim anew", "settle completed"]


@pytest.mark.parametrize("later", [refused, moved])
def test_what_changes_between_the_tries_stops_the_second(later: Any) -> None:
    desk = a_desk()
    desk.provider.script = [RETRYABLE, ACCEPTED]
    desk.reader.then = [desk.case, later()]
    desk.send()
    assert desk.sent == 1
    assert desk.log.events == ["open", "settle not-done"]


def test_a_read_that_fails_between_the_tries_ends_the_entry_unsent() -> None:
    desk = a_desk()
    desk.provider.script = [RETRYABLE, ACCEPTED]
    desk.reader.then = [desk.case, RecordUnavailable("x")]
    with pytest.raises(RecordUnavailable):
        desk.send()
    assert desk.sent == 1
    assert desk.log.events == ["open", "settle not-done"]


def test_there_is_no_second_try_when_time_is_up() -> None:
    desk = a_desk(times=Times(start_within=0.0))
    desk.provider.script = [RETRYABLE]
    with pytest.raises(TryLater):
        desk.send()
    assert desk.sent == 1


def test_a_hand_off_has_to_start_soon_after_the_opening_and_end_by_its_deadline() -> None:
    desk = a_desk(times=Times(start_within=7.0, handoff=3.0))
    desk.send()
    [(start_by, deadline)] = desk.provider.deadlines
    assert 6.5 < start_by <= 7.0
    assert 2.5 < deadline <= 3.0


@pytest.mark.parametrize(
    ("receipt", "status"),
    [(ACCEPTED, State.ACCEPTED), (REFUSED, State.FAILED), (MAY_HAVE_LEFT, State.UNKNOWN)],
)
def test_an_end_that_cannot_be_written_is_told_and_pending(receipt: Receipt, status: State) -> None:
    desk = a_desk()
    desk.log.settles = False
    desk.provider.script = [receipt]
    answer = desk.send()
    assert (answer.status, answer.record) == (status, RecordState.PENDING)


# --- an override -------------------------------------------------------------------------------


@pytest.mark.parametrize("receipt", [ACCEPTED, MAY_HAVE_LEFT, REFUSED])
def test_what_a_decision_stands_on_is_written_beside_what_became_of_the_message(
    receipt: Receipt,
) -> None:
    desk = a_desk(overridden())
    desk.provider.script = [receipt]
    answer = desk.send()
    assert "objection.active" in codes(answer)
    [settled] = desk.log.settled
    assert (settled["decision"], settled["grounds"]) == (answer.decision, desk.call.request)
    assert desk.log.drafts[0].label_restricted


def test_a_provider_that_asks_to_be_left_alone_is_not_tried_again_at_once() -> None:
    desk = a_desk()
    desk.provider.script = [replace(RETRYABLE, retry_after=300)]
    with pytest.raises(TryLater) as raised:
        desk.send()
    assert raised.value.retry_after == 300
    assert desk.sent == 1
    assert desk.log.events == ["open", "settle not-done"]


def test_an_entry_stays_open_while_the_provider_works_on_an_earlier_hand_off() -> None:
    # Ended as not done, it would be the record of a message that is still to arrive.
    desk = a_desk(kind=ProviderKind.REJECTS_REPEATS)
    desk.provider.script = [RETRYABLE, replace(RETRYABLE, pending=True, retry_after=300)]
    with pytest.raises(TryLater):
        desk.send()
    assert desk.sent == 2
    assert desk.log.events == ["open"]
