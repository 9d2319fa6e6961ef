"""Every key that a policy file may have; any other one is a fault."""

from __future__ import annotations

TOP = (
    *("version", "organisations", "name", "timezone", "roles", "platforms", "default_platform"),
    *("fallback_order", "content_matrix", "proxies", "objections", "record", "devices"),
    *("freshness_seconds", "repeat_window_hours", "links", "sensitive_services", "lexicon"),
)
ROLES = ("approve_overrides", "review", "review_by_code")
PLATFORM = (
    *("provider", "channels", "approved", "confidential", "requires_login", "lock_screen"),
    *("fallbacks", "notifies_by", "windows", "sender_names"),
)
APPROVED = ("from", "until")
FALLBACK = ("platform", "channel")
WINDOW = ("days", "from", "until")
PROXIES = (
    *("accept_unlisted_bases", "accept_access_roles", "parental_review_ages"),
    *("require_capacity_record", "individual_check_days"),
)
OBJECTIONS = ("read_flags", "read_communication_requests")
RECORD = ("content", "record_refusals", "hold_tasks")
DEVICES = ("personal", "shared")
LINKS = ("hosts",)
SERVICE = ("system", "code")

ALL = frozenset(
    {
        *(*TOP, *ROLES, *PLATFORM, *APPROVED, *FALLBACK, *WINDOW),
        *(*PROXIES, *OBJECTIONS, *RECORD, *DEVICES, *LINKS, *SERVICE),
    }
)
