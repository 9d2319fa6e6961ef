"""What holds of the way a record is read: order, repeats and names make no difference, gaps do."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhirmsg.guidance.case import Case
from fhirmsg.guidance.decision import decide
from fhirmsg.guidance.provisions import Provision
from fhirmsg.guidance.record import ConsentFacts, ConsentStatus, Gap, Neighbour
from fhirmsg.guidance.rule import Effect
from tests.builders import (
    AMARA_KEYS,
    BEN_KEYS,
    a_case,
    a_consent,
    a_mobile,
    a_patient,
    a_person,
    codes_of,
    deny,
)
from tests.guidance import strategies as some
from tests.guidance.invariants.changing import said, weight, with_patient, with_record


def _turned(consent: ConsentFacts) -> ConsentFacts:
    root = None if consent.root is None else some.reversed_siblings(consent.root)
    return replace(consent, root=root)


# 5
@given(some.cases, st.data())
def test_the_order_of_what_was_read_makes_no_difference(case: Case, data: st.DataObject) -> None:
    record = case.record
    recipient = record.recipient
    shuffled = with_record(
        case,
        consents=tuple(map(_turned, data.draw(st.permutations(record.consents)))),
        linked_consents=record.linked_consents[::-1],
        gaps=record.gaps[::-1],
        blind=record.blind[::-1],
        neighbours=tuple(data.draw(st.permutations(record.neighbours))),
        earlier=tuple(data.draw(st.permutations(record.earlier))),
        recipient=replace(recipient, own_consents=recipient.own_consents[::-1]),
        patient=replace(
            record.patient,
            contact_points=tuple(data.draw(st.permutations(record.patient.contact_points))),
            needs=record.patient.needs[::-1],
        ),
    )
    assert decide(shuffled).receipt() == decide(case).receipt()
    assert decide(shuffled).as_json() == decide(case).as_json()


_MOBILE = "+447700900101"
# One human under three entries, of which only the middle one has a number in common with each.
_CHAIN = (
    some.a_neighbour("RelatedPerson/eve", _MOBILE, keys=frozenset({some.EVE, "nhs|1"})),
    some.a_neighbour("RelatedPerson/b", keys=frozenset({"RelatedPerson/b", "nhs|1", "nhs|2"})),
    some.a_neighbour("RelatedPerson/c", keys=frozenset({"RelatedPerson/c", "nhs|2"})),
)


# 5
@pytest.mark.parametrize("order", list(permutations(_CHAIN)))
def test_a_person_with_several_entries_is_one_in_whatever_order_they_come(
    order: tuple[Neighbour, ...],
) -> None:
    denial = a_consent(root=deny(actors=(a_person({"RelatedPerson/c"}),)))
    assert "contact.excluded" in codes_of(a_case(neighbours=order, consents=(denial,)))


# 5
def test_of_two_entries_with_one_number_the_order_decides_nothing() -> None:
    both = (a_mobile(), a_mobile(confirmed=False))
    one, other = (a_case(patient=a_patient(contact_points=p)) for p in (both, both[::-1]))
    assert decide(one).receipt() == decide(other).receipt()


# 6
@given(some.cases)
def test_a_page_that_could_not_be_read_holds_every_message(case: Case) -> None:
    gap = Gap(sentence="Page 2 of the Consents could not be read.")
    evidence = replace(case.request.evidence, acknowledged=())
    unseen = replace(case, request=replace(case.request, evidence=evidence))
    broken = with_record(unseen, gaps=(*case.record.gaps, gap))
    assert weight(broken) >= max(Effect.HOLD, weight(unseen))


# 7
@given(some.cases)
def test_what_was_read_twice_counts_once(case: Case) -> None:
    record = case.record
    recipient = record.recipient
    twice = with_record(
        case,
        consents=record.consents * 2,
        linked_consents=record.linked_consents * 2,
        about=record.about * 2,
        gaps=record.gaps * 2,
        blind=record.blind * 2,
        neighbours=record.neighbours * 2,
        earlier=record.earlier * 2,
        versions=record.versions * 2,
        patient=replace(record.patient, contact_points=record.patient.contact_points * 2),
        recipient=replace(recipient, own_consents=recipient.own_consents * 2),
    )
    assert decide(twice).as_json() == decide(case).as_json()


# 7
@given(some.to_proxies, some.consents, st.sampled_from(["consents", "own"]))
def test_an_older_version_beside_a_newer_one_changes_nothing(
    case: Case, consent: ConsentFacts, where: str
) -> None:
    digests = frozenset(some.DIGESTS.values())
    older = replace(consent, restricted_digests=digests, status=ConsentStatus.ACTIVE)
    newer = replace(consent, version=replace(consent.version, version_id="2"))

    def holding(*more: ConsentFacts) -> Case:
        if where == "consents":
            return with_record(case, consents=(*case.record.consents, *more))
        recipient = case.record.recipient
        own = (*recipient.own_consents, *more)
        return with_record(case, recipient=replace(recipient, own_consents=own))

    assert said(decide(holding(older, newer))) == said(decide(holding(newer)))


# 8
@given(some.cases)
def test_the_same_facts_give_the_same_bytes(case: Case) -> None:
    first, second = decide(case), decide(replace(case))
    assert json.dumps(first.as_json()) == json.dumps(second.as_json())
    assert first.receipt() == second.receipt()


# 43
@given(some.cases)
def test_a_person_is_the_same_under_each_of_their_keys(case: Case) -> None:
    def only(keys: frozenset[str]) -> frozenset[str]:
        for known in (AMARA_KEYS, BEN_KEYS):
            if keys == known:
                return frozenset({min(known)})
        return keys

    def renamed(root: Provision) -> Provision:
        return replace(
            root,
            actors=tuple(replace(actor, keys=only(actor.keys)) for actor in root.actors),
            nested=tuple(map(renamed, root.nested)),
        )

    consents = tuple(
        replace(
            each,
            root=None if each.root is None else renamed(each.root),
            grantees=only(each.grantees),
            performers=only(each.performers),
        )
        for each in case.record.consents
    )
    assert said(decide(with_record(case, consents=consents))) == said(decide(case))


# 46
@given(some.bare_cases, st.sampled_from(["gaps", "blind", "earlier", "about", "left", "needs"]))
def test_taking_a_fact_away_takes_its_findings_away_and_no_others(case: Case, name: str) -> None:
    codes = {
        "gaps": {"read.incomplete"},
        "blind": {"read.blind"},
        "earlier": {"request.repeated", "contact.failed"},
        "about": {"person.mismatch", "about.cancelled", "sensitive.proxy", "sensitive.shared"},
        "left": {"person.left"},
        "needs": {"accessible.unmet"},
    }[name]
    if name in ("left", "needs"):
        less = with_patient(case, **{name: None if name == "left" else ()})
    else:
        less = with_record(case, **{name: ()})
    before, after = decide(case), decide(less)
    assert said(after, leaving_out=codes) == said(before, leaving_out=codes)
    kept = [each for each in said(before) if each["code"] in codes]
    assert all(each in kept for each in said(after) if each["code"] in codes)


# 47
@given(some.cases)
def test_facts_that_were_stored_are_decided_again_to_the_same_receipt(case: Case) -> None:
    stored = pickle.dumps((case.request, case.record))
    request, record = pickle.loads(stored)
    again = replace(case, request=request, record=record)
    assert decide(again).receipt() == decide(case).receipt()


# and it never breaks
@given(some.cases)
def test_no_combination_of_facts_breaks_a_decision(case: Case) -> None:
    assert decide(case).verdict in ("send", "hold", "refuse")
