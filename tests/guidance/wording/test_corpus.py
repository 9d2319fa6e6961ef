"""Messages of our own writing: how much is found, and how often nothing should have been.

`pytest -s` prints the rates. The lexicon was made with the first messages in view, so that their
rates flatter it; those under `unseen` were written last and changed nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from fhirmsg.guidance.terms import Channel
from fhirmsg.guidance.wording import WordingSettings
from tests.guidance.wording.parts import PATIENT, ROOT, seen

CORPUS = yaml.safe_load((ROOT / "fixtures" / "corpus" / "messages.yaml").read_text("utf-8"))
SETTINGS = WordingSettings(organisation_names=tuple(CORPUS["organisations"]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """hit: of the labels; false_alarm: of the innocent messages. The lists say which fail."""

    hit: float
    false_alarm: float
    missed: list[str]
    alarmed: list[str]


def found_in(message: Any) -> set[str]:
    message = {"body": message} if isinstance(message, str) else message
    found = seen(
        message["body"],
        subject=message.get("subject"),
        channel=Channel(message.get("channel", "sms")),
        settings=SETTINGS,
    )
    kinds = {each.kind.value for each in found}
    return kinds | {f"{each.kind.value}:{each.category}" for each in found if each.category}


def rates(corpus: dict[str, Any]) -> Rates:
    labels = missed = 0
    lines: list[str] = []
    for message in corpus["flagged"]:
        lost = set(message["expect"]) - found_in(message)
        labels += len(message["expect"])
        missed += len(lost)
        lines += [f"{sorted(lost)} {message['body']}"] * bool(lost)
    alarmed = [f"{found_in(each)} {each}" for each in corpus["innocent"] if found_in(each)]
    return Rates(
        hit=1 - missed / labels,
        false_alarm=len(alarmed) / len(corpus["innocent"]),
        missed=lines,
        alarmed=alarmed,
    )


@pytest.mark.parametrize(
    ("name", "least_hits", "most_false_alarms"), [("known", 0.99, 0.01), ("unseen", 0.9, 0.05)]
)
def test_most_is_found_and_little_is_flagged_wrongly(
    name: str, least_hits: float, most_false_alarms: float
) -> None:
    corpus = CORPUS if name == "known" else CORPUS["unseen"]
    rated = rates(corpus)
    print(
        f"\n{name}: hit {rated.hit:.1%}, false alarm {rated.false_alarm:.1%} "
        f"({len(corpus['flagged'])} flagged, {len(corpus['innocent'])} innocent)"
    )
    print("\n".join([*rated.missed, *rated.alarmed]))
    assert rated.hit >= least_hits, rated.missed
    assert rated.false_alarm <= most_false_alarms, rated.alarmed


def test_the_corpus_is_large_and_varied_enough() -> None:
    innocent = [*CORPUS["innocent"], *CORPUS["unseen"]["innocent"]]
    flagged = [*CORPUS["flagged"], *CORPUS["unseen"]["flagged"]]
    assert len(innocent) + len(flagged) >= 220
    assert 0.4 < len(innocent) / (len(innocent) + len(flagged)) < 0.6
    bodies = [each if isinstance(each, str) else each["body"] for each in (*innocent, *flagged)]
    assert len(bodies) == len(set(bodies))
    assert sum("Meddygfa" in body or "Ysbyty" in body for body in bodies) >= 15


def test_the_patient_of_the_corpus_is_the_one_of_the_other_tests() -> None:
    patient = CORPUS["patient"]
    assert tuple(patient["given"]) == PATIENT.given
    assert tuple(patient["family"]) == PATIENT.family
    assert patient["born"] == str(PATIENT.born)
    assert patient["nhs_number"] == PATIENT.nhs_number
    assert tuple(patient["address_lines"]) == PATIENT.address_lines
    assert patient["postcode"] == PATIENT.postcode
