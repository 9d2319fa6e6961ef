"""What people answer: a STOP becomes an objection on the record, anything else asks a person.

https://hl7.org/fhir/R4/consent.html. Who holds the telephone is known only as far as the record
knows the number, so an objection made of a STOP is to be talked about ("Objections to receiving
messages": understand the reason) and a Task says so.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote

from fhirmsg.clock import Deadline
from fhirmsg.errors import RecordUnavailable
from fhirmsg.fhir import codes
from fhirmsg.fhir.client import FhirClient, Resource
from fhirmsg.fhir.communication import LABEL_RESTRICTED, instant
from fhirmsg.fhir.elements import elements, text_of, version_of
from fhirmsg.fhir.neighbours import searches_at, values_of
from fhirmsg.fhir.resources import validated
from fhirmsg.fhir.searching import read_all_pages
from fhirmsg.fhir.tasks import Tasks
from fhirmsg.guidance.terms import Channel, Role
from fhirmsg.ports import Reply, TaskDraft

log = logging.getLogger("fhirmsg.record")

# What carriers take for the end of all messages when it is all that somebody writes.
_STOP = frozenset(
    {"stop", "stopall", "stop all", "stoptexts", "unsubscribe", "unsub", "end", "quit", "optout"}
    | {"please stop", "stop please", "remove me", "cancel texts"}
)
# What means it in a longer answer. "Stop by at three?" does not.
_PHRASES = re.compile(
    r"\b(opt(ing)? out|unsubscribe"
    r"|stop (all )?(send|text|messag|email|contact|writ|these|this|the (texts|messages|emails))"
    r"|(do not|don't|dont) (text|message|email|contact|send)"
    r"|no more (texts|messages|emails)|take me off|remove me from)"
)
_SYSTEM_OF = {Channel.SMS: "phone", Channel.EMAIL: "email"}
_MOST_HOLDERS = 20
_STOP_TEXT = (
    "Somebody at this person's number or address answered STOP, so an objection to this channel "
    "was put on record. Find out, in a way that is safe for the patient, whether they meant it "
    "and why, and which other way suits them; withdraw the objection if it was somebody else."
)
_PROXY_TEXT = (
    "A related person's number or address answered STOP. No objection could be put on record for "
    "them here. Do not message them this way; find out what they want and record it."
)
_NOBODY_TEXT = (
    "Somebody answered STOP from a number or address that nobody on record has now. Look it up "
    "with the provider, by the reply's id, and find out whose it is."
)
_REPLY_TEXT = (
    "Somebody answered a message, or wrote of their own accord. Read it with the provider, by the "
    "reply's id, and answer in a way that suits the person."
)


def is_stop(text: str) -> bool:
    """Tell whether a reply asks for no more messages; in doubt a person reads it."""
    # Telephones write a curly apostrophe.
    plain = text.casefold().replace("\u2019", "'")
    words = "".join(each if each.isalnum() or each in "' " else " " for each in plain).split()
    plain = " ".join(words)
    return plain in _STOP or _PHRASES.search(plain) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Holders:
    """Who has the number or address: literal references."""

    patients: tuple[str, ...]
    others: tuple[str, ...]


class Replies:
    """Puts replies on the record through a FhirClient. Thread-safe."""

    def __init__(self, client: FhirClient, tasks: Tasks) -> None:
        """Write to the client's server."""
        self._client = client
        self._tasks = tasks

    def apply(self, provider: str, reply: Reply, kept_at: datetime) -> bool:
        """Put one reply on the record; tells whether all of it is there.

        Raises RecordUnavailable. May run again for the same reply.
        """
        key = f"{provider}:{reply.id}"
        holders = self._holders(reply)
        if not is_stop(reply.text):
            patient = holders.patients[0] if len(holders.patients) == 1 else ""
            return self._ask(f"reply:{key}", "reply-received", _REPLY_TEXT, patient)
        done = True
        for patient in holders.patients:
            # A provider's clock that is ahead must not put it off.
            consent = objection(reply, provider, patient, min(reply.at or kept_at, kept_at))
            search = _by_stop(consent)
            done &= self._client.create(validated(consent), if_none_exist=search).good
            done &= self._ask(f"stop:{key}:{patient}", "stop-received", _STOP_TEXT, patient)
        for other in holders.others:
            done &= self._ask(f"stop:{key}:{other}", "stop-received", _PROXY_TEXT, focus=other)
        if not holders.patients and not holders.others:
            done &= self._ask(f"stop:{key}", "stop-received", _NOBODY_TEXT)
        return done

    def _ask(
        self, key: str, code: str, text: str, patient: str = "", focus: str | None = None
    ) -> bool:
        return self._tasks.write(
            TaskDraft(
                key=key,
                code=code,
                text=text,
                patient=patient,
                focus=focus,
                roles=(str(Role.IG_TEAM),),
            ),
            renew=False,
        )

    def _holders(self, reply: Reply) -> _Holders:
        """Find everybody whose record has the number or address now. Raises RecordUnavailable."""
        entry = {"system": _SYSTEM_OF.get(reply.channel, "other"), "value": reply.sender}
        values = values_of({**entry, "use": "mobile"})
        searches = searches_at(values, (), 100)
        if not searches:
            return _Holders(patients=(), others=())
        deadline = Deadline(self._client.server.call_deadline)
        _, answers = self._client.batch(list(searches.values()), deadline=deadline)
        found: list[Resource] = []
        for path, answer in zip(searches.values(), answers, strict=True):
            kind = path.partition("?")[0]
            pages = read_all_pages(
                self._client, answer, kind=kind, filtered_by="telecom", deadline=deadline
            )
            if pages.gaps:
                raise RecordUnavailable(pages.gaps[0].sentence)
            found += pages.resources
        holding = [
            version_of(each).reference
            for each in found
            if any(
                values & values_of(point) and text_of(point.get("use")) != "old"
                for point in elements(each.get("telecom"))
            )
        ]
        if len(holding) > _MOST_HOLDERS:
            # A number of an institution: nobody's objection can be told from it.
            return _Holders(patients=(), others=())
        return _Holders(
            patients=tuple(each for each in holding if each.startswith("Patient/")),
            others=tuple(each for each in holding if not each.startswith("Patient/")),
        )


def objection(reply: Reply, provider: str, patient: str, at: datetime) -> Resource:
    """Give the Consent that a STOP is: an objection to this channel, of every sender here."""
    # One for each person and channel, until it is withdrawn: a second STOP says nothing new.
    key = f"{provider}:{reply.channel}:{patient}"
    return {
        "resourceType": "Consent",
        "meta": {"security": [LABEL_RESTRICTED]},
        "extension": [
            {
                "url": codes.own_extension("objection-reason"),
                "valueCodeableConcept": {
                    "coding": [{"system": codes.REASON_SYSTEM, "code": "other"}],
                    "text": "Answered STOP to a message",
                },
            }
        ],
        "identifier": [{"system": codes.REPLY, "value": key}],
        "status": "active",
        "scope": {
            "coding": [{"system": codes.CONSENT_SCOPE_AS_WRITTEN, "code": "patient-privacy"}]
        },
        "category": [
            {
                "coding": [
                    {"system": codes.own_system("consent-category"), "code": "message-objection"}
                ]
            }
        ],
        "patient": {"reference": patient},
        "dateTime": instant(at),
        "performer": [{"reference": patient}],
        "policy": [{"uri": f"{codes.OWN}policy/right-to-object"}],
        "provision": {
            "type": "deny",
            "period": {"start": at.astimezone(UTC).date().isoformat()},
            "class": [{"system": "http://hl7.org/fhir/resource-types", "code": "Communication"}],
            "code": [{"coding": [{"system": codes.CHANNEL_SYSTEM, "code": str(reply.channel)}]}],
        },
    }


def _by_stop(consent: Resource) -> str:
    [identifier] = consent["identifier"]
    token = quote(f"{identifier['system']}|{identifier['value']}", safe="")
    return f"identifier={token}&status=active"
