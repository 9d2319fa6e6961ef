"""Settings: everything a process is told, from `FHIRMSG_*` environment variables and nowhere else.

Whatever is wrong in them, in the clients file or in a policy file is found before anything
starts, and all of it is told at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fhirmsg import language
from fhirmsg.breaker import BreakerSettings
from fhirmsg.calls import Times
from fhirmsg.clients import DEFAULT_RATE, Client, RateLimit
from fhirmsg.config.addresses import FLAGS, base_url, ca_file, client_certificate, proxies
from fhirmsg.config.audit import decision_log
from fhirmsg.config.authorization import (
    end_user_organisation,
    fhir_authorization,
    nhs_token_source,
)
from fhirmsg.config.files import clients, policies
from fhirmsg.config.govuk_notify import check_templates, govuk_notify
from fhirmsg.config.journal import journal_file
from fhirmsg.config.limits import rate_limit
from fhirmsg.config.nhs_notify import nhs_notify
from fhirmsg.config.operations import MetricsAddress, breaker, metrics
from fhirmsg.config.providers import check_providers, configured
from fhirmsg.config.smtp import smtp
from fhirmsg.config.webhook import webhook
from fhirmsg.environment import Variables
from fhirmsg.errors import SettingsError
from fhirmsg.fhir.client import FhirServer
from fhirmsg.guidance.policy import LocalPolicy
from fhirmsg.providers.govuk_notify import NotifySettings
from fhirmsg.providers.nhs_notify_request import NhsNotifySettings
from fhirmsg.providers.smtp import SmtpSettings
from fhirmsg.providers.webhook import WebhookSettings
from fhirmsg.tokens import ClientCredentials

_SHORTEST_KEY_BYTES = 32
_LOG_LEVELS = {level: level for level in ("DEBUG", "INFO", "WARNING", "ERROR")}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of one process, checked.

    policies: by ODS code, upper case. record_key keys the digests on the record and the page
    cursors. proxies: URL of the proxy by scheme, for `requests`. threads serve requests.
    journal_file None keeps the journal in memory, for tests and embedding.
    client_certificate: PEM files of a certificate and of its key.
    spelling: whether spelling and grammar of messages are checked.
    """

    fhir: FhirServer
    policies: Mapping[str, LocalPolicy] = field(repr=False)
    clients: tuple[Client, ...] = field(repr=False)
    record_key: bytes = field(repr=False)
    host: str = "127.0.0.1"
    port: int = 8080
    threads: int = 16
    proxies: Mapping[str, str] = field(default_factory=dict, repr=False)
    ca_file: str | None = None
    client_certificate: tuple[str, str] | None = None
    fhir_authorization: ClientCredentials | None = None
    times: Times = field(default_factory=Times)
    outbox_file: str | None = None
    journal_file: str | None = None
    recover_every: float = 30.0
    decision_log: str | None = None
    smtp: SmtpSettings | None = None
    metrics: MetricsAddress | None = None
    breaker: BreakerSettings = field(default_factory=BreakerSettings)
    govuk_notify: NotifySettings | None = None
    nhs_notify: NhsNotifySettings | None = None
    nhs_authorization: ClientCredentials | None = None
    webhook: WebhookSettings | None = None
    log_level: str = "INFO"
    spelling: bool = False
    rate_limit: RateLimit = DEFAULT_RATE

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Read and check everything. Raises SettingsError with every fault."""
        faults: list[str] = []
        variables = Variables(environment, faults)
        by_code, sources = policies(variables)
        seconds = variables.seconds
        base = base_url(variables)
        settings = cls(
            fhir=FhirServer(
                base_url=base,
                connect_timeout=seconds("FHIR_CONNECT_TIMEOUT", 0.1, 60, 3.0),
                read_timeout=seconds("FHIR_READ_TIMEOUT", 0.1, 300, 10.0),
                call_deadline=seconds("FHIR_DEADLINE", 0.1, 300, 15.0),
                end_user_organisation=end_user_organisation(variables),
            ),
            policies=by_code,
            clients=clients(variables, by_code),
            record_key=_record_key(variables),
            host=variables.text("HOST", default="127.0.0.1"),
            port=variables.whole("PORT", 0, 65535, 8080),
            threads=variables.whole("THREADS", 1, 256, 16),
            proxies=proxies(variables),
            ca_file=ca_file(variables, "CA_FILE"),
            client_certificate=client_certificate(variables),
            fhir_authorization=fhir_authorization(variables, base),
            times=Times(
                start_within=seconds("START_WITHIN_SECONDS", 0.1, 300, 30.0),
                handoff=seconds("HANDOFF_SECONDS", 0.1, 300, 20.0),
                margin=seconds("LEASE_MARGIN_SECONDS", 0, 3600, 60.0),
            ),
            journal_file=journal_file(variables),
            recover_every=seconds("RECOVER_SECONDS", 1, 3600, 30.0),
            outbox_file=variables.text("OUTBOX_FILE", default="") or None,
            decision_log=decision_log(variables),
            smtp=smtp(variables),
            metrics=metrics(variables),
            breaker=breaker(variables),
            govuk_notify=govuk_notify(variables),
            # First, so that they too are told when there is no address they would be for.
            nhs_authorization=nhs_token_source(variables, "NHS_NOTIFY_"),
            nhs_notify=nhs_notify(variables),
            webhook=webhook(variables),
            log_level=variables.choice("LOG_LEVEL", _LOG_LEVELS, "INFO", str.upper),
            spelling=_spelling(variables),
            rate_limit=rate_limit(variables),
        )
        # Last, because a variable is known by having been asked for.
        variables.report_unknown()
        check_providers(sources, configured(variables), faults)
        check_templates(sources, settings.govuk_notify, faults)
        if faults:
            raise SettingsError(faults)
        return settings


def _record_key(variables: Variables) -> bytes:
    what = f"write at least {_SHORTEST_KEY_BYTES} random characters, the same on every host"
    text = variables.secret("RECORD_KEY", what=what)
    if text is None:
        if "RECORD_KEY" not in variables and "RECORD_KEY_FILE" not in variables:
            variables.fault("RECORD_KEY", f"is not set; {what}")
        return b""
    key = text.encode()
    if len(key) < _SHORTEST_KEY_BYTES:
        variables.fault("RECORD_KEY", f"is too short to protect anything; {what}")
    return key


def _spelling(variables: Variables) -> bool:
    wanted = variables.choice("SPELLING", FLAGS, False)
    if wanted and not language.is_installed():
        variables.fault(
            "SPELLING",
            "is true, but harper-py is not installed, so no message would be checked; install "
            "fhirmsg[language], or set it to false",
        )
    return wanted
