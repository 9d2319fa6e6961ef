"""The FHIR server, looked at without writing anything."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

from fhirmsg.clock import Deadline
from fhirmsg.doctor.lines import Level, Line, fault, not_tried, ok, warning
from fhirmsg.doctor.needed import NEEDS, PROBES, SCOPE_LETTER, SYSTEM, Need
from fhirmsg.errors import FhirmsgError, RecordUnavailable
from fhirmsg.fhir.capability import Capabilities, FhirCapability
from fhirmsg.fhir.client import FhirAnswer, FhirClient
from fhirmsg.fhir.searching import read_all_pages

APART_SECONDS = 5.0
# A fault in one of these leaves nothing else to be looked at.
WITHOUT_A_SERVER = (SERVER, VERSION) = ("FHIR server", "FHIR version")
# Consents and RelatedPersons that no search by patient finds.
_UNLINKED = ("Consent", "RelatedPerson")


def server_lines(
    client: FhirClient, capability: FhirCapability, now: Callable[[], datetime]
) -> Iterator[Line]:
    """Look at everything that can be seen without writing; ends early when nothing answers."""
    try:
        told = capability.ask()
    except RecordUnavailable as error:
        yield fault(SERVER, str(error), "No message can be decided until it answers.")
        return
    if not told.is_r4:
        yield fault(
            VERSION,
            f"the server says {told.fhir_version or 'no version'}, and fhirmsg speaks R4 (4.0.1)",
            "Name the server's R4 base in FHIRMSG_FHIR_BASE_URL.",
        )
        return
    yield ok(VERSION, f"{told.fhir_version}")
    yield from capability_lines(told)
    yield from scope_lines(client)
    yield from probe_lines(client, now)
    yield from unlinked_lines(client)


# --- what it says of itself -----------------------------------------------------------------------


def capability_lines(told: Capabilities) -> Iterator[Line]:
    """Compare what the server says it can do with what is asked of it."""
    for name, level, without in SYSTEM:
        yield _told(told.does(name), level, name, f"the server does no {name}", without)
    for need in NEEDS:
        yield from _need_lines(told, need)


def _need_lines(told: Capabilities, need: Need) -> Iterator[Line]:
    kind = need.kind
    checks = [(told.takes(kind, each), f"{kind} {each}") for each in need.interactions]
    checks += [(told.searches_by(kind, each), f"{kind}?{each}=") for each in need.parameters]
    if need.conditional:
        checks.append((told.creates_conditionally(kind), f"{kind} conditional create"))
    if need.versioned:
        checks.append((told.checks_versions(kind), f"{kind} version-checked update"))
    missing = [name for answer, name in checks if answer is False]
    silent = [name for answer, name in checks if answer is None]
    if missing:
        text = f"the server says that it lacks {', '.join(missing)}; {need.without}"
        advice = "Have it enabled for this service."
        yield Line(level=need.level, about=kind, text=text, advice=advice)
    if silent:
        yield not_tried(kind, f"the server does not tell whether it has {', '.join(silent)}")
    if not missing and not silent:
        yield ok(kind, ", ".join(name for _, name in checks))


def _told(answer: bool | None, level: Level, about: str, text: str, without: str) -> Line:
    if answer is None:
        return not_tried(about, "the server does not tell whether it does that")
    if answer:
        return ok(about, "the server says that it does that")
    return Line(
        level=level,
        about=about,
        text=f"{text}; {without}",
        advice="Have it enabled for this service.",
    )


# --- what it grants -------------------------------------------------------------------------------


def scope_lines(client: FhirClient) -> Iterator[Line]:
    """Compare the granted scopes with what is asked of the server, where they are known."""
    source = _token_source(client)
    if source is None:
        yield not_tried("scopes", "no access token is asked for, so no scopes are known")
        return
    try:
        granted = source()
    except FhirmsgError as error:
        yield fault("scopes", str(error), "No request is allowed without an access token.")
        return
    scopes = granted.split() if isinstance(granted, str) else list(granted or ())
    if not scopes:
        yield not_tried("scopes", "the token answer names no scopes")
        return
    good = True
    for need in NEEDS:
        lacking = [each for each in need.interactions if not _grants(scopes, need.kind, each)]
        if lacking:
            good = False
            yield Line(
                level=need.level,
                about="scopes",
                text=f"{need.kind} {', '.join(lacking)} is not granted; {need.without}",
                advice="Have the scope granted to this service.",
            )
    if good:
        yield ok("scopes", "all that is needed is granted")


def _token_source(client: FhirClient) -> Callable[[], str | Iterable[str] | None] | None:
    """Give `granted` of whatever the client holds that has it."""
    for held in vars(client).values():
        found = getattr(held, "granted", None)
        if callable(found):
            granted: Callable[[], str | Iterable[str] | None] = found
            return granted
    return None


def _grants(scopes: Iterable[str], kind: str, interaction: str) -> bool:
    word = "read" if interaction in ("read", "search-type") else "write"
    for scope in scopes:
        subject, _, rights = scope.partition("?")[0].rpartition(".")
        _, _, named = subject.partition("/")
        if named not in (kind, "*") or not subject.startswith(("system/", "user/")):
            continue
        if rights in ("*", word) or (
            rights.isalpha() and set(rights) <= set("cruds") and SCOPE_LETTER[interaction] in rights
        ):
            return True
    return False


# --- what it does ---------------------------------------------------------------------------------


def probe_lines(client: FhirClient, now: Callable[[], datetime]) -> Iterator[Line]:
    """Make the searches of a decision, about nobody, in one batch."""
    deadline = Deadline(client.server.call_deadline)
    paths = [path for _, _, path in PROBES]
    try:
        outer, answers = client.batch(paths, deadline=deadline)
    except RecordUnavailable as error:
        advice = "Every decision reads the record in a batch; have batches allowed."
        yield fault("batch of searches", str(error), advice)
        return
    wrong = []
    for (kind, parameter, _), answer in zip(PROBES, answers, strict=True):
        found = read_all_pages(client, answer, kind=kind, filtered_by=parameter, deadline=deadline)
        if found.gaps or found.resources:
            reason = found.gaps[0].sentence if found.gaps else "it found what it must not find"
            wrong.append(fault(f"search {kind}?{parameter}=", reason, _SEARCH_ADVICE))
    yield from wrong
    if not wrong:
        yield ok("batch of searches", f"{len(PROBES)} searches answered, none about anybody")
    if outer.age > 0:
        yield fault(
            "cache",
            "something between here and the FHIR server answers from a cache",
            "Take it out of the way: a cached answer can hide an objection.",
        )
    yield clock_line(outer, now)


_SEARCH_ADVICE = "Messages are held while this search cannot be read whole; have it corrected."


def clock_line(answer: FhirAnswer, now: Callable[[], datetime]) -> Line:
    """Compare the server's clock with ours."""
    if answer.date is None:
        return fault(
            "clock",
            "the server's answers have no usable Date, so a message that a crash interrupted is "
            "never taken over",
            "Have it send the Date header.",
        )
    apart = abs(now().timestamp() - answer.date)
    if apart > APART_SECONDS:
        return warning(
            "clock",
            f"the server's clock and ours are {apart:.0f} seconds apart",
            "Have both follow a time server: decisions depend on the time.",
        )
    return ok("clock", f"the server's and ours are less than {APART_SECONDS:.0f} seconds apart")


def unlinked_lines(client: FhirClient) -> Iterator[Line]:
    """Count what hangs on a patient by an identifier alone, where no search finds it."""
    for kind in _UNLINKED:
        about = f"{kind} without a literal patient"
        try:
            answer = client.read(f"{kind}?patient:missing=true&_summary=count")
        except RecordUnavailable:
            answer = FhirAnswer(status=0, resource=None)
        total = (answer.resource or {}).get("total")
        if not answer.good or not isinstance(total, int):
            yield not_tried(about, "the server cannot count them")
        elif total:
            yield warning(
                about,
                f"{total} on the server name their patient by identifier or not at all, and are "
                "not seen by any decision: an objection may be among them",
                "Have them refer to their Patient (Patient/id).",
            )
        else:
            yield ok(about, "there is none")
