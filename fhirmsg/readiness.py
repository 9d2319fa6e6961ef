"""Whether messages can be decided, sent and recorded now."""

from __future__ import annotations

import threading

from cachetools import TTLCache

from fhirmsg.errors import RecordUnavailable
from fhirmsg.fhir.auditing import FhirAudit
from fhirmsg.fhir.capability import FhirCapability
from fhirmsg.fhir.client import FhirClient
from fhirmsg.ports import Journal
from fhirmsg.web.health import Readiness

_READY_FOR_SECONDS = 10.0


class FhirReadiness:
    """Whether the FHIR server answers and speaks R4, asked at most once in ten seconds."""

    def __init__(
        self,
        client: FhirClient,
        *,
        seconds: float = _READY_FOR_SECONDS,
        capability: FhirCapability | None = None,
        audit: FhirAudit | None = None,
        journal: Journal | None = None,
    ) -> None:
        """Ask the client's server; an answer holds for `seconds`.

        `capability` learns what was answered. Where `audit` is told nothing, the details say so.
        A `journal` that cannot be used makes the service not ready: what has to be kept could not.
        """
        self._capability = capability or FhirCapability(client)
        self._audit = audit
        self._journal = journal
        self._kept: TTLCache[str, Readiness] = TTLCache(maxsize=1, ttl=seconds)
        self._lock = threading.Lock()

    def __call__(self) -> Readiness:
        """Give the answer kept, or ask; who comes while somebody asks waits for that answer."""
        with self._lock:
            kept = self._kept.get("fhir")
            if kept is None:
                kept = self._kept["fhir"] = self._ask()
            return kept

    def _ask(self) -> Readiness:
        found = self._ask_server()
        reason = None if self._journal is None else self._journal.why_unusable()
        if reason is None:
            return found
        return Readiness(ready=False, details={**found.details, "journal": reason})

    def _ask_server(self) -> Readiness:
        try:
            told = self._capability.ask()
        except RecordUnavailable as error:
            return _not_ready(str(error))
        if not told.is_r4:
            shown = told.fhir_version or "no version"
            return _not_ready(f"The FHIR server says {shown}, and fhirmsg speaks R4 (4.0.1).")
        details = {"fhir": told.fhir_version or ""}
        if self._audit is not None and (reason := self._audit.why_unaudited()):
            details["audit"] = reason
        return Readiness(ready=True, details=details)


def _not_ready(text: str) -> Readiness:
    return Readiness(ready=False, details={"fhir": text})
