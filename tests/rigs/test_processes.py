"""The rigs for processes: numbered effects, ends to order, wrong clocks, outages."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests

from fhirmsg.sandbox import Store, serve_in_thread
from tests.hapi.server import HapiServer
from tests.rigs.effects import Effects, Moment, effects_in
from tests.rigs.hapi_control import behind_a_proxy, outage, silence
from tests.rigs.processes import fleet, watched
from tests.serving import KEY, a_message, write_settings
from tests.world import a_patient_resource, communications, put

SHORT_LEASE = {
    "FHIRMSG_START_WITHIN_SECONDS": "1",
    "FHIRMSG_HANDOFF_SECONDS": "1",
    "FHIRMSG_LEASE_MARGIN_SECONDS": "1",
}


@pytest.fixture
def store() -> Iterator[str]:
    with serve_in_thread(Store()) as serving:
        put(serving.base_url, a_patient_resource())
        yield serving.base_url


def test_effects_are_numbered_and_written_before_and_after(tmp_path: Path) -> None:
    file = tmp_path / "effects"
    effects = Effects(file, only="^(a|b)")
    assert effects.around("a thing", lambda: 7) == 7
    assert effects.around("ignored", lambda: 8) == 8
    with pytest.raises(ZeroDivisionError):
        effects.around("b thing", lambda: 1 / 0)
    assert [(each.number, each.what, each.ended) for each in effects_in(file)] == [
        (1, "a thing", True),
        (2, "b thing", True),
    ]
    assert Moment.parse("after:12") == Moment("after", 12)
    with pytest.raises(ValueError, match="before:N"):
        Moment.parse("during:1")


def test_a_send_has_effects_and_can_be_ended_at_each(tmp_path: Path, store: str) -> None:
    environment = write_settings(tmp_path, store, **SHORT_LEASE)
    with watched(environment, tmp_path / "dry") as process:
        assert process.send("dry").status_code == 201
    told = effects_in(tmp_path / "dry")
    names = [each.what for each in told]
    hand_off = names.index("outbox.send")
    assert any(name.startswith("POST") for name in names[:hand_off])
    assert names[hand_off + 1 :]
    for when, sent in (("before", 1), ("after", 2)):
        file = tmp_path / when
        with watched(environment, file, kill_at=f"{when}:{hand_off + 1}") as process:
            with pytest.raises(requests.exceptions.ConnectionError):
                # Other words, for the same once more would be held as a repeat.
                process.send(when, content={"body": f"Example Surgery: please call us. {when}"})
            assert process.await_death() == -9
            assert len(process.outbox()) == sent
        assert [each.what for each in effects_in(file)] == names[: hand_off + 1]


def test_a_process_is_stopped_at_an_effect_and_goes_on(tmp_path: Path, store: str) -> None:
    environment = write_settings(tmp_path, store)
    with watched(environment, tmp_path / "effects", stop_at="before:1", only="send") as process:
        with pytest.raises(requests.exceptions.ReadTimeout):
            requests.post(
                f"{process.url}/v1/messages",
                json=a_message(),
                headers={"Authorization": f"Bearer {KEY}", "Idempotency-Key": "k"},
                timeout=3,
            )
        process.await_pause()
        assert process.outbox() == []
        process.resume()
        until = time.monotonic() + 20
        while not process.outbox():
            assert time.monotonic() < until
            time.sleep(0.05)
        process.pause()
    assert process.process.returncode == 0


@pytest.mark.parametrize("offset", [-300.0, 300.0])
def test_a_wall_clock_is_wrong_and_the_boot_clock_right(
    tmp_path: Path, store: str, offset: float
) -> None:
    environment = write_settings(tmp_path, store)
    with watched(environment, tmp_path / "effects", clock_offset=offset) as process:
        answer = process.send("key")
        assert answer.status_code == 201, answer.text
        judged = datetime.fromisoformat(answer.json()["decision"]["as_of"])
        started = datetime.fromisoformat(process.log_lines()[0]["time"])
    for told in (judged, started):
        assert (told - datetime.now(UTC)).total_seconds() == pytest.approx(offset, abs=60)


def test_a_fleet_sends_a_message_once(tmp_path: Path, store: str) -> None:
    with fleet(tmp_path, store, 3, hosts=2, clock_offsets=(0.0, 200.0)) as processes:
        codes = [each.send("the key").status_code for each in processes]
        assert codes == [201, 200, 200]
        assert len(processes[2].outbox()) == 1
        journals = sorted(each.name for each in tmp_path.glob("journal-*.sqlite3"))
    assert journals == ["journal-0.sqlite3", "journal-1.sqlite3"]
    assert len({each.process.pid for each in processes}) == 3
    assert len(communications(store)) == 1


def test_an_outage_refuses_and_ends(store: str) -> None:
    with behind_a_proxy(store) as (proxy, base):
        assert requests.get(f"{base}/metadata", timeout=10).ok
        with outage(proxy), pytest.raises(requests.exceptions.ConnectionError):
            requests.get(f"{base}/metadata", timeout=10)
        with outage(proxy, seconds=0.3):
            with pytest.raises(requests.exceptions.ConnectionError):
                requests.get(f"{base}/metadata", timeout=10)
            time.sleep(1)
            assert requests.get(f"{base}/metadata", timeout=10).ok
        assert communications(base) == []


@pytest.mark.hapi
def test_hapi_is_silent_and_comes_back_with_its_data(hapi: str, hapi_server: HapiServer) -> None:
    if hapi_server.external or os.name != "posix":
        pytest.skip("somebody else's server cannot be stopped")
    put(hapi, a_patient_resource())
    with silence(hapi_server), pytest.raises(requests.exceptions.ReadTimeout):
        requests.get(f"{hapi}/Patient/amara", timeout=0.5)
    with silence(hapi_server, seconds=0.5):
        assert requests.get(f"{hapi}/Patient/amara", timeout=20).ok
