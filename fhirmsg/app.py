"""Composition: from settings to the running service. The one place that knows every part."""

from __future__ import annotations

import hashlib
import hmac
import re
import threading
from collections.abc import Callable, Mapping

import requests
from cachetools import TTLCache
from flask import Flask

from fhirmsg.clients import ClientBook
from fhirmsg.clock import Deadline
from fhirmsg.config import Settings
from fhirmsg.errors import JournalUnavailable, RecordUnavailable, SettingsError
from fhirmsg.fhir import resources
from fhirmsg.fhir.client import FhirClient
from fhirmsg.fhir.history import FhirMessageHistory
from fhirmsg.fhir.log import FhirCommunicationLog
from fhirmsg.fhir.reader import FhirRecordReader
from fhirmsg.http import make_session
from fhirmsg.journal import SqliteJournal
from fhirmsg.judging import Judge, Language
from fhirmsg.language import LanguageChecker, faults_in
from fhirmsg.messenger import Messenger
from fhirmsg.overview import ContactOverview
from fhirmsg.ports import Journal, Provider
from fhirmsg.providers.outbox import Outbox
from fhirmsg.providers.smtp import SmtpProvider
from fhirmsg.serving import serve
from fhirmsg.web import WebServices, create_web
from fhirmsg.web.health import Readiness

__all__ = ["FhirReadiness", "build", "serve"]

_READY_FOR_SECONDS = 10.0
_METADATA_SECONDS = 5.0
_R4 = re.compile(r"4\.0(\.\d+)?")
_VERSION = re.compile(r"\d{1,3}(\.\d{1,3}){0,3}(-[A-Za-z0-9]{1,12})?")


def build(
    settings: Settings,
    *,
    providers: Mapping[str, Provider] | None = None,
    journal: Journal | None = None,
    session_factory: Callable[..., requests.Session] = make_session,
) -> Flask:
    """Compose the service, with its own providers and journal or with those given.

    session_factory takes what `make_session` does. Raises SettingsError when a provider or the
    journal cannot be set up.
    """
    journal = journal_of(settings) if journal is None else journal
    session = session_factory(
        pool_size=settings.threads, proxies=settings.proxies, ca_file=settings.ca_file
    )
    client = FhirClient(settings.fhir, session)
    reader = FhirRecordReader(client, contact_key=settings.record_key)
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
            readiness=FhirReadiness(client, journal),
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


def journal_of(settings: Settings) -> SqliteJournal:
    """Open the journal; raises SettingsError when it cannot be used."""
    try:
        return SqliteJournal(settings.journal_file, [settings.record_key])
    except JournalUnavailable as error:
        raise SettingsError([str(error)]) from error


def _cursor_key(record_key: bytes) -> bytes:
    """Derive a key of its own for the cursors, so that one key signs one kind of thing."""
    return hmac.new(record_key, b"fhirmsg page cursors", hashlib.sha256).digest()


class FhirReadiness:
    """Whether the FHIR server answers and speaks R4, asked at most once in ten seconds.

    And whether the journal can be written, where there is one.
    """

    def __init__(
        self,
        client: FhirClient,
        journal: Journal | None = None,
        *,
        seconds: float = _READY_FOR_SECONDS,
    ) -> None:
        """Ask the client's server; an answer holds for `seconds`."""
        self._client, self._journal = client, journal
        self._kept: TTLCache[str, Readiness] = TTLCache(maxsize=1, ttl=seconds)
        self._lock = threading.Lock()

    def __call__(self) -> Readiness:
        """Give the answer kept, or ask; who comes while somebody asks waits for that answer."""
        with self._lock:
            kept = self._kept.get("fhir")
            if kept is None:
                kept = self._kept["fhir"] = self._with_journal(self._ask())
            return kept

    def _with_journal(self, found: Readiness) -> Readiness:
        if self._journal is None or (why := self._journal.why_unusable()) is None:
            return found
        return Readiness(ready=False, details={**found.details, "journal": why})

    def _ask(self) -> Readiness:
        try:
            answer = self._client.read("metadata", deadline=Deadline(_METADATA_SECONDS))
        except RecordUnavailable as error:
            return _not_ready(str(error))
        statement = answer.resource or {}
        if answer.status != 200 or statement.get("resourceType") != "CapabilityStatement":
            return _not_ready(
                f"The FHIR server answered {answer.status} to metadata, without a "
                "CapabilityStatement. Check its address and what it lets this service read."
            )
        version = statement.get("fhirVersion")
        if isinstance(version, str) and _R4.fullmatch(version):
            return Readiness(ready=True, details={"fhir": version})
        shown = (
            version if isinstance(version, str) and _VERSION.fullmatch(version) else "no version"
        )
        return _not_ready(f"The FHIR server says {shown}, and fhirmsg speaks R4 (4.0.1).")


def _not_ready(text: str) -> Readiness:
    return Readiness(ready=False, details={"fhir": text})
