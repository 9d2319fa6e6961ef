"""Denials of messages as raw JSON, for the tests of what an objection is and what it is not."""

from __future__ import annotations

from typing import Any

from tests.fhir.resources import MESSAGES, OWN, TERMINOLOGY, a_consent_resource, concept

ACTIVE, UNCLEAR = {"objection.active"}, {"objection.unclear"}
SNOMED, LOINC = "http://snomed.info/sct", "http://loinc.org"
SMS_DECLINED = (SNOMED, "513631000000106")
EMAIL_DECLINED = (SNOMED, "835231000000104")
RESULTS_DECLINED = (SNOMED, "911401000000108")
SMS_GIVEN = (SNOMED, "699237001")
TEXT_PERMISSION = (LOINC, "89057-4")
MARK = concept((f"{OWN}/CodeSystem/consent-category", "message-objection"))


def denying(**provision: Any) -> dict[str, Any]:
    """Give a Consent with a denying root and nothing else that says what it is about."""
    return a_consent_resource(provision={"type": "deny", **provision})


def coded(*codes: tuple[str, str], **changes: Any) -> dict[str, Any]:
    """Give a denial whose category says what it is about."""
    return a_consent_resource(
        **{"category": [concept(*codes)], "provision": {"type": "deny"}, **changes}
    )


def deny(**more: Any) -> dict[str, Any]:
    """Give a provision that denies messages."""
    return {"type": "deny", "class": MESSAGES, **more}


def purpose(code: str) -> dict[str, Any]:
    """Give a v3 purpose of use."""
    return {"system": f"{TERMINOLOGY}/v3-ActReason", "code": code}
