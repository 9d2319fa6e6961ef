"""The policy file: what may stand in it, and what is said about what may not."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from datetime import date
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from fhirmsg.errors import SettingsError
from fhirmsg.guidance.coding import service_token
from fhirmsg.guidance.policy import Approval, LocalPolicy, Platform
from fhirmsg.guidance.terms import Channel, Device, Purpose
from fhirmsg.policyfile import keys, parse_policy, read_policy
from fhirmsg.policyfile.decisions import REVIEWED_BY_DEFAULT
from fhirmsg.policyfile.lexicons import packaged_lexicon
from tests.policies import HEAD, PLATFORMS, faults, platform, policy

EXAMPLE = Path(__file__).parent.parent / "fixtures" / "policy" / "example.yaml"


def test_a_file_with_what_is_required_has_the_defaults_for_the_rest() -> None:
    found = policy()
    assert found.version == "v1"
    assert found.organisations == {"A12345"}
    assert found.zone == ZoneInfo("Europe/London")
    assert found.approve_overrides == {"Caldicott Guardian"}
    assert found.review == frozenset()
    assert found.default_platform == {}
    assert found.accept_unlisted_bases == frozenset()
    assert not found.accept_access_roles
    assert found.parental_review_ages == (13,)
    assert found.record_copy
    assert found.freshness_seconds == 30.0
    assert found.sensitive_services == frozenset()
    assert found.review_by_code == REVIEWED_BY_DEFAULT
    assert found.fallback_order == ()
    assert found.forbidden == frozenset()
    assert not found.require_capacity_record
    assert found.individual_check_days == 180
    assert found.read_flags
    assert found.read_communication_requests
    assert not found.record_refusals
    assert found.hold_tasks
    assert found.devices == {Device.ORGANISATION}
    assert found.repeat_window_hours == 24.0
    assert found.link_hosts == {"nhs.uk"}
    assert found.lexicon is packaged_lexicon()


def test_the_defaults_of_a_file_are_those_of_a_policy() -> None:
    """Where the two differed, tests on policies of their own would show another service."""
    required = {
        "version": "v1",
        "sha256": policy().sha256,
        "organisations": frozenset({"A12345"}),
        "name": "Example Surgery",
        "zone": ZoneInfo("Europe/London"),
        "approve_overrides": frozenset({"Caldicott Guardian"}),
    }
    found = replace(policy(), platforms={}, review_by_code={}, lexicon=None)
    assert found == replace(LocalPolicy(**required), lexicon=None)
    assert policy(platforms=platform()).platforms["texts"] == Platform(
        name="texts", provider="outbox", channels=frozenset({Channel.SMS})
    )


def test_everything_that_can_be_said_is_read() -> None:
    found = policy(
        """
timezone: Europe/Paris
default_platform: {sms: texts}
proxies:
  accept_unlisted_bases: [health-and-welfare-lasting-power-of-attorney, POWATT]
  accept_access_roles: true
  parental_review_ages: [16, 11, 13]
  require_capacity_record: true
  individual_check_days: 30
objections: {read_flags: false, read_communication_requests: false}
record: {content: summary, record_refusals: true, hold_tasks: false}
devices: {personal: true, shared: false}
freshness_seconds: 2.5
repeat_window_hours: 0.5
fallback_order: [email, letter]
content_matrix: {test-result: {sms: forbidden, email: forbidden}, feedback: {}}
links: {hosts: [Example.NHS.uk, xn--fiqs8s.example]}
lexicon: null
"""
    )
    assert found.zone == ZoneInfo("Europe/Paris")
    assert found.default_platform == {Channel.SMS: "texts"}
    assert found.accept_unlisted_bases == {"health-and-welfare-lasting-power-of-attorney", "POWATT"}
    assert found.accept_access_roles
    assert found.parental_review_ages == (11, 13, 16)
    assert not found.record_copy
    assert found.freshness_seconds == 2.5
    assert found.require_capacity_record
    assert found.individual_check_days == 30
    assert (found.read_flags, found.read_communication_requests) == (False, False)
    assert (found.record_refusals, found.hold_tasks) == (True, False)
    assert found.devices == {Device.ORGANISATION, Device.PERSONAL}
    assert found.repeat_window_hours == 0.5
    assert found.fallback_order == (Channel.EMAIL, Channel.LETTER)
    assert found.forbidden == {
        (Purpose.TEST_RESULT, Channel.SMS),
        (Purpose.TEST_RESULT, Channel.EMAIL),
    }
    assert found.link_hosts == {"example.nhs.uk", "xn--fiqs8s.example"}
    texts = found.platforms["texts"]
    assert texts.provider == "outbox"
    assert texts.channels == {Channel.SMS, Channel.EMAIL}
    assert texts.approval == Approval(start=date(2025, 1, 1), end=None)


def test_the_digest_is_that_of_the_bytes_of_the_file() -> None:
    assert policy().sha256 == hashlib.sha256(f"{HEAD}{PLATFORMS}".encode()).hexdigest()
    assert read_policy(EXAMPLE).sha256 == hashlib.sha256(EXAMPLE.read_bytes()).hexdigest()


def test_the_example_is_right_and_approves_its_texts() -> None:
    found = read_policy(EXAMPLE)
    assert found.organisations == {"A12345"}
    assert found.platforms["demo-texts"].approval is not None
    assert found.platforms["trial-app"].approval is None
    assert found.platforms["demo-app"].is_secure
    assert not found.platforms["demo-app"].lock_screen
    assert not found.platforms["demo-texts"].is_secure
    assert found.default_platform == {
        Channel.SMS: "demo-texts",
        Channel.EMAIL: "demo-texts",
        Channel.NHS_APP: "demo-app",
    }


def test_the_example_leaves_everything_at_its_default_but_what_it_is_there_to_show() -> None:
    found = read_policy(EXAMPLE)
    shown = ("version", "sha256", "review", "platforms", "default_platform", "sensitive_services")
    plain = replace(policy(), **{name: getattr(found, name) for name in shown})
    approvers = {"Caldicott Guardian", "Data Protection Officer", "IG lead", "Senior clinician"}
    assert found == replace(plain, approve_overrides=frozenset(approvers))


def test_every_key_is_explained_in_the_example() -> None:
    text = EXAMPLE.read_text()
    unexplained = {key for key in keys.ALL if not re.search(rf"(^|[ {{]){key}(:|  )", text, re.M)}
    # The two of a pair under `fallbacks`, which its comment names.
    assert unexplained == {"platform", "channel"}


def test_the_mail_platform_of_the_example_is_right_once_its_marks_are_taken_away() -> None:
    lines = EXAMPLE.read_text().splitlines()
    start = lines.index("  # practice-mail:")
    uncommented = [
        line.replace("  # ", "  ", 1) if start <= number < start + 6 else line
        for number, line in enumerate(lines)
    ]
    mail = parse_policy("\n".join(uncommented).encode()).platforms["practice-mail"]
    assert mail.provider == "smtp"
    assert mail.channels == {Channel.EMAIL}
    assert mail.approval == Approval(start=date(2025, 1, 1), end=date(2027, 12, 31))


def test_every_fault_is_named_at_once_with_its_path() -> None:
    found = faults(
        "platfroms: {}\nproxies: {parental_review_ages: [17]}\nfreshness_seconds: 0\n",
        platforms=platform(fallbacks="", channels="[txt]"),
    )
    assert [fault.partition(": ")[0] for fault in found] == [
        "platfroms",
        "platforms.texts.channels",
        "platforms.texts.fallbacks",
        "proxies.parental_review_ages",
        "freshness_seconds",
    ]
    assert "did you mean platforms?" in found[0]
    assert "write [] only when the supplier has confirmed" in found[2]


@pytest.mark.parametrize("key", ["provider", "channels", "fallbacks", "notifies_by"])
def test_a_platform_without_a_required_key_is_a_fault(key: str) -> None:
    (fault,) = faults(platforms=platform(**{key: ""}))
    assert fault.startswith(f"platforms.texts.{key}: is missing; ")


def test_a_key_without_a_value_is_a_fault_and_not_a_default() -> None:
    assert faults("timezone:")[0].startswith("timezone: has no value; ")
    assert faults("freshness_seconds:")[0].startswith("freshness_seconds: has no value; ")
    assert faults("default_platform:")[0].startswith("default_platform: has no value; ")
    assert faults("proxies: {accept_access_roles: null}")[0].startswith(
        "proxies.accept_access_roles: has no value; "
    )
    assert faults(platforms=platform(fallbacks="null"))[0].startswith(
        "platforms.texts.fallbacks: has no value; "
    )


@pytest.mark.parametrize("key", ["version", "organisations", "name", "roles"])
def test_the_head_is_required(key: str) -> None:
    head = "\n".join(line for line in HEAD.splitlines() if not line.startswith(key))
    (fault,) = faults(head=head)
    assert fault.startswith(f"{key}: is missing; ")


def test_platforms_are_required_and_there_is_at_least_one() -> None:
    assert faults(platforms="")[0].startswith("platforms: is missing; ")
    assert faults(platforms="platforms: {}")[0].startswith("platforms: is empty")
    assert faults(platforms="platforms: [texts]")[0].startswith("platforms: is a list; ")
    assert faults(platforms="platforms: {texts: }")[0].startswith("platforms.texts: has no value")


def test_somebody_has_to_be_able_to_approve_an_override() -> None:
    head = HEAD.replace("[Caldicott Guardian]", "[]")
    assert faults(head=head)[0].startswith("roles.approve_overrides: is an empty list; ")


# --- what YAML makes of a word ----------------------------------------------------------------


@pytest.mark.parametrize("code", ["1E5", "1e5", "0123", "12345", "0x1F", "1_000", "1.5e3"])
def test_an_ods_code_that_looks_like_a_number_stays_as_it_is_written(code: str) -> None:
    head = HEAD.replace("A12345", code)
    if code.isalnum():
        assert policy(head=head).organisations == {code.upper()}
    else:
        assert f"'{code}' is not an ODS code" in faults(head=head)[0]


@pytest.mark.parametrize("written", ["1.10", "2026-11-01", "0012", "1e3", "yes", "12:30", "'1.10'"])
def test_a_version_stays_as_it_is_written(written: str) -> None:
    assert policy(head=HEAD.replace("v1", written)).version == written.strip("'")


@pytest.mark.parametrize("written", ["null", "~", "''", "[1]", "{a: b}", "' '", '"a\\nb"'])
def test_a_version_that_says_nothing_is_a_fault(written: str) -> None:
    (fault,) = faults(head=HEAD.replace("v1", written))
    assert fault.startswith("version: ")


@pytest.mark.parametrize("written", ["no", "yes", "on", "Off", "1", "maybe"])
def test_a_boolean_is_true_or_false_and_no_other_word(written: str) -> None:
    assert faults(f"proxies: {{accept_access_roles: {written}}}") == [
        f"proxies.accept_access_roles: is '{written}'; write true or false"
    ]


@pytest.mark.parametrize("written", ["true", "True", "TRUE"])
def test_true_may_be_written_in_any_letter_case(written: str) -> None:
    assert policy(f"proxies: {{accept_access_roles: {written}}}").accept_access_roles


@pytest.mark.parametrize("word", ["no", "on", "y"])
def test_a_word_that_yaml_takes_for_a_boolean_is_text_where_text_is_asked_for(word: str) -> None:
    assert policy(head=HEAD.replace("Example Surgery", word)).name == word
    assert f"'{word}' is not a channel" in faults(platforms=platform(channels=f"[{word}]"))[0]


@pytest.mark.parametrize("quote", ["", "'", '"'])
def test_a_day_may_be_quoted_or_not(quote: str) -> None:
    approved = f"{{from: {quote}2025-03-01{quote}, until: {quote}2025-03-31{quote}}}"
    approval = policy(platforms=platform(approved=approved)).platforms["texts"].approval
    assert approval == Approval(start=date(2025, 3, 1), end=date(2025, 3, 31))


@pytest.mark.parametrize(
    "day", ["2025-02-30", "01/03/2025", "20250301", "2025-03-01T10:00:00Z", "2025-W09-6", "March"]
)
def test_what_is_no_day_is_a_fault(day: str) -> None:
    (fault,) = faults(platforms=platform(approved=f"{{from: {day!r}}}"))
    assert fault == f"platforms.texts.approved.from: is {day!r}; write a day as YYYY-MM-DD"


def test_a_platform_without_approval_is_registered_and_not_approved() -> None:
    assert policy(platforms=platform()).platforms["texts"].approval is None
    assert policy(platforms=platform(approved="null")).platforms["texts"].approval is None


def test_an_approval_without_its_first_day_or_back_to_front_is_a_fault() -> None:
    assert faults(platforms=platform(approved="{until: 2025-01-01}"))[0].startswith(
        "platforms.texts.approved.from: is missing"
    )
    assert faults(platforms=platform(approved="{from: 2025-02-01, until: 2025-01-31}"))[
        0
    ].startswith("platforms.texts.approved.until: is before")
    assert faults(platforms=platform(approved="true"))[0].startswith(
        "platforms.texts.approved: is 'true'; write a mapping of from and until"
    )


def test_a_key_that_is_there_twice_is_a_fault_wherever_it_stands() -> None:
    assert faults("version: v2\n") == [
        "line 14: 'version' is there twice in one place; keep one of them"
    ]
    register = PLATFORMS + "    fallbacks: [email]\n  texts: {}\n"
    found = faults(platforms=register)
    assert [fault.partition(": ")[2][:12] for fault in found] == ["'fallbacks' ", "'texts' is t"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "the file: is nothing"),
        ("- a list", "the file: is a list"),
        ("just words", "the file: is 'just words'"),
        ("a: [1, 2", "line 1: this is not YAML"),
        ("a: b\n---\nc: d", "line 2: this is not YAML"),
        ("a: !!python/object:os.system {}", "a tag (!) is not understood"),
        ("a: !!binary aGVsbG8=", "a tag (!) is not understood"),
        ("a: &a [*a]", "a value contains itself"),
        ("? [a]\n: b", "a key is not plain text"),
        ("a: *nowhere", "this is not YAML"),
        ("[" * 3000, "the file is nested too deeply"),
    ],
)
def test_what_is_no_policy_is_told_plainly(text: str, says: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_policy(text.encode())
    assert says in "\n".join(caught.value.faults)


def test_bytes_that_are_no_text_are_told_plainly() -> None:
    with pytest.raises(SettingsError, match="save it as UTF-8"):
        parse_policy(b"name: \xff\xfe\xfa")


def test_aliases_are_read_and_cannot_multiply() -> None:
    head = HEAD.replace(
        "{approve_overrides: [Caldicott Guardian]}",
        "{approve_overrides: &who [Caldicott Guardian], review: *who}",
    )
    assert policy(head=head).review == {"Caldicott Guardian"}
    bomb = "a0: &a0 [x]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30)
    )
    assert len(faults(bomb)) == 30


# --- values -----------------------------------------------------------------------------------


def test_ods_codes_are_taken_in_upper_case() -> None:
    assert policy(head=HEAD.replace("A12345", "a12345, b67")).organisations == {"A12345", "B67"}
    assert "is not an ODS code" in faults(head=HEAD.replace("A12345", "A-12345"))[0]
    assert faults(head=HEAD.replace("[A12345]", "[]"))[0].startswith("organisations: is an empty")
    assert faults(head=HEAD.replace("[A12345]", "A12345"))[0].startswith("organisations: is 'A12")


@pytest.mark.parametrize("zone", ["Europe/Londn", "Europe", "../etc/passwd", "GMT+1", "/etc"])
def test_a_time_zone_has_to_exist(zone: str) -> None:
    assert f"{zone!r} is not a time zone" in faults(f"timezone: {zone}")[0]


def test_a_fallback_is_a_channel_or_a_pair_of_which_the_channel_counts() -> None:
    register = platform(fallbacks="[email, {platform: texts, channel: letter}]")
    assert policy(platforms=register).platforms["texts"].fallbacks == {
        Channel.EMAIL,
        Channel.LETTER,
    }
    assert (
        "'other' is not under platforms"
        in faults(platforms=platform(fallbacks="[{platform: other, channel: sms}]"))[0]
    )
    assert faults(platforms=platform(fallbacks="[{platform: texts}]"))[0].startswith(
        "platforms.texts.fallbacks[0].channel: is missing"
    )
    assert faults(platforms=platform(fallbacks="[[sms]]"))[0].startswith(
        "platforms.texts.fallbacks[0]: is a list"
    )
    assert faults(platforms=platform(fallbacks="sms"))[0].startswith(
        "platforms.texts.fallbacks: is 'sms'; "
    )


def test_a_platform_may_be_registered_without_channels() -> None:
    assert policy(platforms=platform(channels="[]")).platforms["texts"].channels == frozenset()


def test_a_default_platform_is_registered_and_lists_the_channel() -> None:
    assert faults("default_platform: {sms: text}") == [
        "default_platform.sms: 'text' is not under platforms; did you mean texts?"
    ]
    assert faults("default_platform: {letter: texts}") == [
        "default_platform.letter: texts does not list letter among its channels; add it"
    ]
    assert faults("default_platform: {pager: texts}")[0].startswith(
        "default_platform.pager: is not a key that is known here"
    )


@pytest.mark.parametrize("ages", ["[17]", "[-1]", "[12.5]", "[ten]", "13"])
def test_a_review_age_is_a_whole_number_of_years_up_to_16(ages: str) -> None:
    assert faults(f"proxies: {{parental_review_ages: {ages}}}")[0].startswith(
        "proxies.parental_review_ages: "
    )


def test_no_review_age_at_all_may_be_said() -> None:
    assert policy("proxies: {parental_review_ages: []}").parental_review_ages == ()


@pytest.mark.parametrize("base", ["consent", "MTH", "anything"])
def test_a_ground_that_is_not_one_of_those_to_decide_on_is_a_fault(base: str) -> None:
    assert f"'{base}' is not one of" in faults(f"proxies: {{accept_unlisted_bases: [{base}]}}")[0]


@pytest.mark.parametrize("seconds", ["0", "301", "1e2", "-5", "nan", "inf", "soon", ".", "[30]"])
def test_freshness_is_between_1_and_300_seconds(seconds: str) -> None:
    assert faults(f"freshness_seconds: {seconds}")[0].startswith("freshness_seconds: is ")


def test_record_content_is_copy_or_summary() -> None:
    assert faults("record: {content: none}") == ["record.content: is 'none'; write copy or summary"]


def test_sensitive_services_are_held_in_the_form_in_which_they_are_compared() -> None:
    found = policy('sensitive_services: [{system: "HTTPS://Example.org/Services/|2", code: GUM}]')
    assert found.sensitive_services == {"http://example.org/services|GUM"}
    assert found.sensitive_services == {service_token("http://example.org/services", "GUM")}


@pytest.mark.parametrize(
    ("pair", "path"),
    [
        ("{system: 'http://x'}", "sensitive_services[0].code: is missing"),
        ("{code: x}", "sensitive_services[0].system: is missing"),
        ("{system: x, code: x}", "sensitive_services[0].system: is 'x'"),
        ("{system: 'http://x', code: 'a|b'}", "sensitive_services[0].code: holds a bar"),
        ("gum", "sensitive_services[0]: is 'gum'"),
        ("{system: 'http://x', code: x, name: y}", "sensitive_services[0].name: is not a key"),
    ],
)
def test_a_sensitive_service_is_a_pair_of_system_and_code(pair: str, path: str) -> None:
    assert faults(f"sensitive_services: [{pair}]")[0].startswith(path)


def test_the_name_of_a_platform_is_one_that_a_request_can_name() -> None:
    register = PLATFORMS.replace("texts:", "'my texts':")
    assert faults(platforms=register)[0].startswith("platforms.my texts: is not a name")
