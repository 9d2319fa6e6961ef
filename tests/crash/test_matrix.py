"""A serving process is killed at each of its steps, and its caller asks again.

Nothing is lost or doubled with a provider that can be searched or rejects repeats; with one that
can do neither at most one message goes, and what is not known is said to be unknown. Either way
there is one entry for each message, it is true, nothing is owed, and `fhirmsg reconcile` agrees.

FHIRMSG_TEST_LONG=1 kills at every step of every scene with every provider: over 500 times.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.crash.matrix import Death, cells, chosen, deaths_in, figures, play, play_all

KILLS = 32
# Scene and provider, such that every kind of step there is comes up.
FEW = (
    ("sent", "govuk-notify"),
    ("sent", "nhs-notify"),
    ("sent", "outbox"),
    ("sent", "smtp"),
    ("emergency", "govuk-notify"),
    ("outage", "govuk-notify"),
    ("outage-ends", "webhook"),
    ("drained", "webhook-dedup"),
    ("receipted", "govuk-notify"),
    ("followed", "govuk-notify"),
    ("left-before", "govuk-notify"),
    ("left-before", "smtp"),
    ("left-after", "nhs-notify"),
)
ON_HAPI = [
    Death(scene="sent", provider="govuk-notify", where="after", kind="fhir POST Communication"),
    Death(scene="sent", provider="nhs-notify", where="after", kind="provider POST"),
    Death(scene="sent", provider="smtp", where="after", kind="smtp send"),
    Death(scene="drained", provider="outbox", where="after", kind="fhir POST transaction"),
    Death(scene="receipted", provider="webhook", where="after", kind="fhir POST batch-write"),
]


def killed_everywhere(dry_runs: list[Death], folder: Path, number: int | None) -> None:
    """Play the dry runs, then kill at so many of their steps, at all of them if None."""
    dry = play_all(dry_runs, folder)
    assert {run.death.name: run.faults for run in dry if run.faults} == {}
    possible = deaths_in(dry)
    deaths = possible if number is None else chosen(possible, number)
    assert {death.kind for death in deaths} == {death.kind for death in possible}
    results = play_all(deaths, folder)
    total = figures(results)
    print(f"{len(dry)} dry runs; {dict(total)}")
    assert {each.death.name: each.faults for each in results if each.faults} == {}
    # What runs beside the requests does not always come in the same order.
    assert total["kills"] >= 0.9 * len(deaths)
    assert (total["lost"], total["doubled"]) == (0, 0)


def test_killed_at_every_kind_of_step_a_message_is_neither_lost_nor_doubled(
    tmp_path: Path,
) -> None:
    few = [Death(scene=scene, provider=provider) for scene, provider in FEW]
    killed_everywhere(few, tmp_path, KILLS)


@pytest.mark.skipif(os.environ.get("FHIRMSG_TEST_LONG") != "1", reason="FHIRMSG_TEST_LONG is not 1")
@pytest.mark.timeout(5400)
def test_killed_at_every_step_of_every_scene_a_message_is_neither_lost_nor_doubled(
    tmp_path: Path,
) -> None:
    killed_everywhere(cells(), tmp_path, None)


@pytest.mark.hapi
@pytest.mark.parametrize("death", ON_HAPI, ids=lambda death: f"{death.scene}-{death.kind}")
def test_killed_on_a_real_server_a_message_is_neither_lost_nor_doubled(
    hapi: str, tmp_path: Path, death: Death
) -> None:
    result = play(death, tmp_path, store=hapi)
    assert result.faults == []
    assert result.killed
