"""The patient's own details as a message might repeat them: names, birth, number, address."""

from __future__ import annotations

from collections.abc import Iterator

from fhirmsg.fhir.elements import Element, days_of, elements, nhs_number, text_of
from fhirmsg.guidance.wording import KnownIdentifiers


def known_identifiers(patient: Element) -> KnownIdentifiers:
    """Give every name the record has (official, nickname, maiden, old...), and the rest."""
    given: dict[str, None] = {}
    family: dict[str, None] = {}
    for name in elements(patient.get("name")):
        first, last = _parts_of(name)
        given |= {each: None for each in first}
        family |= {each: None for each in last}
    days = days_of(patient.get("birthDate"))
    addresses = elements(patient.get("address"))
    # The present address comes first, since a message that names one names that.
    addresses.sort(key=lambda address: text_of(address.get("use")) == "old")
    postcodes = (text_of(address.get("postalCode")) for address in addresses)
    return KnownIdentifiers(
        given=tuple(given),
        family=tuple(family),
        born=days[0] if days is not None and days[0] == days[1] else None,
        nhs_number=nhs_number(patient),
        address_lines=tuple(line for address in addresses for line in _street(address)),
        postcode=next(filter(None, postcodes), None),
    )


def _parts_of(name: Element) -> tuple[list[str], list[str]]:
    given, family = _texts(name.get("given")), _texts(name.get("family"))
    if not given and not family:
        # Some systems keep the whole name in one text, the surname last.
        *given, last = text_of(name.get("text")).split() or [""]
        family = [last] if last else []
    return given, family


def _street(address: Element) -> Iterator[str]:
    """Give the lines of an address without the town and the county.

    PDS has no element for the town: of its five lines the fourth is the town, the fifth the
    county, and blank ones are kept.
    """
    lines = address.get("line")
    written = [text_of(each) for each in lines] if isinstance(lines, list) else _texts(lines)
    if not text_of(address.get("city")) and len(written) == 5:
        written = written[:3]
    elsewhere = {
        text_of(address.get(name)).casefold() for name in ("city", "district", "state", "country")
    }
    yield from (line for line in written if line and line.casefold() not in elsewhere)


def _texts(value: object) -> list[str]:
    listed = value if isinstance(value, list) else [value]
    return [text_of(each) for each in listed if text_of(each)]
