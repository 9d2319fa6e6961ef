"""Fixtures for tests against a real authorization server; `tests/conftest.py` loads this."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.authorization.server import AuthorizationServerError, installed, why_it_cannot_run


@pytest.fixture(scope="session")
def authorization_servers() -> None:
    """Say that authorization servers can be started, or why not.

    Where Node or npm is missing, or the packages cannot be fetched, the test is skipped with the
    reason, except when the variable CI is "true": there it fails.
    """
    reason = why_it_cannot_run()
    if reason is None:
        try:
            installed()
        except (AuthorizationServerError, OSError, subprocess.TimeoutExpired) as error:
            reason = f"The authorization server cannot be installed: {error}"
    if reason is None:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
