"""Contact preferences, from UK Core's ContactPreference extension in every shape it is met in.

Sources: UK Core Extension-UKCore-ContactPreference and CodeSystem UKCore-PreferredContactMethod
(codes 1 to 9), NHS PDS (1 to 8; times as text).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

from fhirmsg.fhir.elements import (
    Element,
    coded_value,
    element,
    elements,
    extensions,
    text_of,
)
from fhirmsg.guidance.readable import says_something
from fhirmsg.guidance.record import Preferences
from fhirmsg.guidance.terms import Channel

_CHANNELS = {
    "1": Channel.LETTER,
    "3": Channel.VOICE,
    "4": Channel.EMAIL,
    "9": Channel.SMS,
}
_OTHER_WAYS = {
    "2": "a visit",
    "5": "a textphone call",
    "6": "a telephone call through somebody else",
    "7": "sign language",
}
_NO_TELEPHONE = "8"

_LONGEST_TIMES = 40
_SOME_TIMES = "certain times, which the record gives"


def contact_preferences(resource: Element) -> Iterator[Element]:
    """Give the ContactPreference extensions of a Patient or RelatedPerson."""
    yield from extensions(resource, "ContactPreference")


def named_parts(extension: Element, name: str) -> Iterator[Element]:
    """Give every part with this name; some systems repeat one."""
    yield from extensions(extension, name)


def preferences_of(resource: Element) -> Preferences:
    """Translate what a Patient or RelatedPerson would prefer."""
    channels: set[Channel] = set()
    other: dict[str, None] = {}
    times: dict[str, None] = {}
    unknown = no_telephone = False
    for extension in contact_preferences(resource):
        for method in named_parts(extension, "PreferredContactMethod"):
            codes = sorted(coded_value(method))
            channels |= {_CHANNELS[code] for code in codes if code in _CHANNELS}
            other |= {_OTHER_WAYS[code]: None for code in codes if code in _OTHER_WAYS}
            no_telephone = no_telephone or _NO_TELEPHONE in codes
            unknown = unknown or not codes or not all(map(_is_known, codes))
        for part in named_parts(extension, "PreferredContactTimes"):
            times |= {words: None for words in _times(part)}
    return Preferences(
        channels=frozenset(channels),
        other=tuple(other),
        unknown=unknown,
        no_telephone=no_telephone,
        times=tuple(times),
    )


def _is_known(code: str) -> bool:
    return code in _CHANNELS or code in _OTHER_WAYS or code == _NO_TELEPHONE


def _times(part: Element) -> Iterator[str]:
    if part.get("valueString") is not None:
        yield _short(text_of(part.get("valueString")))
    if part.get("valueTiming") is not None:
        yield _of_timing(element(part.get("valueTiming")))
    if part.get("valuePeriod") is not None:
        yield _of_period(element(part.get("valuePeriod")))


def _short(text: str) -> str:
    """Give a text in at most forty printable characters, cut at the end of a word."""
    printable = "".join(" " if unicodedata.category(each)[0] in "CZ" else each for each in text)
    words = " ".join(printable.split())
    if not says_something(words):
        return _SOME_TIMES
    if len(words) <= _LONGEST_TIMES:
        return words
    return words[: _LONGEST_TIMES - 1].rpartition(" ")[0] or words[:_LONGEST_TIMES]


def _of_period(period: Element) -> str:
    start, end = text_of(period.get("start"))[:10], text_of(period.get("end"))[:10]
    if start and end:
        return _short(f"from {start} to {end}")
    if start:
        return _short(f"from {start}")
    return _short(f"until {end}") if end else _SOME_TIMES


def _of_timing(timing: Element) -> str:
    """Give a Timing that names days, times of day or a code in words; any other one has none.

    https://hl7.org/fhir/R4/datatypes.html#Timing
    """
    repeat = element(timing.get("repeat"))
    code = element(timing.get("code"))
    said = [
        *_texts(repeat.get("dayOfWeek")),
        *(time[:5] for time in _texts(repeat.get("timeOfDay"))),
        *(_WHEN.get(when, "") for when in _texts(repeat.get("when"))),
    ]
    plain = " ".join(filter(None, said)) or text_of(code.get("text"))
    for coding in elements(code.get("coding")):
        plain = plain or text_of(coding.get("display")) or text_of(coding.get("code"))
    return _short(plain) if plain else _SOME_TIMES


_WHEN = {
    "MORN": "morning",
    "MORN.early": "early morning",
    "MORN.late": "late morning",
    "NOON": "noon",
    "AFT": "afternoon",
    "AFT.early": "early afternoon",
    "AFT.late": "late afternoon",
    "EVE": "evening",
    "EVE.early": "early evening",
    "EVE.late": "late evening",
    "NIGHT": "night",
}


def _texts(value: object) -> list[str]:
    listed = value if isinstance(value, list) else [value]
    return [text_of(each) for each in listed if text_of(each)]
