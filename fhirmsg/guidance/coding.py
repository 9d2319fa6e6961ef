"""Code systems in the form in which they are compared: one system is written in many ways."""

from __future__ import annotations

from functools import lru_cache

_TERMINOLOGY = "http://terminology.hl7.org/codesystem/"

# Older and other names of a system, in the form below, and the one it is known by here.
_ALIASES = {
    "http://hl7.org/fhir/v3/actcode": f"{_TERMINOLOGY}v3-actcode",
    "http://hl7.org/fhir/v3/actreason": f"{_TERMINOLOGY}v3-actreason",
    "http://hl7.org/fhir/v3/participationmode": f"{_TERMINOLOGY}v3-participationmode",
    "http://hl7.org/fhir/v3/confidentiality": f"{_TERMINOLOGY}v3-confidentiality",
    "http://hl7.org/fhir/v3/rolecode": f"{_TERMINOLOGY}v3-rolecode",
    "http://hl7.org/fhir/v3/nullflavor": f"{_TERMINOLOGY}v3-nullflavor",
    "http://hl7.org/fhir/consentscope": f"{_TERMINOLOGY}consentscope",
    "http://fhir.nhs.uk/stu3/codesystem/rarecord-proxyrole-1": (
        "http://fhir.nhs.uk/england/codesystem/flagproxyrole"
    ),
}


def normal_system(system: object) -> str:
    """Give the form in which systems are compared: http, lower case, no version, no last slash."""
    return _normal(system) if isinstance(system, str) else ""


# A few dozen systems make up nearly all of a record.
@lru_cache(maxsize=1024)
def _normal(system: str) -> str:
    text = system.strip().partition("|")[0].rstrip("/").lower()
    if text.startswith("https://"):
        text = "http://" + text[len("https://") :]
    return _ALIASES.get(text, text)


def service_token(system: str, code: str) -> str:
    """Give the form in which services are compared: normal system, bar, code."""
    return f"{normal_system(system)}|{code.strip()}"


def service_code(written: str) -> str:
    """Give a service as a request writes it, `system|code` or a bare code, in comparable form."""
    system, bar, code = written.strip().rpartition("|")
    return service_token(system, code) if bar else code


def any_system(code: str) -> str:
    """Give the token of a code that was given without a system, and so stands for it in any."""
    return f"*|{code}"


def is_same_service(one: str, other: str) -> bool:
    """Compare two `system|code`; a bare code is the same under any system."""
    if "|" in one and "|" in other:
        return one == other
    return one.rpartition("|")[2] == other.rpartition("|")[2]
