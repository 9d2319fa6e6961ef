"""The adapter's clock is five minutes ahead or behind: nobody claims early, nothing goes twice."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.crash.scenes import KEY, Caller, Played, judged
from tests.crash.stage import LEASE, Died, a_stage

HAND_OFF = {"outbox": "outbox send", "nhs-notify": "provider POST", "webhook": "provider POST"}


@pytest.mark.parametrize("ahead", ["300", "-300"])
@pytest.mark.parametrize("whose", ["the one that takes over", "the one that died"])
@pytest.mark.parametrize("where", ["before", "after"])
@pytest.mark.parametrize(
    ("provider", "away"), [("outbox", False), ("webhook", False), ("outbox", True)]
)
def test_an_entry_is_taken_over_after_its_lease_whatever_the_clock_says(
    tmp_path: Path, ahead: str, whose: str, where: str, provider: str, away: bool
) -> None:
    wrong = {"CRASH_CLOCK": ahead}
    with a_stage(tmp_path / "stage", provider) as stage:
        stage.away = away
        body = stage.emergency() if away else stage.message()
        if away and ahead == "-300":
            declared = time.time() - 600
            stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(declared))
            body["evidence"]["emergency"]["declared_at"] = stamp
        first = stage.start(
            CRASH_KILL=f"{where}:{HAND_OFF[provider]}",
            **(wrong if whose == "the one that died" else {}),
        ).wait_until_up()
        opened_after = time.monotonic()
        with pytest.raises(Died):
            first.send(KEY, body)
        second = stage.start(**(wrong if whose == "the one that takes over" else {}))
        second.wait_until_up()
        while time.monotonic() - opened_after < LEASE - 0.3:
            asked = time.monotonic()
            answer = second.send(KEY, body)
            if time.monotonic() - opened_after < LEASE:
                assert answer.status_code == 409, (asked - opened_after, answer.text)
            time.sleep(0.2)
        final = Caller(stage, second).until(lambda each: each.send(KEY, body))
        stage.away = False
        assert judged(Played(stage, second, final)) == []
