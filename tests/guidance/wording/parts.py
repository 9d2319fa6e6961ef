"""The patient, the organisation and the lexicon that tests of the content checker share."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from fhirmsg.guidance.terms import Channel
from fhirmsg.guidance.wording import (
    Kind,
    KnownIdentifiers,
    Lexicon,
    MessageText,
    Observation,
    Place,
    WordingSettings,
    inspect,
)

ROOT = Path(__file__).parents[3]

PACKAGED: dict[str, Any] = yaml.safe_load(
    (ROOT / "fhirmsg" / "data" / "lexicon.yaml").read_text("utf-8")
)
LEXICON = Lexicon.from_mapping(PACKAGED)
EMPTY = Lexicon.from_mapping(
    {"version": "1", "categories": {"none": {"label": "none", "conditions": ["zzzz"]}}}
)

PATIENT = KnownIdentifiers(
    given=("Siân", "Mair"),
    family=("Okafor-Hughes",),
    born=date(1962, 5, 14),
    nhs_number="943 476 5919",
    address_lines=("Flat 3", "27 Larkspur Avenue"),
    postcode="ZZ9 4QX",
)
SETTINGS = WordingSettings(organisation_names=("Oak Lane Surgery",))
ANYBODY = WordingSettings()


def seen(
    body: str,
    *,
    subject: str | None = None,
    preview: str | None = None,
    channel: Channel = Channel.SMS,
    lexicon: Lexicon = LEXICON,
    settings: WordingSettings = ANYBODY,
    about: KnownIdentifiers = PATIENT,
) -> tuple[Observation, ...]:
    """Inspect one message."""
    text = MessageText(body=body, subject=subject, preview=preview, channel=channel)
    return inspect(text, about, lexicon, settings)


def kinds(
    body: str, *, places: Iterable[Place] = (Place.BODY, Place.SUBJECT, Place.LINK), **with_: Any
) -> set[Kind]:
    """Give the kinds of what was observed."""
    return {each.kind for each in seen(body, **with_) if each.place in places}
