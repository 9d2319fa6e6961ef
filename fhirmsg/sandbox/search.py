"""The search parameters of the store, as a table to be checked line by line.

Each line is one parameter: its name, its kind, the path below the resource, and for a
reference the types that may stand there (no types: any). `only()` keeps those of the values
that point to one type, or the contact points of one system. Alternatives are set apart by
" | ". Left out are `phonetic` and the `deceased` of a Patient, which are no plain paths.

Source: https://hl7.org/fhir/R4/searchparameter-registry.html, and section 3.1.1.4 of
https://hl7.org/fhir/R4/search.html for those that every type has.
"""

from __future__ import annotations

from .parameters import Parameter, date, only, reference, string, token, uri

_ACTORS = "Device Organization Patient Practitioner PractitionerRole RelatedPerson"
_OWNERS = f"{_ACTORS} CareTeam HealthcareService"
_RECIPIENTS = f"{_OWNERS} Group"
_SENDERS = f"{_ACTORS} HealthcareService"

_ADDRESS = (
    string("address", "address"),
    string("address-city", "address.city"),
    string("address-country", "address.country"),
    string("address-postalcode", "address.postalCode"),
    string("address-state", "address.state"),
    token("address-use", "address.use"),
)
_CONTACT = (
    token("telecom", "telecom"),
    only("email", token("email", "telecom")),
    only("phone", token("phone", "telecom")),
)
_PERSON = (
    token("active", "active"),
    token("identifier", "identifier"),
    token("gender", "gender"),
    string("name", "name"),
    *_ADDRESS,
    *_CONTACT,
)
_SUBJECT = (
    reference("subject", "subject", "Group Patient"),
    only("Patient", reference("patient", "subject")),
)

EVERY_TYPE = (
    token("_tag", "meta.tag"),
    token("_security", "meta.security"),
    uri("_profile", "meta.profile"),
    uri("_source", "meta.source"),
)
"""What every type has, besides `_id` and `_lastUpdated`, which need no index."""

OF_OTHER_TYPES = (token("identifier", "identifier"),)
"""What a type has that the table below does not name."""

OF_TYPE: dict[str, tuple[Parameter, ...]] = {
    "Patient": (
        *_PERSON,
        date("birthdate", "birthDate"),
        date("death-date", "deceasedDateTime"),
        string("family", "name.family"),
        string("given", "name.given"),
        token("language", "communication.language"),
        reference(
            "general-practitioner",
            "generalPractitioner",
            "Organization Practitioner PractitionerRole",
        ),
        reference("link", "link.other", "Patient RelatedPerson"),
        reference("organization", "managingOrganization", "Organization"),
    ),
    "RelatedPerson": (
        *_PERSON,
        date("birthdate", "birthDate"),
        token("relationship", "relationship"),
        reference("patient", "patient", "Patient"),
    ),
    "Consent": (
        token("action", "provision.action"),
        reference("actor", "provision.actor.reference", f"{_ACTORS} CareTeam Group"),
        token("category", "category"),
        reference(
            "consentor",
            "performer",
            "Organization Patient Practitioner PractitionerRole RelatedPerson",
        ),
        reference("data", "provision.data.reference"),
        date("date", "dateTime"),
        token("identifier", "identifier"),
        reference("organization", "organization", "Organization"),
        reference("patient", "patient", "Patient"),
        date("period", "provision.period"),
        token("purpose", "provision.purpose"),
        token("scope", "scope"),
        token("security-label", "provision.securityLabel"),
        reference(
            "source-reference",
            "sourceReference",
            "Consent Contract DocumentReference QuestionnaireResponse",
        ),
        token("status", "status"),
    ),
    "Communication": (
        *_SUBJECT,
        reference("based-on", "basedOn"),
        token("category", "category"),
        reference("encounter", "encounter", "Encounter"),
        token("identifier", "identifier"),
        uri("instantiates-canonical", "instantiatesCanonical"),
        uri("instantiates-uri", "instantiatesUri"),
        token("medium", "medium"),
        reference("part-of", "partOf"),
        date("received", "received"),
        reference("recipient", "recipient", _RECIPIENTS),
        reference("sender", "sender", _SENDERS),
        date("sent", "sent"),
        token("status", "status"),
    ),
    "CommunicationRequest": (
        *_SUBJECT,
        date("authored", "authoredOn"),
        reference("based-on", "basedOn"),
        token("category", "category"),
        reference("encounter", "encounter", "Encounter"),
        token("group-identifier", "groupIdentifier"),
        token("identifier", "identifier"),
        token("medium", "medium"),
        date("occurrence", "occurrenceDateTime"),
        token("priority", "priority"),
        reference("recipient", "recipient", _RECIPIENTS),
        reference("replaces", "replaces", "CommunicationRequest"),
        reference("requester", "requester", _ACTORS),
        reference("sender", "sender", _SENDERS),
        token("status", "status"),
    ),
    "Task": (
        date("authored-on", "authoredOn"),
        reference("based-on", "basedOn"),
        token("business-status", "businessStatus"),
        token("code", "code"),
        reference("encounter", "encounter", "Encounter"),
        reference("focus", "focus"),
        token("group-identifier", "groupIdentifier"),
        token("identifier", "identifier"),
        token("intent", "intent"),
        date("modified", "lastModified"),
        reference("owner", "owner", _OWNERS),
        reference("part-of", "partOf", "Task"),
        only("Patient", reference("patient", "for")),
        token("performer", "performerType"),
        date("period", "executionPeriod"),
        token("priority", "priority"),
        reference("requester", "requester", _ACTORS),
        token("status", "status"),
        reference("subject", "for"),
    ),
    "Flag": (
        reference("author", "author", "Device Organization Patient Practitioner PractitionerRole"),
        date("date", "period"),
        reference("encounter", "encounter", "Encounter"),
        token("identifier", "identifier"),
        only("Patient", reference("patient", "subject")),
        reference(
            "subject",
            "subject",
            "Group Location Medication Organization Patient PlanDefinition Practitioner Procedure",
        ),
    ),
    "Appointment": (
        reference(
            "actor",
            "participant.actor",
            "Device HealthcareService Location Patient Practitioner PractitionerRole RelatedPerson",
        ),
        token("appointment-type", "appointmentType"),
        reference("based-on", "basedOn", "ServiceRequest"),
        date("date", "start"),
        token("identifier", "identifier"),
        only("Location", reference("location", "participant.actor")),
        token("part-status", "participant.status"),
        only("Patient", reference("patient", "participant.actor")),
        only("Practitioner", reference("practitioner", "participant.actor")),
        token("reason-code", "reasonCode"),
        reference(
            "reason-reference",
            "reasonReference",
            "Condition ImmunizationRecommendation Observation Procedure",
        ),
        token("service-category", "serviceCategory"),
        token("service-type", "serviceType"),
        reference("slot", "slot", "Slot"),
        token("specialty", "specialty"),
        token("status", "status"),
        reference("supporting-info", "supportingInformation"),
    ),
    "ServiceRequest": (
        date("authored", "authoredOn"),
        reference("based-on", "basedOn", "CarePlan MedicationRequest ServiceRequest"),
        token("body-site", "bodySite"),
        token("category", "category"),
        token("code", "code"),
        reference("encounter", "encounter", "Encounter"),
        token("identifier", "identifier"),
        uri("instantiates-canonical", "instantiatesCanonical"),
        uri("instantiates-uri", "instantiatesUri"),
        token("intent", "intent"),
        date("occurrence", "occurrenceDateTime | occurrencePeriod"),
        only("Patient", reference("patient", "subject")),
        reference("performer", "performer", _OWNERS),
        token("performer-type", "performerType"),
        token("priority", "priority"),
        reference("replaces", "replaces", "ServiceRequest"),
        reference("requester", "requester", _ACTORS),
        token("requisition", "requisition"),
        reference("specimen", "specimen", "Specimen"),
        token("status", "status"),
        reference("subject", "subject", "Device Group Location Patient"),
    ),
    "Organization": (
        token("active", "active"),
        *_ADDRESS,
        reference("endpoint", "endpoint", "Endpoint"),
        token("identifier", "identifier"),
        string("name", "name | alias"),
        reference("partof", "partOf", "Organization"),
        token("type", "type"),
    ),
    "Practitioner": (
        *_PERSON,
        token("communication", "communication"),
        string("family", "name.family"),
        string("given", "name.given"),
    ),
    "PractitionerRole": (
        *_CONTACT,
        token("active", "active"),
        date("date", "period"),
        reference("endpoint", "endpoint", "Endpoint"),
        token("identifier", "identifier"),
        reference("location", "location", "Location"),
        reference("organization", "organization", "Organization"),
        reference("practitioner", "practitioner", "Practitioner"),
        token("role", "code"),
        reference("service", "healthcareService", "HealthcareService"),
        token("specialty", "specialty"),
    ),
    "AuditEvent": (
        token("action", "action"),
        string("address", "agent.network.address"),
        reference("agent", "agent.who", _ACTORS),
        string("agent-name", "agent.name"),
        token("agent-role", "agent.role"),
        token("altid", "agent.altId"),
        date("date", "recorded"),
        reference("entity", "entity.what"),
        string("entity-name", "entity.name"),
        token("entity-role", "entity.role"),
        token("entity-type", "entity.type"),
        token("outcome", "outcome"),
        only("Patient", reference("patient", "agent.who | entity.what")),
        uri("policy", "agent.policy"),
        token("site", "source.site"),
        reference("source", "source.observer", _ACTORS),
        token("subtype", "subtype"),
        token("type", "type"),
    ),
    "Provenance": (
        reference("agent", "agent.who", _ACTORS),
        token("agent-role", "agent.role"),
        token("agent-type", "agent.type"),
        reference("entity", "entity.what"),
        reference("location", "location", "Location"),
        only("Patient", reference("patient", "target")),
        date("recorded", "recorded"),
        token("signature-type", "signature.type"),
        reference("target", "target"),
        date("when", "occurredDateTime"),
    ),
}


def parameters_of(resource_type: str) -> dict[str, Parameter]:
    """The indexed search parameters of one type of resource, by name."""
    return _BY_NAME.get(resource_type, _BY_NAME_OTHERWISE)


def _by_name(parameters: tuple[Parameter, ...]) -> dict[str, Parameter]:
    return {parameter.name: parameter for parameter in (*EVERY_TYPE, *parameters)}


_BY_NAME = {resource_type: _by_name(parameters) for resource_type, parameters in OF_TYPE.items()}
_BY_NAME_OTHERWISE = _by_name(OF_OTHER_TYPES)
