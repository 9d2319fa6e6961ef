"""Settings that are addresses of servers, proxies, and files of certificates."""

from __future__ import annotations

import ssl
from urllib.parse import urlsplit

from fhirmsg.environment import Variables
from fhirmsg.http import is_loopback

FLAGS = {"true": True, "false": False}


def base_url(variables: Variables) -> str:
    name, what = "FHIR_BASE_URL", "write the FHIR server's base, as https://ehr.example/fhir"
    text = variables.text(name, what=what)
    plain_allowed = variables.choice("ALLOW_PLAIN_HTTP", FLAGS, False)
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
    if parts.scheme == "http" and not plain_allowed and not is_loopback(parts.hostname or ""):
        variables.fault(
            name,
            "is plain http, so patient data would cross the network in the clear; use https "
            "(FHIRMSG_ALLOW_PLAIN_HTTP=true where something else encrypts the way)",
        )
    return text


def https_url(
    variables: Variables, name: str, *, default: str, what: str, base: bool = False
) -> str:
    """Give an address that messages may go to: https, or plain http on this very host.

    base: paths are put behind it, so that it has no query and no slash at the end.
    """
    text = variables.text(name, default=default, what=what)
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        usable = usable and text.isprintable() and " " not in text
    except ValueError:
        usable = False
    if text and not usable:
        variables.fault(name, f"is not such an address; {what}")
    elif text:
        if parts.username is not None or parts.password is not None:
            variables.fault(name, "holds a user name or password, which logs could show; leave it")
        if parts.fragment or text.endswith("#") or (base and "?" in text):
            variables.fault(name, f"holds a query or fragment; {what}")
        if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
            variables.fault(
                name, "is plain http, so messages would cross the network in the clear; use https"
            )
    return text.rstrip("/") if base else text


def proxies(variables: Variables) -> dict[str, str]:
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


def ca_file(variables: Variables, name: str) -> str | None:
    path = variables.text(name, default="", what="name a PEM file of certificates")
    if path:
        try:
            ssl.create_default_context(cafile=path)
        except (OSError, ValueError):
            variables.fault(name, f"{path} cannot be read as PEM certificates; name such a file")
    return path or None
