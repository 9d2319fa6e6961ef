"""Every scenario of `fixtures/scenarios`, through the app on the embedded store and on HAPI."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from fhirmsg.guidance.rules import RULES
from fhirmsg.sandbox import Store, serve_in_thread
from tests.hapi.server import HapiServer
from tests.scenarios.blocks import load_library
from tests.scenarios.loading import Scenario, load_scenarios
from tests.scenarios.running import Outcome, Stage

LIBRARY = load_library()
SCENARIOS = load_scenarios(library=LIBRARY)
ACCEPTANCE = "acceptance"

_STORABLE = [scenario for scenario in SCENARIOS if scenario.not_on_hapi is None]
_FIFTH = -(-len(SCENARIOS) // 5)
ON_HAPI = [_STORABLE[place * len(_STORABLE) // _FIFTH] for place in range(_FIFTH)]


def named(scenarios: list[Scenario] | tuple[Scenario, ...]) -> pytest.MarkDecorator:
    """Run a test once for each of these."""
    return pytest.mark.parametrize("scenario", scenarios, ids=[each.id for each in scenarios])


@pytest.fixture(scope="module")
def embedded() -> Iterator[tuple[Store, Stage]]:
    """The embedded store, and the apps before it."""
    store = Store()
    with ExitStack() as stack:
        base = stack.enter_context(serve_in_thread(store)).base_url
        yield store, Stage(base=base, library=LIBRARY, stack=stack)


@pytest.fixture(scope="module")
def hapi_stage(hapi_server: HapiServer) -> Iterator[Stage]:
    """The apps before the HAPI server, which every test empties."""
    with ExitStack() as stack:
        yield Stage(base=hapi_server.url, library=LIBRARY, stack=stack)


@named(SCENARIOS)
def test_a_scenario_comes_out_as_expected(
    scenario: Scenario, embedded: tuple[Store, Stage]
) -> None:
    store, stage = embedded
    # Numbers and addresses are searched for on the whole server, so no two scenarios share one.
    store.expunge()
    check(scenario, stage.play(scenario))


@pytest.mark.hapi
@named(ON_HAPI)
def test_a_scenario_comes_out_as_expected_on_hapi(
    scenario: Scenario, hapi: str, hapi_stage: Stage
) -> None:
    check(scenario, hapi_stage.play(scenario))


def check(scenario: Scenario, outcome: Outcome) -> None:
    """Compare what came with what had to come, all of it at once."""
    faults = [*faults_of_answer(scenario, outcome), *faults_of_findings(scenario, outcome)]
    faults += [*faults_of_wording(scenario, outcome), *faults_of_record(scenario, outcome)]
    shown = [f"  {each['effect']} {each['code']}: {each['sentence']}" for each in outcome.findings]
    assert not faults, "\n".join([*faults, "found:", *shown, str(outcome.answer)])


def faults_of_answer(scenario: Scenario, outcome: Outcome) -> Iterator[str]:
    expect, answer = scenario.expect, outcome.answer
    if outcome.http != expect.http:
        yield f"HTTP {outcome.http}, expected {expect.http}"
    verdict = (answer.get("decision") or {}).get("verdict")
    if verdict != expect.verdict:
        yield f"verdict {verdict}, expected {expect.verdict}"
    if expect.retry is not None and answer.get("retry") != expect.retry:
        yield f"retry {answer.get('retry')}, expected {expect.retry}"
    pointers = {each["pointer"] for each in answer.get("errors", ())}
    yield from (f"no fault at {each}" for each in expect.faults if each not in pointers)


def faults_of_findings(scenario: Scenario, outcome: Outcome) -> Iterator[str]:
    expect = scenario.expect
    found: dict[str, list[tuple[str, str | None]]] = {}
    for finding in outcome.findings:
        by = finding["lifted"] and finding["lifted"]["by"]
        found.setdefault(finding["code"], []).append((finding["effect"], by))
    for code, effect in expect.codes.items():
        if (effect, None) not in found.get(code, ()):
            yield f"{code} is {found.get(code, 'not found')}, expected {effect}"
    for code, lift in expect.lifted.items():
        if any(each != ("warn", lift) for each in found.get(code, ((None, None),))):
            yield f"{code} is {found.get(code, 'not found')}, expected to be lifted by {lift}"
    yield from (
        f"{code} is {found[code]}, expected absent" for code in expect.absent if code in found
    )
    if expect.only and (more := set(found) - {*expect.codes, *expect.lifted}):
        yield f"found besides: {', '.join(sorted(more))}"


def faults_of_wording(scenario: Scenario, outcome: Outcome) -> Iterator[str]:
    """Whatever stops a message says whom to ask; no answer repeats what nobody else may learn."""
    for finding in outcome.findings:
        if finding["effect"] in ("hold", "refuse") and not (finding["sentence"] and finding["ask"]):
            yield f"{finding['code']} does not say what it means, or whom to ask"
    said = json.dumps(outcome.answer, ensure_ascii=False)
    for resource in (*scenario.given, *scenario.later):
        secrets = [each.get("value") for each in resource.get("telecom", ())]
        secrets += [
            extension.get("valueCodeableConcept", {}).get("text")
            for extension in resource.get("extension", ())
        ]
        if any(secret and secret in said for secret in secrets):
            yield f"the answer repeats what {resource['resourceType']} {resource['id']} holds"


def faults_of_record(scenario: Scenario, outcome: Outcome) -> Iterator[str]:
    """Outbox and record agree: one of each for a message that was sent, none for another."""
    completed = [each for each in outcome.entries if each["status"] == "completed"]
    wanted = 1 if scenario.expect.sent else 0
    if len(outcome.kept) != wanted:
        yield f"{len(outcome.kept)} messages left, expected {wanted}"
    if len(completed) != wanted:
        yield f"{len(completed)} completed entries on the record, expected {wanted}"
    if any(each["status"] not in ("completed", "not-done") for each in outcome.entries):
        yield f"an entry is {[each['status'] for each in outcome.entries]}"
    for entry in completed:
        patient = f"Patient/{scenario.given[0]['id']}"
        if entry["subject"]["reference"] != patient:
            yield "the entry is not filed under the patient"
        recipient = outcome.request.get("recipient") or patient
        if [each["reference"] for each in entry["recipient"]] != [recipient]:
            yield "the entry does not name the recipient"
    waiting = [each for each in outcome.tasks if each["status"] not in ("completed", "cancelled")]
    if scenario.expect.follow_up and not waiting:
        yield "no follow-up is open"


def test_every_scenario_of_the_specification_is_there() -> None:
    numbers = {scenario.name[1:3] for scenario in SCENARIOS if scenario.file == ACCEPTANCE}
    assert numbers == {f"{number:02}" for number in range(1, 36)}


def test_there_are_more_than_enough_scenarios_of_our_own() -> None:
    assert sum(scenario.file != ACCEPTANCE for scenario in SCENARIOS) >= 120


def test_one_scenario_in_five_runs_on_hapi() -> None:
    assert len(ON_HAPI) * 5 >= len(SCENARIOS)


def test_every_rule_is_met_once_and_narrowly_missed_or_lifted_once() -> None:
    raised = {code for scenario in SCENARIOS for code in scenario.expect.codes}
    missed = {
        code
        for scenario in SCENARIOS
        for code in (*scenario.expect.lifted, *scenario.expect.absent)
    }
    codes = [rule.card.code for rule in RULES]
    assert [code for code in codes if code not in raised] == []
    assert [code for code in codes if code not in missed] == []


def test_scenarios_expect_only_findings_of_rules() -> None:
    codes = {rule.card.code for rule in RULES}
    expected = {
        code
        for scenario in SCENARIOS
        for code in (*scenario.expect.codes, *scenario.expect.lifted, *scenario.expect.absent)
    }
    assert expected <= codes
