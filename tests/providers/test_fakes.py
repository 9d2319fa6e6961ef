"""The fakes run in a process of their own, and tell what they took."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import pytest
import requests

from fhirmsg.clock import Deadline
from fhirmsg.http import make_session
from fhirmsg.ports import Outcome, Provider
from fhirmsg.providers.govuk_notify import GovukNotifyProvider
from fhirmsg.providers.nhs_notify import NhsNotifyProvider
from fhirmsg.providers.webhook import WebhookProvider
from tests.providers.fake_gateway import FakeGateway
from tests.providers.fake_nhs_notify import FakeNhsNotify, Token
from tests.providers.fake_notify import FakeNotify
from tests.providers.fakes import Fault
from tests.providers.ways import MESSAGE

PROVIDERS: dict[str, Any] = {
    "notify": lambda url, session: GovukNotifyProvider(FakeNotify.settings_for(url), session),
    "nhs-notify": lambda url, session: NhsNotifyProvider(
        FakeNhsNotify.settings_for(url), session, Token()
    ),
    "gateway": lambda url, session: WebhookProvider(FakeGateway.settings_for(url), session),
}


@contextlib.contextmanager
def process(kind: str) -> Iterator[str]:
    """A fake in a process of its own; gives its address."""
    command = [sys.executable, "-m", "tests.providers.fakes", kind, "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout is not None
            yield running.stdout.readline().strip()
        finally:
            running.kill()


@pytest.mark.parametrize("kind", PROVIDERS)
def test_a_fake_in_a_process_of_its_own_tells_what_it_took(kind: str) -> None:
    with process(kind) as url, make_session() as session, requests.Session() as control:
        provider: Provider = PROVIDERS[kind](url, session)
        faults = [asdict(Fault(takes=True, then="drop"))]
        assert control.post(f"{url}/_control/faults", json=faults, timeout=5).ok

        outcome = provider.send(MESSAGE, start_by=Deadline(5), deadline=Deadline(5)).outcome

        assert outcome is Outcome.MAY_HAVE_LEFT
        (taken,) = control.get(f"{url}/_control/taken", timeout=5).json()
        assert (taken["reference"], taken["to"]) == (MESSAGE.reference, MESSAGE.to)
        assert len(control.get(f"{url}/_control/requests", timeout=5).json()) == 1
        assert control.post(f"{url}/_control/clear", timeout=5).ok
        assert control.get(f"{url}/_control/taken", timeout=5).json() == []
        assert control.get(f"{url}/_control/else", timeout=5).status_code == 404
