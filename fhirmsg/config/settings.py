"""Settings: everything a process is told, from `FHIRMSG_*` environment variables and nowhere else.

Whatever is wrong in them, in the clients file or in a policy file is found before anything
starts, and all of it is told at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fhirmsg import language
from fhirmsg.calls import Times
from fhirmsg.clients import Client
from fhirmsg.config.addresses import FLAGS, base_url, ca_file, proxies
from fhirmsg.config.audit import decision_log
from fhirmsg.config.files import clients, policies
from fhirmsg.config.providers import check_providers, configured
from fhirmsg.config.smtp import smtp
from fhirmsg.environment import Variables
from fhirmsg.errors import SettingsError
from fhirmsg.fhir.client import FhirServer
from fhirmsg.guidance.policy import LocalPolicy
from fhirmsg.providers.smtp import SmtpSettings

_SHORTEST_KEY_BYTES = 32
_LOG_LEVELS = {level: level for level in ("DEBUG", "INFO", "WARNING", "ERROR")}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of one process, checked.

    policies: by ODS code, upper case. record_key keys the digests on the record and the page
    cursors. proxies: URL of the proxy by scheme, for `requests`. threads serve requests.
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
    times: Times = field(default_factory=Times)
    outbox_file: str | None = None
    decision_log: str | None = None
    smtp: SmtpSettings | None = None
    log_level: str = "INFO"
    spelling: bool = False

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Read and check everything. Raises SettingsError with every fault."""
        faults: list[str] = []
        variables = Variables(environment, faults)
        by_code, sources = policies(variables)
        seconds = variables.seconds
        settings = cls(
            fhir=FhirServer(
                base_url=base_url(variables),
                connect_timeout=seconds("FHIR_CONNECT_TIMEOUT", 0.1, 60, 3.0),
                read_timeout=seconds("FHIR_READ_TIMEOUT", 0.1, 300, 10.0),
                call_deadline=seconds("FHIR_DEADLINE", 0.1, 300, 15.0),
            ),
            policies=by_code,
            clients=clients(variables, by_code),
            record_key=_record_key(variables),
            host=variables.text("HOST", default="127.0.0.1"),
            port=variables.whole("PORT", 0, 65535, 8080),
            threads=variables.whole("THREADS", 1, 256, 16),
            proxies=proxies(variables),
            ca_file=ca_file(variables, "CA_FILE"),
            times=Times(
                start_within=seconds("START_WITHIN_SECONDS", 0.1, 300, 30.0),
                handoff=seconds("HANDOFF_SECONDS", 0.1, 300, 20.0),
                margin=seconds("LEASE_MARGIN_SECONDS", 0, 3600, 60.0),
            ),
            outbox_file=variables.text("OUTBOX_FILE", default="") or None,
            decision_log=decision_log(variables),
            smtp=smtp(variables),
            log_level=variables.choice("LOG_LEVEL", _LOG_LEVELS, "INFO", str.upper),
            spelling=_spelling(variables),
        )
        # Last, because a variable is known by having been asked for.
        variables.report_unknown()
        check_providers(sources, configured(variables), faults)
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
