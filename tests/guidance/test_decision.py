"""The decision: every finding, in order, the same bytes for the same facts."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from itertools import permutations

import pytest

from fhirmsg.guidance.case import Case
from fhirmsg.guidance.decision import Decision, Verdict, decide
from fhirmsg.guidance.record import Gap
from fhirmsg.guidance.request import Content
from fhirmsg.guidance.rule import Effect, Finding
from fhirmsg.guidance.rules import RULES_VERSION
from fhirmsg.guidance.terms import Channel, ResourceVersion
from tests.builders import (
    GUARDIAN,
    NOW,
    THEIRS,
    a_case,
    a_grant,
    a_mobile,
    a_patient,
    a_platform,
    a_policy,
    a_proxy_case,
    a_request,
    an_email,
    an_objection,
    made_to,
    with_override,
)

SECRETS = ("cancer clinic", "the shared telephone", "told the nurse")


def a_troubled_case() -> Case:
    """Give a case with a finding of every effect and an override that counts."""
    return with_override(
        a_case(
            request=a_request(
                content=Content(body="Example Surgery: cancer clinic", subject="cancer clinic")
            ),
            patient=a_patient(restricted=True, contact_points=(a_mobile(), an_email())),
            consents=(
                an_objection(id="1"),
                an_objection(Channel.SMS, id="2"),
                an_objection(id="3", organisations=made_to(THEIRS)),
            ),
            gaps=(Gap(sentence="Page 2 answered 500."), Gap(sentence="Page 1 answered 500.")),
            policy=a_policy(a_platform(approval=None)),
            versions=(
                ResourceVersion(reference="Patient/amara", version_id="7"),
                ResourceVersion(reference="Consent/1", version_id="1"),
                ResourceVersion(reference="Patient/amara", version_id="7"),
            ),
        ),
        reason="told the nurse",
        circumstances="the shared telephone",
    )


def as_bytes(decision: Decision) -> bytes:
    return json.dumps(decision.as_json(), sort_keys=True).encode()


# --- verdict -----------------------------------------------------------------------------------


def a_decision(*effects: Effect) -> Decision:
    findings = tuple(
        Finding(code="a", section="Scope", effect=effect, sentence="") for effect in effects
    )
    return replace(decide(a_case()), findings=findings)


@pytest.mark.parametrize(
    ("effects", "verdict"),
    [
        ((), Verdict.SEND),
        ((Effect.NOTE,), Verdict.SEND),
        ((Effect.WARN, Effect.NOTE), Verdict.SEND),
        ((Effect.HOLD, Effect.WARN), Verdict.HOLD),
        ((Effect.HOLD, Effect.REFUSE), Verdict.REFUSE),
    ],
)
def test_the_verdict_is_the_strongest_remaining_effect(
    effects: tuple[Effect, ...], verdict: Verdict
) -> None:
    assert a_decision(*effects).verdict is verdict


def test_the_deciding_finding_is_the_first_one() -> None:
    assert decide(a_case()).deciding is None
    troubled = decide(a_troubled_case())
    assert troubled.deciding == troubled.findings[0]


# --- findings ----------------------------------------------------------------------------------


def test_every_finding_comes_back_strongest_first_and_then_by_code_and_reference() -> None:
    found = [
        (finding.effect, finding.code, [version.reference for version in finding.evidence])
        for finding in decide(a_troubled_case()).findings
    ]
    assert found == [
        (Effect.REFUSE, "platform.unapproved", []),
        (Effect.HOLD, "person.restricted", ["Patient/amara"]),
        (Effect.HOLD, "read.incomplete", []),
        (Effect.HOLD, "read.incomplete", []),
        (Effect.WARN, "objection.active", ["Consent/1"]),
        (Effect.WARN, "objection.active", ["Consent/2"]),
        (Effect.NOTE, "objection.other-organisation", ["Consent/3"]),
    ]


def test_findings_of_one_code_and_reference_come_in_the_order_of_their_sentences() -> None:
    sentences = [
        finding.sentence
        for finding in decide(a_troubled_case()).findings
        if finding.code == "read.incomplete"
    ]
    assert sentences == sorted(sentences)


def test_the_same_gap_read_twice_is_said_once() -> None:
    gap = Gap(sentence="Page 2 answered 500.")
    assert len(decide(a_case(gaps=(gap, gap))).findings) == 1


def test_a_finding_in_an_answer_has_all_its_parts() -> None:
    (finding,) = decide(a_case(consents=(an_objection(),))).as_json()["findings"]
    assert finding.keys() == {
        "code",
        "section",
        "effect",
        "sentence",
        "lifted_by",
        "lifted",
        "evidence",
        "ask",
    }
    assert (finding["effect"], finding["lifted"]) == ("refuse", None)
    assert finding["lifted_by"] == ["override", "acknowledgement"]


def test_a_lifted_finding_says_by_what_and_by_whom() -> None:
    lifted = [each for each in decide(a_troubled_case()).as_json()["findings"] if each["lifted"]]
    assert [each["lifted"] for each in lifted] == [
        {"by": "override", "who": GUARDIAN.identifier},
        {"by": "override", "who": GUARDIAN.identifier},
    ]


# --- frame -------------------------------------------------------------------------------------


def test_the_decision_says_by_which_policy_rules_and_read_it_was_made() -> None:
    decision = decide(a_case()).as_json()
    assert decision["policy"] == {"version": "2026-11-01", "sha256": "0" * 64}
    assert decision["rules"] == RULES_VERSION
    assert decision["as_of"] == NOW.isoformat()
    assert decision["read_at"] == "2026-11-24T09:59:59Z"
    assert decision["message_digest"] == a_case().message_digest


def test_every_resource_relied_on_is_cited_once_in_a_fixed_order() -> None:
    cited = [version["reference"] for version in decide(a_troubled_case()).as_json()["resources"]]
    assert cited == ["Consent/1", "Patient/amara"]


# --- determinism -------------------------------------------------------------------------------


def test_the_same_facts_give_the_same_bytes() -> None:
    assert as_bytes(decide(a_troubled_case())) == as_bytes(decide(a_troubled_case()))
    assert decide(a_troubled_case()).receipt() == decide(a_troubled_case()).receipt()


def test_a_case_judged_twice_gives_the_same_decision() -> None:
    case = a_troubled_case()
    assert decide(case) == decide(case)


def test_the_order_in_which_consents_were_read_makes_no_difference() -> None:
    consents = (a_grant(id="1", unverified=True), a_grant(id="2"), an_objection(), an_objection())
    receipts = {decide(a_proxy_case(*order)).receipt() for order in permutations(consents)}
    assert len(receipts) == 1


def test_another_instant_gives_another_receipt() -> None:
    later = replace(a_troubled_case(), as_of=NOW + timedelta(seconds=1))
    assert decide(later).receipt_digest() != decide(a_troubled_case()).receipt_digest()


# --- receipt -----------------------------------------------------------------------------------


def test_the_receipt_is_canonical_json() -> None:
    receipt = decide(a_troubled_case()).receipt()
    parsed = json.loads(receipt)
    assert json.dumps(parsed, sort_keys=True, separators=(",", ":")).encode() == receipt


def test_the_receipt_holds_the_verdict_codes_effects_lifts_and_versions() -> None:
    receipt = json.loads(decide(a_troubled_case()).receipt())
    assert receipt["verdict"] == "refuse"
    assert {key for finding in receipt["findings"] for key in finding} == {
        "code",
        "effect",
        "lifted",
        "evidence",
    }
    assert receipt.keys() == {
        "verdict",
        "emergency",
        "findings",
        "as_of",
        "read_at",
        "resources",
        "policy",
        "rules",
        "message_digest",
    }


def test_the_receipt_carries_no_text_no_contact_detail_and_no_reason() -> None:
    case = a_troubled_case()
    receipt = decide(case).receipt().decode()
    secrets = [*SECRETS, "7700900", "@", "approval"]
    secrets += [finding.sentence for finding in decide(case).findings]
    assert [secret for secret in secrets if secret in receipt] == []


def test_no_sentence_carries_the_message_a_contact_detail_or_a_reason() -> None:
    answer = as_bytes(decide(a_troubled_case())).decode()
    assert [secret for secret in [*SECRETS, "7700900", "@"] if secret in answer] == []


def test_the_digest_of_the_receipt_is_that_of_its_bytes() -> None:
    decision = decide(a_troubled_case())
    assert len(decision.receipt_digest()) == 64
    assert decision.receipt_digest() == decide(a_troubled_case()).receipt_digest()


# --- shape -------------------------------------------------------------------------------------


def test_an_answer_has_all_its_parts() -> None:
    decision = decide(a_case(consents=(an_objection(),)))
    answer = decision.as_json()
    assert list(answer) == [
        "verdict",
        "emergency",
        "findings",
        "as_of",
        "read_at",
        "resources",
        "policy",
        "rules",
        "message_digest",
    ]
    assert answer["verdict"] == "refuse"
    assert answer["emergency"] is False
    assert answer["findings"][0]["ask"] == [
        "Data Protection Officer",
        "Caldicott Guardian",
        "IG team",
        "senior member of staff",
    ]


def test_findings_of_one_code_come_by_what_they_cite_and_those_that_cite_nothing_first() -> None:
    cited = [
        ResourceVersion(reference="Consent/1", version_id="2"),
        ResourceVersion(reference="Consent/2", version_id="1"),
        ResourceVersion(reference="Consent/2", version_id="3"),
    ]
    gaps = [Gap(sentence=f"{9 - number}", evidence=each) for number, each in enumerate(cited)]
    for order in permutations((*gaps, Gap(sentence="Z"))):
        found = [finding.evidence for finding in decide(a_case(gaps=order)).findings]
        assert found == [(), *((each,) for each in cited)]


def test_resources_come_by_reference_and_then_by_version_and_change() -> None:
    def version(reference: str, id: str | None, changed: str | None = None) -> ResourceVersion:
        return ResourceVersion(reference=reference, version_id=id, last_updated=changed)

    expected = (
        version("Consent/1", None),
        version("Consent/1", None, "2026-01-01T00:00:00Z"),
        version("Consent/1", "1", "2026-01-01T00:00:00Z"),
        version("Consent/1", "1", "2026-01-02T00:00:00Z"),
        version("Consent/1", "2"),
        version("Patient/amara", "1"),
    )
    for order in permutations(expected):
        assert decide(a_case(versions=order)).resources == expected
