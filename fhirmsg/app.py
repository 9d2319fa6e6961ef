"""Composition: from settings to the running service. The one place that knows every part."""

from __future__ import annotations

import hashlib
import hmac
import threading
from collections.abc import Mapping

from cachetools import TTLCache
from flask import Flask

from fhirmsg.clients import ClientBook
from fhirmsg.config import Settings
from fhirmsg.decisionlog import DecisionLog
from fhirmsg.errors import RecordUnavailable
from fhirmsg.fhir import resources
from fhirmsg.fhir.auditing import FhirAudit
from fhirmsg.fhir.capability import FhirCapability
from fhirmsg.fhir.client import FhirClient
from fhirmsg.fhir.history import FhirMessageHistory
from fhirmsg.fhir.log import FhirCommunicationLog
from fhirmsg.fhir.reader import FhirRecordReader
from fhirmsg.http import make_session
from fhirmsg.judging import Judge, Language
from fhirmsg.language import LanguageChecker, faults_in
from fhirmsg.messenger import Messenger
from fhirmsg.overview import ContactOverview
from fhirmsg.ports import Provider
from fhirmsg.providers.outbox import Outbox
from fhirmsg.providers.smtp import SmtpProvider
from fhirmsg.serving import serve
from fhirmsg.web import WebServices, create_web
from fhirmsg.web.health import Readiness

__all__ = ["FhirReadiness", "build", "serve"]

_READY_FOR_SECONDS = 10.0


def build(settings: Settings, *, providers: Mapping[str, Provider] | None = None) -> Flask:
    """Compose the service, with its own providers or with those given.

    Raises SettingsError when a provider cannot be set up.
    """
    session = make_session(
        pool_size=settings.threads, proxies=settings.proxies, ca_file=settings.ca_file
    )
    client = FhirClient(settings.fhir, session)
    reader = FhirRecordReader(client, contact_key=settings.record_key)
    capability = FhirCapability(client)
    audit = audit_of(settings, client, capability)
    messenger = Messenger(
        reader=reader,
        log=FhirCommunicationLog(client),
        providers=providers_of(settings) if providers is None else providers,
        record_key=settings.record_key,
        language=_language(settings),
        times=settings.times,
    )
    # Imported now, because the first message would otherwise wait for it.
    resources.warm_up()
    return create_web(
        WebServices(
            messenger=messenger,
            history=FhirMessageHistory(client, cursor_key=_cursor_key(settings.record_key)),
            overview=ContactOverview(reader, Judge(settings.record_key)),
            policies=settings.policies,
            clients=ClientBook(settings.clients),
            readiness=FhirReadiness(client, capability=capability, audit=audit),
            fhir_base_url=settings.fhir.base_url,
        )
    )


def _language(settings: Settings) -> Language | None:
    """Load the language checker where it is wanted; the names of the organisations are known."""
    if not settings.spelling:
        return None
    return faults_in(LanguageChecker(policy.name for policy in settings.policies.values()))


def providers_of(settings: Settings) -> dict[str, Provider]:
    """Set up the providers that a policy names, and no other."""
    named = {
        platform.provider
        for policy in settings.policies.values()
        for platform in policy.platforms.values()
    }
    found: dict[str, Provider] = {}
    if "outbox" in named:
        found["outbox"] = Outbox(settings.outbox_file)
    if "smtp" in named and settings.smtp is not None:
        found["smtp"] = SmtpProvider(settings.smtp)
    return found


def _cursor_key(record_key: bytes) -> bytes:
    """Derive a key of its own for the cursors, so that one key signs one kind of thing."""
    return hmac.new(record_key, b"fhirmsg page cursors", hashlib.sha256).digest()


def audit_of(settings: Settings, client: FhirClient, capability: FhirCapability) -> FhirAudit:
    """Set up the telling of decisions: to the FHIR server, or to this host's decision log."""
    path = settings.decision_log
    kept = None if path is None else DecisionLog(path, settings.record_key)
    return FhirAudit(client, capability, kept)


class FhirReadiness:
    """Whether the FHIR server answers and speaks R4, asked at most once in ten seconds."""

    def __init__(
        self,
        client: FhirClient,
        *,
        seconds: float = _READY_FOR_SECONDS,
        capability: FhirCapability | None = None,
        audit: FhirAudit | None = None,
    ) -> None:
        """Ask the client's server; an answer holds for `seconds`.

        `capability` learns what was answered. Where `audit` is told nothing, the details say so.
        """
        self._capability = capability or FhirCapability(client)
        self._audit = audit
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
