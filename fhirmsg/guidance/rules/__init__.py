"""Every rule, in the order in which the guidance page speaks of its subject."""

from __future__ import annotations

from fhirmsg.guidance.rule import Rule
from fhirmsg.guidance.rules import (
    confidential,
    emergencies,
    objections,
    people,
    platforms,
    preferences,
    proxies,
    recording,
    scope,
    sensitive_services,
    suspicious,
)

# Raised when what a rule says or does changes; it stands in every decision receipt.
RULES_VERSION = "2026-11-24"

RULES: tuple[Rule, ...] = (
    *people.RULES,
    *scope.RULES,
    *recording.RULES,
    *proxies.RULES,
    *sensitive_services.RULES,
    *preferences.RULES,
    *objections.RULES,
    *confidential.RULES,
    *suspicious.RULES,
    *platforms.RULES,
    *emergencies.RULES,
)

# Headings of the guidance page, as printed and in its order, after the two that precede it.
HEADINGS = (
    people.SECTION,
    scope.SECTION,
    recording.SECTION,
    proxies.SECTION,
    sensitive_services.SECTION,
    preferences.SECTION,
    objections.SECTION,
    "Overriding objections",
    "Objections relating to serious harm",
    confidential.SECTION,
    suspicious.SECTION,
    platforms.SECTION,
    emergencies.SECTION,
)
