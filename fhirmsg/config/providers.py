"""The providers that there are, and whether what the policies send through is set up."""

from __future__ import annotations

from collections.abc import Mapping

from fhirmsg.environment import PREFIX, Variables
from fhirmsg.guidance.policy import LocalPolicy
from fhirmsg.guidance.terms import Channel

# What each provider can carry, and the variable without which it is not there.
PROVIDERS: dict[str, tuple[frozenset[Channel], str]] = {
    "outbox": (frozenset(Channel), "FHIRMSG_OUTBOX_FILE"),
    "smtp": (frozenset({Channel.EMAIL}), "FHIRMSG_SMTP_HOST"),
    "govuk-notify": (frozenset({Channel.SMS, Channel.EMAIL}), "FHIRMSG_GOVUK_NOTIFY_API_KEY"),
    "nhs-notify": (
        frozenset({Channel.NHS_APP, Channel.SMS, Channel.EMAIL}),
        "FHIRMSG_NHS_NOTIFY_BASE_URL",
    ),
    "webhook": (frozenset(Channel), "FHIRMSG_WEBHOOK_URL"),
}


def configured(variables: Variables) -> set[str]:
    """Give the names of the providers whose variable is set, or names a file."""
    return {
        name
        for name, (_, variable) in PROVIDERS.items()
        for given in (variable.removeprefix(PREFIX),)
        if given in variables or f"{given}_FILE" in variables
    }


def check_providers(sources: Mapping[str, LocalPolicy], there: set[str], faults: list[str]) -> None:
    """Check that what the policies send through is there and can carry what they say."""
    for path, policy in sources.items():
        for platform in policy.platforms.values():
            at = f"{path}: platforms.{platform.name}"
            if platform.provider not in PROVIDERS:
                faults.append(
                    f"{at}.provider: {platform.provider} is not a provider of this version; "
                    f"use one of {', '.join(PROVIDERS)}"
                )
                continue
            carries, variable = PROVIDERS[platform.provider]
            if platform.provider not in there:
                faults.append(
                    f"{at}.provider: {platform.provider} is not configured here; set {variable}"
                )
            if beyond := sorted(platform.channels - carries):
                faults.append(
                    f"{at}.channels: {platform.provider} does not carry {', '.join(beyond)}; "
                    "remove it or use another provider"
                )


def named(start: str, fault: str) -> str:
    """Name the variables in place of the fields that a fault begins with."""
    fields, _, text = fault.partition(": ")
    names = ", ".join(f"{PREFIX}{start}{each.upper()}" for each in fields.split(", "))
    return f"{names}: {text}; correct it"
