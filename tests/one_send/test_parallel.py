"""Sixteen callers, one Idempotency-Key, two serving processes, one message: on a real HAPI."""

from __future__ import annotations

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.serving import serving, write_settings
from tests.world import a_patient_resource, communications, put

pytestmark = pytest.mark.hapi

ROUNDS = 50
CALLERS = 16


def test_one_key_sent_sixteen_times_at_once_leaves_as_one_message(
    hapi: str, tmp_path: Path
) -> None:
    put(hapi, a_patient_resource())
    environment = write_settings(tmp_path, hapi)
    statuses: Counter[int] = Counter()
    with (
        serving(environment) as one,
        serving(environment) as other,
        ThreadPoolExecutor(CALLERS) as pool,
    ):
        for number in range(ROUNDS):
            key = f"round {number}"
            # The same words under another key would be a repeat.
            content = {"body": f"Example Surgery: your appointment is in room {number}."}
            answers = list(
                pool.map(
                    lambda caller, key=key, content=content: (one, other)[caller % 2].send(
                        key, content=content
                    ),
                    range(CALLERS),
                )
            )
            codes = Counter(answer.status_code for answer in answers)
            assert codes[201] == 1, (number, codes, [answer.text for answer in answers])
            assert set(codes) <= {200, 201, 409}, (number, codes)
            again = [answer.json() for answer in answers if answer.status_code == 200]
            others = [body for body in again if not body["replayed"]]
            assert not others, json.dumps(others)
            statuses += codes
        kept = [message.reference for message in one.outbox()]
    entries = communications(hapi)

    assert len(kept) == len(set(kept)) == ROUNDS
    # Where the server let a second one through, it gave way: it says so and holds no text.
    gave_way = [entry for entry in entries if entry["status"] == "not-done"]
    assert not any("payload" in entry for entry in gave_way)
    standing = [entry for entry in entries if entry["status"] != "not-done"]
    assert len(standing) == ROUNDS
    assert {entry["status"] for entry in standing} == {"completed"}
    assert {entry["identifier"][0]["value"] for entry in standing} == set(kept)
    print(f"answers over {ROUNDS} rounds: {dict(statuses)}; {len(gave_way)} entries gave way")
