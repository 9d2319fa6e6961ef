"""How long a text message is: its alphabet and its parts, as GSM 03.38 and 23.040 count them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENSION = frozenset("\f^{}\\[~]|€")
_GSM = _BASIC | _EXTENSION

# Typed by word processors where a plain character would do.
TYPOGRAPHIC = str.maketrans(
    {
        "\u2018": "'",
        "\u2019": "'",
        "\u201a": "'",
        "\u201c": '"',
        "\u201d": '"',
        "\u201e": '"',
        "\u2010": "-",
        "\u2011": "-",
        "\u2012": "-",
        "\u2013": "-",
        "\u2014": "-",
        "\u2022": "-",
        "\u2026": "...",
        "\u00a0": " ",
        "\u2009": " ",
        "\u202f": " ",
        "\u2212": "-",
        "\u00b4": "'",
        "`": "'",
        "\t": " ",
    }
)


class Alphabet(StrEnum):
    """The alphabet a text message goes in."""

    GSM = "GSM-7"
    UCS2 = "UCS-2"


@dataclass(frozen=True, slots=True, kw_only=True)
class SmsSize:
    """Units are septets in GSM-7 and 16-bit words in UCS-2; parts are messages to pay for."""

    alphabet: Alphabet
    units: int
    parts: int


def sms_size(text: str) -> SmsSize:
    """Count a text message.

    One part holds 160 septets or 70 words, each of several 153 or 67. A character of two units
    is never cut in half, so the part before it may stay one short.
    """
    used = set(text)
    if used <= _GSM:
        widths = [2 if each in _EXTENSION else 1 for each in text] if used & _EXTENSION else None
        return _size(Alphabet.GSM, len(text), widths, 160, 153)
    widths = [2 if each > "\uffff" else 1 for each in text] if max(used) > "\uffff" else None
    return _size(Alphabet.UCS2, len(text), widths, 70, 67)


def _size(
    alphabet: Alphabet, length: int, widths: list[int] | None, alone: int, linked: int
) -> SmsSize:
    units = length if widths is None else sum(widths)
    if units <= alone:
        return SmsSize(alphabet=alphabet, units=units, parts=1)
    if widths is None:
        return SmsSize(alphabet=alphabet, units=units, parts=-(-units // linked))
    parts, room = 1, linked
    for width in widths:
        if width > room:
            parts, room = parts + 1, linked
        room -= width
    return SmsSize(alphabet=alphabet, units=units, parts=parts)


def is_longer_than_it_looks(text: str, size: SmsSize) -> bool:
    """Tell whether plain marks in place of typographic ones would save a part."""
    if size.parts == 1 or TYPOGRAPHIC.keys().isdisjoint(map(ord, set(text))):
        return False
    return sms_size(text.translate(TYPOGRAPHIC)).parts < size.parts
