"""Where resources are read from: a server, or anything else that answers like one."""

from __future__ import annotations

from typing import Protocol

from fhirmsg.clock import Deadline
from fhirmsg.fhir.client import FhirAnswer, FhirServer


class FhirSource(Protocol):
    """What reading needs. `FhirClient` reads a server, `FhirFiles` resources at hand."""

    @property
    def server(self) -> FhirServer:
        """How long to wait and how many matches to ask for at once."""
        ...

    @property
    def base(self) -> str:
        """The base URL of its resources, without a slash at the end."""
        ...

    def follow(self, link: str, *, deadline: Deadline) -> FhirAnswer:
        """Read the page a `next` link leads to. Raises RecordUnavailable."""
        ...

    def batch(self, paths: list[str], *, deadline: Deadline) -> tuple[FhirAnswer, list[FhirAnswer]]:
        """Read several paths; gives the outer answer and one a path. Raises RecordUnavailable."""
        ...

    def search_by_post(self, kind: str, body: str, *, deadline: Deadline) -> FhirAnswer:
        """Search one kind with the parameters in a body. Raises RecordUnavailable."""
        ...
