"""What every provider promises, whatever is behind it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fhirmsg.errors import CallbackRefused, CallbackUnreadable, ProviderSilent
from fhirmsg.ports import Delivery, Outcome, ProviderKind, TellsReceipts
from fhirmsg.providers.outbox import Outbox
from tests.providers.ways import ENDINGS, MESSAGE, PRIVATE, SERVICES, WAYS, WayOut, ending, way_out


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[WayOut]:
    with way_out(request.param, tmp_path) as found:
        yield found


@pytest.fixture(params=SERVICES)
def caller_back(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[WayOut]:
    with way_out(request.param, tmp_path) as found:
        assert isinstance(found.provider, TellsReceipts)
        yield found


def test_what_is_accepted_has_arrived_once_and_unchanged(way: WayOut) -> None:
    receipt = way.send()

    assert receipt.outcome is Outcome.ACCEPTED
    assert receipt.provider_id
    assert way.arrived() == [(MESSAGE.to, MESSAGE.body)]


def test_any_text_arrives_as_it_was_written(way: WayOut) -> None:
    body = ".\n..\n.hidden\nFrom here: Å… £5 \u2028 你好 \x85 =41 tab\t.\n" + "long " * 400 + "\n"

    assert way.send(replace(MESSAGE, body=body)).outcome is Outcome.ACCEPTED
    assert way.arrived() == [(MESSAGE.to, body)]


def test_a_message_can_be_found_or_the_kind_says_that_nobody_can_know(way: WayOut) -> None:
    accepted = way.send()

    if way.provider.kind is ProviderKind.SEARCHABLE:
        found = way.provider.find(MESSAGE.reference)
        assert found is not None
        assert (found.outcome, found.provider_id) == (Outcome.ACCEPTED, accepted.provider_id)
        assert way.provider.find("another") is None
    else:
        # None would be read as "not there", and the message sent again.
        with pytest.raises(ProviderSilent):
            way.provider.find(MESSAGE.reference)


def test_a_repeat_is_the_first_ones_success_where_the_kind_says_so(way: WayOut) -> None:
    again = [way.send().outcome, way.send().outcome]

    assert again == [Outcome.ACCEPTED, Outcome.ACCEPTED]
    once = way.provider.kind is ProviderKind.REJECTS_REPEATS
    assert len(way.arrived()) == (1 if once else 2)


def test_what_can_be_asked_for_says_for_how_long(way: WayOut) -> None:
    kept = way.provider.retention_seconds
    assert kept is None or kept >= 86_400
    assert way.provider.settle_seconds >= 0


def test_what_may_no_longer_start_does_not_leave(way: WayOut) -> None:
    receipt = way.send(start_by=0)

    assert receipt.outcome is Outcome.RETRYABLE
    assert receipt.reason == "started-too-late"
    assert way.arrived() == []


def test_after_the_deadline_nothing_leaves(way: WayOut) -> None:
    assert way.send(deadline=0).outcome is Outcome.RETRYABLE
    assert way.arrived() == []


@pytest.mark.parametrize(("name", "outcome"), ENDINGS)
def test_a_hand_off_ends_as_it_is_known_to_have_ended(
    name: str, outcome: Outcome, tmp_path: Path
) -> None:
    with ending(name, outcome, tmp_path) as way:
        receipt = way.send(deadline=1)

    assert receipt.outcome is outcome
    assert receipt.reason
    assert receipt.provider_id is None
    assert not any(part in repr(receipt) for part in PRIVATE)


def test_half_a_character_is_refused_and_nothing_raised(way: WayOut) -> None:
    receipt = way.send(replace(MESSAGE, body="cut off: \ud83d"))

    assert (receipt.outcome, receipt.reason) == (Outcome.REFUSED, "not-unicode")
    assert way.arrived() == []


def test_nothing_that_can_be_printed_shows_whom_it_went_to_or_what_it_said(
    way: WayOut, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    printable = [MESSAGE, way.send(), way.provider, *way.callbacks.values()]
    if isinstance(way.provider, Outbox):
        printable += way.provider.messages()
    # The mail server of the tests speaks under this name.
    printable += [each.getMessage() for each in caplog.records if each.name != "mail.log"]

    for thing in printable:
        assert not any(part in repr(thing) for part in PRIVATE)


def test_sixteen_threads_send_at_once_and_each_message_arrives_once(way: WayOut) -> None:
    outcomes: list[Outcome] = []

    def send(number: int) -> None:
        for part in "ab":
            reference = f"5b1f2f0a-0000-5000-8000-{number:011d}{part}"
            message = replace(MESSAGE, reference=reference, body=f"{number}{part}\n")
            outcomes.append(way.send(message).outcome)

    threads = [threading.Thread(target=send, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert outcomes == [Outcome.ACCEPTED] * 32
    assert sorted(body for _, body in way.arrived()) == sorted(
        f"{number}{part}\n" for number in range(16) for part in "ab"
    )


# --- receipts ----------------------------------------------------------------------------------


def receipts(way: WayOut, word: str) -> tuple[object, ...]:
    assert isinstance(way.provider, TellsReceipts)
    return way.provider.receipts(way.callbacks[word])


@pytest.mark.parametrize(
    ("word", "delivery"), [("delivered", Delivery.DELIVERED), ("failed", Delivery.FAILED)]
)
def test_a_receipt_tells_of_one_message_and_when(
    caller_back: WayOut, word: str, delivery: Delivery
) -> None:
    (receipt,) = receipts(caller_back, word)

    assert (receipt.reference, receipt.delivery) == (MESSAGE.reference, delivery)
    assert receipt.at is not None
    assert receipt.at.tzinfo is not None
    assert bool(receipt.reason) is (delivery is Delivery.FAILED)


def test_a_receipt_that_comes_again_says_the_same_again(caller_back: WayOut) -> None:
    assert receipts(caller_back, "delivered") == receipts(caller_back, "delivered")


def test_a_forged_receipt_is_refused(caller_back: WayOut) -> None:
    with pytest.raises(CallbackRefused):
        receipts(caller_back, "forged")


def test_a_receipt_that_is_not_understood_is_told_from_a_forged_one(caller_back: WayOut) -> None:
    with pytest.raises(CallbackUnreadable):
        receipts(caller_back, "unreadable")
