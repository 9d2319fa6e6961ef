"""The record entry: valid FHIR, the truth, and nothing a proxy must not learn from it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from fhirmsg.fhir import communication
from fhirmsg.fhir.communication import opened, reclaimed
from fhirmsg.fhir.endings import settled
from fhirmsg.fhir.resources import validated
from fhirmsg.guidance.case import Case
from fhirmsg.guidance.decision import decide
from fhirmsg.guidance.record import Preferences
from fhirmsg.guidance.request import Content, Evidence, PracticalReason
from fhirmsg.guidance.terms import Channel, Occasion, Person, Purpose
from fhirmsg.ports import EntryStatus
from tests import builders
from tests.fhir.drafts import MESSAGE_ID, a_draft, an_emergency_case, an_overridden_case

AT = datetime(2026, 11, 24, 10, 0, 30, 123456, tzinfo=UTC)
OWN = "https://fhirmsg.example"
RESTRICTED = {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R"}


def own(resource: dict[str, Any], name: str) -> Any:
    """Give our extensions of that name."""
    url = f"{OWN}/StructureDefinition/{name}"
    return [each for each in resource.get("extension", []) if each["url"] == url]


def entry(case: Case | None = None, **changes: Any) -> dict[str, Any]:
    """Give the entry as it is opened."""
    return opened(a_draft(case, **changes))


def on_the_server(resource: dict[str, Any]) -> dict[str, Any]:
    """Give it as a server hands it out."""
    meta = {**resource.get("meta", {}), "versionId": "1", "lastUpdated": "2026-11-24T10:00:00Z"}
    return {
        **resource,
        "id": "9",
        "meta": {**meta, "source": "#x"},
        "text": {"status": "generated"},
    }


# --- opened ------------------------------------------------------------------------------------


def test_an_entry_says_what_goes_to_whom_about_whom() -> None:
    resource = entry()
    assert resource["status"] == "in-progress"
    assert resource["identifier"] == [{"system": f"{OWN}/Id/message", "value": MESSAGE_ID}]
    assert resource["subject"] == {"reference": "Patient/amara"}
    assert resource["recipient"] == [{"reference": "Patient/amara"}]
    assert resource["sender"]["identifier"]["value"] == "A12345"
    assert resource["payload"][0]["contentString"] == builders.a_request().content.body
    assert "sent" not in resource
    assert "meta" not in resource


@pytest.mark.parametrize("channel", list(Channel))
def test_an_entry_is_valid_on_every_channel(channel: Channel) -> None:
    request = builders.a_request(channel=channel)
    resource = validated(opened(replace(a_draft(), request=request)))
    [medium] = resource["medium"]
    codes = {coding["system"]: coding["code"] for coding in medium["coding"]}
    assert codes[f"{OWN}/CodeSystem/channel"] == str(channel)
    assert "SMSWRIT" not in codes.values()
    assert medium["text"]


def test_a_message_to_a_proxy_is_filed_under_the_patient() -> None:
    case = builders.a_proxy_case(builders.a_grant())
    resource = validated(entry(case))
    assert resource["subject"] == {"reference": "Patient/amara"}
    assert resource["recipient"] == [{"reference": "RelatedPerson/ben"}]
    assert resource["note"] == [{"text": "Sent to a proxy under Consent/grant/_history/1."}]


def test_a_grant_without_a_version_is_named_without_one() -> None:
    case = builders.a_proxy_case(builders.a_grant(version=None))
    assert entry(case)["note"] == [{"text": "Sent to a proxy under Consent/grant."}]


def test_a_summary_stands_in_the_place_of_the_text() -> None:
    content = Content(body="the body", subject="the subject", summary="A reminder was sent.")
    request = builders.a_request(content=content, summary_only=True)
    [payload] = validated(opened(replace(a_draft(), request=request)))["payload"]
    assert payload["contentString"] == "A reminder was sent."
    assert own(payload, "payload-fidelity")[0]["valueCode"] == "summary"
    assert "the body" not in json.dumps(payload)
    assert "the subject" not in json.dumps(payload)


def test_a_policy_that_wants_no_copy_files_the_summary() -> None:
    request = builders.a_request(content=Content(body="the body", summary="A reminder was sent."))
    [payload] = opened(a_draft(copy_body=False, request=request))["payload"]
    assert payload["contentString"] == "A reminder was sent."


def test_an_exact_copy_holds_subject_and_body() -> None:
    content = Content(body="the body", subject="the subject")
    [payload] = entry(request=builders.a_request(content=content))["payload"]
    assert payload["contentString"] == "the body"
    assert own(payload, "payload-subject")[0]["valueString"] == "the subject"


@pytest.mark.parametrize(
    ("fields", "category"),
    [
        ({"purpose": Purpose.APPOINTMENT}, "reminder"),
        ({"purpose": Purpose.TEST_RESULT}, "notification"),
        ({"purpose": Purpose.TEST_RESULT, "occasion": Occasion.REMINDER}, "reminder"),
    ],
)
def test_the_category_follows_purpose_and_occasion(fields: Any, category: str) -> None:
    resource = entry(request=builders.a_request(**fields))
    assert resource["category"][0]["coding"][0]["code"] == category


def test_only_a_hint_of_the_contact_point_is_kept() -> None:
    resource = entry()
    assert own(resource, "contact-point-tail")[0]["valueString"] == "101"
    assert "7700900101" not in json.dumps(resource)


def test_the_attempt_says_who_hands_off_since_when() -> None:
    [attempt] = own(entry(attempt="mine", attempt_at=AT), "attempt")
    assert attempt["extension"] == [
        {"url": "id", "valueString": "mine"},
        {"url": "at", "valueDateTime": "2026-11-24T10:00:30.123Z"},
    ]


def test_what_it_is_about_and_the_correlation_id_are_kept() -> None:
    request = builders.a_request(about=("Appointment/1", "Task/2"))
    resource = validated(entry(request=request, correlation_id="corr"))
    assert resource["about"] == [{"reference": "Appointment/1"}, {"reference": "Task/2"}]
    assert own(resource, "correlation-id")[0]["valueString"] == "corr"


# --- what a proxy must not learn ---------------------------------------------------------------


def labelled(case: Case) -> bool:
    return entry(case).get("meta") == {"security": [RESTRICTED]}


def test_a_plain_entry_has_no_label() -> None:
    assert not labelled(builders.a_case())


@pytest.mark.parametrize(
    "case",
    [
        an_overridden_case(),
        builders.a_case(
            consents=(
                builders.an_objection(
                    builders.Channel.SMS, organisations=builders.made_to("B67890")
                ),
            )
        ),
        builders.a_case(consents=(builders.an_objection(builders.Channel.EMAIL, safety=True),)),
        builders.a_case(
            linked_consents=(builders.an_objection(builders.Channel.EMAIL, safety=True),)
        ),
        builders.a_case(
            consents=(
                builders.a_consent(
                    root=builders.deny(actors=(builders.a_person(builders.BEN_KEYS),))
                ),
            )
        ),
    ],
    ids=["override", "noted objection", "safety", "safety on a linked record", "denied person"],
)
def test_an_entry_that_could_tell_a_proxy_something_is_labelled_from_the_opening(
    case: Case,
) -> None:
    assert labelled(case)


def test_nothing_of_an_objection_or_an_override_stands_on_the_entry() -> None:
    case = an_overridden_case()
    opening = entry(case)
    after = settled(
        on_the_server(opening),
        EntryStatus.COMPLETED,
        sent=AT,
        provider_id="p",
        decision=decide(case),
    )
    for resource in (opening, after):
        text = json.dumps(resource).lower()
        for word in ("objection", "override", "ptarmigan", "guardian", "reasoncode", "btg"):
            assert word not in text


# --- settled -----------------------------------------------------------------------------------


def test_a_sent_message_says_when_and_by_which_number_of_the_provider() -> None:
    before = on_the_server(entry())
    after = validated(
        settled(before, EntryStatus.COMPLETED, sent=AT, provider_id="p-1"), known=before
    )
    assert (after["status"], after["sent"]) == ("completed", "2026-11-24T10:00:30.123Z")
    assert own(after, "provider-id")[0]["valueString"] == "p-1"
    assert own(after, "delivery")[0]["extension"][0]["valueCode"] == "accepted"
    assert after["payload"] == before["payload"]
    assert "text" not in after
    assert "meta" not in after


def test_settling_the_same_twice_says_it_once() -> None:
    once = settled(on_the_server(entry()), EntryStatus.COMPLETED, sent=AT, provider_id="p")
    twice = settled(on_the_server(once), EntryStatus.COMPLETED, sent=AT, provider_id="p")
    assert twice == once


def test_the_decision_of_the_second_look_replaces_the_first() -> None:
    before = on_the_server(entry())
    case = builders.a_case(as_of=AT)
    after = settled(before, EntryStatus.COMPLETED, sent=AT, decision=decide(case))
    assert len(own(after, "decision")) == 1
    assert own(after, "decision") != own(before, "decision")


def test_an_entry_that_was_not_sent_loses_its_text_and_is_labelled() -> None:
    case = builders.a_proxy_case(builders.a_grant())
    before = on_the_server({**entry(case), "statusReason": {"text": "x"}, "sent": "2026"})
    after = validated(settled(before, EntryStatus.NOT_DONE, decision=decide(case)))
    assert after["status"] == "not-done"
    assert after["meta"] == {"security": [RESTRICTED]}
    for name in ("payload", "note", "sent", "statusReason", "reasonCode"):
        assert name not in after
    assert builders.a_request().content.body not in json.dumps(after)


def test_the_labels_and_tags_that_are_there_stay() -> None:
    other = {"system": "urn:x", "code": "Y"}
    before = on_the_server({**entry(), "meta": {"security": [other, RESTRICTED], "tag": [other]}})
    after = settled(before, EntryStatus.NOT_DONE)
    assert after["meta"] == {"security": [other, RESTRICTED], "tag": [other]}


def test_another_systems_letter_r_is_not_the_label() -> None:
    other = {"system": "urn:x", "code": "R"}
    after = settled(on_the_server({**entry(), "meta": {"security": [other]}}), EntryStatus.NOT_DONE)
    assert RESTRICTED in after["meta"]["security"]


def test_a_claim_changes_nothing_but_the_attempt() -> None:
    before = on_the_server(entry())
    after = validated(reclaimed(before, "mine", AT))
    assert own(after, "attempt")[0]["extension"][0]["valueString"] == "mine"
    for name in ("status", "payload", "identifier", "subject", "recipient"):
        assert after[name] == before[name]
    assert len(after["extension"]) == len(before["extension"])


# --- why it was sent ---------------------------------------------------------------------------


def not_preferred() -> Case:
    """Give a case in which a preference is not followed, with a reason."""
    reason = PracticalReason(
        important_for_care=True,
        only_practical_way=True,
        reason="ptarmigan-practical",
        by=builders.NURSE,
    )
    wishes = Preferences(channels=frozenset({Channel.EMAIL}))
    return builders.a_case(
        patient=builders.a_patient(preferences=wishes),
        request=builders.a_request(evidence=Evidence(practical_reason=reason)),
    )


def reasons(resource: dict[str, Any]) -> list[tuple[str, str | None]]:
    return [
        (each["coding"][0]["code"], each.get("text"))
        for each in resource.get("reasonCode", [])
        if each.get("coding")
    ]


def test_why_a_preference_is_not_followed_stands_on_the_entry() -> None:
    expected = [("preference-not-followed", "ptarmigan-practical")]
    assert reasons(validated(entry(not_preferred()))) == expected


def test_that_it_is_an_emergency_stands_on_the_entry_and_not_which() -> None:
    resource = validated(entry(an_emergency_case()))
    assert reasons(resource) == [("emergency", "Sent in an emergency")]
    assert "ptarmigan" not in json.dumps(resource)


def test_the_reasons_are_those_of_the_decision_it_went_out_on() -> None:
    plain, case = builders.a_case(), not_preferred()
    before = on_the_server(
        {**entry(case), "reasonCode": [*entry(case)["reasonCode"], {"text": "x"}]}
    )
    after = settled(
        before, EntryStatus.COMPLETED, sent=AT, decision=decide(plain), grounds=plain.request
    )
    assert after["reasonCode"] == [{"text": "x"}]
    again = settled(
        before, EntryStatus.COMPLETED, sent=AT, decision=decide(case), grounds=case.request
    )
    assert len(again["reasonCode"]) == 2


def test_an_entry_that_was_not_sent_says_no_reason() -> None:
    after = settled(on_the_server(entry(an_emergency_case())), EntryStatus.NOT_DONE)
    assert "reasonCode" not in after


@pytest.mark.parametrize("person", [Person(), Person(identifier=" ", name="A")])
def test_somebody_without_an_identifier_is_named_in_words_alone(person: Person) -> None:
    assert "identifier" not in communication.person_reference(person)
    assert communication.person_reference(person)["display"]


def test_an_instant_is_written_in_utc_with_milliseconds() -> None:
    assert communication.instant(AT) == "2026-11-24T10:00:30.123Z"
