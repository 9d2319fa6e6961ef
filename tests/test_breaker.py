"""When a server is left alone, when it is tried again, and what goes regardless."""

from __future__ import annotations

import threading

import pytest

from fhirmsg.breaker import Breaker, BreakerOpen, BreakerSettings, State, regardless_of_breakers


class Clock:
    """Stands still until it is told to go on."""

    def __init__(self) -> None:
        self.at = 100.0

    def __call__(self) -> float:
        return self.at


def a_breaker(failures: int = 3, pause: float = 10.0) -> tuple[Breaker, Clock]:
    clock = Clock()
    settings = BreakerSettings(failures=failures, pause_seconds=pause)
    return Breaker("ehr", settings, clock=clock), clock


def call(breaker: Breaker, answered: bool | None) -> None:
    with breaker.call() as passed:
        passed.answered = answered


def is_refused(breaker: Breaker) -> bool:
    try:
        call(breaker, None)
    except BreakerOpen:
        return True
    return False


def opened() -> tuple[Breaker, Clock]:
    breaker, clock = a_breaker()
    for _ in range(3):
        call(breaker, False)
    assert breaker.state is State.OPEN
    return breaker, clock


def test_it_opens_after_so_many_in_a_row_and_not_before() -> None:
    breaker, _ = a_breaker()
    for answered in (False, False, True, False, None, False):
        call(breaker, answered)
        assert breaker.state is State.CLOSED
    call(breaker, False)
    assert breaker.state is State.OPEN
    assert is_refused(breaker)


def test_what_says_nothing_of_the_server_counts_for_nothing() -> None:
    breaker, _ = a_breaker(failures=1)
    with pytest.raises(KeyError), breaker.call():
        raise KeyError
    call(breaker, None)
    assert breaker.state is State.CLOSED


def test_without_a_number_of_failures_it_never_opens() -> None:
    breaker, _ = a_breaker(failures=0)
    for _ in range(100):
        call(breaker, False)
    assert not is_refused(breaker)


def test_after_the_pause_one_call_is_the_trial_and_others_wait_for_it() -> None:
    breaker, clock = opened()
    clock.at += 9.9
    assert is_refused(breaker)
    clock.at += 0.1
    assert breaker.state is State.HALF_OPEN
    with breaker.call() as trial:
        assert is_refused(breaker)
        trial.answered = True
        assert is_refused(breaker)
    assert breaker.state is State.CLOSED
    call(breaker, False)
    assert breaker.state is State.CLOSED


def test_a_trial_that_is_not_answered_begins_another_pause() -> None:
    breaker, clock = opened()
    clock.at += 15
    call(breaker, False)
    clock.at += 9
    assert is_refused(breaker)
    clock.at += 1
    assert not is_refused(breaker)


def test_a_trial_that_learned_nothing_leaves_room_for_the_next() -> None:
    breaker, clock = opened()
    clock.at += 10
    with pytest.raises(KeyError), breaker.call():
        raise KeyError
    assert breaker.state is State.HALF_OPEN
    call(breaker, True)
    assert breaker.state is State.CLOSED


def test_an_emergency_goes_regardless_and_an_answer_to_it_closes() -> None:
    breaker, _ = opened()
    with regardless_of_breakers():
        call(breaker, False)
        assert breaker.state is State.OPEN
        call(breaker, True)
    assert breaker.state is State.CLOSED


def test_an_emergency_beside_a_trial_goes_regardless_too() -> None:
    breaker, clock = opened()
    clock.at += 10
    with breaker.call() as trial:
        with regardless_of_breakers():
            call(breaker, None)
        trial.answered = False
    assert is_refused(breaker)


def test_an_emergency_that_fails_does_not_put_the_trial_off() -> None:
    breaker, clock = opened()
    clock.at += 9
    with regardless_of_breakers():
        call(breaker, False)
    clock.at += 1
    assert breaker.state is State.HALF_OPEN


def test_it_is_regardless_only_inside_and_only_on_this_thread() -> None:
    breaker, _ = opened()
    refused: list[bool] = []
    with regardless_of_breakers():
        thread = threading.Thread(target=lambda: refused.append(is_refused(breaker)))
        thread.start()
        thread.join()
    refused.append(is_refused(breaker))
    assert refused == [True, True]


def test_of_many_threads_that_come_after_the_pause_one_gets_through() -> None:
    breaker, clock = opened()
    clock.at += 10
    together, over = threading.Barrier(16), threading.Event()
    through: list[int] = []
    refused: list[int] = []

    def come(number: int) -> None:
        together.wait()
        try:
            with breaker.call() as passed:
                through.append(number)
                over.wait(10)
                passed.answered = True
        except BreakerOpen:
            refused.append(number)
            if len(refused) == 15:
                over.set()

    threads = [threading.Thread(target=come, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(through) == 1
    assert breaker.state is State.CLOSED
