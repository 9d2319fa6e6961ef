"""The FHIR server, tried with fictional resources that are taken off again.

They are about nobody, carry a tag of ours and say that they are fictional. Nothing is sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import quote
from uuid import uuid4

from fhirmsg.clock import Deadline
from fhirmsg.doctor.lines import Line, fault, not_tried, ok, warning
from fhirmsg.doctor.looking import APART_SECONDS
from fhirmsg.errors import RecordUnavailable
from fhirmsg.fhir import codes
from fhirmsg.fhir.client import FhirAnswer, FhirClient, Resource
from fhirmsg.fhir.communication import instant
from fhirmsg.fhir.elements import element, elements, instant_of, text_of

DOCTOR = f"{codes.OWN}Id/doctor"
_TAG = {"system": codes.own_system("tag"), "code": "doctor", "display": "Fictional: of a trial"}
_LOST = (409, 412)
_FICTIONAL = "Fictional: made by fhirmsg doctor, to be removed"

NOT_TRIED = not_tried(
    "writes",
    "conditional create, If-Match, freshness of searches, transactions and AuditEvent were not "
    "tried; `fhirmsg doctor --write` tries them with fictional resources and takes them off again",
)


@dataclass(kw_only=True)
class _Trial:
    """One trial: what it goes by, and what it made, in order."""

    client: FhirClient
    now: Callable[[], datetime]
    mark: str = field(default_factory=lambda: str(uuid4()))
    made: list[str] = field(default_factory=list)
    patient: str | None = None

    @property
    def by_mark(self) -> str:
        return "identifier=" + quote(f"{DOCTOR}|{self.mark}", safe="")

    def keep(self, answer: FhirAnswer) -> str | None:
        """Note what an answer says was made; gives its reference."""
        resource = element(answer.resource)
        kind, id_ = text_of(resource.get("resourceType")), text_of(resource.get("id"))
        if not answer.good or not id_ or kind == "OperationOutcome":
            return None
        reference = f"{kind}/{id_}"
        if reference not in self.made:
            self.made.append(reference)
        return reference

    def resource(self, kind: str, **elements: object) -> Resource:
        return {"resourceType": kind, "meta": {"tag": [_TAG]}, **elements}

    def communication(self) -> Resource:
        found = self.resource(
            "Communication",
            identifier=[{"system": DOCTOR, "value": self.mark}],
            status="in-progress",
            note=[{"text": _FICTIONAL}],
        )
        return {**found, "subject": {"reference": self.patient}} if self.patient else found


def write_lines(client: FhirClient, now: Callable[[], datetime]) -> Iterator[Line]:
    """Try every kind of write that is made, and remove what was made."""
    trial = _Trial(client=client, now=now)
    try:
        yield from _tried(trial)
    except RecordUnavailable as error:
        yield fault("writes", str(error), "Messages cannot be recorded until it answers.")
    finally:
        lines = list(_removed(trial))
    yield from lines


def _tried(trial: _Trial) -> Iterator[Line]:
    search = f"Communication?{trial.by_mark}"
    # Looked for before it is there: a server that remembers searches would go on to find nothing.
    trial.client.read(search)
    _batch(trial, search)
    yield _patient(trial)
    first = trial.client.create(trial.communication(), if_none_exist=trial.by_mark)
    reference = trial.keep(first)
    if reference is None:
        yield fault(
            "Communication create",
            f"the server answered {first.status}, so no message can be recorded and none is sent",
            "Have this service allowed to create Communications.",
        )
        return
    yield _clocks(first)
    yield from _fresh(trial, search)
    yield _conditional(trial, reference)
    yield from _versions(trial, reference, element(first.resource))
    yield from _together(trial, reference)
    yield _audit(trial)


def _batch(trial: _Trial, search: str) -> int:
    deadline = Deadline(trial.client.server.call_deadline)
    _, [answer] = trial.client.batch([search], deadline=deadline)
    return len(_matches(answer))


def _matches(answer: FhirAnswer) -> list[Resource]:
    found = (
        element(each.get("resource")) for each in elements((answer.resource or {}).get("entry"))
    )
    return [each for each in found if each.get("resourceType") == "Communication"]


def _patient(trial: _Trial) -> Line:
    resource = trial.resource(
        "Patient",
        identifier=[{"system": DOCTOR, "value": trial.mark}],
        active=False,
        name=[{"text": _FICTIONAL}],
    )
    answer = trial.client.create(resource)
    trial.patient = trial.keep(answer)
    if trial.patient is None:
        return not_tried(
            "fictional Patient",
            f"the server answered {answer.status}; the trial went on without one, which is no harm",
        )
    return ok("fictional Patient", "created")


def _clocks(created: FhirAnswer) -> Line:
    about = "clocks of the server"
    meta = element(element(created.resource).get("meta"))
    changed = instant_of(text_of(meta.get("lastUpdated")) or None)
    advice = "Have its Date and meta.lastUpdated come from the same clock."
    without = "a message that a crash interrupted is never taken over"
    if created.date is None or changed is None:
        text = f"an answer lacks Date or meta.lastUpdated, so {without}"
        return fault(about, text, advice)
    apart = abs(created.date - changed.timestamp())
    if apart > APART_SECONDS:
        text = f"Date and meta.lastUpdated are {apart:.0f} seconds apart, so {without}"
        return fault(about, text, advice)
    return ok(about, "Date and meta.lastUpdated agree")


def _fresh(trial: _Trial, search: str) -> Iterator[Line]:
    advice = "Without that a new objection is missed; have the server heed Cache-Control: no-cache."
    for about, seen in (
        ("fresh search", len(_matches(trial.client.read(search)))),
        ("fresh search in a batch", _batch(trial, search)),
    ):
        if seen == 1:
            yield ok(about, "what was just written is found")
        else:
            yield fault(about, f"what was just written was found {seen} times", advice)


def _conditional(trial: _Trial, reference: str) -> Line:
    about = "conditional create"
    again = trial.client.create(trial.communication(), if_none_exist=trial.by_mark)
    made = trial.keep(again)
    if again.status == 200 and made == reference:
        return ok(about, "a second create found the first")
    return fault(
        about,
        f"a second create under the same identifier answered {again.status}"
        + (" and made another one" if made not in (None, reference) else ""),
        "Messages could be sent twice; have the server heed If-None-Exist.",
    )


def _versions(trial: _Trial, reference: str, created: Resource) -> Iterator[Line]:
    about = "version-checked update"
    version = text_of(element(created.get("meta")).get("versionId"))
    changed = {**trial.communication(), "id": reference.partition("/")[2], "status": "unknown"}
    first = trial.client.update(changed, version_id=version)
    if not first.good:
        yield fault(
            about,
            f"the server answered {first.status} to an update of the version it had given",
            "No message can be completed on the record; have If-Match supported.",
        )
        return
    again = trial.client.update({**changed, "status": "stopped"}, version_id=version)
    if again.status in _LOST:
        yield ok(about, "a stale version was refused")
    else:
        yield fault(
            about,
            f"the server answered {again.status} to an update of a stale version",
            "Two processes could both send a message; have the server heed If-Match.",
        )


def _together(trial: _Trial, reference: str) -> Iterator[Line]:
    about = "writes in a transaction"
    recorded = instant(trial.now())
    beside = trial.resource(
        "Provenance",
        target=[{"reference": reference}],
        recorded=recorded,
        agent=[{"who": {"display": "fhirmsg doctor"}}],
    )
    entries = [
        {"resource": beside, "request": {"method": "POST", "url": "Provenance"}},
        {
            "resource": _event(trial),
            "request": {"method": "POST", "url": "AuditEvent"},
        },
    ]
    advice = "Entry, Provenance and AuditEvent are then written one after the other."
    outer, inner = trial.client.transaction(entries)
    if not outer.good:
        yield warning(about, f"the server answered {outer.status}", advice)
        yield _alone(trial, beside)
        return
    for kind, each in zip(("Provenance", "AuditEvent"), inner, strict=True):
        if trial.keep(each) is None and each.good:
            _keep_location(trial, kind, each)
    if all(each.good for each in inner):
        yield ok(about, "Provenance and AuditEvent were written together")
    else:
        yield warning(about, "not every entry of it was written", advice)


def _keep_location(trial: _Trial, kind: str, answer: FhirAnswer) -> None:
    """Note what was made by its address, where the server shows no more of it."""
    steps = (answer.location or "").split("/")
    if kind in steps[:-1]:
        trial.made.append(f"{kind}/{steps[steps.index(kind) + 1]}")


def _alone(trial: _Trial, beside: Resource) -> Line:
    answer = trial.client.create(beside)
    if trial.keep(answer) is not None:
        return ok("Provenance create", "created by itself")
    return fault(
        "Provenance create",
        f"the server answered {answer.status}",
        "Overrides, emergencies and reviews cannot be put on record; have it allowed.",
    )


def _event(trial: _Trial) -> Resource:
    return trial.resource(
        "AuditEvent",
        type={"system": codes.DCM, "code": "110100"},
        action="E",
        recorded=instant(trial.now()),
        outcome="0",
        agent=[{"who": {"display": "fhirmsg doctor"}, "requestor": True}],
        source={"observer": {"display": "fhirmsg"}},
        entity=[{"name": trial.mark, "description": _FICTIONAL}],
    )


def _audit(trial: _Trial) -> Line:
    answer = trial.client.create(_event(trial))
    if trial.keep(answer) is not None:
        return ok("AuditEvent create", "created")
    return warning(
        "AuditEvent create",
        f"the server answered {answer.status}",
        "Name a file in FHIRMSG_DECISION_LOG, or have the server take AuditEvents.",
    )


def _removed(trial: _Trial) -> Iterator[Line]:
    """Take everything off again, what answers got lost about included."""
    for kind in ("Communication", "Patient"):
        try:
            found = trial.client.read(f"{kind}?{trial.by_mark}")
        except RecordUnavailable:
            continue
        for each in elements((found.resource or {}).get("entry")):
            if element(each.get("resource")).get("resourceType") == kind:
                trial.keep(FhirAnswer(status=found.status, resource=element(each["resource"])))
    order = ("AuditEvent", "Provenance", "Communication", "Patient")
    left = []
    for reference in sorted(trial.made, key=lambda each: order.index(each.partition("/")[0])):
        try:
            gone = trial.client.delete(reference)
        except RecordUnavailable:
            left.append(reference)
            continue
        if not gone.good and gone.status not in (404, 410):
            left.append(reference)
    if left:
        yield warning(
            "removal",
            f"{', '.join(left)} could not be removed",
            "They are fictional and tagged as such; remove them by hand where that is possible.",
        )
    else:
        yield ok("removal", f"all {len(trial.made)} fictional resources were removed")
