"""inspect(): every check over one message, each thing said once for each place."""

from __future__ import annotations

import re
from collections.abc import Iterator

from fhirmsg.guidance.terms import Channel
from fhirmsg.guidance.wording.facts import KnownIdentifiers, MessageText, WordingSettings
from fhirmsg.guidance.wording.identifiers import Wanted, personal_details
from fhirmsg.guidance.wording.letters import hidden_characters, mixed_words
from fhirmsg.guidance.wording.lexicon import Lexicon
from fhirmsg.guidance.wording.links import (
    Link,
    carries_personal_data,
    destinations,
    links,
    reading_of,
)
from fhirmsg.guidance.wording.observation import Kind, Observation, Place, Topic, observed
from fhirmsg.guidance.wording.reading import Reading, shown
from fhirmsg.guidance.wording.sms import is_longer_than_it_looks, sms_size
from fhirmsg.guidance.wording.tone import names_the_sender, tone

# Channels whose beginning shows on a locked telephone. A banner of the NHS App has no content.
_PREVIEWED = frozenset({Channel.SMS, Channel.EMAIL})

# (kind, where it starts, category of the lexicon)
Sight = tuple[Kind, int, str | None]

# A result, a dose or a level: a number and a unit in which only these are given.
_VALUE = re.compile(
    r"(?<![\w.])\d{1,7}(?:[.,]\d{1,4})?\s?(?:"
    r"(?:[munp]|\u00b5|\u03bc)mol(?:/(?:mol|l))?|m?mol/l|[mu]?g/d?l|mcg/l|ng/m?l|pg/ml|[mu]?iu/m?l|u/l"
    r"|units/l|copies/ml|cells/mm3|mm ?hg|kg/m2|ml/min|mcg|micrograms?|milligrams?|mg|bpm"
    r"|x ?10 ?\^ ?9(?:/l)?)(?![\w/])"
)
_BLOOD_PRESSURE = re.compile(
    r"\b(?:bp|blood pressure|pwysedd gwaed)\b[^\d\n.]{0,30}\d{2,3} ?(?:/|over) ?\d{2,3}\b"
)


class _Inspection:
    """Keeps what was observed, without repeats."""

    def __init__(
        self,
        message: MessageText,
        about: KnownIdentifiers,
        lexicon: Lexicon,
        settings: WordingSettings,
    ) -> None:
        self.message = message
        self.wanted = Wanted(about)
        self.lexicon = lexicon
        self.settings = settings
        self.found: dict[tuple[Kind, Place, str | None], None] = {}

    def observe(self, kind: Kind, place: Place, category: str | None = None) -> None:
        self.found[(kind, place, category)] = None

    def observations(self) -> tuple[Observation, ...]:
        labels = self.lexicon.labels
        return tuple(
            observed(
                kind,
                place,
                category=category,
                label=labels.get(category) if category else None,
            )
            for kind, place, category in self.found
        )

    def read(self, text: str, place: Place, preview_end: int) -> Reading:
        """Look through one text; what starts before `preview_end` shows on a locked screen."""
        for kind, start, category in _raw(text):
            self._place(kind, place, start, preview_end, category)
        clean = shown(text)
        found = links(clean)
        for link in found:
            self._follow(link, link.start < preview_end)
        reading = Reading(_without(clean, found))
        for kind, start, category in self._sights(reading):
            self._place(kind, place, start, preview_end, category)
        return reading

    def _sights(self, reading: Reading) -> Iterator[Sight]:
        for kind, start in personal_details(reading, self.wanted):
            yield kind, start, None
        for seen in self.lexicon.find(reading):
            yield seen.kind, seen.start, seen.category
        for pattern in (_VALUE, _BLOOD_PRESSURE):
            if match := pattern.search(reading.plain):
                yield Kind.RESULT, match.start(), None
        for kind, start in tone(reading, self.wanted, self.settings):
            yield kind, start, None

    def _follow(self, link: Link, previewed: bool) -> None:
        for kind in destinations(link, self.settings):
            self.observe(kind, Place.LINK)
        reading = reading_of(link)
        if carries_personal_data(link, reading, self.wanted):
            self.observe(Kind.LINK_PERSONAL_DATA, Place.LINK)
        for seen in (*self.lexicon.find(reading), *self.lexicon.find_glued(link.labels)):
            if seen.kind.topic is Topic.CONFIDENTIAL:
                self.observe(seen.kind, Place.LINK, seen.category)
                if previewed:
                    self.observe(seen.kind, Place.PREVIEW, seen.category)

    def _place(
        self, kind: Kind, place: Place, start: int, preview_end: int, category: str | None
    ) -> None:
        if place is not Place.PREVIEW:
            self.observe(kind, place, category)
        if start < preview_end and kind.topic is Topic.CONFIDENTIAL:
            self.observe(kind, Place.PREVIEW, category)


def inspect(
    text: MessageText, about: KnownIdentifiers, lexicon: Lexicon, settings: WordingSettings
) -> tuple[Observation, ...]:
    """Say what in a message is confidential or looks suspicious, as far as words show it.

    Never proof that nothing is there: words that no list holds go unseen. Raises nothing.
    """
    inspection = _Inspection(text, about, lexicon, settings)
    subject_end, body_end = _preview_ends(text, settings.preview_length)
    readings = []
    if text.subject:
        readings.append(inspection.read(text.subject, Place.SUBJECT, subject_end))
    readings.append(inspection.read(text.body, Place.BODY, body_end))
    if text.preview:
        inspection.read(text.preview, Place.PREVIEW, len(text.preview))
    if not names_the_sender(readings, settings):
        inspection.observe(Kind.SENDER_NOT_NAMED, Place.BODY)
    if text.channel is Channel.SMS:
        _measure(inspection)
    return inspection.observations()


def _preview_ends(text: MessageText, length: int) -> tuple[int, int]:
    if text.preview is not None or text.channel not in _PREVIEWED:
        return 0, 0
    subject = len(text.subject) + 1 if text.subject else 0
    return length, max(0, length - subject)


def _measure(inspection: _Inspection) -> None:
    body = inspection.message.body
    size = sms_size(body)
    if size.units > inspection.settings.sms_limit or len(body) > inspection.settings.sms_limit:
        inspection.observe(Kind.SMS_TOO_LONG, Place.BODY)
    if is_longer_than_it_looks(body, size):
        inspection.observe(Kind.SMS_ALPHABET, Place.BODY)


def _raw(text: str) -> Iterator[Sight]:
    for start in hidden_characters(text):
        yield Kind.HIDDEN_CHARACTERS, start, None
        break
    for start in mixed_words(text):
        yield Kind.LOOKALIKE_LETTERS, start, None
        break


def _without(text: str, found: list[Link]) -> str:
    """Blank the links out, so that their words are not read as the text's."""
    pieces, at = [], 0
    for link in found:
        pieces += [text[at : link.start], "." * (link.end - link.start)]
        at = link.end
    return "".join([*pieces, text[at:]])
