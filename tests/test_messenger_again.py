"""A call for a message that has a record entry already: answered, waited for, or taken over."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from fhirmsg.answers import RecordState, Retry, State
from fhirmsg.calls import Times
from fhirmsg.errors import KeyReused, ProviderSilent, RecordUnavailable, StillRunning, TryLater
from fhirmsg.ports import EntryStatus, ProviderKind
from tests.fakes import ACCEPTED, MAY_HAVE_LEFT, REFUSED, RETRYABLE
from tests.messaging import Desk, a_desk, moved, refused

KINDS = list(ProviderKind)
REJECTS, SEARCHABLE, NEITHER = (
    ProviderKind.REJECTS_REPEATS,
    ProviderKind.SEARCHABLE,
    ProviderKind.NEITHER,
)
LEASE = Times().lease(0.0)
IN_PROGRESS = EntryStatus.IN_PROGRESS
AT = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)


def abandoned(kind: ProviderKind, **more: Any) -> Desk:
    """Give a desk before an open entry whose process has gone."""
    return a_desk(kind=kind, **more).holding(IN_PROGRESS, age=LEASE + 1, opened_at=AT.isoformat())


# --- answered as before ------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("status", "state"),
    [
        (EntryStatus.COMPLETED, State.ACCEPTED),
        (EntryStatus.STOPPED, State.FAILED),
        (EntryStatus.UNKNOWN, State.UNKNOWN),
    ],
)
def test_a_message_that_was_handed_off_is_answered_and_not_sent_again(
    kind: ProviderKind, status: EntryStatus, state: State
) -> None:
    desk = a_desk(kind=kind).holding(status, age=LEASE * 9)
    answer = desk.send()
    assert (answer.status, answer.retry, answer.replayed) == (state, Retry.NEVER, True)
    assert (answer.decision, answer.verdict) == (None, "send")
    assert answer.receipt_digest == desk.entry.receipt_digest
    assert (desk.log.events, desk.sent) == ([], 0)


def test_it_is_answered_before_anything_is_decided() -> None:
    desk = a_desk(refused()).holding(EntryStatus.COMPLETED)
    assert desk.send().status is State.ACCEPTED


@pytest.mark.parametrize(
    "status",
    [EntryStatus.COMPLETED, EntryStatus.STOPPED, EntryStatus.UNKNOWN, EntryStatus.IN_PROGRESS],
)
@pytest.mark.parametrize("digest", ["another", None])
def test_a_key_that_is_bound_to_another_message_is_refused(
    status: EntryStatus, digest: str | None
) -> None:
    desk = a_desk().holding(status, age=LEASE + 1, message_digest=digest)
    with pytest.raises(KeyReused):
        desk.send()
    assert (desk.log.events, desk.sent) == ([], 0)


def test_an_entry_in_a_state_we_do_not_write_holds() -> None:
    desk = a_desk().holding(None)
    assert desk.send().status is State.HELD
    assert (desk.log.events, desk.sent) == ([], 0)


# --- not done: decided and claimed anew --------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_message_that_was_not_sent_is_claimed_and_sent(kind: ProviderKind) -> None:
    desk = a_desk(kind=kind).holding(EntryStatus.NOT_DONE)
    assert desk.send().status is State.ACCEPTED
    assert desk.log.events == ["claim anew", "settle completed"]
    assert (desk.sent, desk.reader.reads) == (1, 2)


def test_a_message_that_was_not_sent_binds_its_key_to_nothing() -> None:
    desk = a_desk().holding(EntryStatus.NOT_DONE, message_digest="another")
    assert desk.send().status is State.ACCEPTED
    assert desk.entry.message_digest == desk.call.digest


def test_a_message_that_was_not_sent_is_decided_before_it_is_claimed() -> None:
    desk = a_desk(refused()).holding(EntryStatus.NOT_DONE)
    assert desk.send().status is State.REFUSED
    assert (desk.log.events, desk.sent) == ([], 0)


def test_a_claim_for_which_somebody_was_faster_is_waited_for() -> None:
    desk = a_desk().holding(EntryStatus.NOT_DONE)
    desk.log.claimable = False
    with pytest.raises(StillRunning):
        desk.send()
    assert desk.sent == 0


def test_the_second_look_stops_a_claimed_message_too() -> None:
    desk = a_desk().holding(EntryStatus.NOT_DONE)
    desk.reader.then = [refused()]
    assert desk.send().status is State.REFUSED
    assert desk.log.events == ["claim anew", "settle not-done"]
    assert desk.sent == 0


# --- in progress: waited for -------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("age", [-1.0, 0.0, LEASE - 1, None])
def test_a_message_that_is_being_sent_is_waited_for(kind: ProviderKind, age: float | None) -> None:
    desk = a_desk(kind=kind).holding(IN_PROGRESS, age=age)
    with pytest.raises(StillRunning) as raised:
        desk.send()
    assert 1 <= raised.value.retry_after <= LEASE
    assert (desk.log.events, desk.sent) == ([], 0)


def test_the_time_a_provider_takes_to_settle_is_waited_for_too() -> None:
    desk = abandoned(SEARCHABLE)
    desk.provider.settle_seconds = 600.0
    with pytest.raises(StillRunning):
        desk.send()
    assert desk.sent == 0


def test_a_process_whose_own_writes_show_clocks_apart_takes_nothing_over() -> None:
    desk = a_desk()
    desk.log.write_age = 6.0
    desk.send()
    desk.holding(IN_PROGRESS, age=LEASE + 1)
    desk.log.events.clear()
    with pytest.raises(StillRunning):
        desk.send()
    assert (desk.log.events, desk.sent) == ([], 1)


def test_clocks_that_agree_again_let_it_take_over_again() -> None:
    desk = a_desk()
    for age in (-6.0, 5.0):
        desk.log.entries, desk.log.write_age = [], age
        desk.send()
    desk.holding(IN_PROGRESS, age=LEASE + 1)
    assert desk.send().status is State.ACCEPTED


def test_clocks_found_apart_at_the_claim_itself_stop_it() -> None:
    desk = abandoned(NEITHER)
    desk.log.write_age = 60.0
    with pytest.raises(StillRunning):
        desk.send()
    assert desk.log.events == ["claim"]
    assert desk.sent == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_take_over_for_which_somebody_was_faster_is_waited_for(kind: ProviderKind) -> None:
    desk = abandoned(kind)
    desk.log.claimable = False
    with pytest.raises(StillRunning):
        desk.send()
    assert desk.sent == 0


# --- taken over: neither -----------------------------------------------------------------------


def test_where_nothing_can_be_found_out_it_is_unknown_and_never_sent_again() -> None:
    desk = abandoned(NEITHER)
    answer = desk.send()
    assert (answer.status, answer.retry) == (State.UNKNOWN, Retry.NEVER)
    assert desk.log.events == ["claim", "settle unknown"]
    assert desk.log.tasks == ["unknown"]
    assert desk.sent == 0


# --- taken over: searchable --------------------------------------------------------------------


def test_a_message_that_the_provider_has_is_completed_with_its_time() -> None:
    desk = abandoned(SEARCHABLE)
    desk.provider.found = replace(ACCEPTED, at=AT)
    answer = desk.send()
    assert (answer.status, answer.replayed) == (State.ACCEPTED, True)
    assert desk.log.events == ["claim", "settle completed"]
    assert desk.log.settled[0]["sent"] == AT
    assert desk.sent == 0


def test_without_the_providers_time_it_was_sent_when_its_first_attempt_began() -> None:
    desk = abandoned(SEARCHABLE)
    desk.provider.found = ACCEPTED
    desk.send()
    assert desk.log.settled[0]["sent"] == AT


def test_a_message_that_the_provider_refused_is_stopped() -> None:
    desk = abandoned(SEARCHABLE)
    desk.provider.found = REFUSED
    assert desk.send().status is State.FAILED
    assert desk.log.events == ["claim", "settle stopped"]


def test_a_message_that_the_provider_is_not_sure_of_is_unknown() -> None:
    desk = abandoned(SEARCHABLE)
    desk.provider.found = MAY_HAVE_LEFT
    assert desk.send().status is State.UNKNOWN
    assert desk.log.tasks == ["unknown"]


def test_a_message_that_is_surely_not_there_is_decided_and_sent() -> None:
    desk = abandoned(SEARCHABLE)
    assert desk.send().status is State.ACCEPTED
    assert desk.log.events == ["claim", "settle completed"]
    assert (desk.sent, desk.reader.reads) == (1, 2)


def test_a_message_that_is_surely_not_there_and_may_not_go_is_not_done() -> None:
    desk = abandoned(SEARCHABLE)
    desk.reader.then = [refused()]
    answer = desk.send()
    assert (answer.status, answer.record) == (State.REFUSED, RecordState.COMPLETE)
    assert desk.log.events == ["claim", "settle not-done"]
    assert desk.sent == 0


@pytest.mark.parametrize("silence", [ProviderSilent("x"), RuntimeError("x")])
def test_while_the_provider_is_silent_nothing_is_sent_and_nothing_ended(silence: Exception) -> None:
    desk = abandoned(SEARCHABLE)
    desk.provider.found = silence
    with pytest.raises(StillRunning):
        desk.send()
    assert desk.log.events == ["claim"]
    assert (desk.log.status, desk.sent) == (IN_PROGRESS, 0)


def test_a_read_that_fails_after_a_take_over_ends_what_is_surely_not_there_unsent() -> None:
    desk = abandoned(SEARCHABLE)
    desk.reader.then = [RecordUnavailable("x")]
    with pytest.raises(RecordUnavailable):
        desk.send()
    assert desk.log.events == ["claim", "settle not-done"]


# --- taken over: rejects a repeated reference --------------------------------------------------


def test_a_message_whose_repeat_is_rejected_is_decided_and_posted_again() -> None:
    desk = abandoned(REJECTS)
    assert desk.send().status is State.ACCEPTED
    assert desk.log.events == ["claim", "settle completed"]
    assert (desk.sent, desk.reader.reads) == (1, 2)


def test_a_message_that_may_have_been_posted_and_may_not_go_now_is_unknown() -> None:
    desk = abandoned(REJECTS)
    desk.reader.then = [refused()]
    answer = desk.send()
    # Nobody can say that it was not sent, so the answer must not.
    assert (answer.status, answer.retry) == (State.UNKNOWN, Retry.NEVER)
    assert answer.decision is not None
    assert answer.verdict == "refuse"
    assert desk.log.events == ["claim", "settle unknown"]
    assert desk.log.tasks == ["unknown"]
    assert desk.sent == 0


def test_a_contact_point_that_changed_between_the_tries_leaves_it_unknown() -> None:
    desk = abandoned(REJECTS)
    desk.provider.script = [RETRYABLE]
    desk.reader.then = [desk.case, moved()]
    answer = desk.send()
    assert (answer.status, answer.retry) == (State.UNKNOWN, Retry.NEVER)
    assert desk.log.events == ["claim", "settle unknown"]


@pytest.mark.parametrize("trouble", ["read", "provider"])
def test_a_call_that_is_to_come_again_finds_the_message_still_to_be_posted(trouble: str) -> None:
    desk = abandoned(REJECTS)
    if trouble == "read":
        desk.reader.then = [RecordUnavailable("x"), desk.case]
    else:
        desk.provider.script = [RETRYABLE, RETRYABLE, ACCEPTED]
    with pytest.raises((RecordUnavailable, TryLater)):
        desk.send()
    assert desk.log.events == ["claim"]
    assert desk.log.status is IN_PROGRESS
    assert desk.send().status is State.ACCEPTED
