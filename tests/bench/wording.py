"""How long the content checker takes: `python -m tests.bench.wording`.

One message of 314 characters and ordinary words, the longest message there may be, and texts of
that length that were made to be slow. Nothing is kept between two messages.
"""

from __future__ import annotations

import gc
from datetime import date
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter_ns

import yaml

from fhirmsg.guidance.terms import Channel
from fhirmsg.guidance.wording import (
    KnownIdentifiers,
    Lexicon,
    MessageText,
    WordingSettings,
    inspect,
)

LEXICON = Path(__file__).parents[2] / "fhirmsg" / "data" / "lexicon.yaml"
LONGEST = 20_000

ORDINARY = (
    "Dear Siân, this is a reminder of your appointment at Riverside Hospital on Thursday 18 June "
    "2026 at 13:05 in Outpatients C. Please bring a list of all the medicines you take and allow "
    "time to park. If you cannot come, ring 0113 496 0150 or see "
    "https://www.riverside.nhs.uk/visits so that others may have its place."
)
assert len(ORDINARY) == 314, len(ORDINARY)

ABOUT = KnownIdentifiers(
    given=("Siân", "Mair"),
    family=("Okafor-Hughes",),
    born=date(1962, 5, 14),
    nhs_number="943 476 5919",
    address_lines=("Flat 3", "27 Larkspur Avenue"),
    postcode="ZZ9 4QX",
)
SETTINGS = WordingSettings(organisation_names=("Oak Lane Surgery", "Riverside Hospital"))

# Each is repeated until it is as long as a message may be.
SLOW = {
    "one letter": "a",
    "letters and dots": "a.",
    "hyphens": "a-",
    "digits": "9",
    "digits and spaces": "9 ",
    "spaces": " ",
    "line ends": "\n",
    "links": "https://a.nhs.uk/9?a=1 ",
    "schemes": "a://",
    "escapes": "https://nhs.uk/%25",
    "ambiguous words": "positive ",
    "ambiguous, in need of others": "normal alcohol ",
    "names": "Siân Okafor-Hughes ",
    "surnames": "Okafor-Hughes ",
    "birth years": "62 ",
    "births": "date of birth ",
    "greetings": "Dear dear ",
    "capitals": "ABCD efgh ",
    "brackets": "((",
    "accents": "ŵ\u0302",
    "hidden": "\u200b",
    "flags": "\U0001f3f4\U000e0067",
    "expanding": "\ufdfa",
    "blood pressure": "bp ",
    "at signs": "a@a",
}


def measure(body: str, lexicon: Lexicon, rounds: int) -> list[float]:
    """Time inspecting one body, in microseconds."""
    text = MessageText(body=body, channel=Channel.SMS)
    taken = []
    gc.collect()
    gc.disable()
    for _ in range(rounds):
        began = perf_counter_ns()
        inspect(text, ABOUT, lexicon, SETTINGS)
        taken.append((perf_counter_ns() - began) / 1000)
    gc.enable()
    return taken


def main() -> None:
    """Print microseconds for each text, and how they grow from half to the whole length."""
    lexicon = Lexicon.from_mapping(yaml.safe_load(LEXICON.read_text("utf-8")))
    print(f"{lexicon.size} terms")
    for name, body in (("314, accented", ORDINARY), ("314, ASCII", ORDINARY.replace("â", "a"))):
        measure(body, lexicon, 500)
        taken = measure(body, lexicon, 5000)
        print(
            f"{name:14} median {median(taken):7.1f} µs   p99 {quantiles(taken, n=100)[98]:.1f} µs"
        )
    bodies = {"ordinary": ORDINARY + " ", **SLOW}
    for name, piece in bodies.items():
        whole = (piece * LONGEST)[:LONGEST]
        half = median(measure(whole[: LONGEST // 2], lexicon, 5))
        full = median(measure(whole, lexicon, 5))
        print(f"{LONGEST} {name:30} {full / 1000:8.2f} ms   {full / half:4.1f} times half of it")


if __name__ == "__main__":
    main()
