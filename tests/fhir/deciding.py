"""From raw FHIR JSON to a decision, without a server: what a resource does to a message."""

from __future__ import annotations

from typing import Any

from fhirmsg.clock import Deadline
from fhirmsg.fhir.client import FhirClient, FhirServer
from fhirmsg.fhir.people import patient_facts, related_person_facts
from fhirmsg.fhir.reading import Reading
from fhirmsg.guidance.case import Case
from fhirmsg.guidance.decision import decide
from fhirmsg.http import make_session
from tests import builders
from tests.fhir.resources import BASE, a_context, a_related_resource
from tests.world import a_patient_resource

_CLIENT = FhirClient(FhirServer(base_url=BASE), make_session())


def a_case_of(
    *consents: dict[str, Any],
    patient: dict[str, Any] | None = None,
    related: dict[str, Any] | None = None,
    **fields: Any,
) -> Case:
    """Give the case of a text about Amara's appointment: to Ben if he is given, else to her."""
    context = a_context()
    facts = patient_facts(patient or a_patient_resource(), "Patient/amara", context, builders.NOW)
    recipient = builders.to_patient(facts)
    if related is not None:
        recipient = builders.to_proxy(related_person_facts(related, context))
    reading = Reading(client=_CLIENT, deadline=Deadline(5), context=context)
    read = reading.consents(list(consents), context)
    gaps = tuple(reading.gaps)
    return builders.a_case(
        **{"patient": facts, "recipient": recipient, "consents": read, "gaps": gaps, **fields}
    )


# What is said beside the point of a short example, and keeps no message back.
_BESIDE = {
    "objection.no-reason",
    "proxy.capacity-unrecorded",
    "proxy.ends-soon",
    "proxy.no-end",
    "proxy.unnecessary",
}


def to_amara(*consents: dict[str, Any], **fields: Any) -> set[str]:
    """Give the codes of what is found when Amara herself is to get the message."""
    return builders.codes_of(a_case_of(*consents, **fields)) - _BESIDE


def to_ben(*consents: dict[str, Any], **fields: Any) -> set[str]:
    """Give the codes of what is found when Ben is to get the message."""
    case = a_case_of(*consents, **{"related": a_related_resource(), **fields})
    return builders.codes_of(case) - _BESIDE


def sends(case: Case) -> bool:
    """Tell whether the message would go."""
    return str(decide(case).verdict) == "send"
