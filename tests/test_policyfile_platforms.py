"""The register of platforms in a policy file."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from fhirmsg.guidance.policy import Approval, Fallback, Platform, Window
from fhirmsg.guidance.terms import Channel
from tests.policies import faults, platform, policy


def test_everything_that_can_be_said_of_a_platform_is_read() -> None:
    register = platform(
        channels="[nhs-app]",
        approved="{from: 2025-01-01}",
        confidential="true",
        requires_login="true",
        lock_screen="false",
        fallbacks="[email, {platform: texts, channel: sms}]",
        notifies_by="[email]",
        windows='[{days: [mon, sun], from: 08:00, until: "18:30"}, {days: [sat], from: "00:00", '
        "until: 24:00}]",
        sender_names="[ExSurgery, Ex 2]",
    )
    assert policy(platforms=register).platforms == {
        "texts": Platform(
            name="texts",
            provider="outbox",
            channels=frozenset({Channel.NHS_APP}),
            approval=Approval(start=date(2025, 1, 1)),
            falls_back=(
                Fallback(channel=Channel.EMAIL),
                Fallback(channel=Channel.SMS, platform="texts"),
            ),
            notifies_by=frozenset({Channel.EMAIL}),
            confidential=True,
            requires_login=True,
            lock_screen=False,
            windows=(
                Window(weekdays=frozenset({0, 6}), start=time(8), end=time(18, 30)),
                Window(weekdays=frozenset({5}), start=time(0), end=time.max),
            ),
            sender_names=("ExSurgery", "Ex 2"),
        )
    }


@pytest.mark.parametrize("login", ["", "false"])
def test_confidential_content_takes_a_login(login: str) -> None:
    (fault,) = faults(platforms=platform(confidential="true", requires_login=login))
    assert fault.startswith("platforms.texts.confidential: is true, and requires_login is not: ")
    assert "write requires_login: true" in fault
    assert not policy(platforms=platform(requires_login="true")).platforms["texts"].is_secure


@pytest.mark.parametrize("key", ["confidential", "requires_login", "lock_screen"])
def test_what_is_said_of_a_platform_with_yes_or_no_is_true_or_false(key: str) -> None:
    assert faults(platforms=platform(**{key: "yes"})) == [
        f"platforms.texts.{key}: is 'yes'; write true or false"
    ]


def test_a_window_until_24_00_lasts_to_the_end_of_the_day() -> None:
    register = platform(windows="[{days: [tue], from: 22:00, until: 24:00}]")
    delivers = policy(platforms=register).platforms["texts"].delivers_at
    midnight = datetime(2026, 11, 25, tzinfo=ZoneInfo("Europe/London"))
    assert delivers(midnight - timedelta(microseconds=1))
    assert not delivers(midnight)
    assert delivers(midnight - timedelta(hours=2))
    assert not delivers(midnight - timedelta(hours=2, microseconds=1))


@pytest.mark.parametrize(
    ("window", "says"),
    [
        ("{from: 08:00, until: 18:00}", "[0].days: is missing; list days out of mon, tue"),
        ("{days: [], from: 08:00, until: 18:00}", "[0].days: is an empty list; "),
        ("{days: [monday], from: 08:00, until: 18:00}", "[0].days: 'monday' is not a day; "),
        ("{days: mon, from: 08:00, until: 18:00}", "[0].days: is 'mon'; "),
        ("{days: [mon], until: 18:00}", "[0].from: is missing; write a time as HH:MM"),
        ("{days: [mon], from: 24:00, until: 24:00}", "[0].from: is '24:00'; write a time"),
        ("{days: [mon], from: 8:00, until: 18:00}", "[0].from: is '8:00'; "),
        ("{days: [mon], from: 08:00, until: 18:60}", "[0].until: is '18:60'; "),
        ("{days: [mon], from: 08:00, until: 25:00}", "[0].until: is '25:00'; "),
        ("{days: [mon], from: 08:00, until: 24:01}", "[0].until: is '24:01'; "),
        ("{days: [mon], from: 08:00, until: 08:00}", "[0].until: is not after `from`; "),
        ("{days: [mon], from: 22:00, until: 06:00}", "[0].until: is not after `from`; write two"),
        ("{days: [mon], from: 08:00, until: 18:00, zone: x}", "[0].zone: is not a key"),
        ("always", "[0]: is 'always'; "),
    ],
)
def test_what_is_wrong_with_a_window_is_told(window: str, says: str) -> None:
    (fault,) = faults(platforms=platform(windows=f"[{window}]"))
    assert fault.startswith(f"platforms.texts.windows{says}")


@pytest.mark.parametrize("windows", ["always", "null", "{days: [mon]}"])
def test_windows_are_a_list(windows: str) -> None:
    (fault,) = faults(platforms=platform(windows=windows))
    assert fault.startswith("platforms.texts.windows: ")


@pytest.mark.parametrize("name", ["Example Surgery", "Ex-Surgery", "07700.9001", "Surgéry", "a_b"])
def test_a_sender_name_is_one_that_networks_take(name: str) -> None:
    (fault,) = faults(platforms=platform(sender_names=f"[{name}]"))
    assert fault.startswith(f"platforms.texts.sender_names: {name!r} is not such a name; ")


def test_sender_names_are_a_list() -> None:
    assert faults(platforms=platform(sender_names="Ex"))[0].startswith(
        "platforms.texts.sender_names: is 'Ex'; "
    )
    assert faults(platforms=platform(sender_names="['']"))[0].startswith(
        "platforms.texts.sender_names[0]: is ''; "
    )


def test_a_misspelt_key_of_a_platform_is_told_with_the_one_that_was_meant() -> None:
    assert faults(platforms=platform(confidental="true")) == [
        "platforms.texts.confidental: is not a key that is known here; did you mean confidential?"
    ]
