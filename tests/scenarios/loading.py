"""Scenarios from `fixtures/scenarios/*.toml`, read strictly: whatever is wrong is told at once.

How a scenario is written stands in `fixtures/scenarios/README.md`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fhirmsg.guidance.rule import Effect, Lift
from tests.scenarios.blocks import FOLDER, Library, ScenarioError, load_library, read_toml
from tests.scenarios.faults import FAULTS
from tests.scenarios.words import UnknownWord, Words, merged

_SCENARIO_KEYS = (
    *("name", "given", "later", "change", "policy", "fault", "earlier", "request"),
    *("evidence", "meanwhile", "not_on_hapi", "expect"),
)
_EXPECT_KEYS = (
    *("verdict", "codes", "lifted", "absent", "only", "sent"),
    *("http", "retry", "follow_up", "faults"),
)
_VERDICTS = ("send", "hold", "refuse")
_EFFECTS = tuple(effect.word for effect in Effect)
_LIFTS = tuple(str(lift) for lift in Lift)
_EVIDENCE_LISTS = ("reviews", "acknowledged")
_NOON = datetime(2027, 3, 3, 12, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What has to come out. None means that a scenario does not say.

    codes: effect by code, of findings that nothing lifted. lifted: by code, what lifted it.
    only: there are no other findings than those. faults: pointers of a refused body.
    """

    verdict: str | None = None
    codes: dict[str, str] = field(default_factory=dict)
    lifted: dict[str, str] = field(default_factory=dict)
    absent: tuple[str, ...] = ()
    only: bool = False
    sent: bool = False
    http: int = 200
    retry: str | None = None
    follow_up: bool = False
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One situation: resources, a message, what comes with it, and what has to come out.

    given, later: resources before days are filled in, in the order of writing; `later` ones are
    put on the record after the others. earlier: messages sent before. meanwhile: resources put
    between the check of a message and its sending.
    """

    file: str
    name: str
    given: tuple[dict[str, Any], ...]
    later: tuple[dict[str, Any], ...]
    policy: str | None
    fault: str | None
    earlier: tuple[dict[str, Any], ...]
    request: dict[str, Any]
    evidence: dict[str, Any]
    meanwhile: tuple[dict[str, Any], ...]
    expect: Expected
    not_on_hapi: str | None = None

    @property
    def id(self) -> str:
        """What a test run calls it."""
        return f"{self.file}: {self.name}"


def load_scenarios(folder: Path = FOLDER, library: Library | None = None) -> tuple[Scenario, ...]:
    """Read every scenario, file by file. Raises ScenarioError with every fault."""
    library = library or load_library(folder)
    faults: list[str] = []
    found: list[Scenario] = []
    for path in sorted(folder.glob("*.toml")):
        content = read_toml(path, faults)
        for unknown in sorted(set(content) - {"scenario"}):
            faults.append(f"{path.name}: {unknown!r} is not `scenario`")
        for place, raw in enumerate(content.get("scenario", ()), 1):
            name = raw.get("name") or f"number {place}, which has no name"
            told = [f"{path.name}: {name}: {fault}" for fault in _faults(raw, library)]
            if not told:
                scenario = _scenario(path.stem, raw, library)
                told = [f"{path.name}: {name}: {fault}" for fault in _unfilled(scenario, library)]
                found.append(scenario)
            faults += told
    names = [scenario.name for scenario in found]
    faults += [f"{name}: two scenarios have this name" for name in _repeated(names)]
    if faults:
        raise ScenarioError(faults)
    return tuple(found)


def _repeated(names: list[str]) -> list[str]:
    return sorted({name for name in names if names.count(name) > 1})


def _faults(raw: dict[str, Any], library: Library) -> Iterator[str]:
    yield from (f"{key!r} is no key of a scenario" for key in raw if key not in _SCENARIO_KEYS)
    if not raw.get("name"):
        yield "`name` is missing"
    given = [*raw.get("given", ()), *raw.get("later", ())]
    if not given:
        yield "nothing is given"
    for name in given:
        if name not in library.blocks:
            yield f"{name!r} is no building block"
    known = {name for each in given if each in library.blocks for name in _with(each, library)}
    for name in raw.get("change", {}):
        if name not in known:
            yield f"{name!r} is changed and not given"
    for name in raw.get("meanwhile", {}):
        if name not in library.blocks:
            yield f"{name!r} is no building block"
    made = [_reference(library.blocks[name].resource) for name in known]
    yield from (f"{reference} is given twice" for reference in _repeated(made))
    if raw.get("policy") not in (None, *library.policies):
        yield f"{raw['policy']!r} is no policy"
    if raw.get("fault") not in (None, *FAULTS):
        yield f"{raw['fault']!r} is no fault"
    for holder in (raw, *raw.get("earlier", ())):
        yield from _faults_of_evidence(holder.get("evidence", {}), library)
    yield from _faults_of_expectation(raw.get("expect"))


def _reference(resource: dict[str, Any]) -> str:
    return f"{resource['resourceType']}/{resource['id']}"


def _faults_of_evidence(evidence: dict[str, Any], library: Library) -> Iterator[str]:
    for name, value in evidence.items():
        if name not in library.evidence:
            yield f"{name!r} is no evidence"
        elif isinstance(value, list) != (name in _EVIDENCE_LISTS):
            yield f"evidence {name!r} has the wrong shape"


def _faults_of_expectation(expect: Any) -> Iterator[str]:
    if not isinstance(expect, dict):
        yield "`expect` is missing"
        return
    yield from (f"{key!r} is no key of `expect`" for key in expect if key not in _EXPECT_KEYS)
    codes, lifted = expect.get("codes", {}), expect.get("lifted", {})
    refused = expect.get("http", 200) >= 400
    if expect.get("verdict") not in _VERDICTS and not refused:
        yield f"the verdict is not one of {', '.join(_VERDICTS)}"
    for code, effect in codes.items():
        if effect not in _EFFECTS:
            yield f"{effect!r}, the effect of {code}, is not one of {', '.join(_EFFECTS)}"
    for code, lift in lifted.items():
        if lift not in _LIFTS:
            yield f"{lift!r}, which lifts {code}, is not one of {', '.join(_LIFTS)}"
    for code in expect.get("absent", ()):
        if code in codes or code in lifted:
            yield f"{code} is expected and absent at once"
    if not (codes or lifted or refused or "absent" in expect or expect.get("only")):
        yield "nothing is expected but the verdict; name codes, what is lifted, or what is absent"


def _with(name: str, library: Library) -> Iterator[str]:
    """Give a block and every block that it brings."""
    yield name
    for each in library.blocks[name].brings:
        yield from _with(each, library)


def _scenario(file: str, raw: dict[str, Any], library: Library) -> Scenario:
    changes = raw.get("change", {})
    expect = {"http": 201 if raw["expect"].get("verdict") == "send" else 200, **raw["expect"]}
    expect.setdefault("sent", expect.get("verdict") == "send")
    lists = {name: tuple(expect[name]) for name in ("absent", "faults") if name in expect}

    def resources(names: Iterable[str]) -> tuple[dict[str, Any], ...]:
        wanted = dict.fromkeys(each for name in names for each in _with(name, library))
        return tuple(
            merged(library.blocks[name].resource, changes.get(name, {})) for name in wanted
        )

    return Scenario(
        file=file,
        name=raw["name"],
        given=resources(raw.get("given", ())),
        later=resources(raw.get("later", ())),
        policy=raw.get("policy"),
        fault=raw.get("fault"),
        earlier=tuple(_earlier(each, library) for each in raw.get("earlier", ())),
        request=merged(library.request, raw.get("request", {})),
        evidence=_evidence(raw.get("evidence", {}), library),
        meanwhile=tuple(
            merged(merged(library.blocks[name].resource, changes.get(name, {})), change)
            for name, change in raw.get("meanwhile", {}).items()
        ),
        expect=Expected(**{**expect, **lists}),
        not_on_hapi=raw.get("not_on_hapi"),
    )


def _earlier(raw: dict[str, Any], library: Library) -> dict[str, Any]:
    """Give the body of an earlier message; what its evidence brings is completed as well."""
    body: dict[str, Any] = merged(library.request, raw)
    if "evidence" in raw:
        body["evidence"] = _evidence(raw["evidence"], library)
    return body


def _evidence(raw: dict[str, Any], library: Library) -> dict[str, Any]:
    """Complete each piece of evidence from its default."""
    found: dict[str, Any] = {}
    for name, given in raw.items():
        default = library.evidence[name]
        if isinstance(given, list):
            found[name] = [merged(default, each) for each in given]
        else:
            found[name] = merged(default, given)
    return found


def _unfilled(scenario: Scenario, library: Library) -> Iterator[str]:
    words = Words(now=_NOON, names=library.names)
    try:
        words.filled([*scenario.given, *scenario.later, *scenario.meanwhile])
        words.filled([scenario.request, *scenario.earlier, scenario.evidence])
    except UnknownWord as error:
        yield str(error)
