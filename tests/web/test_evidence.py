"""Evidence in a body: read for its types, with what is missing left missing."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from fhirmsg.guidance.request import (
    Acknowledgement,
    Asserted,
    CitedVersion,
    Conversation,
    Emergency,
    Evidence,
    IndividualCheck,
    Override,
    PracticalReason,
    Review,
    message_digest,
)
from fhirmsg.guidance.terms import Declared, Person, Protects
from fhirmsg.web.parse import Refused, parse
from fhirmsg.web.references import References
from tests.web.app_under_test import POLICY, a_body

BASE = "https://ehr.example/fhir"
WHEN = "2026-11-24T10:00:00+01:00"
THEN = datetime(2026, 11, 24, 9, tzinfo=UTC)
GIVEN = {"identifier": "cg-1", "name": "Cora Guardian", "role": "Caldicott Guardian"}
CORA = Person(identifier="cg-1", name="Cora Guardian", role="Caldicott Guardian")
PARTS = (
    *("override", "emergency", "individual_check", "necessity"),
    *("practical_reason", "accessible_alternative"),
)


def evidence(**parts: Any) -> Evidence:
    """Give the evidence in a body with these parts."""
    return parse(a_body(evidence=parts), {"A12345": POLICY}, BASE).request.evidence


def pointers(**parts: Any) -> list[str]:
    """Give the pointers, below the evidence, of the faults of these parts."""
    with pytest.raises(Refused) as refused:
        evidence(**parts)
    return [fault.pointer.removeprefix("/evidence") for fault in refused.value.faults]


def test_a_part_that_is_not_there_is_none() -> None:
    assert evidence() == Evidence()
    assert parse(a_body(), {"A12345": POLICY}, BASE).request.evidence == Evidence()


def test_a_part_that_says_nothing_is_a_part_all_the_same() -> None:
    assert evidence(**{name: {} for name in PARTS}, acknowledged=[{}], reviews=[{}]) == Evidence(
        override=Override(),
        emergency=Emergency(),
        acknowledged=(Acknowledgement(),),
        individual_check=IndividualCheck(),
        reviews=(Review(),),
        necessity=Asserted(),
        practical_reason=PracticalReason(),
        accessible_alternative=Asserted(),
    )


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("override", "message_id message_digest objections reason circumstances approver"),
        ("override", "approved_at expires_at conversation"),
        ("emergency", "declared_by declared_at reason protects consulted none_available_reason"),
        ("individual_check", "proxy service answer by at"),
        ("necessity", "reason by"),
        ("practical_reason", "important_for_care only_practical_way reason by"),
        ("accessible_alternative", "description by"),
    ],
)
def test_null_is_the_same_as_nothing(name: str, fields: str) -> None:
    assert evidence(**{name: dict.fromkeys(fields.split())}) == evidence(**{name: {}})


def test_null_is_the_same_as_nothing_in_lists() -> None:
    nothing = dict.fromkeys(("code", "reference", "versionId", "confirmed_by"))
    assert evidence(acknowledged=[nothing]).acknowledged == (Acknowledgement(),)
    names = ("code", "reviewer", "note", "at", "message_id", "message_digest", "resources")
    assert evidence(reviews=[dict.fromkeys(names)]).reviews == (Review(),)


def test_an_override_is_taken_as_it_is_given() -> None:
    found = evidence(
        override={
            "message_id": "m",
            "message_digest": "d",
            "objections": [{"reference": "Consent/1", "versionId": "3"}],
            "reason": "r",
            "circumstances": "c",
            "approver": GIVEN,
            "approved_at": WHEN,
            "expires_at": WHEN,
            "conversation": {"by": GIVEN, "at": WHEN},
        }
    )
    assert found.override == Override(
        message_id="m",
        message_digest="d",
        objections=(CitedVersion(reference="Consent/1", version_id="3"),),
        reason="r",
        circumstances="c",
        approver=CORA,
        approved_at=THEN,
        expires_at=THEN,
        conversation=Conversation(by=CORA, at=THEN),
    )


def test_an_emergency_is_taken_as_it_is_given() -> None:
    found = evidence(
        emergency={
            "declared_by": GIVEN,
            "declared_at": WHEN,
            "reason": "r",
            "protects": "others",
            "consulted": {"name": "Sam Senior", "role": "senior partner"},
            "none_available_reason": "n",
        }
    )
    assert found.emergency == Emergency(
        declared_by=CORA,
        declared_at=THEN,
        reason="r",
        protects=Protects.OTHERS,
        consulted=Person(name="Sam Senior", role="senior partner"),
        none_available_reason="n",
    )


def test_acknowledgements_are_taken_in_their_order() -> None:
    found = evidence(
        acknowledged=[
            {"code": "objection.active", "reference": "Consent/1", "versionId": "3"},
            {"code": "person.restricted", "confirmed_by": GIVEN},
        ]
    )
    assert found.acknowledged == (
        Acknowledgement(code="objection.active", reference="Consent/1", version_id="3"),
        Acknowledgement(code="person.restricted", confirmed_by=CORA),
    )


def test_an_individual_check_is_taken_with_proxy_and_service_as_they_are_compared() -> None:
    found = evidence(
        individual_check={
            "proxy": f"{BASE}/RelatedPerson/ben/_history/2",
            "service": "HTTPS://Codes.example/Services/|gum",
            "answer": "no",
            "by": GIVEN,
            "at": WHEN,
        }
    )
    assert found.individual_check == IndividualCheck(
        proxy="RelatedPerson/ben",
        service="http://codes.example/services|gum",
        answer=Declared.NO,
        by=CORA,
        at=THEN,
    )
    bare = evidence(individual_check={"proxy": "my brother", "service": " gum "}).individual_check
    assert bare == IndividualCheck(proxy="my brother", service="gum")


def test_reviews_are_taken_in_their_order() -> None:
    full = {
        "code": "proxy.scope",
        "reviewer": GIVEN,
        "note": "n",
        "at": WHEN,
        "message_id": "m",
        "message_digest": "d",
        "resources": [{"reference": "Consent/1", "versionId": "2"}, {}],
    }
    assert evidence(reviews=[full, {"code": "proxy.unclear"}]).reviews == (
        Review(
            code="proxy.scope",
            reviewer=CORA,
            note="n",
            at=THEN,
            message_id="m",
            message_digest="d",
            resources=(CitedVersion(reference="Consent/1", version_id="2"), CitedVersion()),
        ),
        Review(code="proxy.unclear"),
    )


def test_reasons_are_taken_with_who_stands_for_them() -> None:
    found = evidence(
        necessity={"reason": "n", "by": GIVEN},
        practical_reason={
            "important_for_care": True,
            "only_practical_way": False,
            "reason": "p",
            "by": GIVEN,
        },
        accessible_alternative={"description": "a", "by": GIVEN},
    )
    assert found.necessity == Asserted(reason="n", by=CORA)
    assert found.practical_reason == PracticalReason(
        important_for_care=True, only_practical_way=False, reason="p", by=CORA
    )
    assert found.accessible_alternative == Asserted(reason="a", by=CORA)


@pytest.mark.parametrize(
    ("parts", "pointer"),
    [
        ({"emergency": True}, "/emergency"),
        ({"emergency": {"reason": ["x"]}}, "/emergency/reason"),
        ({"emergency": {"genuine": True}}, "/emergency/genuine"),
        ({"emergency": {"protects": "me"}}, "/emergency/protects"),
        ({"emergency": {"declared_at": "2026-11-24T10:00:00"}}, "/emergency/declared_at"),
        ({"emergency": {"declared_at": "2026-11-24T23:59:60Z"}}, "/emergency/declared_at"),
        ({"emergency": {"declared_by": {"email": "x"}}}, "/emergency/declared_by/email"),
        ({"emergency": {"consulted": "Sam"}}, "/emergency/consulted"),
        ({"emergency": {"reason": "x" * 4001}}, "/emergency/reason"),
        ({"emergency": {"reason": "a\x00b"}}, "/emergency/reason"),
        ({"acknowledged": {}}, "/acknowledged"),
        ({"acknowledged": [None]}, "/acknowledged/0"),
        ({"acknowledged": ["objection.active"]}, "/acknowledged/0"),
        ({"acknowledged": [{}, {"version": "3"}]}, "/acknowledged/1/version"),
        ({"acknowledged": [{"versionId": 3}]}, "/acknowledged/0/versionId"),
        ({"acknowledged": [{}] * 201}, "/acknowledged"),
        ({"individual_check": []}, "/individual_check"),
        ({"individual_check": {"answer": True}}, "/individual_check/answer"),
        ({"individual_check": {"answer": "maybe"}}, "/individual_check/answer"),
        ({"individual_check": {"at": "today"}}, "/individual_check/at"),
        ({"reviews": [{"resources": {}}]}, "/reviews/0/resources"),
        ({"reviews": [{"resources": [{"id": "1"}]}]}, "/reviews/0/resources/0/id"),
        ({"reviews": [{}, {"at": "2026-11-24"}]}, "/reviews/1/at"),
        ({"reviews": [{"note": "a\ud800"}]}, "/reviews/0/note"),
        ({"reviews": [{"reviewer": {"name": "\x1b"}}]}, "/reviews/0/reviewer/name"),
        ({"reviews": [{}] * 51}, "/reviews"),
        ({"necessity": "it is"}, "/necessity"),
        ({"necessity": {"because": "x"}}, "/necessity/because"),
        (
            {"practical_reason": {"only_practical_way": "yes"}},
            "/practical_reason/only_practical_way",
        ),
        ({"accessible_alternative": {"reason": "x"}}, "/accessible_alternative/reason"),
        ({"override": 1}, "/override"),
        ({"override": {"conversation": {"at": "x"}}}, "/override/conversation/at"),
        ({"consent": {}}, "/consent"),
    ],
)
def test_what_has_the_wrong_type_is_named_by_its_pointer(
    parts: dict[str, Any], pointer: str
) -> None:
    assert pointers(**parts) == [pointer]


def test_all_that_has_the_wrong_type_is_named_at_once() -> None:
    assert pointers(emergency={"reason": 1, "flag": True}, reviews=[{"note": 2}], necessity=3) == [
        "/emergency/flag",
        "/emergency/reason",
        "/necessity",
        "/reviews/0/note",
    ]


def test_evidence_of_whatever_kind_does_not_change_the_message() -> None:
    bare = message_digest(parse(a_body(), {"A12345": POLICY}, BASE).request)
    brought = a_body(evidence={name: {} for name in PARTS} | {"reviews": [{}]})
    assert message_digest(parse(brought, {"A12345": POLICY}, BASE).request) == bare


# --- references -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "written",
    [
        "Consent/1",
        " Consent/1 ",
        "Consent/1/_history/3",
        f"{BASE}/Consent/1",
        "http://ehr.example/fhir/Consent/1/_history/3",
    ],
)
def test_what_is_cited_is_compared_by_what_it_names(written: str) -> None:
    once = CitedVersion(reference="Consent/1", version_id="3")
    assert References(BASE + "/").cited(written, "3") == once
    cited = [{"reference": written, "versionId": "3"}]
    found = evidence(
        override={"objections": cited},
        reviews=[{"resources": cited}],
        acknowledged=[{"code": "objection.active", **cited[0]}],
    )
    assert found.override is not None
    assert found.override.objections == found.reviews[0].resources == (once,)
    [seen] = found.acknowledged
    assert (seen.reference, seen.version_id) == ("Consent/1", "3")


@pytest.mark.parametrize(
    "written",
    ["https://elsewhere.example/fhir/Consent/1", "urn:uuid:1", "the objection", "Consent/..", ""],
)
def test_what_is_not_ours_stays_as_it_is_written(written: str) -> None:
    assert References(BASE).cited(written, "3") == CitedVersion(reference=written, version_id="3")
    assert References(BASE).named(written) == written


def test_a_version_within_a_reference_counts_unless_another_stands_beside_it() -> None:
    references = References(BASE)
    within = "Consent/1/_history/3"
    assert references.cited(within, None) == CitedVersion(reference="Consent/1", version_id="3")
    assert references.cited(within, "4") == CitedVersion(reference=within, version_id="4")
    assert references.cited(None, "4") == CitedVersion(version_id="4")
    assert references.named(within) == "Consent/1"
    assert references.named(None) is None
