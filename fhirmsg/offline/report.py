"""A decision in words, as a clinician wants to read it: the verdict first, then why."""

from __future__ import annotations

from textwrap import fill

from fhirmsg.guidance.decision import Verdict
from fhirmsg.guidance.rule import Effect, Finding
from fhirmsg.offline.deciding import Outcome

_WIDTH = 88
_VERDICTS = {
    Verdict.SEND: "SEND: the message may go.",
    Verdict.HOLD: "HOLD: the message does not go until a named person supplies what is missing.",
    Verdict.REFUSE: "REFUSE: the message does not go.",
}
_EFFECTS = {
    Effect.REFUSE: "refused",
    Effect.HOLD: "held",
    Effect.WARN: "warning",
    Effect.NOTE: "note",
}


def as_text(outcome: Outcome) -> str:
    """Give the whole decision as text, without words of the message or contact details."""
    decision, request = outcome.decision, outcome.request
    lines = [_VERDICTS[decision.verdict], ""]
    lines.append(
        _wrapped(
            f"A {request.purpose} message about {request.patient} to {request.recipient}, by "
            f"{request.channel} through {request.platform}, judged as at {decision.as_of}"
            + (", in a declared emergency." if decision.emergency else ".")
        )
    )
    if not decision.findings:
        lines += ["", "Nothing speaks against it."]
    for finding in decision.findings:
        lines += ["", *_of_finding(finding)]
    lines += ["", "How this came about"]
    lines += [
        _wrapped(f"- {remark}")
        for remark in (
            *outcome.remarks,
            f"Policy {decision.policy_version} (sha256 {decision.policy_sha256}), rules "
            f"{decision.rules}.",
            f"Message digest {decision.message_digest}.",
        )
    ]
    return "\n".join(lines) + "\n"


def _of_finding(finding: Finding) -> list[str]:
    lines = [
        f"[{_EFFECTS[finding.effect]}] {finding.code}   {finding.section}",
        _wrapped(finding.sentence, "  "),
    ]
    if finding.evidence:
        cited = ", ".join(
            each.reference if each.version_id is None else f"{each.reference} v{each.version_id}"
            for each in finding.evidence
        )
        lines.append(_wrapped(f"Rests on: {cited}", "  "))
    if finding.lifted is not None:
        lines.append(_wrapped(f"Lifted by: {finding.lifted.by} ({finding.lifted.who})", "  "))
    elif finding.effect >= Effect.HOLD:
        lifts = ", ".join(finding.lifted_by) or "nothing; only a changed record or request helps"
        lines.append(_wrapped(f"What lifts it: {lifts}", "  "))
        lines.append(_wrapped(f"Ask: {', '.join(finding.ask)}", "  "))
    return lines


def _wrapped(text: str, indent: str = "") -> str:
    return fill(
        text,
        _WIDTH,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
