"""What every outcome leaves behind, and that leaving it never changes what a call is told."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from fhirmsg import clock
from fhirmsg.answers import RecordState, State
from fhirmsg.calls import Times
from fhirmsg.errors import TryLater
from fhirmsg.guidance.case import Case
from fhirmsg.guidance.decision import decide
from fhirmsg.guidance.record import Gap
from fhirmsg.guidance.request import Evidence, IndividualCheck, Service
from fhirmsg.guidance.terms import Channel, Declared, Protects
from fhirmsg.ports import Entry, EntryStatus, Opened, Opening, ProviderKind, Receipt, TaskDraft
from tests import builders, emergencies
from tests.fakes import ACCEPTED, MAY_HAVE_LEFT, REFUSED, RETRYABLE, FakeLog
from tests.messaging import Desk, a_desk, moved, overridden, refused

SERVICE = "http://snomed.info/sct|310098006"


def an_emergency(**fields: Any) -> Case:
    """Give a case in which an objection was acknowledged in an emergency that is declared now."""
    return emergencies.objected(as_of=clock.now(), **fields)


def the_review(desk: Desk) -> TaskDraft:
    """The review as it was last kept."""
    return [task for task in desk.log.kept if task.code == "emergency-review"][-1]


def kept(desk: Desk) -> list[str]:
    return [task.code for task in desk.log.kept]


# --- an emergency ------------------------------------------------------------------------------


def test_an_emergency_is_opened_with_a_review_of_what_it_lowered() -> None:
    desk = a_desk(an_emergency())
    assert desk.send().status is State.ACCEPTED
    [draft] = desk.log.drafts
    review = draft.review
    assert review is not None
    assert review.key == f"{desk.call.message_id}:emergency-review"
    assert (review.patient, review.attempt) == ("Patient/amara", draft.attempt)
    assert [code for code, _ in review.findings] == ["objection.active"]
    assert draft.label_restricted


def test_a_review_is_for_the_roles_that_review_other_than_the_declarers_own() -> None:
    desk = a_desk(an_emergency())
    desk.send()
    review = the_review(desk)
    # The nurse declared it, and "practice nurse" may review here.
    assert review.roles == ("Caldicott Guardian", "IG lead")
    assert review.requester == builders.NURSE


def test_where_only_the_declarers_own_role_may_review_it_is_still_named() -> None:
    case = an_emergency()
    policy = replace(case.policy, review=frozenset({"Practice Nurse"}))
    desk = a_desk(replace(case, policy=policy))
    desk.send()
    assert the_review(desk).roles == ("Practice Nurse",)


@pytest.mark.parametrize(
    ("protects", "words"), [(Protects.PATIENT, "the patient"), (Protects.OTHERS, "others")]
)
def test_a_review_says_who_declared_it_when_and_whom_it_protects_and_not_why(
    protects: Protects, words: str
) -> None:
    plain = builders.a_case(as_of=clock.now())
    case = emergencies.in_emergency(plain, protects=protects)
    desk = a_desk(case)
    desk.send()
    text = the_review(desk).text
    declared = case.request.evidence.emergency
    assert declared is not None
    assert declared.declared_at is not None
    for expected in (words, "Nia Nurse", declared.declared_at.isoformat()):
        assert expected in text
    assert "ptarmigan" not in str(the_review(desk))
    assert case.request.content.body not in str(the_review(desk))


def test_an_emergency_that_lowered_nothing_is_reviewed_too() -> None:
    desk = a_desk(emergencies.in_emergency(builders.a_case(as_of=clock.now())))
    desk.send()
    assert the_review(desk).findings == ()


def test_the_review_is_of_the_decision_that_the_message_went_out_on() -> None:
    case = an_emergency()
    desk = a_desk(case)
    unapproved = builders.a_platform(approval=None)
    desk.call = replace(desk.call, policy=replace(case.policy, platforms={"messenger": unapproved}))
    desk.reader.then = [replace(case, record=replace(case.record, consents=()))]
    answer = desk.send()
    assert answer.status is State.ACCEPTED
    opened = desk.log.drafts[0].review
    assert opened is not None
    assert len(opened.findings) == 2
    assert [code for code, _ in the_review(desk).findings] == ["platform.unapproved"]
    assert the_review(desk).focus == "Communication/1"


@pytest.mark.parametrize("receipt", [ACCEPTED, MAY_HAVE_LEFT, REFUSED])
def test_the_review_stands_whatever_became_of_the_message(receipt: Receipt) -> None:
    desk = a_desk(an_emergency())
    desk.provider.script = [receipt]
    desk.send()
    assert "emergency-review" in kept(desk)
    assert desk.log.closed == [] or all(done for _, done, _ in desk.log.closed)


class AskingLog(FakeLog):
    """Tells among its events when somebody was asked."""

    def ask_a_person(self, entry: Entry, code: str, text: str) -> None:
        """Remember the reason."""
        super().ask_a_person(entry, code, text)
        self.events.append(f"ask {code}")


def test_a_person_is_asked_before_the_entry_says_that_nobody_knows() -> None:
    """Whoever dies in between leaves an entry that somebody looks at again."""
    desk = a_desk(log=AskingLog())
    desk.provider.script = [MAY_HAVE_LEFT]
    desk.send()
    assert desk.log.events[-2:] == ["ask unknown", "settle unknown"]


def test_a_person_is_asked_for_lost_evidence_before_the_entry_is_completed() -> None:
    desk = a_desk(log=AskingLog()).holding(EntryStatus.IN_PROGRESS, age=1e6, on_evidence=True)
    desk.provider.found = ACCEPTED
    desk.send()
    assert desk.log.events[-2:] == ["ask completed-without-evidence", "settle completed"]


def stop_second_look(desk: Desk) -> None:
    desk.reader.then = [safe()]


def move(desk: Desk) -> None:
    elsewhere = moved().record.patient
    record = replace(desk.case.record, patient=elsewhere)
    desk.reader.then = [replace(desk.case, record=record)]


def not_taken(desk: Desk) -> None:
    desk.provider.script = [RETRYABLE]


@pytest.mark.parametrize("ending", [stop_second_look, move, not_taken])
def test_the_review_of_an_emergency_that_was_not_sent_is_cancelled(
    ending: Callable[[Desk], None],
) -> None:
    desk = a_desk(an_emergency(), times=Times(handoff=0.5))
    ending(desk)
    with suppress(TryLater):
        desk.send()
    assert desk.log.status is EntryStatus.NOT_DONE
    key = f"{desk.call.message_id}:emergency-review"
    assert desk.log.closed == [(key, False, frozenset({desk.log.drafts[0].attempt}))]


def test_the_review_stays_when_the_entry_could_not_be_ended() -> None:
    desk = a_desk(an_emergency())
    desk.reader.then = [safe()]
    desk.log.settles = False
    desk.send()
    assert desk.log.closed == []


def test_a_plain_message_that_is_not_sent_has_no_review_to_cancel() -> None:
    desk = a_desk()
    desk.reader.then = [refused()]
    desk.send()
    assert desk.log.closed == []


@pytest.mark.parametrize("kind", [ProviderKind.NEITHER, ProviderKind.SEARCHABLE])
def test_an_emergency_whose_process_ended_is_still_reviewed(kind: ProviderKind) -> None:
    case = an_emergency()
    desk = a_desk(case, kind=kind).holding(
        EntryStatus.IN_PROGRESS, age=9999.0, emergency=True, attempt="gone"
    )
    desk.provider.found = ACCEPTED
    desk.send()
    # Asked for, so that the list of one that is there is left as it is.
    assert "emergency-review" in desk.log.tasks
    assert kept(desk) == []


def test_an_abandoned_emergency_that_is_sent_after_all_keeps_its_one_review() -> None:
    desk = a_desk(an_emergency(), kind=ProviderKind.REJECTS_REPEATS)
    desk.holding(EntryStatus.IN_PROGRESS, age=9999.0, emergency=True, attempt="gone")
    assert desk.send().status is State.ACCEPTED
    assert the_review(desk).attempt == desk.entry.attempt != "gone"


def test_an_abandoned_emergency_that_may_not_go_any_more_is_cancelled_as_its_own() -> None:
    desk = a_desk(an_emergency())
    desk.holding(EntryStatus.IN_PROGRESS, age=9999.0, emergency=True, attempt="gone")
    desk.reader.then = [safe()]
    desk.send()
    [(_, done, attempts)] = desk.log.closed
    assert not done
    assert attempts == frozenset({"gone", desk.entry.attempt})


def test_an_emergency_is_not_sent_without_an_entry_that_says_so() -> None:
    desk = a_desk(an_emergency())
    desk.log.opening = Opening(outcome=Opened.UNAVAILABLE)
    with pytest.raises(TryLater, match="sent nothing"):
        desk.send()
    assert desk.sent == 0


# --- held and refused --------------------------------------------------------------------------


def held() -> Case:
    """Give a case that a person with a role could let go."""
    return builders.a_case(patient=builders.a_patient(active=False))


def safe(by_proxy: bool = False) -> Case:
    """Give a case that a safety restriction stops."""
    restriction = builders.an_objection(
        Channel.SMS,
        id="danger",
        safety=True,
        performer_related=by_proxy,
        performers=builders.BEN_KEYS if by_proxy else frozenset(),
    )
    return builders.a_case(consents=(restriction,))


def without_hold_tasks(case: Case) -> Case:
    return replace(case, policy=replace(case.policy, hold_tasks=False))


def test_a_held_message_asks_those_who_can_let_it_go() -> None:
    desk = a_desk(held())
    assert desk.send().status is State.HELD
    [task] = desk.log.kept
    assert task.key == f"{desk.call.message_id}:hold"
    assert (task.code, task.patient, task.urgent) == ("hold", "Patient/amara", False)
    [finding] = [each for each in decide(held()).findings if each.code == "person.inactive"]
    assert task.findings == ((finding.code, finding.sentence),)
    assert task.roles == tuple(map(str, finding.ask))
    assert desk.call.request.content.body not in str(task)
    assert "7700900101" not in str(task)


def unreadable() -> Case:
    return builders.a_case(gaps=(Gap(sentence="A page is missing."),))


@pytest.mark.parametrize("case", [unreadable, refused, safe])
def test_nobody_is_asked_where_it_passes_by_itself_or_is_refused(
    case: Callable[[], Case],
) -> None:
    desk = a_desk(case())
    desk.send()
    assert "hold" not in kept(desk)


def test_what_passes_by_itself_beside_what_does_not_asks_somebody() -> None:
    case = held()
    gaps = (Gap(sentence="A page is missing."),)
    desk = a_desk(replace(case, record=replace(case.record, gaps=gaps)))
    desk.send()
    [task] = desk.log.kept
    assert [code for code, _ in task.findings] == ["person.inactive", "read.incomplete"]


def test_nobody_is_asked_where_the_policy_wants_it_so() -> None:
    desk = a_desk(without_hold_tasks(held()))
    assert desk.send().status is State.HELD
    assert desk.log.kept == []


@pytest.mark.parametrize("case", [held, safe, refused])
def test_a_check_leaves_nothing_behind(case: Callable[[], Case]) -> None:
    desk = a_desk(case())
    desk.check()
    assert (desk.log.kept, desk.log.tasks, desk.log.remembered) == ([], [], [])


def test_a_message_that_evidence_let_go_closes_what_was_asked() -> None:
    desk = a_desk(overridden())
    desk.send()
    assert desk.log.closed == [(f"{desk.call.message_id}:hold", True, None)]


@pytest.mark.parametrize("case", [builders.a_case, lambda: without_hold_tasks(overridden())])
def test_a_plain_message_is_not_made_to_look_for_what_was_asked(
    case: Callable[[], Case],
) -> None:
    desk = a_desk(case())
    desk.send()
    assert desk.log.closed == []


def test_what_the_second_look_finds_asks_somebody_too() -> None:
    desk = a_desk()
    desk.reader.then = [held()]
    desk.send()
    assert kept(desk) == ["hold"]


# --- safety ------------------------------------------------------------------------------------


@pytest.mark.parametrize("hold_tasks", [True, False])
def test_a_safety_restriction_calls_for_a_talk_about_the_contact_detail(hold_tasks: bool) -> None:
    desk = a_desk(safe() if hold_tasks else without_hold_tasks(safe()))
    assert desk.send().status is State.REFUSED
    [task] = desk.log.kept
    assert (task.key, task.code, task.urgent) == ("safety:danger", "safety-contact", True)
    assert (task.patient, task.focus) == ("Patient/amara", "Consent/danger")
    assert "Caldicott Guardian" in task.roles


def test_a_restriction_that_a_relative_entered_is_for_the_guardian() -> None:
    desk = a_desk(safe(by_proxy=True))
    assert desk.send().status is State.HELD
    [task] = [each for each in desk.log.kept if each.code != "hold"]
    assert (task.key, task.roles) == ("safety-by-proxy:danger", ("Caldicott Guardian",))
    assert task.urgent


def test_a_restriction_on_the_proxys_own_record_is_about_the_proxy() -> None:
    restriction = builders.an_objection(Channel.SMS, id="danger", safety=True)
    case = builders.a_proxy_case(
        builders.a_grant(),
        own_patient=builders.bens_own_record(),
        own_consents=(restriction,),
    )
    desk = a_desk(case)
    assert desk.send().status is State.REFUSED
    [task] = [each for each in desk.log.kept if each.code == "safety-contact"]
    assert task.patient == "Patient/ben"


# --- an individual's no ------------------------------------------------------------------------


def asked(answer: Declared = Declared.NO, **fields: Any) -> Case:
    """Give a case in which Amara was asked whether Ben may hear of the service."""
    now = clock.now()
    check = IndividualCheck(
        proxy="RelatedPerson/ben", service=SERVICE, answer=answer, by=builders.NURSE, at=now
    )
    request = builders.a_request(
        service=Service(code=SERVICE, sensitive=Declared.YES),
        evidence=Evidence(individual_check=replace(check, **fields)),
    )
    return builders.a_proxy_case(builders.a_grant(), request=request, as_of=now)


def test_a_no_is_remembered_for_whoever_asks_next() -> None:
    case = asked()
    desk = a_desk(case)
    answer = desk.send()
    assert answer.status is State.REFUSED
    [no] = desk.log.remembered
    assert (no.patient, no.proxy, no.service) == ("Patient/amara", "RelatedPerson/ben", SERVICE)
    check = case.request.evidence.individual_check
    assert check is not None
    assert (no.at, no.by) == (check.at, builders.NURSE)
    assert no.proxy_keys == builders.BEN_KEYS
    assert desk.log.kept == []


@pytest.mark.parametrize(
    "case", [asked(Declared.YES), asked(service="another"), asked(proxy="RelatedPerson/other")]
)
def test_only_a_no_that_counts_is_remembered(case: Case) -> None:
    desk = a_desk(case)
    desk.send()
    assert desk.log.remembered == []


def test_a_no_that_cannot_be_remembered_is_for_a_person() -> None:
    desk = a_desk(asked())
    desk.log.follows_up = False
    assert desk.send().status is State.REFUSED
    [task] = desk.log.kept
    assert task.key == f"{desk.call.message_id}:declined-unrecorded"
    assert (task.patient, task.focus) == ("Patient/amara", "RelatedPerson/ben")
    assert task.roles == ("Caldicott Guardian",)


# --- nothing of this changes an answer ---------------------------------------------------------


@pytest.mark.parametrize("case", [builders.a_case, held, safe, refused, asked, an_emergency])
@pytest.mark.parametrize("fault", [False, RuntimeError("Patient/amara")])
def test_what_cannot_be_left_behind_changes_no_answer(
    case: Callable[[], Case], fault: bool | Exception, caplog: pytest.LogCaptureFixture
) -> None:
    judged = case()
    told = []
    for follows_up in (True, fault):
        desk = a_desk(judged)
        desk.log.follows_up = follows_up
        answer = desk.send()
        told.append((answer.status, answer.retry, answer.record, answer.verdict))
    assert told[0] == told[1]
    assert "amara" not in str([each.__dict__ for each in caplog.records]).lower()


def test_what_went_wrong_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    desk = a_desk(held())
    desk.log.follows_up = RuntimeError("x")
    desk.send()
    [record] = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert record.message == "follow-up not written"
    assert record.__dict__["kind"] == "RuntimeError"


# --- evidence whose process ended --------------------------------------------------------------


@pytest.mark.parametrize("case", [overridden, an_emergency, lambda: asked(Declared.YES)])
def test_evidence_that_was_lost_with_its_process_is_for_a_person(
    case: Callable[[], Case],
) -> None:
    desk = a_desk(case()).holding(EntryStatus.IN_PROGRESS, age=9999.0)
    desk.provider.found = ACCEPTED
    assert desk.send().record is RecordState.COMPLETE
    assert "completed-without-evidence" in desk.log.tasks
