"""Put personas on any R4 server, and take them and everything about them off again.

Everything put on a server carries our tag; nothing without it is touched, except what fhirmsg
itself wrote about a persona.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from urllib.parse import quote

from fhirmsg.clock import Deadline
from fhirmsg.demo.personas import Persona
from fhirmsg.errors import FhirmsgError
from fhirmsg.fhir import codes
from fhirmsg.fhir.client import FhirClient, FhirServer, Resource
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
    patients = list(_tagged(client, "Patient"))
    for patient in patients:
        count += _delete_record(client, patient["id"])
    # Whatever names others goes before what it names; a Consent may name a relative.
    for kind in ("Consent", "RelatedPerson", "Patient"):
        found = patients if kind == "Patient" else list(_tagged(client, kind))
        for resource in found:
            count += _delete(client, f"{kind}/{resource['id']}")
    return count


def _delete_record(client: FhirClient, patient_id: str) -> int:
    """Delete what fhirmsg wrote about a persona: entries, tasks and what vouches for them."""
    count = 0
    entries = list(_search(client, "Communication", f"subject=Patient/{patient_id}"))
    for task in _search(client, "Task", f"patient=Patient/{patient_id}"):
        count += _delete(client, f"Task/{task['id']}")
    for entry in entries:
        target = f"target=Communication/{entry['id']}"
        for provenance in list(_search(client, "Provenance", target)):
            count += _delete(client, f"Provenance/{provenance['id']}")
        count += _delete(client, f"Communication/{entry['id']}")
    return count


def _tagged(client: FhirClient, kind: str) -> Iterator[Resource]:
    yield from _search(client, kind, f"_tag={_TAG}")


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
