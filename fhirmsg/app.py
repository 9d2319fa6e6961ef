"""Composition: from settings to the running service. The one place that knows every part."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import requests
from flask import Flask

from fhirmsg.breaker import Breaker
from fhirmsg.catching_up import CatchingUp, CatchUp, keep_fallback
from fhirmsg.clients import ClientBook
from fhirmsg.config import Settings
from fhirmsg.config.operations import MetricsAddress
from fhirmsg.errors import JournalUnavailable, SettingsError
from fhirmsg.fallback import Fallback
from fhirmsg.fhir import resources
from fhirmsg.fhir.auditing import FhirAudit
from fhirmsg.fhir.backlog import Backlog
from fhirmsg.fhir.capability import FhirCapability
from fhirmsg.fhir.client import FhirClient
from fhirmsg.fhir.history import FhirMessageHistory
from fhirmsg.fhir.log import FhirCommunicationLog
from fhirmsg.fhir.outage import OutageLog, OutageReader
from fhirmsg.fhir.owing import Owing
from fhirmsg.fhir.reader import FhirRecordReader
from fhirmsg.fhir.receipts import Receipts
from fhirmsg.fhir.replies import Replies
from fhirmsg.fhir.survey import FhirSurvey
from fhirmsg.fhir.tasks import Tasks
from fhirmsg.http import make_session
from fhirmsg.journal import SqliteJournal
from fhirmsg.judging import Judge, Language
from fhirmsg.language import LanguageChecker, faults_in
from fhirmsg.marks import Marks
from fhirmsg.messenger import Messenger, Outage
from fhirmsg.metrics import Metrics
from fhirmsg.metrics_serving import MetricsServer
from fhirmsg.overview import ContactOverview
from fhirmsg.ports import NO_METER, Journal, JournalItem, Meter, Provider, Reply
from fhirmsg.providers.govuk_notify import GovukNotifyProvider
from fhirmsg.providers.guarded import GuardedProvider
from fhirmsg.providers.nhs_notify import NhsNotifyProvider
from fhirmsg.providers.outbox import Outbox
from fhirmsg.providers.smtp import SmtpProvider
from fhirmsg.providers.webhook import WebhookProvider
from fhirmsg.readiness import FhirReadiness
from fhirmsg.receiving import Receiving
from fhirmsg.reconciling import Reconciliation
from fhirmsg.recovering import Recovery
from fhirmsg.serving import AtTheEnd, background_of, serve
from fhirmsg.tokens import TokenAuth, TokenSource
from fhirmsg.web import WebServices, create_web
from fhirmsg.web.limits import RateLimits
from fhirmsg.web.tokens import Tokens

__all__ = ["FhirReadiness", "Service", "build", "compose", "serve"]

_FHIR = "fhir"
SessionFactory = Callable[..., requests.Session]


@dataclass(frozen=True, kw_only=True)
class Service:
    """Every part of one process, composed. `providers` are those behind the circuit breakers."""

    app: Flask
    messenger: Messenger
    client: FhirClient
    journal: Journal
    providers: Mapping[str, Provider]
    catch_up: CatchUp
    reconciliation: Reconciliation


def build(
    settings: Settings,
    *,
    providers: Mapping[str, Provider] | None = None,
    journal: Journal | None = None,
    session_factory: SessionFactory = make_session,
) -> Flask:
    """Compose the service, and give its HTTP face (see `compose`)."""
    return compose(
        settings, providers=providers, journal=journal, session_factory=session_factory
    ).app


def compose(
    settings: Settings,
    *,
    providers: Mapping[str, Provider] | None = None,
    journal: Journal | None = None,
    session_factory: SessionFactory = make_session,
) -> Service:
    """Compose the service, with its own parts or with those given.

    session_factory takes what `make_session` does. Raises SettingsError when a provider or the
    journal cannot be set up.
    """
    ways = providers_of(settings, session_factory) if providers is None else providers
    metrics = None if settings.metrics is None else Metrics(providers=ways)
    meter = metrics or NO_METER
    breakers = {name: Breaker(name, settings.breaker) for name in (_FHIR, *ways)}
    guarded = {name: GuardedProvider(way, breakers[name]) for name, way in ways.items()}
    client = fhir_client_of(settings, session_factory, breaker=breakers[_FHIR], meter=meter)
    journal = journal or journal_of(settings)
    reader = FhirRecordReader(client, contact_key=settings.record_key)
    capability = FhirCapability(client)
    audit = audit_of(settings, client, capability)
    log = FhirCommunicationLog(client, journal=journal, auditing=audit)
    outage_log = OutageLog(journal, auditing=audit)
    marks = Marks(journal)
    fallback = Fallback(settings.record_key, settings.policies)
    messenger = Messenger(
        reader=reader,
        log=log,
        providers=guarded,
        record_key=settings.record_key,
        language=_language(settings),
        times=settings.times,
        outage=Outage(reader=OutageReader(reader, outage_log), log=outage_log, marks=marks),
        fallback=fallback,
        failing=partial(keep_fallback, journal),
        meter=meter,
    )
    recovers = partial(
        Recovery, providers=guarded, policies=settings.policies, times=settings.times
    )
    survey = FhirSurvey(client)
    on_server = recovers(entries=survey, log=log)
    catch_up = _catch_up(
        client,
        journal,
        log,
        messenger,
        fallback,
        [on_server, recovers(entries=outage_log, log=outage_log, release=outage_log.release)],
        audit,
    )
    # Imported now, because the first message would otherwise wait for it.
    resources.warm_up()
    app = create_web(
        WebServices(
            messenger=messenger,
            history=FhirMessageHistory(
                client, cursor_key=_cursor_key(settings.record_key), kept=outage_log.find
            ),
            overview=ContactOverview(reader, Judge(settings.record_key)),
            receiving=Receiving(ways, journal),
            policies=settings.policies,
            clients=ClientBook(settings.clients),
            readiness=FhirReadiness(client, capability=capability, audit=audit, journal=journal),
            fhir_base_url=settings.fhir.base_url,
            meter=meter,
            tokens=_tokens(settings),
            limits=RateLimits(settings.rate_limit),
        )
    )
    background = background_of(app)
    background.append(CatchingUp(catch_up, recover_every=settings.recover_every))
    background += [AtTheEnd(way.close) for way in ways.values() if isinstance(way, SmtpProvider)]
    if metrics is not None and settings.metrics is not None:
        metrics.know_routes(rule.rule for rule in app.url_map.iter_rules())
        metrics.watch_breakers(breakers.values())
        metrics.watch_journal(journal)
        metrics.watch_open_entries(lambda: on_server.ages)
        # The last to end, so that the end can be watched too.
        background.append(_metrics_server(metrics, settings.metrics))
    return Service(
        app=app,
        messenger=messenger,
        client=client,
        journal=journal,
        providers=ways,
        catch_up=catch_up,
        reconciliation=Reconciliation(
            survey=survey,
            journal=journal,
            providers=ways,
            policies=settings.policies,
            recovery=on_server,
        ),
    )


def _catch_up(
    client: FhirClient,
    journal: Journal,
    log: FhirCommunicationLog,
    messenger: Messenger,
    fallback: Fallback,
    recoveries: list[Recovery],
    audit: FhirAudit,
) -> CatchUp:
    tasks = Tasks(client, Owing(None))
    replies = Replies(client, tasks)

    def reply(item: JournalItem) -> bool:
        return replies.apply(item.payload["provider"], Reply.from_json(item.payload), item.kept_at)

    return CatchUp(
        journal=journal,
        log=log,
        backlog=Backlog(client, journal, host_id=journal.host_id, pause=time.sleep, auditing=audit),
        receipts=Receipts(client, tasks, lease=recoveries[0].lease),
        reply=reply,
        recoveries=recoveries,
        messenger=messenger,
        fallback=fallback,
        marks=Marks(journal),
    )


def journal_of(settings: Settings) -> SqliteJournal:
    """Open the journal, sealed under the record key. Raises SettingsError."""
    try:
        return SqliteJournal(settings.journal_file, [settings.record_key])
    except JournalUnavailable as error:
        raise SettingsError([f"FHIRMSG_JOURNAL_FILE: {error}"]) from None


def _metrics_server(metrics: Metrics, address: MetricsAddress) -> MetricsServer:
    try:
        return MetricsServer(metrics, address.host, address.port)
    except OSError as error:
        reason = error.strerror or "no such address"
        raise SettingsError(
            [
                f"FHIRMSG_METRICS_PORT: {address.host}:{address.port} cannot be listened on "
                f"({reason}); write a port of this machine that is free"
            ]
        ) from None


def _tokens(settings: Settings) -> Tokens:
    """Know clients by their tokens; the issuers' keys are fetched over a session of its own."""
    session = make_session(
        pool_size=2, get_retries=1, proxies=settings.proxies, ca_file=settings.ca_file
    )
    return Tokens(settings.clients, session)


def fhir_client_of(
    settings: Settings,
    session_factory: SessionFactory = make_session,
    *,
    breaker: Breaker | None = None,
    meter: Meter = NO_METER,
) -> FhirClient:
    """Set up the way to the FHIR server, with the access tokens that it wants."""
    session = session_factory(
        pool_size=settings.threads,
        proxies=settings.proxies,
        ca_file=settings.ca_file,
        client_certificate=settings.client_certificate,
    )
    credentials = settings.fhir_authorization
    tokens = None
    if credentials is not None:
        tokens = TokenAuth(TokenSource(credentials, session), settings.fhir.base_url)
    return FhirClient(settings.fhir, session, authorization=tokens, breaker=breaker, meter=meter)


def _language(settings: Settings) -> Language | None:
    """Load the language checker where it is wanted; the names of the organisations are known."""
    if not settings.spelling:
        return None
    return faults_in(LanguageChecker(policy.name for policy in settings.policies.values()))


def providers_of(
    settings: Settings, session_factory: SessionFactory = make_session
) -> dict[str, Provider]:
    """Set up the providers that a policy names, and no other.

    Each has a session of its own, so that one's trouble takes no other's connections.
    """

    def session() -> requests.Session:
        return session_factory(
            pool_size=settings.threads, proxies=settings.proxies, ca_file=settings.ca_file
        )

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
    if "govuk-notify" in named and settings.govuk_notify is not None:
        found["govuk-notify"] = GovukNotifyProvider(settings.govuk_notify, session())
    if "nhs-notify" in named and settings.nhs_notify is not None:
        tokens = None
        if settings.nhs_authorization is not None:
            source = TokenSource(settings.nhs_authorization, session())
            tokens = TokenAuth(source, settings.nhs_notify.base_url)
        found["nhs-notify"] = NhsNotifyProvider(settings.nhs_notify, session(), tokens)
    if "webhook" in named and settings.webhook is not None:
        found["webhook"] = WebhookProvider(settings.webhook, session())
    return found


def _cursor_key(record_key: bytes) -> bytes:
    """Derive a key of its own for the cursors, so that one key signs one kind of thing."""
    return hmac.new(record_key, b"fhirmsg page cursors", hashlib.sha256).digest()


def audit_of(settings: Settings, client: FhirClient, capability: FhirCapability) -> FhirAudit:
    """Set up the telling of decisions: to the FHIR server, or to this host's decision log."""
    if settings.decision_log is None:
        return FhirAudit(client, capability)
    # Locks files the POSIX way, so that it is not to be had on Windows.
    from fhirmsg.decisionlog import DecisionLog

    return FhirAudit(client, capability, DecisionLog(settings.decision_log, settings.record_key))
