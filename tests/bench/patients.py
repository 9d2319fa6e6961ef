"""Many patients for the benchmarks: the same words go to nobody twice in a short while."""

from __future__ import annotations

import requests

from tests import world

PATIENTS = [f"Patient/bench-{number:05}" for number in range(2000)]
_AT_ONCE = 200


def put_patients(base: str) -> None:
    """Put all of them on a server."""
    entries = [
        {
            "resource": world.a_patient_resource(id=reference.partition("/")[2]),
            "request": {"method": "PUT", "url": reference},
        }
        for reference in PATIENTS
    ]
    for start in range(0, len(entries), _AT_ONCE):
        some = entries[start : start + _AT_ONCE]
        bundle = {"resourceType": "Bundle", "type": "batch", "entry": some}
        requests.post(base, json=bundle, headers=world.FHIR_JSON, timeout=120).raise_for_status()
