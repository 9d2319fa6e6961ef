"""Fallback: the next channel that the policy allows, when a provider says that one failed.

Each leg is a message of its own, decided anew without the evidence of the first. What it needs
stands sealed on the record entry of the leg before it, and nowhere else.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from fhirmsg.calls import Call, leg_id
from fhirmsg.guidance.policy import LocalPolicy
from fhirmsg.guidance.request import NO_EVIDENCE, Content, SendRequest, Service
from fhirmsg.guidance.terms import Channel, Declared, Device, Occasion, Person, Purpose
from fhirmsg.ports import Entry
from fhirmsg.sealing import Seal, Unsealable

_PURPOSE = b"fhirmsg fallback request"


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """One try on one channel. tried: the channels before it, the first one first."""

    request: SendRequest
    tried: tuple[Channel, ...]


class Fallback:
    """Finds and seals next legs. Thread-safe."""

    def __init__(self, key: bytes, policies: Mapping[str, LocalPolicy]) -> None:
        """Seal under this key; `policies` by ODS code."""
        self._seal = Seal([key], purpose=_PURPOSE, salt=b"")
        self._policies = policies

    def sealed_for(self, call: Call) -> str | None:
        """Give what a next leg needs, sealed; None where none can follow.

        None follows an emergency message: what it was let go on cannot be taken along.
        """
        request = replace(call.request, evidence=NO_EVIDENCE, contact_point=None)
        if call.request.evidence.emergency is not None:
            return None
        tried = (*call.tried, request.channel)
        if not _channels_left(call.policy, tried):
            return None
        content = {"request": _as_json(request), "tried": [str(each) for each in tried]}
        return base64.urlsafe_b64encode(self._seal.close(content, [call.message_id])).decode()

    def next_legs(self, entry: Entry) -> tuple[Call, ...]:
        """Give the calls that may follow a failed one, in the order of the policy.

        Each has an id of its own. None follows where the request is gone or cannot be read.
        """
        leg = self._leg_of(entry)
        policy = None if leg is None else self._policies.get(leg.request.organization)
        if leg is None or policy is None:
            return ()
        calls = []
        tried = leg.tried
        for number, channel in enumerate(_channels_left(policy, leg.tried)):
            request = replace(
                leg.request, channel=channel, platform=policy.default_platform[channel]
            )
            calls.append(
                Call(
                    request=request,
                    policy=policy,
                    message_id=leg_id(entry.message_id, number + 1),
                    part_of=entry.reference,
                    tried=tried,
                )
            )
            tried = (*tried, channel)
        return tuple(calls)

    def _leg_of(self, entry: Entry) -> Leg | None:
        try:
            sealed = base64.urlsafe_b64decode(entry.sealed or "")
            return _leg_in(self._seal.open(sealed, [entry.message_id]))
        except (Unsealable, ValueError):
            return None


def _channels_left(policy: LocalPolicy, tried: tuple[Channel, ...]) -> tuple[Channel, ...]:
    return tuple(
        channel
        for channel in policy.fallback_order
        if channel not in tried and channel in policy.default_platform
    )


def _as_json(request: SendRequest) -> dict[str, Any]:
    content = {name: value for name, value in asdict(request).items() if name not in _LEFT_OUT}
    late = request.not_after
    return {**content, "not_after": None if late is None else late.isoformat()}


_LEFT_OUT = ("evidence", "contact_point")


def _leg_in(content: Mapping[str, Any]) -> Leg | None:
    """Read a leg back; None when it is not what this version writes."""
    try:
        written = content["request"]
        late = written["not_after"]
        request = SendRequest(
            **{
                **written,
                "channel": Channel(written["channel"]),
                "purpose": Purpose(written["purpose"]),
                "content": Content(**written["content"]),
                "requester": Person(**written["requester"]),
                "confidential": Declared(written["confidential"]),
                "device": Device(written["device"]),
                "service": Service(
                    code=written["service"]["code"],
                    sensitive=Declared(written["service"]["sensitive"]),
                ),
                "about": tuple(written["about"]),
                "occasion": Occasion(written["occasion"]),
                "not_after": None if late is None else datetime.fromisoformat(late),
            }
        )
        return Leg(request=request, tried=tuple(Channel(each) for each in content["tried"]))
    except (ValueError, TypeError, KeyError):
        return None
