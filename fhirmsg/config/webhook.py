"""Settings of an organisation's own gateway."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from fhirmsg.config.addresses import FLAGS, https_url
from fhirmsg.config.providers import named
from fhirmsg.environment import PREFIX, Variables
from fhirmsg.errors import SettingsError
from fhirmsg.providers.webhook import WebhookSettings, may_be_reached

_START = "WEBHOOK_"
_MONTH_HOURS = 24 * 31


def webhook(variables: Variables) -> WebhookSettings | None:
    """Read the settings of the gateway, None when there is no address."""
    url = https_url(
        variables,
        f"{_START}URL",
        default="",
        what="write the gateway's address, as https://gateway.example/messages",
    )
    what = "give one secret, whsec_ and base64, or several with blanks between while one is changed"
    secrets = variables.secret(f"{_START}SECRETS", what=what)
    deduplicates = variables.choice(f"{_START}DEDUPLICATES", FLAGS, False)
    remembers_hours = variables.whole(f"{_START}REMEMBERS_HOURS", 1, _MONTH_HOURS, 24)
    if not url:
        if others := variables.starting_with(_START):
            variables.fault(others[0], f"is set without {PREFIX}{_START}URL; set that")
        return None
    host = urlsplit(url).hostname or ""
    if re.fullmatch(r"[0-9a-f:.]+", host) and not may_be_reached(host):
        variables.fault(
            f"{_START}URL", "is an address of the link, where no gateway is; correct it"
        )
    if secrets is None:
        variables.fault(f"{_START}SECRETS", f"is not set; {what}")
        return None
    try:
        return WebhookSettings(
            url=url,
            secrets=tuple(secrets.split()),
            deduplicates=deduplicates,
            remembers_hours=float(remembers_hours),
        )
    except SettingsError as error:
        variables.faults += [named(_START, fault) for fault in error.faults]
        return None
