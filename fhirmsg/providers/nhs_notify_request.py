"""A message as NHS Notify takes it: the settings for it, what fits, and the fields.

NHS Notify looks up by itself where a person can be reached, in the Personal Demographics Service.
A decision was made about one number or address, so that one is sent along and takes precedence:
NHS Notify has to allow that, by agreement at onboarding. `send_contact_details=False` leaves the
choice to NHS Notify, and a text may then go to a number that nobody decided about.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fhirmsg.errors import SettingsError
from fhirmsg.guidance.terms import Channel
from fhirmsg.ports import OutboundMessage

BASE_URL = "https://api.service.nhs.uk/comms"

_UUID = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")
_NHS_NUMBER = re.compile(r"\d{10}", re.ASCII)

# Characters that a channel carries, template included.
_LONGEST = {Channel.SMS: 918, Channel.NHS_APP: 5_000, Channel.EMAIL: 100_000}


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingPlan:
    """A routing plan by its id (UUID), and the names of its personalisation fields."""

    id: str
    body_field: str
    subject_field: str | None = None


# The plans for free text that NHS Notify has for every client, one for each channel.
FREE_TEXT: Mapping[Channel, RoutingPlan] = {
    Channel.NHS_APP: RoutingPlan(id="00000000-0000-0000-0000-000000000001", body_field="body"),
    Channel.EMAIL: RoutingPlan(
        id="00000000-0000-0000-0000-000000000002",
        body_field="email_body",
        subject_field="email_subject",
    ),
    Channel.SMS: RoutingPlan(id="00000000-0000-0000-0000-000000000003", body_field="sms_body"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class NhsNotifySettings:
    """How to reach the service, and through which routing plans.

    send_contact_details: whether the number or address decided about goes along (see above).
    callback_application_id and callback_api_key: what callbacks are signed with. ods_code: of the
    organisation, where the client may say it. Raises SettingsError with every fault.
    """

    plans: Mapping[Channel, RoutingPlan] = field(default_factory=lambda: dict(FREE_TEXT))
    send_contact_details: bool = True
    ods_code: str | None = None
    billing_reference: str | None = None
    callback_application_id: str | None = None
    callback_api_key: str | None = field(default=None, repr=False)
    base_url: str = BASE_URL

    def __post_init__(self) -> None:
        """Check what can be checked without asking NHS Notify."""
        checks = [
            (
                (self.callback_application_id is None) == (self.callback_api_key is None),
                "callback_application_id, callback_api_key: one without the other",
            ),
            *(
                (_UUID.fullmatch(plan.id), f"{channel.name.lower()}_plan: not a UUID")
                for channel, plan in self.plans.items()
            ),
        ]
        if faults := [text for holds, text in checks if not holds]:
            raise SettingsError(faults)


def why_unfit(message: OutboundMessage, settings: NhsNotifySettings) -> str | None:
    """Give the word for what keeps a message from being sent, None when nothing does."""
    if not _UUID.fullmatch(message.reference):
        return "reference"
    if not _NHS_NUMBER.fullmatch(_nhs_number(message)):
        return "no-nhs-number"
    if len(message.body) > _LONGEST.get(message.channel, 0):
        return "too-long"
    if settings.send_contact_details and message.channel is not Channel.NHS_APP:
        return None if message.to else "no-contact-point"
    return None


def attributes_of(
    message: OutboundMessage, plan: RoutingPlan, settings: NhsNotifySettings
) -> dict[str, Any]:
    """Give the attributes of a message as NHS Notify takes it."""
    personalisation = {plan.body_field: message.body}
    if plan.subject_field is not None:
        personalisation[plan.subject_field] = (
            message.subject or message.sender_name or message.platform
        )
    recipient: dict[str, Any] = {"nhsNumber": _nhs_number(message)}
    if settings.send_contact_details:
        if message.channel is Channel.SMS:
            # Documented with the country code and without a sign before it.
            recipient["contactDetails"] = {"sms": message.to.removeprefix("+")}
        elif message.channel is Channel.EMAIL:
            recipient["contactDetails"] = {"email": message.to}
    attributes: dict[str, Any] = {
        "routingPlanId": plan.id,
        "messageReference": message.reference,
        "recipient": recipient,
        "personalisation": personalisation,
    }
    if settings.ods_code:
        attributes["originator"] = {"odsCode": settings.ods_code}
    if settings.billing_reference:
        attributes["billingReference"] = settings.billing_reference
    return attributes


def _nhs_number(message: OutboundMessage) -> str:
    """The number to address by; the contact point of the NHS App is one itself."""
    if message.nhs_number is not None:
        return message.nhs_number
    return message.to if message.channel is Channel.NHS_APP else ""
