"""Links: where they lead and what they carry."""

from __future__ import annotations

import pytest

from fhirmsg.guidance.wording import Kind, KnownIdentifiers, Place, WordingSettings
from fhirmsg.guidance.wording.links import is_under, links
from tests.guidance.wording.parts import EMPTY, kinds, seen


def of(text: str) -> set[Kind]:
    return kinds(text, lexicon=EMPTY)


@pytest.mark.parametrize(
    ("host", "under"),
    [
        ("nhs.uk", True),
        ("www.nhs.uk", True),
        ("x.y.nhs.uk", True),
        ("nhs.uk.evil.example", False),
        ("evilnhs.uk", False),
        ("nhs.uk-book.example", False),
        ("uk", False),
        ("", False),
        (".nhs.uk" * 60, False),
    ],
)
def test_a_host_is_under_a_name_by_whole_labels(host: str, under: bool) -> None:
    assert is_under(host, frozenset({"nhs.uk"})) is under


@pytest.mark.parametrize(
    "text",
    [
        "https://www.nhs.uk/conditions",
        "See (https://www.nhs.uk/x), please.",
        "HTTPS://WWW.NHS.UK/X",
        "https://www.nhs.uk:443/x?ref=AB12#part",
        "https://nhs.uk./",
        "www.nhs.uk",
        "oaklane.gp.nhs.uk/news",
        "https://x.nhs.uk/a@b",
    ],
)
def test_a_link_to_the_nhs_is_fine(text: str) -> None:
    assert of(text) == set()


@pytest.mark.parametrize(
    "text",
    [
        "oaklane.reception@nhs.net",
        "We close at 6.Please come.",
        "e.g. at 10.30am, i.e. now",
        "Contact.us or ask.me",
        "Dr.Patel",
        "...",
        "1.2.3",
        "tel: 0113",
        "and/or",
    ],
)
def test_these_are_no_links(text: str) -> None:
    assert links(text) == []


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("https://bit.ly/abc", Kind.LINK_SHORTENER),
        ("bit.ly/abc", Kind.LINK_SHORTENER),
        ("HTTPS://TinyURL.com/abc", Kind.LINK_SHORTENER),
        ("is.gd/abc", Kind.LINK_SHORTENER),
        ("http://www.nhs.uk", Kind.LINK_PLAIN_HTTP),
        ("https://example.com", Kind.LINK_FOREIGN_HOST),
        ("example.co.uk", Kind.LINK_FOREIGN_HOST),
        ("https://nhs.uk.evil.example/nhs.uk", Kind.LINK_FOREIGN_HOST),
        ("https:/\\evil.example", Kind.LINK_FOREIGN_HOST),
        ("https://evil.example\\@www.nhs.uk", Kind.LINK_FOREIGN_HOST),
        ("https://192.0.2.7/x", Kind.LINK_FOREIGN_HOST),
        ("https://[2001:db8::1]/x", Kind.LINK_FOREIGN_HOST),
        ("https://www.nhs.uk@evil.example", Kind.LINK_USERINFO),
        ("https://evil。example/x", Kind.LINK_FOREIGN_HOST),
        ("https://%65vil.example/x", Kind.LINK_FOREIGN_HOST),
        ("https://xn--nh-bmb.uk", Kind.LINK_PUNYCODE),
        ("https://www.nһs.uk", Kind.LINK_LOOKALIKE),
        ("https://www.ոhs.uk", Kind.LINK_LOOKALIKE),
        ("ftp://www.evil.example", Kind.LINK_FOREIGN_HOST),
    ],
)
def test_a_link_that_leads_elsewhere_is_seen(text: str, kind: Kind) -> None:
    assert kind in of(text)
    assert kind in of(f"Book at {text} today.")


def test_a_shortened_link_is_remarked_on_once() -> None:
    assert of("https://bit.ly/abc") == {Kind.LINK_SHORTENER}


def test_the_organisation_lists_its_own_hosts() -> None:
    ours = WordingSettings(link_hosts=frozenset({"trust.example"}))
    assert kinds("https://book.trust.example", settings=ours) == set()
    assert Kind.LINK_FOREIGN_HOST in kinds("https://www.nhs.uk", settings=ours)


@pytest.mark.parametrize(
    "rest",
    [
        "?nhsNumber=1",
        "?NHS_No=x",
        "#dob=1",
        "/dob=1/x",
        "?a=1&amp;e-mail=x",
        "/9434765919",
        "/943-476-5919/x",
        "?x=943%20476%205919",
        "?x=14/05/1962",
        "?x=1962-05-14",
        "/140562",
        "/14051962",
        "?x=ZZ9+4QX",
        "?x=zz94qx",
        "/sian-okafor-hughes",
        "?a=sian&b=okaforhughes",
        "?q=Okafor-Hughes",
        "?q=si%C3%A2n",
        "?x=a.b%40mail.example",
        "/a.b@mail.example",
        "?x=07700900123",
        "?x=%2B447700900123",
        "?x=0113+496+0101",
        "?r=%252Fp%253Fdob%253D1",
        "/27-larkspur-avenue",
    ],
)
def test_personal_data_in_a_link_are_seen(rest: str) -> None:
    assert Kind.LINK_PERSONAL_DATA in of(f"https://oaklane.gp.nhs.uk{rest}")


def test_personal_data_before_the_host_are_seen() -> None:
    assert Kind.LINK_PERSONAL_DATA in of("https://a.b%40mail.example@www.nhs.uk/")
    assert Kind.LINK_PERSONAL_DATA in of("https://okafor-hughes-sian.x.nhs.uk/")


@pytest.mark.parametrize(
    "rest",
    [
        "?ref=QX7T2K",
        "?id=5f0c1e9a&step=2",
        "/ward/hughes",
        "/news/2026/05/14",
        "?t=eyJhbGciOiJIUzI1NiJ9",
        "?utm_source=sms&utm_campaign=may",
        "?nhs=",
        "/names/",
        "?page=12345678",
    ],
)
def test_a_link_without_personal_data_is_fine(rest: str) -> None:
    assert of(f"https://oaklane.gp.nhs.uk{rest}") == set()


def test_a_link_says_nothing_of_a_patient_nobody_knows() -> None:
    assert kinds("https://x.nhs.uk/sian/okafor-hughes", about=KnownIdentifiers()) == set()


def test_words_of_a_link_are_not_taken_for_words_of_the_text() -> None:
    (found,) = {each.place for each in seen("https://x.nhs.uk/hiv", channel="letter")}
    assert found is Place.LINK
