"""One examination, from the settings to the last line."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime

from fhirmsg import app, clock
from fhirmsg.config import Settings
from fhirmsg.doctor.here import (
    audit_lines,
    journal_lines,
    language_lines,
    policy_lines,
    provider_lines,
)
from fhirmsg.doctor.lines import Level, Line, fault, not_tried, ok
from fhirmsg.doctor.looking import WITHOUT_A_SERVER, server_lines
from fhirmsg.doctor.writing import NOT_TRIED, write_lines
from fhirmsg.errors import JournalUnavailable, SettingsError
from fhirmsg.fhir.capability import FhirCapability
from fhirmsg.fhir.client import FhirClient
from fhirmsg.journal import SqliteJournal
from fhirmsg.ports import Journal


def examined(
    environment: Mapping[str, str],
    *,
    write: bool = False,
    journal: Journal | None = None,
    client: FhirClient | None = None,
    now: Callable[[], datetime] = clock.now,
) -> Iterator[Line]:
    """Examine what these variables set up; never raises, and never sends.

    write: try writes on the FHIR server too. journal, client: those of the service, where they
    are more than the settings make of them here.
    """
    try:
        settings = Settings.from_environment(environment)
    except SettingsError as error:
        for each in error.faults:
            name, _, text = each.partition(": ")
            yield fault(name, text, "")
        yield not_tried("everything else", "the settings have to be right first")
        return
    yield ok("settings", "all are right")
    yield from policy_lines(settings, now().date())
    if client is None:
        client = app.fhir_client_of(settings)
    capability = FhirCapability(client)
    answered = True
    for line in server_lines(client, capability, now):
        if line.level is Level.FAULT and line.about in WITHOUT_A_SERVER:
            answered = False
        yield line
    if not answered:
        yield not_tried("writes", "the FHIR server has to answer first")
    elif write:
        yield from write_lines(client, now)
    else:
        yield NOT_TRIED
    try:
        yield from provider_lines(app.own_providers(settings))
    except SettingsError as error:
        for each in error.faults:
            yield fault("providers", each, "")
    yield from journal_lines(journal or _journal_of(settings))
    yield from audit_lines(settings, app.audit_of(settings, client, capability))
    yield from language_lines(settings)


def _journal_of(settings: Settings) -> Journal | None:
    try:
        return SqliteJournal(settings.journal_file, [settings.record_key])
    except JournalUnavailable:
        return None
