"""A FHIR server that can be taken away and given back: the embedded store, and HAPI."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from fhirmsg.sandbox import Store, serve_in_thread
from tests.reverse_proxy import Reply, Request, reverse_proxy
from tests.world import a_patient_resource, put


@dataclass
class Line:
    """The way to a FHIR server: `direct` always leads there, `base` while it is not `away`."""

    direct: str
    base: str = ""
    away: bool = False
    refuses: str = ""
    meanwhile: Callable[[], object] | None = None
    hook: Callable[[Request], Reply | None] = lambda request: None

    def answer(self, request: Request) -> Reply | None:
        """Answer in the server's place while it is away, or refuse writes of one type.

        hook: answers for the test before all else.
        """
        reply = self.hook(request)
        if reply is not None:
            return reply
        if self.away:
            # Once, in the midst of somebody's request.
            happens, self.meanwhile = self.meanwhile, None
            if happens is not None:
                happens()
            return Reply(503, b"away", "text/plain")
        writing = request.method in ("POST", "PUT") and b'"batch"' not in request.body[:200]
        if self.refuses and writing and self.refuses.encode() in request.body[:400]:
            return Reply(503, b"away", "text/plain")
        return None


@pytest.fixture(params=["embedded", pytest.param("hapi", marks=pytest.mark.hapi)])
def line(request: pytest.FixtureRequest) -> Iterator[Line]:
    """A server with Amara in it."""
    if request.param == "hapi":
        yield from _line_to(request.getfixturevalue("hapi"))
        return
    with serve_in_thread(Store()) as running:
        yield from _line_to(running.base_url)


def _line_to(server: str) -> Iterator[Line]:
    put(server, a_patient_resource())
    found = Line(direct=server)
    with reverse_proxy(server, found.answer) as base:
        found.base = base
        yield found
