"""Settings: everything a process is told, from `FHIRMSG_*` environment variables and nowhere else.

Whatever is wrong in them, in the clients file or in a policy file is found before anything
starts, and all of it is told at once.
"""

from __future__ import annotations

import ipaddress
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fhirmsg import language
from fhirmsg.calls import Times
from fhirmsg.clients import Client
from fhirmsg.clientsfile import parse_clients
from fhirmsg.environment import PREFIX, Variables
from fhirmsg.errors import SettingsError
from fhirmsg.fhir.client import FhirServer
from fhirmsg.guidance.policy import LocalPolicy
from fhirmsg.guidance.terms import Channel
from fhirmsg.policyfile import parse_policy
from fhirmsg.providers.smtp import SmtpSettings

_SHORTEST_KEY_BYTES = 32
_LOG_LEVELS = {level: level for level in ("DEBUG", "INFO", "WARNING", "ERROR")}
_FLAGS = {"true": True, "false": False}
_SMTP_PORTS = {"starttls": 587, "tls": 465, "none": 25}

# What each provider can carry, and the variable without which it is not there.
_PROVIDERS: dict[str, tuple[frozenset[Channel], str]] = {
    "outbox": (frozenset(Channel), "FHIRMSG_OUTBOX_FILE"),
    "smtp": (frozenset({Channel.EMAIL}), "FHIRMSG_SMTP_HOST"),
}


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
    smtp: SmtpSettings | None = None
    log_level: str = "INFO"
    spelling: bool = False

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Read and check everything. Raises SettingsError with every fault."""
        faults: list[str] = []
        variables = Variables(environment, faults)
        policies, sources = _policies(variables)
        seconds = variables.seconds
        settings = cls(
            fhir=FhirServer(
                base_url=_base_url(variables),
                connect_timeout=seconds("FHIR_CONNECT_TIMEOUT", 0.1, 60, 3.0),
                read_timeout=seconds("FHIR_READ_TIMEOUT", 0.1, 300, 10.0),
                call_deadline=seconds("FHIR_DEADLINE", 0.1, 300, 15.0),
            ),
            policies=policies,
            clients=_clients(variables, policies),
            record_key=_record_key(variables),
            host=variables.text("HOST", default="127.0.0.1"),
            port=variables.whole("PORT", 0, 65535, 8080),
            threads=variables.whole("THREADS", 1, 256, 16),
            proxies=_proxies(variables),
            ca_file=_ca_file(variables, "CA_FILE"),
            times=Times(
                start_within=seconds("START_WITHIN_SECONDS", 0.1, 300, 30.0),
                handoff=seconds("HANDOFF_SECONDS", 0.1, 300, 20.0),
                margin=seconds("LEASE_MARGIN_SECONDS", 0, 3600, 60.0),
            ),
            outbox_file=variables.text("OUTBOX_FILE", default="") or None,
            smtp=_smtp(variables),
            log_level=variables.choice("LOG_LEVEL", _LOG_LEVELS, "INFO", str.upper),
            spelling=_spelling(variables),
        )
        # Last, because a variable is known by having been asked for.
        variables.report_unknown()
        configured = {
            name
            for name, (_, variable) in _PROVIDERS.items()
            if variable.removeprefix(PREFIX) in variables
        }
        _check_providers(sources, configured, faults)
        if faults:
            raise SettingsError(faults)
        return settings


def _base_url(variables: Variables) -> str:
    name, what = "FHIR_BASE_URL", "write the FHIR server's base, as https://ehr.example/fhir"
    text = variables.text(name, what=what)
    plain_allowed = variables.choice("ALLOW_PLAIN_HTTP", _FLAGS, False)
    if not text:
        return text
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not text.isprintable() or " " in text:
        variables.fault(name, f"is not such an address; {what}")
        return text
    if parts.username is not None or parts.password is not None:
        variables.fault(name, "holds a user name or password, which logs could show; leave it out")
    if parts.query or parts.fragment or text.endswith(("?", "#")):
        variables.fault(name, f"holds a query or fragment; {what}")
    if parts.scheme == "http" and not plain_allowed and not _is_loopback(parts.hostname or ""):
        variables.fault(
            name,
            "is plain http, so patient data would cross the network in the clear; use https "
            "(FHIRMSG_ALLOW_PLAIN_HTTP=true where something else encrypts the way)",
        )
    return text


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _policies(
    variables: Variables,
) -> tuple[dict[str, LocalPolicy], dict[str, LocalPolicy]]:
    """Read the policy files; gives the policies by ODS code and by file."""
    name = "POLICY_FILES"
    what = f"name policy files, with {os.pathsep!r} between them"
    paths = [each for each in variables.text(name, what=what).split(os.pathsep) if each.strip()]
    found: dict[str, LocalPolicy] = {}
    sources: dict[str, LocalPolicy] = {}
    owners: dict[str, str] = {}
    for path in paths:
        content = variables.content(name, path)
        if content is None:
            continue
        try:
            policy = sources[path] = parse_policy(content, folder=Path(path).parent)
        except SettingsError as error:
            variables.faults += [f"{path}: {fault}" for fault in error.faults]
            continue
        for code in sorted(policy.organisations):
            if code in owners:
                variables.faults.append(
                    f"{path}: organisations: {code} has a policy in {owners[code]} too; "
                    "keep it in one file"
                )
            owners[code] = path
            found[code] = policy
    return found, sources


def _clients(variables: Variables, policies: Mapping[str, LocalPolicy]) -> tuple[Client, ...]:
    what = "name the clients file (`fhirmsg keys new` prints what goes in)"
    path = variables.text("CLIENTS_FILE", what=what)
    content = variables.content("CLIENTS_FILE", path) if path else None
    if content is None:
        return ()
    try:
        clients = parse_clients(content)
    except SettingsError as error:
        variables.faults += [f"{path}: {fault}" for fault in error.faults]
        return ()
    for client in clients:
        for code in sorted(client.organisations - policies.keys()):
            variables.faults.append(
                f"{path}: {client.id}.organisations: {code} is in no policy file that could be "
                "read; add its policy or remove it"
            )
    return clients


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


def _proxies(variables: Variables) -> dict[str, str]:
    what = "write the proxy's address, as http://proxy.example:3128"
    found = {}
    for scheme in ("http", "https"):
        name = f"{scheme.upper()}_PROXY"
        text = variables.text(name, default="", what=what)
        if not text:
            continue
        try:
            parts = urlsplit(text)
            usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            usable = False
        if not usable:
            variables.fault(name, f"is not such an address; {what}")
        found[scheme] = text
    return found


def _ca_file(variables: Variables, name: str) -> str | None:
    path = variables.text(name, default="", what="name a PEM file of certificates")
    if path:
        try:
            ssl.create_default_context(cafile=path)
        except (OSError, ValueError):
            variables.fault(name, f"{path} cannot be read as PEM certificates; name such a file")
    return path or None


def _smtp(variables: Variables) -> SmtpSettings | None:
    """Read the mail server's settings, None when there is none."""
    security = variables.choice("SMTP_SECURITY", {each: each for each in _SMTP_PORTS}, "starttls")
    values: dict[str, Any] = {
        "host": variables.text("SMTP_HOST", default=""),
        "port": variables.whole("SMTP_PORT", 1, 65535, _SMTP_PORTS[security]),
        "security": security,
        "username": variables.text("SMTP_USERNAME", default="") or None,
        "password": variables.secret("SMTP_PASSWORD", what="give the password"),
        "from_address": variables.text("SMTP_FROM", default=""),
        "from_name": variables.text("SMTP_FROM_NAME", default=""),
        "reply_to": variables.text("SMTP_REPLY_TO", default="") or None,
        "ca_file": _ca_file(variables, "SMTP_CA_FILE"),
    }
    if "SMTP_HOST" not in variables:
        if others := variables.starting_with("SMTP_"):
            variables.fault(others[0], f"is set without {PREFIX}SMTP_HOST; name the mail server")
        return None
    if not values["from_address"]:
        variables.fault("SMTP_FROM", "is not set; write the address that e-mails come from")
        return None
    try:
        return SmtpSettings(**values)
    except SettingsError as error:
        variables.faults += map(_smtp_fault, error.faults)
        return None


def _smtp_fault(fault: str) -> str:
    """Name the variables in place of the fields of SmtpSettings."""
    fields, _, text = fault.removeprefix("smtp: ").partition(": ")
    names = (each.removesuffix("_address").upper() for each in fields.split(", "))
    return f"{', '.join(f'{PREFIX}SMTP_{name}' for name in names)}: {text}; correct it"


def _spelling(variables: Variables) -> bool:
    wanted = variables.choice("SPELLING", _FLAGS, False)
    if wanted and not language.is_installed():
        variables.fault(
            "SPELLING",
            "is true, but harper-py is not installed, so no message would be checked; install "
            "fhirmsg[language], or set it to false",
        )
    return wanted


def _check_providers(
    sources: Mapping[str, LocalPolicy], configured: set[str], faults: list[str]
) -> None:
    """Check that what the policies send through is there and can carry what they say."""
    for path, policy in sources.items():
        for platform in policy.platforms.values():
            at = f"{path}: platforms.{platform.name}"
            if platform.provider not in _PROVIDERS:
                faults.append(
                    f"{at}.provider: {platform.provider} is not a provider of this version; "
                    f"use one of {', '.join(_PROVIDERS)}"
                )
                continue
            carries, variable = _PROVIDERS[platform.provider]
            if platform.provider not in configured:
                faults.append(
                    f"{at}.provider: {platform.provider} is not configured here; set {variable}"
                )
            if beyond := sorted(platform.channels - carries):
                faults.append(
                    f"{at}.channels: {platform.provider} does not carry {', '.join(beyond)}; "
                    "remove it or use another provider"
                )
