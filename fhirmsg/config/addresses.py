"""Settings that are addresses of servers, proxies, and files of certificates."""

from __future__ import annotations

import ssl
from urllib.parse import urlsplit

from fhirmsg.environment import PREFIX, Variables
from fhirmsg.http import is_loopback

FLAGS = {"true": True, "false": False}


def base_url(variables: Variables) -> str:
    what = "write the FHIR server's base, as https://ehr.example/fhir"
    text = variables.text("FHIR_BASE_URL", what=what)
    return checked_url(variables, "FHIR_BASE_URL", text, what)


def checked_url(variables: Variables, name: str, text: str, what: str) -> str:
    """Check the address of a server; an empty one is nobody's fault here."""
    plain_allowed = is_plain_allowed(variables)
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


def is_plain_allowed(variables: Variables) -> bool:
    return variables.choice("ALLOW_PLAIN_HTTP", FLAGS, False)


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


def client_certificate(variables: Variables) -> tuple[str, str] | None:
    """Read the certificate that this service shows to servers which ask for one."""
    what = "name a PEM file"
    certificate = variables.text("CLIENT_CERT_FILE", default="", what=what)
    key = variables.text("CLIENT_KEY_FILE", default="", what=what)
    if not certificate and not key:
        return None
    if not certificate or not key:
        missing, there = ("CLIENT_CERT_FILE", "KEY") if key else ("CLIENT_KEY_FILE", "CERT")
        variables.fault(missing, f"is not set beside {PREFIX}CLIENT_{there}_FILE; {what}")
        return None
    try:
        # An empty password, because otherwise one would be asked for on the terminal.
        ssl.create_default_context().load_cert_chain(certificate, key, password="")
    except (OSError, ValueError):
        variables.fault(
            "CLIENT_CERT_FILE",
            f"cannot be used with {PREFIX}CLIENT_KEY_FILE; name PEM files of a certificate and of "
            "its own key without a password",
        )
    return certificate, key
