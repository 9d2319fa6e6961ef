"""What is set up on this host: policies, providers, journal, decision log, language."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date

from fhirmsg import language
from fhirmsg.config import Settings
from fhirmsg.doctor.lines import Line, fault, not_tried, ok, warning
from fhirmsg.fhir.auditing import FhirAudit
from fhirmsg.ports import ChecksItself, Journal, Provider


def policy_lines(settings: Settings, today: date) -> Iterator[Line]:
    """Tell each policy, and the platforms that are not approved today."""
    for policy in {each.sha256: each for each in settings.policies.values()}.values():
        about = f"policy {policy.version}"
        unapproved = sorted(
            name for name, each in policy.platforms.items() if not each.is_approved(today)
        )
        if unapproved:
            yield warning(
                about,
                f"{', '.join(unapproved)} is not approved today, and is used in emergencies alone",
                "Renew the approval in the policy file, or remove the platform.",
            )
        else:
            organisations = ", ".join(sorted(policy.organisations))
            yield ok(about, f"sha256 {policy.sha256[:12]}, for {organisations}")


def provider_lines(providers: Mapping[str, Provider]) -> Iterator[Line]:
    """Have each provider examine itself, as far as it can do that without sending."""
    for name, provider in sorted(providers.items()):
        about = f"provider {name}"
        if not isinstance(provider, ChecksItself):
            yield not_tried(about, "it cannot be tried without sending")
        elif reason := provider.why_unusable():
            yield fault(about, reason, "Messages through it do not leave until that is mended.")
        else:
            yield ok(about, "it could send now")


def journal_lines(journal: Journal | None) -> Iterator[Line]:
    """Tell whether the journal could keep something now."""
    if journal is None:
        yield not_tried("journal", "none is set up")
    elif reason := journal.why_unusable():
        yield fault("journal", reason, "Writes and receipts could be lost; mend that first.")
    else:
        yield ok("journal", "it can be written")


def audit_lines(settings: Settings, audit: FhirAudit) -> Iterator[Line]:
    """Tell where decisions are told, and whether that works."""
    from fhirmsg.decisionlog import DecisionLog

    if reason := audit.why_unaudited():
        yield warning("audit", reason, "")
    path = settings.decision_log
    if path is None:
        yield not_tried(
            "decision log", "none is set; decisions go to the FHIR server's AuditEvents"
        )
    elif unusable := DecisionLog(path, settings.record_key).why_unusable():
        yield fault("decision log", unusable, "")
    else:
        yield ok(
            "decision log", "it can be written; `fhirmsg audit verify` tells whether it is whole"
        )


def language_lines(settings: Settings) -> Iterator[Line]:
    """Tell whether spelling and grammar are checked."""
    if settings.spelling:
        yield ok("language", "spelling and grammar of messages are checked")
    elif language.is_installed():
        yield not_tried("language", "installed and off; FHIRMSG_SPELLING=true has messages checked")
    else:
        yield not_tried("language", "not installed; fhirmsg[language] checks spelling and grammar")
