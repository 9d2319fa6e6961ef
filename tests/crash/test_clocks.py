"""The adapter's clock is five minutes ahead or behind: nobody claims early, nothing goes twice."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.crash.scenes import KEY, Caller, Played, judged
from tests.crash.stage import LEASE, Died, a_stage

HAND_OFF = {
    "outbox": "outbox send",
    "webhook": "provider POST",
    "webhook-dedup": "provider POST",
}


@dataclass(frozen=True, kw_only=True)
class Wrong:
    """A clock that is wrong by so many seconds, of the process that died or of the next one."""

    ahead: int
    of_the_dead: bool
    where: str
    provider: str = "outbox"
    away: bool = False


CASES = [
    Wrong(ahead=ahead, of_the_dead=dead, where=where)
    for ahead in (300, -300)
    for dead in (False, True)
    for where in ("before", "after")
] + [
    Wrong(ahead=ahead, of_the_dead=False, where="after", provider=provider, away=away)
    for ahead in (300, -300)
    for provider, away in (("webhook", False), ("webhook-dedup", True))
]


def faults_with(case: Wrong, folder: Path) -> list[str]:
    """Have one process die and another take over; gives what is wrong."""
    wrong = {"CRASH_CLOCK": str(case.ahead)}
    with a_stage(folder / str(CASES.index(case)), case.provider) as stage:
        stage.away = case.away
        body = stage.emergency() if case.away else stage.message()
        if case.away:
            # Declared a while ago, for a clock that is behind not to see it in the future.
            declared = datetime.now(UTC) - timedelta(minutes=10)
            body["evidence"]["emergency"]["declared_at"] = declared.isoformat()
        first = stage.start(
            CRASH_KILL=f"{case.where}:{HAND_OFF[case.provider]}",
            **(wrong if case.of_the_dead else {}),
        ).wait_until_up()
        second = stage.start(**({} if case.of_the_dead else wrong)).wait_until_up()
        opened_after = time.monotonic()
        with pytest.raises(Died):
            first.send(KEY, body)
        faults, asked = [], 0
        while time.monotonic() - opened_after < LEASE - 0.3:
            answer = second.send(KEY, body)
            if time.monotonic() - opened_after < LEASE:
                asked += 1
                if answer.status_code != 409:
                    faults.append(f"{case}: answered {answer.status_code} within the lease")
            time.sleep(0.3)
        final = Caller(stage, second).until(lambda each: each.send(KEY, body))
        stage.away = False
        if not asked:
            faults.append(f"{case}: nobody asked within the lease")
        return faults + [f"{case}: {each}" for each in judged(Played(stage, second, final))]


def test_an_entry_is_taken_over_after_its_lease_whatever_the_clock_says(tmp_path: Path) -> None:
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda case: faults_with(case, tmp_path), CASES))
    assert [fault for each in found for fault in each] == []
