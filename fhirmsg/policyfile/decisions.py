"""What an organisation has decided on people, content, devices, links and services."""

from __future__ import annotations

import re
from collections.abc import Mapping

from fhirmsg.fhir import codes
from fhirmsg.guidance.coding import service_token
from fhirmsg.guidance.record import Basis
from fhirmsg.guidance.rule import Card, Lift
from fhirmsg.guidance.rules import RULES
from fhirmsg.guidance.terms import Channel, Device, Purpose, Role
from fhirmsg.policyfile import keys
from fhirmsg.policyfile.values import CHANNELS
from fhirmsg.yamlfile import Section, number_in, shown

# Grounds outside the guidance's three that an organisation may decide to accept.
ACCEPTABLE_BASES = codes.STANDING_ROLES | {
    code for code, basis in codes.PROXY_BASES.items() if basis is Basis.UNLISTED
}

# Where a mistake exposes somebody to another person, unless the organisation decides otherwise.
REVIEWED_BY_DEFAULT: Mapping[str, frozenset[str]] = {
    "sensitive.proxy": frozenset({Role.CALDICOTT_GUARDIAN.value}),
    "objection.safety-by-proxy": frozenset({Role.CALDICOTT_GUARDIAN.value}),
}

_PURPOSES = {purpose.value: purpose for purpose in Purpose}
_DEFAULT_HOSTS = frozenset({"nhs.uk"})
# Two labels at least: a single one would let in all of what lies below it.
_HOST = re.compile(r"(?=.{1,253}\Z)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]*[a-z0-9]")


def review_by_code(roles: Section) -> dict[str, frozenset[str]]:
    """Read `review_by_code`: for a finding the only roles that may review it."""
    cards = {rule.card.code: rule.card for rule in RULES}
    section = roles.section("review_by_code", cards, required=False)
    found = dict(REVIEWED_BY_DEFAULT)
    for code in section:
        names = section.texts(
            code, what="list the roles that may review it", required=True, some=True
        )
        if code in cards:
            found[code] = frozenset(names)
            _check_reviewable(cards[code], section)
    return found


def _check_reviewable(card: Card, section: Section) -> None:
    if Lift.REVIEW not in card.lifted_by:
        lifts = ", ".join(card.lifted_by) or "nothing"
        section.fault(
            card.code, f"is not lifted by a review, but by {lifts}, so this would do nothing"
        )


def forbidden_content(top: Section) -> frozenset[tuple[Purpose, Channel]]:
    """Read `content_matrix`: channels on which messages of a purpose may not go."""
    matrix = top.section("content_matrix", _PURPOSES, required=False)
    found = set()
    for name in matrix:
        row = matrix.section(name, CHANNELS, required=True)
        for channel in row:
            word = row.text(channel, what="write forbidden, or leave the channel out")
            if word and word != "forbidden":
                row.fault(channel, f"is {shown(word)}; write forbidden, or leave the channel out")
            elif name in _PURPOSES and channel in CHANNELS:
                found.add((_PURPOSES[name], CHANNELS[channel]))
    return frozenset(found)


def acceptable_bases(proxies: Section) -> frozenset[str]:
    """Read `accept_unlisted_bases`."""
    what = "list codes of grounds that the organisation accepts, or []"
    found = proxies.texts("accept_unlisted_bases", what=what, required=False)
    for code in found:
        if code not in ACCEPTABLE_BASES:
            proxies.fault(
                "accept_unlisted_bases",
                f"{shown(code)} is not one of {', '.join(sorted(ACCEPTABLE_BASES))}",
            )
    return frozenset(found)


def review_ages(proxies: Section) -> tuple[int, ...]:
    """Read `parental_review_ages`, in ascending order."""
    key, what = "parental_review_ages", "list ages in whole years from 0 to 16, for example [13]"
    if key not in proxies:
        return (13,)
    ages = set()
    for text in proxies.texts(key, what=what, required=True):
        number = number_in(text)
        if number is None or not number.is_integer() or not 0 <= number <= 16:
            proxies.fault(key, f"{shown(text)} is not such an age; {what}")
        else:
            ages.add(int(number))
    return tuple(sorted(ages))


def devices(top: Section) -> frozenset[Device]:
    """Read `devices`; those of the organisation itself may always be used."""
    section = top.section("devices", keys.DEVICES, required=False)
    allowed = {Device(key) for key in keys.DEVICES if section.flag(key, default=False)}
    return frozenset({Device.ORGANISATION, *allowed})


def link_hosts(top: Section) -> frozenset[str]:
    """Read `links.hosts`: host names in small letters; each stands for what lies below it too."""
    links = top.section("links", keys.LINKS, required=False)
    if "hosts" not in links:
        return _DEFAULT_HOSTS
    what = "list host names, for example [nhs.uk], or []"
    found = [host.lower() for host in links.texts("hosts", what=what, required=True)]
    for host in found:
        if why := _why_no_host(host):
            links.fault("hosts", f"{shown(host)} {why}")
    return frozenset(found)


def _why_no_host(host: str) -> str | None:
    if _HOST.fullmatch(host):
        return None
    if not host.isascii():
        return "is not in ASCII; write it as it is registered, each such part beginning with xn--"
    if "*" in host:
        return "is a wildcard; write the host alone, those below it are included"
    if "/" in host or "@" in host or "?" in host:
        return "is an address; write the host in it alone"
    if ":" in host:
        return "has a port; write the host alone"
    return "is not a host name; write one as example.nhs.uk"


def sensitive_services(top: Section) -> frozenset[str]:
    """Read `sensitive_services`, in the form in which services are compared."""
    what = "list {system, code} pairs, or []"
    found = set()
    for path, value in top.items("sensitive_services", what=what, required=False):
        pair = Section(value, path, top.faults, keys=keys.SERVICE)
        system = pair.text("system", what="write the URI of the code system")
        code = pair.text("code", what="write the code of the service")
        if system and ":" not in system:
            pair.fault("system", f"is {shown(system)}; write the URI of the code system")
        if "|" in code:
            pair.fault("code", "holds a bar; write the system and the code apart")
        found.add(service_token(system, code))
    return frozenset(found)
