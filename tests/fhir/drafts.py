"""Drafts of record entries, made as the use case makes them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fhirmsg.calls import Call
from fhirmsg.guidance.case import Case
from fhirmsg.guidance.decision import decide
from fhirmsg.judging import draft_entry
from fhirmsg.ports import EntryDraft
from tests import builders, emergencies

MESSAGE_ID = "5e0e0001-0000-5000-8000-000000000001"


def a_draft(case: Case | None = None, **changes: Any) -> EntryDraft:
    """Give the draft of the entry for a case, a plain text to Amara unless told otherwise."""
    judged = case or builders.a_case()
    call = Call(request=judged.request, policy=judged.policy, message_id=judged.message_id)
    return replace(draft_entry(call, judged, decide(judged), b"a key of the tests"), **changes)


def an_overridden_case() -> Case:
    """Give a case in which an objection was set aside with a valid override."""
    return builders.with_override(
        builders.a_case(consents=(builders.an_objection(builders.Channel.SMS),)),
        reason="ptarmigan-reason",
        circumstances="ptarmigan-circumstances",
    )


def an_emergency_case() -> Case:
    """Give a case in which an objection was acknowledged in an emergency."""
    return emergencies.objected()
