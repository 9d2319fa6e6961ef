"""Contact points: telecom entries normalised, so that one number is one value however written.

Sources: https://hl7.org/fhir/R4/datatypes.html#ContactPoint, NHS PDS (a mobile is `phone` with
use `mobile`; a textphone is `other`), Ofcom's numbering plan for what a UK mobile is.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import unicodedata
from collections.abc import Iterable
from datetime import tzinfo
from typing import TypeGuard

import phonenumbers

from fhirmsg.fhir import codes
from fhirmsg.fhir.elements import (
    Element,
    codings,
    elements,
    extensions,
    local_day,
    part_of,
    period_of,
    text_of,
    value_of,
)
from fhirmsg.guidance.record import ContactPoint
from fhirmsg.guidance.request import BroughtContactPoint
from fhirmsg.guidance.terms import Channel, Period

_TELEPHONE = re.compile(r"(?:tel:)?\+?[0-9\s()./\-\u2010-\u2015]+\Z", re.IGNORECASE)
# 070 is for numbers that follow a person, 076 for pagers, except the Isle of Man's mobiles.
_UK_MOBILE = re.compile(r"\+447(?:[1-57-9]\d{8}|624\d{6})\Z")
# Everything that begins with 07 has ten digits after the 0.
_CUT_SHORT = re.compile(r"\+447\d{0,8}\Z")
_EMAIL = re.compile(
    r"[^\s\x00-\x1f\x7f-\x9f@<>\",;:()\[\]\\]+"
    r"@([A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?\.)+[A-Za-z]{2,}\Z"
)
_VERIFIED = "01"
_LARGEST_RANK = 2**31 - 1


def _as_seen(text: str) -> str:
    """Give a text without the invisible marks that come along when it is copied."""
    return "".join(each for each in text if unicodedata.category(each) != "Cf").strip()


def normal_telephone(text: str) -> str | None:
    """Give E.164 of a number as written in the UK; None when it is no telephone number.

    Words beside the number ("daughter's") make it somebody's remark, and it is not used.
    """
    seen = _as_seen(text)
    if len(seen) > 40 or not _TELEPHONE.match(seen):
        return None
    try:
        parsed = phonenumbers.parse(seen, "GB")
    except phonenumbers.NumberParseException:
        return None
    # Without its area code a number is possible too, but nobody can tell where.
    whole = phonenumbers.ValidationResult.IS_POSSIBLE
    if phonenumbers.is_possible_number_with_reason(parsed) != whole:
        return None
    written: str = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
    return None if _CUT_SHORT.match(written) else written


def normal_email(text: str) -> str | None:
    """Give an address with its domain in lower case; None when it is no single address."""
    seen = _as_seen(text)
    address = seen[len("mailto:") :] if seen.lower().startswith("mailto:") else seen
    if len(address) > 254 or ".." in address or not _EMAIL.match(address):
        return None
    local, _, domain = address.rpartition("@")
    return f"{local}@{domain.lower()}"


def is_uk_mobile(number: str) -> bool:
    """Tell whether an E.164 number lies in a UK mobile range."""
    return bool(_UK_MOBILE.match(number))


def contact_points(resource: Element, zone: tzinfo) -> tuple[ContactPoint, ...]:
    """Translate `telecom`, and for a Patient the verified NHS number as the NHS App's address."""
    points = [_point(entry, zone) for entry in elements(resource.get("telecom"))]
    if resource.get("resourceType") == "Patient":
        points += [_app_point(each, zone) for each in elements(resource.get("identifier"))]
    return tuple(point for point in points if point is not None)


def _point(entry: Element, zone: tzinfo) -> ContactPoint | None:
    system, use = text_of(entry.get("system")), text_of(entry.get("use"))
    text = text_of(entry.get("value"))
    value, channels = _value_and_channels(system, use, text)
    if not channels:
        return None
    rank = entry.get("rank")
    period = period_of(entry.get("period"), zone)
    return ContactPoint(
        value=value,
        channels=channels,
        use=use or None,
        rank=rank if _is_rank(rank) else None,
        period=period,
        confirmed=_is_confirmed(entry, period, zone),
    )


def _is_confirmed(entry: Element, period: Period | None, zone: tzinfo) -> bool:
    """Tell whether somebody confirmed it: it says since when it is in use, or by whom and when."""
    if period is not None and period.start is not None:
        return True
    return any(
        local_day(value_of(part_of(extension, "at"), "DateTime", "Date"), zone) is not None
        and value_of(part_of(extension, "by"), "Reference", "String") is not None
        for extension in extensions(entry, "/confirmed")
    )


def _is_rank(rank: object) -> TypeGuard[int]:
    # A boolean is an integer to Python.
    return isinstance(rank, int) and rank is not True and 0 < rank <= _LARGEST_RANK


def _value_and_channels(system: str, use: str, text: str) -> tuple[str | None, frozenset[Channel]]:
    if system == "email":
        return normal_email(text), frozenset({Channel.EMAIL})
    if system not in ("phone", "sms"):
        return None, frozenset()
    number = normal_telephone(text)
    if number is None:
        return None, frozenset()
    if system == "sms" or use == "mobile" or is_uk_mobile(number):
        return number, frozenset({Channel.SMS, Channel.VOICE})
    return number, frozenset({Channel.VOICE})


def _app_point(identifier: Element, zone: tzinfo) -> ContactPoint | None:
    if not codes.is_nhs_number(identifier.get("system")):
        return None
    number = re.sub(r"\s", "", text_of(identifier.get("value")))
    verified = any(
        code == _VERIFIED
        for extension in extensions(identifier, "NHSNumberVerificationStatus")
        for _, code in codings(extension.get("valueCodeableConcept"))
    )
    if not verified or not re.fullmatch(r"\d{10}", number):
        return None
    return ContactPoint(
        value=number,
        channels=frozenset({Channel.NHS_APP}),
        use="old" if text_of(identifier.get("use")) == "old" else None,
        period=period_of(identifier.get("period"), zone),
        # A verified number was traced by somebody.
        confirmed=True,
    )


def brought_point(brought: BroughtContactPoint, zone: tzinfo) -> ContactPoint:
    """Translate a contact point of the request like a telecom entry of use `mobile`.

    Its value is None when it cannot be normalised.
    """
    entry = {"system": brought.system, "use": "mobile", "value": brought.value}
    return _point(entry, zone) or ContactPoint(use="mobile")


def restricted_digest(value: str, key: bytes) -> str:
    """Give the keyed digest (HMAC-SHA-256, hex) by which a restricted contact point is known.

    value: as normalised; letter case makes no difference. The number itself is nowhere.
    """
    return hmac.new(key, value.casefold().encode(), hashlib.sha256).hexdigest()


def digests_of(points: Iterable[ContactPoint], key: bytes) -> dict[str, str]:
    """Give the keyed digest of each value, by value."""
    return {
        point.value: restricted_digest(point.value, key)
        for point in points
        if point.value is not None
    }


def written_forms(value: str) -> tuple[str, ...]:
    """Give the forms in which a normalised telephone number or address is commonly written.

    A server compares contact points letter by letter, so each form has to be asked for.
    """
    if "@" in value:
        local, _, domain = value.rpartition("@")
        letters = (value, value.lower(), value.upper(), value[:1].upper() + value[1:])
        domains = (f"{local}@{domain.title()}", f"{local.title()}@{domain}")
        return tuple(dict.fromkeys((*letters, *domains)))
    if not value.startswith("+"):
        return (value,)
    try:
        parsed = phonenumbers.parse(value)
    except phonenumbers.NumberParseException:
        return (value,)
    forms = [value, "00" + value[1:]]
    national: str = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.NATIONAL)
    abroad: str = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.INTERNATIONAL)
    forms += [abroad, national, national.replace(" ", ""), value[1:]]
    digits = national.replace(" ", "")
    spaced = [national]
    if value.startswith("+447"):
        spaced += [f"{digits[:5]} {digits[5:]}", f"{digits[:5]} {digits[5:8]} {digits[8:]}"]
    country = f"+{parsed.country_code}"
    for each in [*spaced, digits]:
        rest = each.removeprefix("0")
        forms += [each, f"{country} {rest}", f"00{country[1:]} {rest}", f"{country} (0){rest}"]
        forms += [each.replace(" ", "-"), f"{country}-{rest.replace(' ', '-')}"]
    return tuple(dict.fromkeys([*forms, f"tel:{value}"]))
