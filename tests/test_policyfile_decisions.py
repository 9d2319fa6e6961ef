"""What a policy file says of reviewers, content, devices and links."""

from __future__ import annotations

import pytest

from fhirmsg.guidance.rules import RULES
from fhirmsg.guidance.terms import Device
from fhirmsg.policyfile.decisions import REVIEWED_BY_DEFAULT
from tests.policies import HEAD, faults, policy


def reviewers(mapping: str) -> str:
    """Give the head with this mapping for `review_by_code`."""
    return HEAD.replace("{approve", f"{{review: [IG lead], review_by_code: {mapping}, approve")


def test_a_finding_may_have_reviewers_of_its_own() -> None:
    found = policy(head=reviewers("{proxy.scope: [Caldicott Guardian, Senior clinician]}"))
    assert found.review_by_code == {
        **REVIEWED_BY_DEFAULT,
        "proxy.scope": {"Caldicott Guardian", "Senior clinician"},
    }
    assert found.may_review("senior clinician", "proxy.scope")
    assert not found.may_review("IG lead", "proxy.scope")
    assert found.may_review("IG lead", "proxy.unclear")


@pytest.mark.parametrize("code", ["sensitive.proxy", "objection.safety-by-proxy"])
def test_what_exposes_somebody_is_reviewed_by_the_caldicott_guardian_unless_said_otherwise(
    code: str,
) -> None:
    assert policy().review_by_code[code] == {"Caldicott Guardian"}
    found = policy(head=reviewers(f"{{{code}: [Medical director]}}"))
    assert found.review_by_code == {**REVIEWED_BY_DEFAULT, code: {"Medical director"}}


def test_every_finding_that_a_review_lifts_may_be_named() -> None:
    cards = [rule.card for rule in RULES]
    lifted = [card.code for card in cards if "review" in card.lifted_by]
    rows = ", ".join(f"{code}: [IG lead]" for code in lifted)
    assert set(policy(head=reviewers(f"{{{rows}}}")).review_by_code) == set(lifted)
    for code in {card.code for card in cards} - set(lifted):
        (fault,) = faults(head=reviewers(f"{{{code}: [IG lead]}}"))
        assert fault.startswith(f"roles.review_by_code.{code}: is not lifted by a review, but by ")


@pytest.mark.parametrize(
    ("mapping", "says"),
    [
        ("{sensitive.prox: [IG lead]}", ".sensitive.prox: is not a key that is known here; did "),
        ("{sensitive.proxy: []}", ".sensitive.proxy: is an empty list; "),
        ("{sensitive.proxy: IG lead}", ".sensitive.proxy: is 'IG lead'; list the roles"),
        ("{sensitive.proxy: }", ".sensitive.proxy: has no value; "),
        ("[sensitive.proxy]", ": is a list; "),
        ("null", ": has no value; "),
    ],
)
def test_what_is_wrong_with_reviewers_of_a_finding_is_told(mapping: str, says: str) -> None:
    assert faults(head=reviewers(mapping))[0].startswith(f"roles.review_by_code{says}")


# --- content, devices, links ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("fallback_order: [emial]", "fallback_order: 'emial' is not a channel; did you mean email"),
        ("fallback_order: [sms, email, sms]", "fallback_order: sms is there twice; "),
        ("fallback_order: email", "fallback_order: is 'email'; "),
        ("fallback_order:", "fallback_order: has no value; "),
        ("content_matrix: {results: {sms: forbidden}}", "content_matrix.results: is not a key"),
        ("content_matrix: {feedback: {text: forbidden}}", "content_matrix.feedback.text: is not a"),
        ("content_matrix: {feedback: {sms: allowed}}", "content_matrix.feedback.sms: is 'allowed'"),
        ("content_matrix: {feedback: {sms: }}", "content_matrix.feedback.sms: has no value; "),
        ("content_matrix: {feedback: forbidden}", "content_matrix.feedback: is 'forbidden'; "),
        ("content_matrix: {feedback: }", "content_matrix.feedback: has no value; "),
        ("content_matrix: []", "content_matrix: is a list; "),
        ("proxies: {require_capacity_record: 1}", "proxies.require_capacity_record: is '1'; "),
        ("proxies: {individual_check_days: 0}", "proxies.individual_check_days: is '0'; write a "),
        ("proxies: {individual_check_days: 3651}", "proxies.individual_check_days: is '3651'; "),
        ("proxies: {individual_check_days: 1.5}", "proxies.individual_check_days: is '1.5'; "),
        ("proxies: {individual_check_days: ever}", "proxies.individual_check_days: is 'ever'; "),
        ("objections: {read_flags: no}", "objections.read_flags: is 'no'; write true or false"),
        ("objections: {read_communication_requests: }", "objections.read_communication_requests: "),
        ("objections: {read_flag: true}", "objections.read_flag: is not a key that is known here"),
        ("record: {hold_tasks: off}", "record.hold_tasks: is 'off'; write true or false"),
        ("devices: {personal: yes}", "devices.personal: is 'yes'; write true or false"),
        ("devices: {organisation: false}", "devices.organisation: is not a key that is known here"),
        ("devices: [personal]", "devices: is a list; write a mapping of personal and shared"),
        ("repeat_window_hours: -1", "repeat_window_hours: is '-1'; write a number from 0 to 720"),
        ("repeat_window_hours: 721", "repeat_window_hours: is '721'; "),
        ("repeat_window_hours:", "repeat_window_hours: has no value; "),
        ("links: [nhs.uk]", "links: is a list; "),
        ("links: {host: [nhs.uk]}", "links.host: is not a key that is known here; did you mean ho"),
        ("links: {hosts: nhs.uk}", "links.hosts: is 'nhs.uk'; "),
        ("links: {hosts: }", "links.hosts: has no value; "),
    ],
)
def test_what_is_wrong_with_a_decision_is_told_with_what_to_write(text: str, says: str) -> None:
    (fault,) = faults(text)
    assert fault.startswith(says)


@pytest.mark.parametrize("hours", ["0", "720"])
def test_the_window_for_repeats_has_its_ends(hours: str) -> None:
    assert policy(f"repeat_window_hours: {hours}").repeat_window_hours == float(hours)


@pytest.mark.parametrize("days", ["1", "3650"])
def test_the_days_an_answer_counts_have_their_ends(days: str) -> None:
    assert policy(f"proxies: {{individual_check_days: {days}}}").individual_check_days == int(days)


def test_devices_are_those_of_the_organisation_and_those_it_allows() -> None:
    assert policy("devices: {shared: true}").devices == {Device.ORGANISATION, Device.SHARED}
    assert policy("devices: {}").devices == {Device.ORGANISATION}


def test_no_host_at_all_may_be_said() -> None:
    assert policy("links: {hosts: []}").link_hosts == frozenset()
    assert policy("links: {}").link_hosts == {"nhs.uk"}


@pytest.mark.parametrize(
    ("host", "why"),
    [
        ("https://www.nhs.uk", "is an address"),
        ("www.nhs.uk/book", "is an address"),
        ("desk@example.com", "is an address"),
        ("nhs.uk:443", "has a port"),
        ("*.nhs.uk", "is a wildcard"),
        ("uk", "is not a host name"),
        ("localhost", "is not a host name"),
        ("127.0.0.1", "is not a host name"),
        (".nhs.uk", "is not a host name"),
        ("nhs.uk.", "is not a host name"),
        ("nhs..uk", "is not a host name"),
        ("-nhs.uk", "is not a host name"),
        ("two words.uk", "is not a host name"),
        ("a_b.uk", "is not a host name"),
        (f"{'a' * 64}.uk", "is not a host name"),
        ("пример.uk", "is not in ASCII"),
    ],
)
def test_what_is_no_host_name_is_told_with_the_reason(host: str, why: str) -> None:
    (fault,) = faults(f"links: {{hosts: ['{host}']}}")
    assert fault.startswith("links.hosts: ")
    assert f" {why}; " in fault
