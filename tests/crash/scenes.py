"""What a process is at when it dies: each scene goes on until its caller has a final answer.

A scene starts the doomed process, has it do one thing, and goes on with whole processes. Without
a fate it is the dry run that tells which effects there are.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import requests

from fhirmsg.calls import message_id_for
from tests.crash.stage import LEASE, SORTS, Died, Running, Stage

KEY = "the key"
ID = message_id_for("tests", KEY)
_PATIENCE = 60.0
# What a caller asks again after; everything else is final.
_AGAIN = (409, 503)
_FINAL = ("accepted-by-provider", "delivered", "unknown", "failed")


@dataclass
class Played:
    """What came of one scene. effects: those of the process that was doomed, in order."""

    stage: Stage
    doomed: Running
    answer: dict[str, Any] = field(default_factory=dict)
    legs: int = 1

    @property
    def effects(self) -> list[str]:
        """What the doomed process did."""
        return self.doomed.effects


@dataclass
class Caller:
    """Asks again under one key until the answer is final, through whole processes if need be."""

    stage: Stage
    running: Running

    def until(self, ask: Callable[[Running], requests.Response]) -> dict[str, Any]:
        """Ask until the answer is final; gives it."""
        until = time.monotonic() + _PATIENCE
        while True:
            try:
                if not self.running.url:
                    self.running.wait_until_up()
                answer = ask(self.running)
            except Died:
                assert self.running.wait_until_gone(20)
                self.running = self.stage.start()
                continue
            if answer.status_code not in _AGAIN:
                assert answer.status_code < 400, answer.text
                found: dict[str, Any] = answer.json() if answer.content else {}
                return found
            assert time.monotonic() < until, answer.text
            time.sleep(min(float(answer.headers["Retry-After"]), 0.4))


Scene = Callable[[Stage, Mapping[str, str]], Played]


def sent(stage: Stage, fate: Mapping[str, str]) -> Played:
    """Send one message, and ask again."""
    return _asked(stage, fate, stage.message())


def emergency(stage: Stage, fate: Mapping[str, str]) -> Played:
    """Send one in an emergency, which opens its review with it, and ask again."""
    body = {**stage.emergency(), "contact_point": None}
    return _asked(stage, fate, body)


def recovered(stage: Stage, fate: Mapping[str, str]) -> Played:
    """Send one message; recovery comes before the caller asks again."""
    doomed = stage.start(**fate)
    try:
        doomed.wait_until_up().send(KEY, stage.message())
    except Died:
        assert doomed.wait_until_gone(20)
    doomed.end()
    time.sleep(LEASE + 1.2)
    stage.run("recover")
    caller = Caller(stage, stage.start())
    return Played(stage, doomed, caller.until(lambda each: each.send(KEY, stage.message())))


def outage(stage: Stage, fate: Mapping[str, str]) -> Played:
    """Send an emergency while the FHIR server is away, and ask again before it is back."""
    stage.away = True
    played = _asked(stage, fate, stage.emergency())
    stage.started[-1].end()
    stage.away = False
    return played


def outage_ends(stage: Stage, fate: Mapping[str, str]) -> Played:
    """Send an emergency while the FHIR server is away, and ask again when it is back."""
    stage.away = True
    body = stage.emergency()
    doomed = stage.start(**fate)
    answer: dict[str, Any] = {}
    try:
        answer = doomed.wait_until_up().send(KEY, body).json()
    except Died:
        assert doomed.wait_until_gone(20)
    stage.away = False
    if fate:
        doomed.end()
        answer = Caller(stage, stage.start()).until(lambda each: each.send(KEY, body))
    return Played(stage, doomed, answer)


def drained(stage: Stage, fate: Mapping[str, str]) -> Played:
    """Send an emergency while the FHIR server is away; what is owed is written afterwards."""
    stage.away = True
    whole = stage.start().wait_until_up()
    body = stage.emergency()
    assert whole.send(KEY, body).json()["record"] == "pending"
    whole.end()
    stage.away = False
    doomed = stage.start(**fate)
    _watch(doomed, lambda: "journal done emergency" in doomed.effects)
    caller = Caller(stage, stage.start())
    return Played(stage, doomed, caller.until(lambda each: each.send(KEY, body)))


def receipted(stage: Stage, fate: Mapping[str, str]) -> Played:
    """Have the provider call back that it delivered; it calls until it is answered."""
    whole = stage.start().wait_until_up()
    answer = whole.send(KEY, stage.message()).json()
    whole.end()
    doomed = stage.start(**fate)
    caller = Caller(stage, doomed)
    told = stage.callback("delivered", KEY)
    caller.until(lambda each: each.call_back(stage.name, told))
    _watch(doomed, lambda: "journal done receipt" in doomed.effects)
    return Played(stage, doomed, answer)


def followed(stage: Stage, fate: Mapping[str, str]) -> Played:
    """Have the provider call back that it failed; the next channel is tried."""
    whole = stage.start().wait_until_up()
    answer = whole.send(KEY, stage.message()).json()
    whole.end()
    doomed = stage.start(**fate)
    caller = Caller(stage, doomed)
    told = stage.callback("failed", KEY)
    caller.until(lambda each: each.call_back(stage.name, told))
    _watch(doomed, lambda: "journal done fallback" in doomed.effects)
    if fate:
        last = caller.running if caller.running is not doomed else stage.start()
        _watch(last, lambda: not stage.owed())
    return Played(stage, doomed, answer, legs=2)


def recovering(stage: Stage, fate: Mapping[str, str], *, at: str = "") -> Played:
    """Have an entry left open, before or after its hand-off; recovery itself dies."""
    first = stage.start(CRASH_KILL=at)
    try:
        first.wait_until_up().send(KEY, stage.message())
    except Died:
        assert first.wait_until_gone(20)
    time.sleep(LEASE + 0.5)
    doomed = stage.start(**{"FHIRMSG_RECOVER_SECONDS": "1", **fate})
    _watch(doomed, lambda: doomed.effects.count("fhir GET Communication") > 1)
    doomed.end()
    time.sleep(LEASE + 1.2)
    stage.run("recover")
    caller = Caller(stage, stage.start())
    return Played(stage, doomed, caller.until(lambda each: each.send(KEY, stage.message())))


def left_before(stage: Stage, fate: Mapping[str, str]) -> Played:
    """Have an entry left open before its hand-off."""
    return recovering(stage, fate, at=f"before:{_HAND_OFF[stage.provider]}")


def left_after(stage: Stage, fate: Mapping[str, str]) -> Played:
    """Have an entry left open after its hand-off."""
    return recovering(stage, fate, at=f"after:{_HAND_OFF[stage.provider]}")


def taken_over(stage: Stage, fate: Mapping[str, str]) -> Played:
    """Have an entry left open after its hand-off; the call that takes it over dies too."""
    first = stage.start(CRASH_KILL=f"after:{_HAND_OFF[stage.provider]}")
    try:
        first.wait_until_up().send(KEY, stage.message())
    except Died:
        assert first.wait_until_gone(20)
    time.sleep(LEASE + 1.2)
    return _asked(stage, fate, stage.message())


_HAND_OFF = {
    "govuk-notify": "provider POST",
    "nhs-notify": "provider POST",
    "webhook": "provider POST",
    "webhook-dedup": "provider POST",
    "smtp": "smtp send",
    "outbox": "outbox send",
}


def _asked(stage: Stage, fate: Mapping[str, str], body: dict[str, Any]) -> Played:
    doomed = stage.start(**fate)
    caller = Caller(stage, doomed)
    return Played(stage, doomed, caller.until(lambda each: each.send(KEY, body)))


def _watch(running: Running, done: Callable[[], bool]) -> None:
    """Wait until a process has done its part, or died at it."""
    until = time.monotonic() + _PATIENCE
    while not done() and running.status is None:
        assert time.monotonic() < until, (running.effects, running.output.read_text())
        time.sleep(0.05)


# Each scene with the providers it is played with.
_ALL = tuple(SORTS)
# Without the record nobody knows an NHS number, which NHS Notify cannot do without.
_UNREAD = tuple(each for each in SORTS if each != "nhs-notify")
_CALLING_BACK = ("govuk-notify", "nhs-notify", "webhook")
SCENES: Mapping[str, tuple[Scene, tuple[str, ...]]] = {
    "sent": (sent, _ALL),
    "emergency": (emergency, _ALL),
    "recovered": (recovered, ("govuk-notify", "nhs-notify", "webhook")),
    "taken-over": (taken_over, _ALL),
    "outage": (outage, _UNREAD),
    "outage-ends": (outage_ends, ("govuk-notify", "webhook-dedup", "webhook")),
    "drained": (drained, ("outbox", "webhook-dedup")),
    "receipted": (receipted, _CALLING_BACK),
    "followed": (followed, ("govuk-notify", "webhook-dedup")),
    "left-before": (left_before, ("govuk-notify", "nhs-notify", "smtp")),
    "left-after": (left_after, ("outbox", "nhs-notify", "webhook")),
}


def judged(played: Played) -> list[str]:
    """Give what is not as it has to be after a scene, and after `fhirmsg recover`; then reconcile.

    Whatever still serves is left to finish first.
    """
    stage = played.stage
    stage.end_services()
    status, said = stage.run("recover")
    faults = [] if status == 0 else [f"recover: {status} {said}"]
    sort, arrived = SORTS[stage.provider], stage.references()
    ids = [ID, f"{ID}-2"][: played.legs]
    entries = stage.record()
    for message_id in ids:
        own = [each for each in entries if each["identifier"][0]["value"] == message_id]
        if len(own) != 1:
            faults.append(f"{len(own)} entries of {message_id}: {[e['status'] for e in own]}")
            continue
        faults += _untruth(own[0], arrived[message_id], sort, stage)
    if strangers := set(arrived) - set(ids):
        faults.append(f"{len(strangers)} messages that nobody asked for")
    if len(entries) > len(ids):
        faults.append(f"{len(entries)} entries for {len(ids)} messages")
    if played.answer.get("status") not in _FINAL:
        faults.append(f"answered {played.answer.get('status')}")
    status, said = stage.run("reconcile", "--since", "1h")
    if status != 0:
        faults.append(f"reconcile: {status} {said}")
    return faults


def _untruth(entry: dict[str, Any], copies: int, sort: str, stage: Stage) -> list[str]:
    """Tell what an entry says wrongly about a message that arrived so many times."""
    faults = []
    status = entry["status"]
    if copies > 1:
        faults.append(f"doubled: {copies} copies")
    if sort != "neither" and copies == 0:
        faults.append("lost")
    if status in ("completed", "stopped"):
        if copies == 0:
            faults.append(f"{status}, and it never left")
        if status == "completed" and not entry.get("sent"):
            faults.append("completed without a time")
    elif status == "unknown" and sort == "neither":
        if "unknown" not in stage.tasks():
            faults.append("unknown without a Task")
    else:
        faults.append(f"ends as {status}")
    emergency = any(
        coding.get("code") == "emergency"
        for reason in entry.get("reasonCode", [])
        for coding in reason.get("coding", [])
    )
    if emergency and stage.tasks().count("emergency-review") != 1:
        faults.append(f"reviews of an emergency: {stage.tasks().count('emergency-review')}")
    return faults
