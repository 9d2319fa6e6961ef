"""Settings of GOV.UK Notify."""

from __future__ import annotations

from collections.abc import Mapping

from fhirmsg.config.addresses import https_url
from fhirmsg.config.providers import named
from fhirmsg.environment import PREFIX, Variables
from fhirmsg.errors import SettingsError
from fhirmsg.guidance.policy import LocalPolicy
from fhirmsg.guidance.terms import Channel
from fhirmsg.providers.govuk_notify import BASE_URL, NotifySettings
from fhirmsg.providers.govuk_notify_templates import NotifyTemplate

_START = "GOVUK_NOTIFY_"


def govuk_notify(variables: Variables) -> NotifySettings | None:
    """Read the settings of GOV.UK Notify, None when there is no API key."""
    key = variables.secret(f"{_START}API_KEY", what="give the API key as Notify shows it")
    body_field = variables.text(f"{_START}BODY_FIELD", default="body")
    subject_field = variables.text(f"{_START}SUBJECT_FIELD", default="subject")
    sms, email, sender, reply_to = (
        variables.text(f"{_START}{name}", default="", what="write the id that Notify shows") or None
        for name in ("SMS_TEMPLATE", "EMAIL_TEMPLATE", "SMS_SENDER_ID", "EMAIL_REPLY_TO_ID")
    )
    receipts_token, replies_token = (
        variables.secret(f"{_START}{name}", what="give the bearer token that Notify was given")
        for name in ("RECEIPTS_TOKEN", "REPLIES_TOKEN")
    )
    retention_days = variables.whole(f"{_START}RETENTION_DAYS", 3, 90, 7)
    base_url = https_url(
        variables, f"{_START}BASE_URL", base=True, default=BASE_URL, what=f"write it as {BASE_URL}"
    )
    if key is None:
        if others := variables.starting_with(_START):
            variables.fault(others[0], f"is set without {PREFIX}{_START}API_KEY; give the API key")
        return None
    try:
        return NotifySettings(
            api_key=key.strip(),
            sms=None if sms is None else NotifyTemplate(id=sms, body_field=body_field),
            email=None
            if email is None
            else NotifyTemplate(id=email, body_field=body_field, subject_field=subject_field),
            sms_sender_id=sender,
            email_reply_to_id=reply_to,
            receipts_token=receipts_token,
            replies_token=replies_token,
            retention_days=retention_days,
            base_url=base_url,
        )
    except SettingsError as error:
        variables.faults += [named(_START, fault) for fault in error.faults]
        return None


def check_templates(
    sources: Mapping[str, LocalPolicy], settings: NotifySettings | None, faults: list[str]
) -> None:
    """Check that there is a template for each channel that a policy sends through Notify."""
    if settings is None:
        return
    missing = {
        channel
        for channel, template in ((Channel.SMS, settings.sms), (Channel.EMAIL, settings.email))
        if template is None
    }
    for path, policy in sources.items():
        for platform in policy.platforms.values():
            if platform.provider != "govuk-notify":
                continue
            faults += [
                f"{path}: platforms.{platform.name}.channels: there is no template for {channel}; "
                f"set {PREFIX}{_START}{channel.name}_TEMPLATE"
                for channel in sorted(platform.channels & missing)
            ]
