"""The real parts around a FHIR server of the tests: client, reader, log, messenger, outbox."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import requests

from fhirmsg.answers import Answer
from fhirmsg.calls import Call, Times, message_id_for
from fhirmsg.fhir.client import FhirClient, FhirServer
from fhirmsg.fhir.log import FhirCommunicationLog
from fhirmsg.fhir.reader import FhirRecordReader
from fhirmsg.http import make_session
from fhirmsg.messenger import Messenger
from fhirmsg.ports import CommunicationLog, Provider
from fhirmsg.providers.outbox import Outbox
from tests import builders

FHIR_JSON = {"Content-Type": "application/fhir+json", "Accept": "application/fhir+json"}
PATIENT = "Patient/amara"
# Since when contact points are in use: without a start nobody would have confirmed them.
SINCE = {"start": "2025-01-01"}
KEY = b"a key of the tests, not a secret"


def put(base: str, *resources: dict[str, Any]) -> None:
    """Put resources with their own ids on a server, in this order."""
    for resource in resources:
        url = f"{base}/{resource['resourceType']}/{resource['id']}"
        answer = requests.put(url, json=resource, headers=FHIR_JSON, timeout=30)
        assert answer.ok, answer.text


def communications(base: str, patient: str = PATIENT) -> list[dict[str, Any]]:
    """Give every Communication about a patient, read fresh."""
    answer = requests.get(
        f"{base}/Communication?subject={patient}&_count=200",
        headers={"Cache-Control": "no-cache"},
        timeout=30,
    )
    return [entry["resource"] for entry in answer.json().get("entry", [])]


def a_patient_resource(**changes: Any) -> dict[str, Any]:
    """Give a Patient with a mobile number and an email address."""
    return {
        "resourceType": "Patient",
        "id": "amara",
        "identifier": [{"system": builders.NHS_NUMBER, "value": "9990000018"}],
        "birthDate": "1984-03-02",
        "telecom": [
            {"system": "phone", "use": "mobile", "value": "07700 900123", "period": SINCE},
            {"system": "email", "value": "amara@example.com", "period": SINCE},
        ],
        **changes,
    }


def an_objection_resource(
    id: str = "objection", *channels: str, patient: str = PATIENT, **changes: Any
) -> dict[str, Any]:
    """Give an objection to these channels (sms when none is named), with a reason."""
    return {
        "resourceType": "Consent",
        "id": id,
        "status": "active",
        "extension": [
            {
                "url": "https://fhirmsg.example/StructureDefinition/objection-reason",
                "valueCodeableConcept": {"text": "Somebody else picks up that phone"},
            }
        ],
        "scope": {
            "coding": [
                {
                    "system": "http://terminology.hl7.org/CodeSystem/consentscope",
                    "code": "patient-privacy",
                }
            ]
        },
        "category": [
            {
                "coding": [
                    {
                        "system": "https://fhirmsg.example/CodeSystem/consent-category",
                        "code": "message-objection",
                    }
                ]
            }
        ],
        "patient": {"reference": patient},
        "policy": [{"uri": "https://fhirmsg.example/policy/right-to-object"}],
        "provision": {
            "type": "deny",
            "code": [
                {
                    "coding": [
                        {"system": "https://fhirmsg.example/CodeSystem/channel", "code": channel}
                    ]
                }
                for channel in channels or ("sms",)
            ],
        },
        **changes,
    }


@dataclass
class World:
    """One adapter in this process before a FHIR server of the tests."""

    base: str
    provider: Provider | None = None
    log: CommunicationLog | None = None
    times: Times = field(default_factory=Times)
    pause: Callable[[float], None] = time.sleep

    def __post_init__(self) -> None:
        """Compose the parts; the outbox stays in memory."""
        self.client = FhirClient(FhirServer(base_url=self.base), make_session())
        self.outbox = Outbox(None)
        self.real_log = FhirCommunicationLog(self.client)
        self.messenger = Messenger(
            reader=FhirRecordReader(self.client, contact_key=KEY),
            log=self.log or self.real_log,
            providers={"outbox": self.provider or self.outbox},
            record_key=KEY,
            times=self.times,
            pause=self.pause,
        )

    def call(self, key: str | None = None, **request: Any) -> Call:
        """Give a call about the patient of this module."""
        asked = builders.a_request(
            **{"patient": PATIENT, "recipient": request.get("patient", PATIENT), **request}
        )
        return Call(
            request=asked,
            policy=builders.a_policy(),
            message_id=message_id_for("tests", key or str(uuid4())),
        )

    def send(self, key: str | None = None, **request: Any) -> Answer:
        """Send once."""
        return self.messenger.send(self.call(key, **request))


def codes(answer: Answer) -> list[str]:
    """Give the codes of an answer's findings."""
    assert answer.decision is not None
    return [finding.code for finding in answer.decision.findings]
