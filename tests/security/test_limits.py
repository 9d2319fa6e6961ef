"""Rate limits: what they stop, and that they never stop an emergency."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from fhirmsg.clients import ApiScope, RateLimit, digest_of, rate_limit_in
from fhirmsg.web.limits import RateLimits
from tests.security.issuer import NOW, a_face, portal
from tests.web.app_under_test import KEY, READER_KEY, Face, a_body

NURSE = {"identifier": "nurse-1", "name": "Nia Nurse", "role": "practice nurse"}
NURSES_KEY = "fm_key-of-a-nurses-program"
LITTLE = RateLimit(calls=3, seconds=3600)


def an_emergency(**changes: Any) -> dict[str, Any]:
    """Give the body of a message with a complete declaration of an emergency."""
    declared = {
        "declared_by": NURSE,
        "declared_at": NOW.isoformat(),
        "reason": "A blood level needs treatment today.",
        "protects": "patient",
        "none_available_reason": "The duty doctor does not answer.",
        **changes,
    }
    return a_body(requester=NURSE, evidence={"emergency": declared})


def nurses(**changes: Any) -> Any:
    return portal(id="nurses", key_sha256=(digest_of(NURSES_KEY),), tokens=None, **changes)


def face_of_nurses(**changes: Any) -> Face:
    return a_face(nurses(**changes), limits=RateLimits(LITTLE))


def ask(face: Face, body: Any, path: str = "/v1/messages", key: str = NURSES_KEY) -> Any:
    return face.post(body, path, Authorization=f"Bearer {key}")


def use_up(face: Face, key: str = NURSES_KEY) -> None:
    for _ in range(LITTLE.calls):
        assert face.get("/v1/rules", key).status_code == 200
    assert face.get("/v1/rules", key).status_code == 429


def test_a_client_that_calls_too_often_is_told_when_to_come_back() -> None:
    face = face_of_nurses()
    use_up(face)
    answer = ask(face, a_body())
    assert answer.status_code == 429
    body = answer.get_json(force=True)
    assert body["retry"] == "after"
    assert 3500 < int(answer.headers["Retry-After"]) <= 3600
    assert "nothing was done" in body["detail"]
    assert face.messenger.calls == []


def test_a_limit_is_a_clients_own() -> None:
    face = face_of_nurses()
    use_up(face)
    assert face.get("/v1/rules", KEY).status_code == 200
    assert face.get("/v1/rules", READER_KEY).status_code == 200


def test_a_client_may_have_another_limit_than_the_others() -> None:
    face = face_of_nurses(rate_limit=RateLimit(calls=5, seconds=60))
    statuses = [face.get("/v1/rules", NURSES_KEY).status_code for _ in range(6)]
    assert statuses == [200] * 5 + [429]


def test_there_is_room_again_when_the_window_has_moved_on() -> None:
    limits = RateLimits(RateLimit(calls=2, seconds=1))
    client = nurses()
    assert [limits.wait_of(client) for _ in range(3)] == [None, None, 1]
    threading.Event().wait(1.1)
    assert limits.wait_of(client) is None


def test_a_wall_clock_that_is_set_back_keeps_nobody_out() -> None:
    back = 0.0
    limits = RateLimits(LITTLE, wall_clock=lambda: time.time() - back)
    assert [limits.wait_of(nurses()) is None for _ in range(4)] == [True, True, True, False]
    back = 3600.0
    assert limits.wait_of(nurses()) is None


def test_of_many_calls_at_once_no_more_than_the_limit_get_in() -> None:
    limits = RateLimits(RateLimit(calls=20, seconds=3600))
    with ThreadPoolExecutor(8) as pool:
        waits = list(pool.map(lambda _: limits.wait_of(nurses()), range(100)))
    assert waits.count(None) == 20


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/check"])
def test_a_complete_emergency_passes_a_limit_that_is_used_up(
    path: str, caplog: pytest.LogCaptureFixture
) -> None:
    face = face_of_nurses()
    use_up(face)
    for _ in range(50):
        assert ask(face, an_emergency(), path).status_code == 200
    assert len(face.messenger.calls) == 50
    passed = [each for each in caplog.records if "emergency passed" in each.getMessage()]
    assert len(passed) == 50
    assert ask(face, a_body(), path).status_code == 429


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"reason": " "}, "it gives no reason"),
        ({"protects": None}, "whom the message is to protect"),
        ({"declared_by": {**NURSE, "identifier": "x"}}, "another person"),
        ({"declared_at": (NOW - timedelta(hours=2)).isoformat()}, "more than an hour ago"),
        ({"none_available_reason": None}, "who was consulted"),
    ],
)
def test_a_declaration_that_is_not_complete_passes_no_limit_and_is_told_why(
    changes: dict[str, Any], says: str
) -> None:
    face = face_of_nurses()
    use_up(face)
    answer = ask(face, an_emergency(**changes))
    assert answer.status_code == 429
    assert says in answer.get_json(force=True)["detail"]
    assert face.messenger.calls == []


def test_a_fault_in_an_emergency_is_told_even_beyond_the_limit() -> None:
    face = face_of_nurses()
    use_up(face)
    answer = ask(face, an_emergency() | {"channel": "pigeon"})
    assert answer.status_code == 400
    assert answer.get_json(force=True)["errors"][0]["pointer"] == "/channel"


def test_who_may_not_declare_emergencies_passes_no_limit_with_one() -> None:
    face = face_of_nurses(scopes=frozenset({ApiScope.SEND}))
    use_up(face)
    assert ask(face, an_emergency()).status_code == 429
    assert face.messenger.calls == []


def test_an_emergency_for_another_organisation_is_forbidden_beyond_the_limit_too() -> None:
    face = face_of_nurses(organisations=frozenset({"B67890"}))
    use_up(face)
    assert ask(face, an_emergency()).status_code == 403


def test_other_clients_emergencies_are_not_kept_waiting() -> None:
    face = a_face(nurses(), nurses_of_another_surgery(), limits=RateLimits(LITTLE))
    use_up(face)
    assert ask(face, an_emergency(), key="fm_another").status_code == 200


def nurses_of_another_surgery() -> Any:
    return portal(id="others", key_sha256=(digest_of("fm_another"),), tokens=None)


def test_an_address_that_fails_too_often_is_told_to_wait_and_a_good_key_works_from_it() -> None:
    face = a_face(nurses(), limits=RateLimits(failures=RateLimit(calls=3, seconds=60)))
    statuses = [face.get("/v1/rules", "fm_guess").status_code for _ in range(5)]
    assert statuses == [401, 401, 401, 429, 429]
    answer = face.get("/v1/rules", "fm_guess")
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    assert face.get("/v1/rules", KEY).status_code == 200
    assert ask(face, an_emergency()).status_code == 200


def test_addresses_without_number_take_no_memory_without_end() -> None:
    limits = RateLimits(failures=RateLimit(calls=3, seconds=3600))
    for number in range(20_000):
        limits.wait_after_failure(f"2001:db8::{number:x}")
    assert len(limits._storage.events) <= 4096


def test_health_needs_neither_a_key_nor_room() -> None:
    face = a_face(limits=RateLimits(RateLimit(calls=1, seconds=3600)))
    for _ in range(5):
        assert face.client.get("/livez").status_code == 200


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("20/second", RateLimit(calls=20, seconds=1)),
        ("600/minute", RateLimit(calls=600, seconds=60)),
        ("99999/hour", RateLimit(calls=99999, seconds=3600)),
        *((text, None) for text in ("0/second", "", "20", "20/day", "-1/second", "100000/hour")),
        *((text, None) for text in ("20/seconds", "٢/second", "20 /second", "1e3/second")),
    ],
)
def test_a_limit_is_written_plainly(text: str, rate: RateLimit | None) -> None:
    assert rate_limit_in(text) == rate
