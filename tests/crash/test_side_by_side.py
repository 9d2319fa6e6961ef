"""Two processes of one host get the same keys and the same receipts at the same time.

Neither an outage of the FHIR server nor what both then write from their one journal doubles
anything.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fhirmsg.calls import message_id_for
from fhirmsg.fhir import codes
from tests.crash.scenes import Caller
from tests.crash.stage import Running, Stage, a_stage

ROUNDS = 40 if os.environ.get("FHIRMSG_TEST_LONG") == "1" else 8
CALLERS = 8
DELIVERY = codes.own_extension("delivery")


@pytest.mark.parametrize("provider", ["govuk-notify", "webhook-dedup", "webhook"])
def test_the_same_keys_and_receipts_at_both_processes_double_nothing(
    tmp_path: Path, provider: str
) -> None:
    with a_stage(tmp_path / "stage", provider) as stage, ThreadPoolExecutor(CALLERS) as pool:
        both = [stage.start().wait_until_up(), stage.start().wait_until_up()]
        stage.away = True
        codes_of = [_all_at_once(pool, stage, both, number) for number in range(ROUNDS)]
        stage.away = False
        # Everybody asks once more, until the answer is final, while both write what is owed.
        bodies = [stage.emergency(number) for number in range(ROUNDS)]
        finals = pool.map(
            lambda number: Caller(stage, both[number % 2]).until(
                lambda each: each.send(f"key {number}", bodies[number])
            ),
            range(ROUNDS),
        )
        assert {each["status"] for each in finals} == {"accepted-by-provider"}
        _wait_until_nothing_is_owed(stage)
        told = [
            (both[process], stage.callback("delivered", f"key {number}"))
            for number in range(ROUNDS)
            for process in (0, 1, 0, 1)
        ]
        taken = list(pool.map(lambda each: each[0].call_back(stage.name, each[1]), told))
        assert {answer.status_code for answer in taken} <= {200, 202, 204}
        _wait_until_nothing_is_owed(stage)
        stage.end_services()
        _judge(stage)
        print(f"{provider}: {dict(sum(codes_of, Counter()))}")


def _all_at_once(
    pool: ThreadPoolExecutor, stage: Stage, both: list[Running], number: int
) -> Counter[int]:
    body = stage.emergency(number)
    answers = list(
        pool.map(lambda caller: both[caller % 2].send(f"key {number}", body), range(CALLERS))
    )
    codes_of = Counter(answer.status_code for answer in answers)
    assert codes_of[201] <= 1, codes_of
    assert set(codes_of) <= {200, 201, 409, 503}, [answer.text for answer in answers]
    return codes_of


def _wait_until_nothing_is_owed(stage: Stage) -> None:
    until = time.monotonic() + 60
    while True:
        status, said = stage.run("recover")
        if status == 0:
            return
        assert time.monotonic() < until, said
        time.sleep(0.3)


def _judge(stage: Stage) -> None:
    ids = {message_id_for("tests", f"key {number}") for number in range(ROUNDS)}
    assert stage.references() == Counter(dict.fromkeys(ids, 1))
    entries = stage.record()
    assert Counter(each["identifier"][0]["value"] for each in entries) == dict.fromkeys(ids, 1)
    for entry in entries:
        assert entry["status"] == "completed"
        states = [
            part["valueCode"]
            for extension in entry["extension"]
            if extension["url"] == DELIVERY
            for part in extension["extension"]
            if part["url"] == "state"
        ]
        assert sorted(states) == ["accepted", "delivered"]
    assert Counter(stage.tasks()) == {"emergency-review": ROUNDS}
    status, said = stage.run("reconcile", "--since", "1h")
    assert status == 0, said
