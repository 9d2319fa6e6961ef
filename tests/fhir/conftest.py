"""What the tests of the FHIR side share: an embedded store with Amara in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from fhirmsg.sandbox import Store, serve_in_thread
from tests.world import a_patient_resource, put


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with serve_in_thread(Store()) as running:
        yield running.base_url


@pytest.fixture
def base(server: str) -> str:
    """An embedded store with Amara in it."""
    requests.post(f"{server}/$expunge", timeout=10)
    put(server, a_patient_resource())
    return server
