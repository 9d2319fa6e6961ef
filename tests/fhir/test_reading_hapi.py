"""Everything that is read for a decision, on a real HAPI: its searches find what files hold."""

from __future__ import annotations

from datetime import datetime

import pytest

from fhirmsg.guidance.terms import Declared
from tests.fhir.reads import read as read_from_server
from tests.fhir.test_files import BEN, a_record, read, without_versions
from tests.world import put

pytestmark = pytest.mark.hapi


def test_hapi_gives_the_facts_that_files_give(hapi: str) -> None:
    put(hapi, *a_record())
    asked = {"recipient": BEN, "about": ("Task/task",), "confidential": Declared.UNKNOWN}
    served = read_from_server(hapi, **asked).record
    at_hand = read(*a_record(), at=datetime.fromisoformat(served.read_at), **asked)
    assert served.gaps == ()
    assert [each.version.reference for each in served.neighbours] == ["Patient/somebody"]
    assert len(served.earlier) == 1
    assert without_versions(served) == without_versions(at_hand)
