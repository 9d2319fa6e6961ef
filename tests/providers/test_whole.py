"""The whole service, from the request to each provider over HTTP and back to the record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fhirmsg.app import build
from fhirmsg.config import Settings
from fhirmsg.sandbox import Store, serve_in_thread
from tests.providers.fake_gateway import SECRET, FakeGateway
from tests.providers.fake_notify import API_KEY, EMAIL_TEMPLATE, SMS_TEMPLATE, FakeNotify
from tests.providers.fakes import FakeService, Fault
from tests.serving import KEY, a_message, write_settings
from tests.world import a_patient_resource, communications, put


def variables(service: FakeService) -> dict[str, str]:
    if isinstance(service, FakeNotify):
        return {
            "provider": "govuk-notify",
            "FHIRMSG_GOVUK_NOTIFY_API_KEY": API_KEY,
            "FHIRMSG_GOVUK_NOTIFY_SMS_TEMPLATE": SMS_TEMPLATE,
            "FHIRMSG_GOVUK_NOTIFY_EMAIL_TEMPLATE": EMAIL_TEMPLATE,
            "FHIRMSG_GOVUK_NOTIFY_BASE_URL": service.url,
        }
    return {
        "provider": "webhook",
        "FHIRMSG_WEBHOOK_URL": service.url,
        "FHIRMSG_WEBHOOK_SECRETS": SECRET,
    }


def sent(base: str, folder: Path, service: FakeService) -> Any:
    """Send one text through the whole service."""
    environment = write_settings(folder, base, **variables(service))
    client = build(Settings.from_environment(environment)).test_client()
    headers = {"Authorization": f"Bearer {KEY}", "Idempotency-Key": "the key"}
    return client.post("/v1/messages", json=a_message(), headers=headers)


@pytest.mark.parametrize("kind", [FakeNotify, FakeGateway])
@pytest.mark.parametrize(
    ("faults", "answered", "status", "arrived"),
    [
        ([], 201, "completed", 1),
        ([Fault(status=429)], 201, "completed", 1),
        ([Fault(status=429, headers={"Retry-After": "9"})], 503, "not-done", 0),
        ([Fault(status=400)], 200, "stopped", 0),
        ([Fault(takes=True, then="drop")], 202, "unknown", 1),
    ],
    ids=str,
)
def test_the_record_says_what_became_of_a_message(
    tmp_path: Path,
    kind: type[FakeService],
    faults: list[Fault],
    answered: int,
    status: str,
    arrived: int,
) -> None:
    with kind() as service, serve_in_thread(Store()) as fhir:
        put(fhir.base_url, a_patient_resource())
        service.faults += faults
        answer = sent(fhir.base_url, tmp_path, service)

        assert answer.status_code == answered, answer.text
        [entry] = communications(fhir.base_url)
        assert entry["status"] == status
        assert [each.to for each in service.taken] == ["+447700900123"] * arrived
        if answered == 503:
            assert answer.headers["Retry-After"] == "9"
