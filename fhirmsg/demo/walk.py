"""Walk every persona over real HTTP and compare what is decided with what has to be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import requests

from fhirmsg.demo.personas import Persona, Step
from fhirmsg.fhir.log import FhirCommunicationLog
from fhirmsg.ports import EntryStatus
from fhirmsg.providers.outbox import KeptMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One step walked: what was expected, what came, and the record entry if there is one."""

    persona: str
    situation: str
    channel: str
    expected: str
    verdict: str
    code: str | None
    communication: str | None
    message_id: str
    as_expected: bool


class Walker:
    """Asks the adapter at `url`, as a client would."""

    def __init__(self, url: str, key: str) -> None:
        """Use this API key; every walk has Idempotency-Keys of its own."""
        self._url, self._key = url, key
        self._run = uuid4()

    def walk(self, personas: Iterable[Persona]) -> list[Row]:
        """Send every step of every persona, one after the other."""
        return [
            self._step(persona, step, f"{self._run} {persona.name} {number}")
            for persona in personas
            for number, step in enumerate(persona.steps)
        ]

    def _step(self, persona: Persona, step: Step, key: str) -> Row:
        body = step.request
        if (body.get("evidence") or {}).get("override"):
            body = self._with_override(body, key)
        answer = self._post("/v1/messages", body, key)
        decision = answer.get("decision") or {}
        findings = decision.get("findings") or []
        verdict = decision.get("verdict") or answer.get("title", "no answer")
        code = findings[0]["code"] if findings else None
        return Row(
            persona=persona.name,
            situation=persona.situation,
            channel=step.request["channel"],
            expected=step.verdict if step.code is None else f"{step.verdict} {step.code}",
            verdict=verdict,
            code=code,
            communication=answer.get("communication"),
            message_id=answer.get("id", ""),
            as_expected=(verdict, code) == (step.verdict, step.code)
            and (verdict == "send") == (answer.get("status") == "accepted-by-provider"),
        )

    def _with_override(self, body: dict[str, Any], key: str) -> dict[str, Any]:
        """Have the message checked first: the answer gives what an override has to name."""
        bare = {name: value for name, value in body.items() if name != "evidence"}
        checked = self._post("/v1/messages/check", bare, key)
        cited = [
            {"reference": version["reference"], "versionId": version["versionId"]}
            for finding in (checked.get("decision") or {}).get("findings") or []
            if finding["code"] == "objection.active"
            for version in finding["evidence"]
        ]
        given = {
            "@message_id": checked.get("id"),
            "@message_digest": checked.get("message_digest"),
            "@objections": cited,
        }
        override = {
            name: given.get(value, value) if isinstance(value, str) else value
            for name, value in body["evidence"]["override"].items()
        }
        return {**body, "evidence": {"override": override}}

    def _post(self, path: str, body: dict[str, Any], key: str) -> dict[str, Any]:
        answer = requests.post(
            f"{self._url}{path}",
            json=body,
            headers={"Authorization": f"Bearer {self._key}", "Idempotency-Key": key},
            timeout=120,
        )
        parsed: dict[str, Any] = answer.json()
        return parsed


def faults_of_record(
    rows: list[Row], kept: list[KeptMessage], log: FhirCommunicationLog
) -> list[str]:
    """Compare outbox and record: one completed entry for each message, and no other one sent."""
    faults = []
    left = Counter(message.reference for message in kept)
    sent = {row.message_id for row in rows if row.verdict == "send"}
    for reference, times in left.items():
        if times > 1:
            faults.append(f"message {reference} left {times} times")
        if reference not in sent:
            faults.append(f"message {reference} left and was not to")
    for row in rows:
        entries = log.find(row.message_id) if row.message_id else ()
        completed = [each for each in entries if each.status is EntryStatus.COMPLETED]
        if row.message_id in left:
            if len(entries) != 1 or len(completed) != 1:
                faults.append(f"{row.persona}: the record does not hold one completed entry")
        elif row.message_id in sent:
            faults.append(f"{row.persona}: the message is not in the outbox")
        elif any(each.status is not EntryStatus.NOT_DONE for each in entries):
            faults.append(f"{row.persona}: the record says something left")
    return faults


def table(rows: list[Row]) -> str:
    """Give the rows as a plain text table."""
    head = ("", "situation", "channel", "expected", "verdict", "deciding finding", "Communication")
    lines = [head] + [
        (
            "ok" if row.as_expected else "NO",
            row.situation,
            row.channel,
            row.expected,
            row.verdict,
            row.code or "-",
            row.communication or "-",
        )
        for row in rows
    ]
    widths = [max(len(line[place]) for line in lines) for place in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
