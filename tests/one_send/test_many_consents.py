"""Every page counts: an objection on the last one refuses, a page that is missing holds."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest

from tests.reverse_proxy import Reply, Request, reverse_proxy
from tests.world import (
    World,
    a_patient_resource,
    an_objection_resource,
    codes,
    communications,
    put,
)

pytestmark = pytest.mark.hapi


def research_consents(count: int) -> list[dict[str, object]]:
    """Give Consents that have nothing to do with messages."""
    return [
        {
            "resourceType": "Consent",
            "id": f"research-{number:03}",
            "status": "active",
            "scope": {
                "coding": [
                    {
                        "system": "http://terminology.hl7.org/CodeSystem/consentscope",
                        "code": "research",
                    }
                ]
            },
            "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
            "patient": {"reference": "Patient/amara"},
            "policy": [{"uri": "https://research.example/policy"}],
        }
        for number in range(count)
    ]


def test_an_objection_on_the_last_of_three_pages_refuses(hapi: str) -> None:
    put(hapi, a_patient_resource(), *research_consents(249), an_objection_resource("zz-objection"))
    world = World(hapi)

    answer = world.send()

    assert (answer.status, codes(answer)) == ("refused", ["objection.active"])
    assert answer.decision is not None
    read = {version.reference for version in answer.decision.resources}
    assert len([each for each in read if each.startswith("Consent/")]) == 250
    assert world.outbox.messages() == []


def second_page_fails(request: Request) -> Reply | None:
    """Answer 500 to every page but the first."""
    asked = parse_qs(urlsplit(request.path).query)
    return Reply(500, b"{}") if "_getpages" in asked else None


def test_a_second_page_that_answers_500_holds_and_sends_nothing(hapi: str) -> None:
    put(hapi, a_patient_resource(), *research_consents(150))
    with reverse_proxy(hapi, second_page_fails) as base:
        world = World(base)

        answer = world.send()

    assert (answer.status, codes(answer)) == ("held", ["read.incomplete"])
    assert (answer.retry, answer.retry_after) == ("after", 30)
    assert world.outbox.messages() == []
    assert communications(hapi) == []
