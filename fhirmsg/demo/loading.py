"""Put personas on any R4 server, and take them and everything about them off again.

Everything put on a server carries our tag; nothing without it is touched, except what fhirmsg
itself wrote about a persona.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

from fhirmsg.clock import Deadline
from fhirmsg.demo.personas import Persona
from fhirmsg.errors import FhirmsgError
from fhirmsg.fhir import codes
from fhirmsg.fhir.client import FhirClient, FhirServer, Resource
from fhirmsg.fhir.elements import element, elements, literal
from fhirmsg.fhir.searching import read_all_pages
from fhirmsg.http import make_session

_TAG = quote(f"{codes.PERSONA_TAG_SYSTEM}|persona", safe="")


class NotLoaded(FhirmsgError):
    """A FHIR server would not take, give or delete a persona's resource."""


def client_for(base_url: str) -> FhirClient:
    """Give a client with a patience that fits a public sandbox."""
    server = FhirServer(base_url=base_url, read_timeout=60.0, call_deadline=90.0)
    return FhirClient(server, make_session())


def load(client: FhirClient, personas: Iterable[Persona]) -> int:
    """Put every persona on the server, one transaction each; gives the number of resources."""
    count = 0
    for persona in personas:
        entries = [
            {
                "resource": resource,
                "request": {"method": "PUT", "url": f"{resource['resourceType']}/{resource['id']}"},
            }
            for resource in persona.resources
        ]
        outer, _ = client.transaction(entries)
        if not outer.good:
            raise NotLoaded(
                f"The FHIR server answered {outer.status} to the persona {persona.name}. "
                "Check that it is an R4 server that lets you write."
            )
        count += len(entries)
    return count


def unload(client: FhirClient) -> int:
    """Take every persona off, and first what was written about them; gives how many went."""
    count = 0
    patients = _tagged(client, "Patient")
    for patient in patients:
        count += _delete_record(client, patient["id"])
    # Whatever names others goes before what it names; a Consent may name a relative.
    for kind in ("Consent", "RelatedPerson", "Patient"):
        found = patients if kind == "Patient" else _tagged(client, kind)
        for resource in found:
            count += _delete(client, f"{kind}/{resource['id']}")
    return count


def _delete_record(client: FhirClient, patient_id: str) -> int:
    """Delete what fhirmsg wrote about a persona: entries, tasks and what vouches for them."""
    count = 0
    patient = f"Patient/{patient_id}"
    entries = _about(client, "Communication", "subject", "subject", patient)
    for event in _search(client, "AuditEvent", f"entity={patient}"):
        named = [element(each.get("what")) for each in elements(event.get("entity"))]
        if patient in {literal(what.get("reference"), client.base) for what in named}:
            count += _delete(client, f"AuditEvent/{event['id']}")
    for task in _about(client, "Task", "patient", "for", patient):
        count += _delete(client, f"Task/{task['id']}")
    for entry in entries:
        target = f"Communication/{entry['id']}"
        for provenance in _about(client, "Provenance", "target", "target", target):
            count += _delete(client, f"Provenance/{provenance['id']}")
        count += _delete(client, f"Communication/{entry['id']}")
    return count


def _tagged(client: FhirClient, kind: str) -> list[Resource]:
    """Give what carries our tag; a server may ignore the filter, so each one is looked at."""
    return [each for each in _search(client, kind, f"_tag={_TAG}") if _has_tag(each)]


def _has_tag(resource: Resource) -> bool:
    return any(
        tag.get("system") == codes.PERSONA_TAG_SYSTEM and tag.get("code") == "persona"
        for tag in elements(element(resource.get("meta")).get("tag"))
    )


def _about(
    client: FhirClient, kind: str, parameter: str, name: str, reference: str
) -> list[Resource]:
    """Give what says in its element `name` that it is about this; the search alone may lie."""
    return [
        each
        for each in _search(client, kind, f"{parameter}={reference}")
        if reference
        in {literal(to.get("reference"), client.base) for to in elements(each.get(name))}
    ]


def _search(client: FhirClient, kind: str, parameters: str) -> list[Resource]:
    deadline = Deadline(300)
    first = client.read(f"{kind}?{parameters}&_count=100", deadline=deadline)
    name = parameters.partition("=")[0]
    found = read_all_pages(client, first, kind=kind, filtered_by=name, deadline=deadline)
    if found.gaps:
        raise NotLoaded(f"{found.gaps[0].sentence}")
    return found.resources


def _delete(client: FhirClient, reference: str) -> int:
    answer = client.delete(reference)
    if not (answer.good or answer.status in (404, 410)):
        kind = reference.partition("/")[0]
        raise NotLoaded(f"The FHIR server answered {answer.status} to deleting a {kind}.")
    return 1
