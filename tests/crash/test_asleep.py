"""A process falls asleep (SIGSTOP) at a step for longer than the lease; another takes over.

When it wakes nothing is sent twice. One gap is left, and the README names it: between the last
check and the first byte, with a provider that can be searched.
"""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.crash.scenes import ID, KEY, Caller, Played, judged
from tests.crash.stage import Stage, a_stage

AT = {
    "govuk-notify": (
        "after:fhir POST Communication",
        "before:provider POST",
        "after:provider POST",
    ),
    "nhs-notify": (
        "before:provider POST",
        "before:provider first byte",
        "after:provider POST",
    ),
    "smtp": ("before:smtp send", "after:smtp DATA", "after:smtp send"),
    "webhook": ("before:provider first byte", "before:fhir POST transaction"),
}
IN_AN_OUTAGE = {
    "govuk-notify": ("after:journal keep emergency", "after:provider POST"),
    "webhook-dedup": ("before:provider first byte",),
    "webhook": ("before:provider POST", "after:journal change emergency"),
}
# The gap that the README names.
GAP = ("govuk-notify", "provider first byte")


def slept(stage: Stage, at: str, *, away: bool = False) -> Played:
    """Have a process sleep there, another take the message over, and the first wake up."""
    stage.away = away
    body = stage.emergency() if away else stage.message()
    sleeper = stage.start(CRASH_STOP=at).wait_until_up()
    answers = []
    calling = threading.Thread(target=lambda: answers.append(sleeper.send(KEY, body)))
    calling.start()
    sleeper.wait_until_stopped()
    answer = Caller(stage, stage.start()).until(lambda each: each.send(KEY, body))
    sleeper.wake()
    calling.join(60)
    # Whoever slept may not know how it ended; it must not have broken down over it.
    [last] = answers
    assert last.status_code in (200, 201, 202, 409, 503), last.text
    stage.away = False
    return Played(stage, sleeper, answer)


def faults_after_sleep(folder: Path, provider: str, at: str, *, away: bool = False) -> list[str]:
    """Play one case; gives what is wrong after it."""
    name = f"{provider}-{at}-{away}".replace(":", "-").replace(" ", "-")
    with a_stage(folder / name, provider) as stage:
        return [f"{provider} {at}: {fault}" for fault in judged(slept(stage, at, away=away))]


def test_a_process_that_slept_longer_than_the_lease_doubles_nothing(tmp_path: Path) -> None:
    cases = [(provider, at, False) for provider, all_of in AT.items() for at in all_of]
    cases += [(provider, at, True) for provider, all_of in IN_AN_OUTAGE.items() for at in all_of]
    with ThreadPoolExecutor(8) as pool:
        found = list(
            pool.map(lambda case: faults_after_sleep(tmp_path, *case[:2], away=case[2]), cases)
        )
    assert [fault for each in found for fault in each] == []


def test_asleep_between_the_last_check_and_the_first_byte_it_can_double_and_that_is_told(
    tmp_path: Path,
) -> None:
    with a_stage(tmp_path / "stage", "govuk-notify") as stage:
        played = slept(stage, "before:provider first byte")
        faults = judged(played)
        copies = stage.references()[ID]
        assert copies in (1, 2)
        told = any("has this message 2 times" in fault for fault in faults)
        assert told == (copies == 2)
        assert len(stage.record()) == 1
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    assert "between the last check and the write can double a message" in readme


@pytest.mark.skipif(os.environ.get("FHIRMSG_TEST_LONG") != "1", reason="FHIRMSG_TEST_LONG is not 1")
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("away", [False, True], ids=["in reach", "away"])
@pytest.mark.parametrize(
    "provider", ["govuk-notify", "nhs-notify", "smtp", "outbox", "webhook", "webhook-dedup"]
)
def test_asleep_at_any_step_it_doubles_nothing(tmp_path: Path, provider: str, away: bool) -> None:
    if away and provider == "nhs-notify":
        pytest.skip("without the record nobody knows an NHS number")
    with a_stage(tmp_path / "dry", provider) as stage:
        stage.away = away
        running = stage.start().wait_until_up()
        body = stage.emergency() if away else stage.message()
        assert running.send(KEY, body).status_code == 201
        kinds = running.effects
    cases = [
        f"{where}:{number}"
        for number, kind in enumerate(kinds, 1)
        for where in ("before", "after")
        if (provider, kind) != GAP
    ]
    with ThreadPoolExecutor(8) as pool:
        found = list(
            pool.map(lambda at: faults_after_sleep(tmp_path, provider, at, away=away), cases)
        )
    print(f"{provider}: asleep at {len(cases)} points")
    assert [fault for each in found for fault in each] == []
