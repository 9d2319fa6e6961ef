"""What we write is valid before it leaves, and what is wrong in it is named without its values."""

from __future__ import annotations

from typing import Any

import pytest

from fhirmsg.fhir.communication import opened
from fhirmsg.fhir.resources import InvalidResource, validated
from fhirmsg.guidance.case import Case
from tests import builders
from tests.fhir.drafts import a_draft


def entry(case: Case | None = None, **changes: Any) -> dict[str, Any]:
    """Give the entry as it is opened."""
    return opened(a_draft(case, **changes))


def on_the_server(resource: dict[str, Any]) -> dict[str, Any]:
    """Give it as a server hands it out."""
    meta = {**resource.get("meta", {}), "versionId": "1", "lastUpdated": "2026-11-24T10:00:00Z"}
    return {
        **resource,
        "id": "9",
        "meta": {**meta, "source": "#x"},
        "text": {"status": "generated"},
    }


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"status": "banana"}, "status"),
        ({"priority": "banana"}, "priority"),
        ({"payload": [{"contentString": ""}]}, "payload"),
        ({"sent": "soon"}, "sent"),
        ({"colour": "blue"}, "colour"),
    ],
)
def test_what_is_not_valid_does_not_leave_and_its_values_are_not_said(
    changes: dict[str, Any], named: str
) -> None:
    with pytest.raises(InvalidResource) as raised:
        validated({**entry(), **changes})
    assert named in str(raised.value)
    assert builders.a_request().content.body not in str(raised.value)
    for known in (entry(), on_the_server(entry())):
        with pytest.raises(InvalidResource):
            validated({**entry(), **changes}, known=known)
