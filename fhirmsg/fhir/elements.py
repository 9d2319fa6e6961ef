"""Tolerant access to raw FHIR JSON: what has the wrong shape is empty here, and is reported.

Resources are read as plain dicts, because most real-world Consents fail strict models and one
bad element must not hide the others.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any

from fhirmsg.fhir.codes import is_nhs_number
from fhirmsg.guidance.coding import normal_system
from fhirmsg.guidance.terms import Period, ResourceVersion

Element = dict[str, Any]
_PARTIAL = re.compile(r"(\d{4})(?:-(\d{2})(?:-(\d{2}))?)?\Z")
# FHIR's own ids have no underscore; whatever means something in a URL is in none.
_LITERAL = re.compile(r"[A-Z][A-Za-z]*/[A-Za-z0-9\-._]{1,128}\Z")
_TICK = timedelta(microseconds=1)


def element(value: object) -> Element:
    """Give a JSON object, an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def elements(value: object) -> list[Element]:
    """Give the objects of a list; a single object counts as a list of one (seen in the wild)."""
    if value is None:
        return []
    if isinstance(value, dict):
        return [value]
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def text_of(value: object) -> str:
    """Give a string without the space around it, an empty one for anything else."""
    return value.strip() if isinstance(value, str) else ""


def codings(concepts: object) -> Iterator[tuple[str, str]]:
    """Give (normal system, code) of every coding in a CodeableConcept or a list of them."""
    for concept in elements(concepts):
        for coding in elements(concept.get("coding")):
            code = text_of(coding.get("code"))
            if code:
                yield normal_system(coding.get("system")), code


def extensions(holder: object, ending: str) -> Iterator[Element]:
    """Give the extensions whose URL ends in this, whatever its base, scheme and letter case."""
    if not isinstance(holder, dict) or "extension" not in holder:
        return
    for extension in elements(holder["extension"]):
        if text_of(extension.get("url")).rstrip("/").lower().endswith(ending.lower()):
            yield extension


def part_of(extension: Element, name: str) -> Element:
    """Give the part of a complex extension with this name, an empty object when there is none.

    Parts are named by a word or, in some guides, by a whole URL that ends in it.
    """
    for part in elements(extension.get("extension")):
        if text_of(part.get("url")).rstrip("/").rpartition("/")[2].lower() == name.lower():
            return part
    return {}


def value_of(part: Element, *kinds: str) -> object:
    """Give the value of an extension that stands there first as one of these types.

    `value_of(part, "Date", "DateTime")` looks for `valueDate` and `valueDateTime`.
    """
    for kind in kinds:
        if part.get(f"value{kind}") is not None:
            return part[f"value{kind}"]
    return None


def coded_value(part: Element) -> frozenset[str]:
    """Give the codes of an extension's value: a code, a string, a Coding or a CodeableConcept."""
    plain = text_of(value_of(part, "Code", "String"))
    concepts = [part.get("valueCodeableConcept"), {"coding": part.get("valueCoding")}]
    found = {code for concept in concepts for _, code in codings(concept)}
    return frozenset(found | {plain} if plain else found)


def version_of(resource: Element) -> ResourceVersion:
    """Cite a resource: `Type/id`, versionId and lastUpdated as written."""
    meta = element(resource.get("meta"))
    version = meta.get("versionId")
    return ResourceVersion(
        reference=f"{text_of(resource.get('resourceType'))}/{text_of(resource.get('id'))}",
        version_id=str(version) if isinstance(version, str | int) and version != "" else None,
        last_updated=text_of(meta.get("lastUpdated")) or None,
    )


def labels(resource: Element) -> frozenset[tuple[str, str]]:
    """Give the security labels, as (normal system, code)."""
    security = element(resource.get("meta")).get("security")
    return frozenset(
        (normal_system(label.get("system")), text_of(label.get("code")))
        for label in elements(security)
    )


def identifier_key(identifier: object) -> str | None:
    """Give `system|value` in comparable form; NHS numbers lose their spaces.

    A value without a system identifies nobody: it gives None.
    """
    system = normal_system(element(identifier).get("system"))
    value = text_of(element(identifier).get("value"))
    if not value or not system:
        return None
    if is_nhs_number(system):
        value = re.sub(r"\s", "", value)
    return f"{system}|{value}"


def own_keys(resource: Element) -> frozenset[str]:
    """Give every identity key of a resource: its literal reference and its identifiers."""
    keys = {identifier_key(each) for each in elements(resource.get("identifier"))}
    if text_of(resource.get("id")):
        keys.add(version_of(resource).reference)
    return frozenset(key for key in keys if key)


def nhs_numbers(resource: Element) -> list[str]:
    """Give the NHS numbers among the identifiers, without spaces; former ones only if no other."""
    found: dict[str, bool] = {}
    for identifier in elements(resource.get("identifier")):
        if is_nhs_number(identifier.get("system")):
            value = re.sub(r"\s", "", text_of(identifier.get("value")))
            if value:
                former = text_of(identifier.get("use")) == "old"
                found[value] = found.get(value, True) and former
    current = [value for value, former in found.items() if not former]
    return current or list(found)


def nhs_number(resource: Element) -> str | None:
    """Give the first NHS number among the identifiers, without spaces."""
    return next(iter(nhs_numbers(resource)), None)


def literal(reference: object, base: str) -> str | None:
    """Give `Type/id` of a literal reference to this server, None for any other one.

    Relative, absolute below `base`, and versioned references come out alike.
    """
    text = text_of(reference)
    own = base.rstrip("/") + "/"
    for scheme in ("http://", "https://"):
        prefix = scheme + own.partition("://")[2]
        if text.lower().startswith(prefix.lower()):
            text = text[len(prefix) :]
            break
    text = text.partition("/_history/")[0]
    return text if _LITERAL.match(text) and not text.endswith(("/.", "/..")) else None


def reference_keys(reference: object, base: str) -> frozenset[str]:
    """Give the identity keys a Reference holds: literal, identifier, or both.

    A literal reference to another server is a key of its own that matches nothing here.
    """
    holder = element(reference)
    keys = set()
    written = text_of(holder.get("reference"))
    if written:
        keys.add(literal(written, base) or written)
    key = identifier_key(holder.get("identifier"))
    if key:
        keys.add(key)
    return frozenset(keys)


def days_of(text: object) -> tuple[date | None, date | None] | None:
    """Give the first and last day a FHIR date or dateTime can mean, None when it is neither."""
    written = text_of(text)
    matched = _PARTIAL.match(written[:10]) if len(written) >= 10 else _PARTIAL.match(written)
    if not matched or (len(written) > 10 and written[10] not in "Tt "):
        return None
    year, month, day = (int(part) if part else None for part in matched.groups())
    try:
        if year is None:
            return None
        if month is None:
            return date(year, 1, 1), date(year, 12, 31)
        if day is None:
            return date(year, month, 1), date(year, month, monthrange(year, month)[1])
        return date(year, month, day), date(year, month, day)
    except ValueError:
        return None


def instant_of(text: object) -> datetime | None:
    """Read a dateTime with a time and a zone; None for everything else."""
    written = text_of(text)
    if len(written) <= 10:
        return None
    try:
        parsed = datetime.fromisoformat(written)
    except ValueError:
        return None
    return parsed if parsed.tzinfo is not None else None


def local_day(text: object, zone: tzinfo) -> date | None:
    """Give the local day of a FHIR date or dateTime, of a partial one its first day."""
    instant = instant_of(text)
    if instant is not None:
        try:
            return instant.astimezone(zone).date()
        except OverflowError:
            return instant.date()
    days = days_of(text)
    return None if days is None else days[0]


def moment_of(text: object, zone: tzinfo) -> datetime | None:
    """Read a dateTime as an instant; one without a zone is local, a date begins its local day."""
    instant = instant_of(text)
    if instant is not None:
        return _in_utc(instant)
    written = text_of(text)
    if len(written) > 10:
        try:
            return _in_utc(datetime.fromisoformat(written).replace(tzinfo=zone))
        except ValueError:
            return None
    days = days_of(written)
    return None if days is None or days[0] is None else start_of_day(days[0], zone)


def start_of_day(day: date, zone: tzinfo) -> datetime:
    """Give the instant at which a local day begins, in UTC."""
    return _in_utc(datetime.combine(day, time(), zone))


def _in_utc(moment: datetime) -> datetime:
    """Give an instant in UTC; where that lies outside the calendar, the first or last one in it."""
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        if moment.year == 1:
            return datetime.min.replace(tzinfo=UTC)
        return datetime.max.replace(tzinfo=UTC)


def period_of(value: object, zone: tzinfo) -> Period | None:
    """Read a Period; None when there is none at all, malformed when an end is not understood."""
    if value is None:
        return None
    if not isinstance(value, dict):
        return Period(malformed=True)
    start, timed_start, bad_start = _bound(value, "start", zone)
    end, timed_end, bad_end = _bound(value, "end", zone)
    return Period(
        start=start,
        end=end,
        timed_start=timed_start,
        timed_end=timed_end,
        malformed=bad_start or bad_end,
    )


def _bound(period: Element, name: str, zone: tzinfo) -> tuple[datetime | None, bool, bool]:
    text = period.get(name)
    if text is None:
        # A primitive may stand there as an extension alone, such as "data absent".
        return None, False, f"_{name}" in period
    instant = instant_of(text)
    if instant is not None:
        return _in_utc(instant), True, False
    days = days_of(text)
    if days is None or len(text_of(text)) > 10 or days[0] is None or days[1] is None:
        return None, False, True
    if name == "start":
        return start_of_day(days[0], zone), False, False
    if days[1] == date.max:
        return None, False, False
    return start_of_day(days[1] + timedelta(days=1), zone) - _TICK, False, False
