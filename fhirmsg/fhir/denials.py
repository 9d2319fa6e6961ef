"""An individual's "no", remembered as a FHIR R4 Consent that denies one proxy one service.

https://hl7.org/fhir/R4/consent.html. It is written so that any reader of Consents, ours among
them, takes it for a denial of that person and for nothing else: the root denies, and the person
is its actor. It says nothing about messages to the patient.
"""

from __future__ import annotations

import logging
from urllib.parse import quote
from uuid import UUID, uuid5

from fhirmsg.errors import RecordUnavailable
from fhirmsg.fhir import codes
from fhirmsg.fhir.client import FhirClient, Resource
from fhirmsg.fhir.communication import LABEL_RESTRICTED, instant, person_reference
from fhirmsg.fhir.resources import InvalidResource, validated
from fhirmsg.guidance.wording.identifiers import has_valid_check_digit
from fhirmsg.ports import Declined

log = logging.getLogger("fhirmsg.record")

# Fixed for ever: by it the same "no" is found again.
_NAMESPACE = UUID("0f0a4c8e-5d0b-5f5c-9d0e-3f6b7a1c2d48")
_POLICY = f"{codes.OWN}policy/individual-check"


def denial(declined: Declined) -> Resource:
    """Give the Consent."""
    return {
        "resourceType": "Consent",
        "meta": {"security": [LABEL_RESTRICTED]},
        "extension": [_asked(declined)],
        "identifier": [{"system": codes.INDIVIDUAL_CHECK, "value": _key(declined)}],
        "status": "active",
        "scope": {
            "coding": [{"system": codes.CONSENT_SCOPE_AS_WRITTEN, "code": "patient-privacy"}]
        },
        "category": [{"coding": [{"system": codes.ACT_CODE_AS_WRITTEN, "code": "IDSCL"}]}],
        "patient": {"reference": declined.patient},
        "dateTime": instant(declined.at),
        "performer": [{"reference": declined.patient}],
        "policy": [{"uri": _POLICY}],
        "provision": {
            "type": "deny",
            "actor": [
                {
                    "role": {
                        "coding": [{"system": codes.PARTICIPATION_TYPE_AS_WRITTEN, "code": "IRCP"}]
                    },
                    "reference": _proxy(declined),
                }
            ],
            "class": [{"system": "http://hl7.org/fhir/resource-types", "code": "Communication"}],
            "code": [{"coding": _service(declined.service)}],
        },
    }


def _asked(declined: Declined) -> Resource:
    parts: list[Resource] = [{"url": "at", "valueDateTime": instant(declined.at)}]
    if declined.by is not None:
        parts.append({"url": "by", "valueReference": person_reference(declined.by)})
    return {"url": codes.own_extension("individual-check"), "extension": parts}


def _proxy(declined: Declined) -> Resource:
    reference: Resource = {"reference": declined.proxy}
    numbers = {key.rpartition("|")[2] for key in declined.proxy_keys if codes.is_nhs_number(key)}
    number = numbers.pop() if len(numbers) == 1 else ""
    if len(number) == 10 and number.isdecimal() and has_valid_check_digit(number):
        # By the number they are known under every other entry of theirs as well.
        reference["identifier"] = {"system": codes.NHS_NUMBER_AS_WRITTEN, "value": number}
    return reference


def _service(written: str) -> list[Resource]:
    system, bar, code = written.rpartition("|")
    marked = {"system": codes.SERVICE_SYSTEM, "code": code}
    return [{"system": system, "code": code}, marked] if bar else [marked]


def _key(declined: Declined) -> str:
    parts = (declined.patient, declined.proxy, declined.service)
    return str(uuid5(_NAMESPACE, "\n".join(parts)))


def by_check(consent: Resource) -> str:
    """Give the search parameters that find this denial while it is active, percent-encoded."""
    [identifier] = consent["identifier"]
    token = quote(f"{identifier['system']}|{identifier['value']}", safe="")
    return f"identifier={token}&status=active"


def remember(client: FhirClient, declined: Declined) -> bool:
    """Write the Consent unless it is there and active; tell whether it is. Never raises."""
    consent = denial(declined)
    try:
        answer = client.create(validated(consent), if_none_exist=by_check(consent))
        good = answer.good
    except (RecordUnavailable, InvalidResource):
        good = False
    if not good:
        log.error("individual's answer not recorded", extra={"code": "sensitive.declined"})
    return good
