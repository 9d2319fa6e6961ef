"""The request: text that says something, and the digest that names a message."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fhirmsg.guidance.readable import says_something
from fhirmsg.guidance.request import (
    Content,
    Evidence,
    Override,
    SendRequest,
    Service,
    message_digest,
)
from fhirmsg.guidance.terms import Channel, Declared, Occasion, Person, Purpose
from tests.builders import NOW, a_request


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        " ",
        "\t\r\n\x0b\x0c",
        "\u00a0\u2003\u3000\u2028",
        "\u200b\u200c\u200d\ufeff\u2060",
        "\u00ad\u061c\u180e\u202a\u202c\u2066",
        "\u115f\u1160\u3164\uffa0\u2800",
        "\ufe0f",
        "\U000e0041\U000e007f",
        "\U000e0100",
        "\x00\x07\x1b",
        " \u200b \u0300",
    ],
)
def test_text_without_a_visible_character_says_nothing(text: str | None) -> None:
    assert not says_something(text)


@pytest.mark.parametrize("text", ["x", " a b ", "\u200bx", "-", "\u00e9", "e\u0301", "医", "📞"])
def test_text_with_a_visible_character_says_something(text: str) -> None:
    assert says_something(text)


def test_the_digest_is_sixty_four_hexadecimal_digits_and_the_same_each_time() -> None:
    assert message_digest(a_request()) == message_digest(a_request())
    assert set(message_digest(a_request())) <= set("0123456789abcdef")
    assert len(message_digest(a_request())) == 64


def test_the_digest_does_not_cover_the_evidence() -> None:
    more = replace(a_request(), evidence=Evidence(override=Override(reason="because")))
    assert message_digest(more) == message_digest(a_request())


@pytest.mark.parametrize(
    "other",
    [
        a_request(patient="Patient/other"),
        a_request(recipient="RelatedPerson/ben"),
        a_request(channel=Channel.EMAIL),
        a_request(platform="app"),
        a_request(purpose=Purpose.TEST_RESULT),
        a_request(content=Content(body="Something else.")),
        a_request(content=replace(a_request().content, subject="Subject")),
        a_request(content=replace(a_request().content, summary="Summary")),
        a_request(organization="B67890"),
        a_request(requester=Person(identifier="Practitioner/other")),
        a_request(summary_only=True),
        a_request(sensitive=Declared.YES),
        a_request(service=Service(code="urn:s|1", sensitive=Declared.NO)),
        a_request(about=("Appointment/1",)),
        a_request(occasion=Occasion.REMINDER),
        a_request(not_after=NOW),
    ],
)
def test_the_digest_covers_everything_else(other: SendRequest) -> None:
    assert message_digest(other) != message_digest(a_request())
