"""The templates in GOV.UK Notify that messages go through: how each is filled, and if it fits."""

from __future__ import annotations

import re
from dataclasses import dataclass

from fhirmsg.guidance.terms import Channel
from fhirmsg.ports import OutboundMessage
from fhirmsg.providers.over_http import HttpAnswer


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifyTemplate:
    """One template by its id (UUID), and the names of its fields; subject for an e-mail only."""

    id: str
    body_field: str = "body"
    subject_field: str | None = None

    def filled(self, message: OutboundMessage) -> dict[str, str]:
        """Give the personalisation; where there is no subject, the sender's name stands for it."""
        filled = {self.body_field: message.body}
        if self.subject_field is not None:
            filled[self.subject_field] = message.subject or message.sender_name or message.platform
        return filled


def why_unfit(answer: HttpAnswer, channel: Channel, template: NotifyTemplate) -> str | None:
    """Tell in one sentence what is wrong with the answer to a look at a template."""
    if answer.status in (401, 403):
        return (
            f"GOV.UK Notify answered {answer.status}, so no message could be sent. Check the API "
            "key, and that the clock of this host is right within 30 seconds."
        )
    if answer.status == 404:
        return (
            f"GOV.UK Notify does not know the template for {channel.value}, so its messages would "
            "be refused. Check the id, and that the API key is of the same service."
        )
    fields = answer.payload.get("personalisation")
    if answer.status != 200 or not isinstance(fields, dict):
        return (
            f"GOV.UK Notify answered {answer.status} to a look at the template for "
            f"{channel.value}, so nobody knows whether it fits. Try again later."
        )
    if answer.payload.get("type") != channel.value:
        return (
            f"The template for {channel.value} in GOV.UK Notify is of another type, so its "
            "messages would be refused. Name a template of that type."
        )
    sent = {template.body_field} | ({template.subject_field} if template.subject_field else set())
    if sorted(map(_plain, fields)) != sorted(map(_plain, sent)):
        return (
            f"The template for {channel.value} in GOV.UK Notify does not hold exactly the fields "
            f"that are sent ({', '.join(sorted(sent))}), so messages would be refused or go out "
            "without their text. Correct the template, or name its fields in the settings."
        )
    return None


def _plain(name: object) -> str:
    """A name as Notify compares them: whatever its case, blanks, hyphens and underscores."""
    return re.sub(r"[\s_-]", "", str(name)).casefold()
