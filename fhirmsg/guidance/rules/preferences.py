"""Contact preferences: details that are on the record, respected wherever that is possible."""

from __future__ import annotations

from collections.abc import Iterator

from fhirmsg.guidance import contact
from fhirmsg.guidance.case import Case
from fhirmsg.guidance.record import RecipientKind
from fhirmsg.guidance.rule import Breach, Effect, Lift, rule
from fhirmsg.guidance.terms import Channel, ResourceVersion, Role

SECTION = "Contact preferences"
_TELEPHONE = frozenset({Channel.SMS, Channel.VOICE})


def _recipients_record(case: Case) -> tuple[ResourceVersion, ...]:
    related, own = case.recipient.related, case.recipient.own_patient
    if related is None:
        return (case.record.patient.version,)
    return (related.version,) if own is None else (related.version, own.version)


# --- preferences -------------------------------------------------------------------------------


@rule(
    code="preference.ignored",
    section=SECTION,
    states="A preferred channel that can be used is used.",
    where="has_wishes",
    effect=Effect.HOLD,
    in_emergency=Effect.NOTE,
    lifted_by=(Lift.PRACTICAL_REASON,),
    ask=(Role.SENIOR,),
)
def preferred_channel_is_used(case: Case) -> Iterator[Breach]:
    preferred = case.wishes.preferences.channels
    if preferred and case.request.channel not in preferred and case.wishes.usable:
        yield Breach(
            sentence=f"The recipient prefers {' or '.join(case.wishes.usable)}, which can be "
            f"used, and the message goes by {case.request.channel}. Send it the preferred way, "
            "or say why it is important for care and this is the only practical way.",
            evidence=_recipients_record(case),
        )


@rule(
    code="preference.unavailable",
    section=SECTION,
    states="A preferred way of contact is one that can be used.",
    where="has_wishes",
    effect=Effect.WARN,
    in_emergency=Effect.NOTE,
    ask=(Role.RECORDS,),
)
def preferred_way_can_be_used(case: Case) -> Iterator[Breach]:
    wishes = case.wishes
    if not wishes.stated or case.request.channel in wishes.preferences.channels or wishes.usable:
        return
    preferences = wishes.preferences
    ways = [*sorted(preferences.channels), *preferences.other]
    if preferences.unknown:
        ways.append("something that is not understood")
    yield Breach(
        sentence=f"The recipient prefers {' or '.join(ways)}, and that cannot be used from here. "
        f"The message goes by {case.request.channel} instead.",
        evidence=_recipients_record(case),
    )


@rule(
    code="preference.no-telephone",
    section=SECTION,
    states="Nobody who asked for no telephone contact is reached on a telephone.",
    where="has_wishes",
    effect=Effect.HOLD,
    in_emergency=Effect.WARN,
    lifted_by=(Lift.REVIEW,),
    ask=(Role.IG_TEAM, Role.SENIOR),
)
def no_telephone_means_no_telephone(case: Case) -> Iterator[Breach]:
    if case.wishes.preferences.no_telephone and not _TELEPHONE.isdisjoint(case.reachable):
        yield Breach(
            sentence="The recipient's preference is recorded as no telephone contact, which may "
            "be meant as an objection. Ask what is meant before a telephone is reached.",
            evidence=_recipients_record(case),
        )


@rule(
    code="preference.times",
    section=SECTION,
    states="Preferred times are shown.",
    where="has_wishes",
    effect=Effect.NOTE,
    in_emergency=Effect.NOTE,
    ask=(Role.SENIOR,),
)
def preferred_times_are_shown(case: Case) -> Iterator[Breach]:
    times = case.wishes.preferences.times
    if times:
        yield Breach(
            sentence=f"Preferred times are recorded, which nobody here can enforce: "
            f"{'; '.join(times)}.",
            evidence=_recipients_record(case),
        )


@rule(
    code="accessible.unmet",
    section=SECTION,
    states="Recorded accessible-information needs are met by the channel.",
    where="has_wishes",
    effect=Effect.HOLD,
    in_emergency=Effect.WARN,
    lifted_by=(Lift.ACCESSIBLE_ALTERNATIVE, Lift.REVIEW),
    ask=(Role.SENIOR, Role.RECORDS),
)
def accessible_information_needs_are_met(case: Case) -> Iterator[Breach]:
    for need in case.wishes.unmet:
        yield Breach(
            sentence=f"The recipient needs {need.name}, which {case.request.channel} does not "
            "give. Send it another way, or say how the need is met besides.",
            evidence=(need.version,),
        )


# --- contact points ----------------------------------------------------------------------------


@rule(
    code="contact.unconfirmed",
    section=SECTION,
    states="There is a sign that somebody confirmed the contact point.",
    effect=Effect.NOTE,
    in_emergency=Effect.NOTE,
    ask=(Role.RECORDS,),
)
def contact_point_was_confirmed(case: Case) -> Iterator[Breach]:
    point = case.contact_point
    if point is not None and not point.confirmed and case.request.channel is not Channel.NHS_APP:
        yield Breach(
            sentence="Nothing on the record says when this contact point was confirmed.",
            evidence=_recipients_record(case),
        )


@rule(
    code="contact.failed",
    section=SECTION,
    states="The last message to this contact point did not fail for a wrong number or address.",
    effect=Effect.WARN,
    in_emergency=Effect.NOTE,
    ask=(Role.RECORDS,),
)
def contact_point_worked_last_time(case: Case) -> Iterator[Breach]:
    point = case.contact_point
    if point is None or not case.record.earlier:
        return
    there = [
        earlier
        for earlier in case.record.earlier
        if earlier.tail == contact.tail(point.value)
        and earlier.channel == case.request.channel
        and earlier.recipient in case.recipient.keys
    ]
    addresses = [each for each in case.reach.points if Channel.EMAIL in each.channels]
    if case.request.channel is Channel.EMAIL and len(addresses) > 1:
        # The end of an address is not its own: nobody can tell which one failed.
        return
    last = max(there, key=lambda earlier: (earlier.at, earlier.message_id), default=None)
    if last is not None and last.unreachable:
        yield Breach(
            sentence="The last message to this contact point failed, because the number or "
            "address is not valid. Confirm it with the patient.",
            evidence=(last.version,),
        )


@rule(
    code="contact.work",
    section=SECTION,
    states="The contact point is not one at work.",
    effect=Effect.WARN,
    in_emergency=Effect.NOTE,
    ask=(Role.RECORDS,),
)
def contact_point_is_not_at_work(case: Case) -> Iterator[Breach]:
    point = case.contact_point
    if point is not None and point.use == "work":
        yield Breach(
            sentence="The contact point is one at work, where others may see the message.",
            evidence=_recipients_record(case),
        )


@rule(
    code="contact.several",
    section=SECTION,
    states="One contact point is the best one.",
    effect=Effect.WARN,
    in_emergency=Effect.NOTE,
    ask=(Role.RECORDS,),
)
def one_contact_point_is_the_best(case: Case) -> Iterator[Breach]:
    if case.reach.is_a_choice:
        yield Breach(
            sentence="Several contact points are equally good, and a fixed order chose between "
            "them. Have the right one ranked first.",
            evidence=_recipients_record(case),
        )


@rule(
    code="contact.home",
    section=SECTION,
    states="The contact point is not one that a household may share.",
    effect=Effect.WARN,
    in_emergency=Effect.NOTE,
    ask=(Role.RECORDS,),
)
def contact_point_is_not_the_households(case: Case) -> Iterator[Breach]:
    point = case.contact_point
    if point is not None and point.use == "home":
        yield Breach(
            sentence="The contact point is recorded as one at home, so others of the household "
            "may see the message.",
            evidence=_recipients_record(case),
        )


@rule(
    code="contact.none",
    section=SECTION,
    states="The recipient has a contact point for this channel that may be used now.",
    effect=Effect.REFUSE,
    in_emergency=Effect.REFUSE,
    ask=(Role.RECORDS,),
)
def recipient_can_be_reached(case: Case) -> Iterator[Breach]:
    if case.recipient.kind is RecipientKind.OTHER or case.contact_point is not None:
        return
    if case.reach.all_are_excluded:
        return
    yield Breach(
        sentence=(
            "The record holds no contact point of the recipient's own that "
            f"{case.request.channel} can use now. Emergency contacts, ended entries and earlier "
            "messages are not used instead."
            if case.reach.brought is None
            else f"The contact point in the request is not one that {case.request.channel} can use."
        ),
        evidence=_recipients_record(case)[:1],
    )


@rule(
    code="contact.unrecorded",
    section=SECTION,
    states="A contact point that comes with the request is one that the record holds.",
    effect=Effect.REFUSE,
    in_emergency=Effect.HOLD,
    lifted_by=(Lift.ACKNOWLEDGEMENT,),
    ask=(Role.SENIOR, Role.RECORDS),
)
def brought_contact_point_is_on_record(case: Case) -> Iterator[Breach]:
    if case.request.contact_point is not None and not case.reach.is_on_record:
        yield Breach(
            sentence="The contact point in the request is not on the record as one to be used, "
            "or could not be compared with it, so nobody can tell who is there.",
            evidence=_recipients_record(case)[:1],
        )


@rule(
    code="contact.excluded",
    section=SECTION,
    states="There is a contact point that is neither restricted nor a denied person's.",
    effect=Effect.REFUSE,
    in_emergency=Effect.REFUSE,
    ask=(Role.CALDICOTT_GUARDIAN, Role.SENIOR),
)
def contact_point_is_not_excluded(case: Case) -> Iterator[Breach]:
    if case.reach.all_are_excluded:
        yield Breach(
            sentence="Every contact point for this channel is restricted for the patient's "
            "safety, or belongs to a person who is not to receive this. Use another way.",
            evidence=_recipients_record(case)[:1],
        )
    elif case.reach.may_turn_to_an_excluded_one:
        yield Breach(
            sentence=f"{case.platform.name} may turn to another channel, where a contact point is "
            "restricted for the patient's safety or belongs to a person who is not to receive "
            "this. Use another platform.",
            evidence=_recipients_record(case)[:1],
        )


@rule(
    code="contact.shared",
    section=SECTION,
    states="Confidential content does not go where somebody without authority is recorded too.",
    where="is_shared",
    effect=Effect.HOLD,
    in_emergency=Effect.WARN,
    lifted_by=(Lift.REVIEW,),
    ask=(Role.CALDICOTT_GUARDIAN, Role.IG_TEAM),
)
def confidential_content_arrives_alone(case: Case) -> Iterator[Breach]:
    there, perhaps = case.reach.unauthorised_there, case.reach.perhaps_denied_there
    if there and case.content.may_be_confidential:
        yield Breach(
            sentence="Somebody who is no authorised proxy is recorded at the same contact point, "
            "and the content is confidential or may be.",
            evidence=tuple(each.version for each in there),
        )
    elif perhaps:
        yield Breach(
            sentence="Somebody is recorded at the same contact point, or was, who may be denied "
            "this message.",
            evidence=tuple(each.version for each in perhaps),
        )


@rule(
    code="contact.shared-plain",
    section=SECTION,
    states="The contact point is the recipient's alone.",
    where="is_shared",
    effect=Effect.WARN,
    in_emergency=Effect.NOTE,
    ask=(Role.RECORDS,),
)
def contact_point_is_the_recipients_alone(case: Case) -> Iterator[Breach]:
    there = case.reach.unauthorised_there
    if there and not case.content.may_be_confidential and not case.reach.perhaps_denied_there:
        yield Breach(
            sentence="Somebody who is no authorised proxy is recorded at the same contact point; "
            "the content is plain.",
            evidence=tuple(each.version for each in there),
        )


RULES = (
    preferred_channel_is_used,
    preferred_way_can_be_used,
    no_telephone_means_no_telephone,
    preferred_times_are_shown,
    accessible_information_needs_are_met,
    contact_point_was_confirmed,
    contact_point_worked_last_time,
    contact_point_is_not_at_work,
    one_contact_point_is_the_best,
    contact_point_is_not_the_households,
    recipient_can_be_reached,
    brought_contact_point_is_on_record,
    contact_point_is_not_excluded,
    confidential_content_arrives_alone,
    contact_point_is_the_recipients_alone,
)
