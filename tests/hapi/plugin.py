"""Fixtures for tests against a real HAPI server; `tests/conftest.py` loads this as a plugin.

`hapi` gives the base URL of an emptied server, `hapi_server` the server itself, to stop and
start it. Set FHIRMSG_TEST_HAPI_URL to use a server that runs already: it is emptied before
every test, so name only one that may be.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.hapi.server import HapiError, HapiServer


@pytest.fixture(scope="session")
def hapi_server() -> Iterator[HapiServer]:
    """The one HAPI server of this run, started at first use and stopped at the end.

    Where Java or Maven is missing the test is skipped with the reason, except when the
    variable CI is "true": there it fails, since a run without HAPI proves too little.
    """
    server = HapiServer(os.environ.get("FHIRMSG_TEST_HAPI_URL") or None)
    if reason := server.why_not():
        if os.environ.get("CI") == "true":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    failure = None
    try:
        server.start()
    except HapiError as error:
        failure = str(error)
    if failure:  # outside the handler, or the report shows everything twice
        pytest.fail(failure, pytrace=False)
    yield server
    server.stop()


@pytest.fixture
def hapi(hapi_server: HapiServer) -> str:
    """The base URL of the HAPI server, running and emptied: `http://127.0.0.1:12345/fhir`."""
    hapi_server.start()
    try:
        hapi_server.expunge()
    except HapiError:
        # Somebody else's server may refuse; its leftovers are theirs to judge.
        if not hapi_server.external:
            raise
    return hapi_server.url
