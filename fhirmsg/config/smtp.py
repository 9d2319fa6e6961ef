"""Settings of the mail server."""

from __future__ import annotations

from typing import Any

from fhirmsg.config.addresses import ca_file
from fhirmsg.environment import PREFIX, Variables
from fhirmsg.errors import SettingsError
from fhirmsg.providers.smtp import SmtpSettings

_SMTP_PORTS = {"starttls": 587, "tls": 465, "none": 25}


def smtp(variables: Variables) -> SmtpSettings | None:
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
        "ca_file": ca_file(variables, "SMTP_CA_FILE"),
        "idle_seconds": variables.seconds("SMTP_IDLE_SECONDS", 0, 300, 30.0),
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
