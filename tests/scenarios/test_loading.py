"""Scenario files are read strictly, and days and changes are what they say."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from pkgutil import iter_modules

import pytest

from fhirmsg.guidance import rules
from fhirmsg.guidance.wording.identifiers import has_valid_check_digit
from tests.scenarios.blocks import FOLDER, ScenarioError, load_library
from tests.scenarios.loading import load_scenarios
from tests.scenarios.running import Copied
from tests.scenarios.words import UnknownWord, Words, merged

LIBRARY = load_library()
LEAP_DAY = datetime(2028, 2, 29, 12, tzinfo=UTC)
SOUND = """
[[scenario]]
name = "A text"
given = ["amara"]
expect = { verdict = "send", only = true }
"""


def faults_of(folder: Path, text: str) -> str:
    """Give what is said of a folder with this one file."""
    (folder / "some.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ScenarioError) as raised:
        load_scenarios(folder, LIBRARY)
    return str(raised.value)


def test_a_sound_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "some.toml").write_text(SOUND, encoding="utf-8")
    [scenario] = load_scenarios(tmp_path, LIBRARY)
    assert (scenario.id, scenario.expect.http, scenario.expect.sent) == ("some: A text", 201, True)
    assert scenario.given[0]["id"] == "amara"
    assert scenario.request["channel"] == "sms"


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("gift = 1", "'gift' is no key of a scenario"),
        ('given = ["nobody"]', "'nobody' is no building block"),
        ("given = []", "nothing is given"),
        ('given = ["amara", "amara-prefers-email"]', "Patient/amara is given twice"),
        ("change.noah.active = false", "'noah' is changed and not given"),
        ('change.amara.birthDate = "{someday}"', "{someday} stands for nothing"),
        ('policy = "lenient"', "'lenient' is no policy"),
        ('fault = "the cat"', "'the cat' is no fault"),
        ("evidence.hunch = {}", "'hunch' is no evidence"),
        ("evidence.reviews = {}", "evidence 'reviews' has the wrong shape"),
        ('expect = { verdict = "maybe", only = true }', "the verdict is not one of send, hold"),
        ('expect = { verdict = "send" }', "nothing is expected but the verdict"),
        ('expect = { verdict = "send", code = "x" }', "'code' is no key of `expect`"),
        ('expect = { verdict = "hold", codes = { a = "stop" } }', "'stop', the effect of a"),
        ('expect = { verdict = "send", lifted = { a = "luck" } }', "'luck', which lifts a"),
        (
            'expect = { verdict = "send", codes = { a = "warn" }, absent = ["a"] }',
            "a is expected and absent at once",
        ),
    ],
    ids=lambda text: text[:40],
)
def test_what_is_wrong_in_a_scenario_is_told_with_its_place(
    wrong: str, told: str, tmp_path: Path
) -> None:
    key = wrong.partition(" ")[0]
    kept = [line for line in SOUND.splitlines() if line.partition(" ")[0] != key]
    said = faults_of(tmp_path, "\n".join([*kept, wrong]))
    assert told in said
    assert said.startswith("some.toml: A text: ")


def test_every_fault_of_a_file_is_told_at_once(tmp_path: Path) -> None:
    said = faults_of(tmp_path, f"{SOUND}\ngift = 1\n[[scenario]]\n[other]\n")
    assert len(said.splitlines()) >= 4


def test_two_scenarios_of_one_name_are_a_fault(tmp_path: Path) -> None:
    assert "two scenarios have this name" in faults_of(tmp_path, SOUND + SOUND)


def test_a_file_that_is_no_toml_is_a_fault(tmp_path: Path) -> None:
    assert "some.toml: is not TOML" in faults_of(tmp_path, "[[scenario")


def test_a_block_without_a_sentence_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "some.toml").write_text('[a]\nresource.resourceType = "Flag"\n')
    with pytest.raises(ScenarioError, match="given: a: `says` is missing"):
        load_library(tmp_path)


def test_there_is_a_file_for_each_group_of_rules() -> None:
    files = {path.stem for path in FOLDER.glob("*.toml")}
    groups = {module.name for module in iter_modules(rules.__path__)}
    assert files == groups | {"acceptance", "evidence"}


def test_days_are_counted_from_now() -> None:
    words = Words(now=LEAP_DAY, names={"here": "https://here.example"})
    assert words.filled("{today}") == "2028-02-29"
    assert words.filled("{today-1y}") == "2027-02-28"
    assert words.filled(["{year-15y}", "{month}", "{weekday+1d}"]) == ["2013", "2028-02", "wed"]
    assert words.filled({"a": "{now-2h}"}) == {"a": "2028-02-29T10:00:00+00:00"}
    assert words.filled("{here}/x") == "https://here.example/x"
    assert words.filled("{digest} {version of Consent/a}") == "{digest} {version of Consent/a}"


def test_a_contact_point_is_restricted_by_its_keyed_digest() -> None:
    one = Words(now=LEAP_DAY, record_key=b"one").filled("{restricted +447700900123}")
    other = Words(now=LEAP_DAY, record_key=b"other").filled("{restricted +447700900123}")
    assert len(one) == len(other) == 64
    assert one != other


def test_a_change_goes_into_tables_and_to_places_in_lists() -> None:
    base = {"a": {"b": 1, "c": 2}, "list": [{"x": 1}, {"x": 2}]}
    change = {"a": {"b": 3}, "list": {"0": {"y": 5}, "1": "{none}", "add": {"x": 9}}}
    assert merged(base, change) == {"a": {"b": 3, "c": 2}, "list": [{"x": 1, "y": 5}, {"x": 9}]}
    assert merged(base, {"a": "{none}", "new": {"add": [1]}})["new"] == [1]
    assert base["list"] == [{"x": 1}, {"x": 2}]


def test_a_word_is_no_place_in_a_list() -> None:
    with pytest.raises(UnknownWord, match="'first' is no place"):
        merged([1], {"first": 2})


def a_check() -> Copied:
    """Give the answer to a check that found two objections."""
    cited = [
        {"reference": f"Consent/{each}", "versionId": each, "lastUpdated": None} for each in "12"
    ]
    finding = {"code": "objection.active", "evidence": cited}
    decision = {"findings": [finding], "resources": []}
    return Copied({"id": "m", "message_digest": "d", "decision": decision})


def test_evidence_is_copied_from_the_answer_to_a_check() -> None:
    both = [
        {"reference": "Consent/1", "versionId": "1"},
        {"reference": "Consent/2", "versionId": "2"},
    ]
    given = {
        "override": {"message_id": "{id}", "message_digest": "{digest}"},
        "reviews": [{"code": "objection.active", "of": ["Consent/2"]}],
        "acknowledged": [{"code": "objection.active"}, {"code": "read.incomplete"}],
    }
    assert a_check().into(given) == {
        "override": {"message_id": "m", "message_digest": "d", "objections": both},
        "reviews": [{"code": "objection.active", "resources": both[1:]}],
        "acknowledged": [
            *({"code": "objection.active", **each} for each in both),
            {"code": "read.incomplete"},
        ],
    }


def test_evidence_that_is_written_out_is_left_as_it_is() -> None:
    given = {"override": {"objections": []}, "acknowledged": [{"code": "a", "reference": "b"}]}
    assert a_check().into(given) == given


def test_nobody_in_the_scenarios_is_real() -> None:
    paths = [*FOLDER.glob("*.toml"), *FOLDER.glob("given/*.toml")]
    text = "\n".join(path.read_text("utf-8") for path in paths)
    numbers = {"".join(found.split()) for found in re.findall(r"\b\d{3} ?\d{3} ?\d{4}\b", text)}
    assert numbers
    assert all(each.startswith("999") and has_valid_check_digit(each) for each in numbers)
    telephones = re.findall(r"(?<!\d)(?:\+44 ?|0044 ?|0|\(0\))(?:7\d|1\d{3})[\d \-]{6,}", text)
    assert telephones
    assert all(re.search(r"7700[ -]?900|1632 960", each) for each in telephones)
