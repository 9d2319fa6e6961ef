"""A neutral wording to offer in place of one that says too much."""

from __future__ import annotations

from fhirmsg.guidance.terms import Channel, Purpose
from fhirmsg.guidance.wording.facts import KnownIdentifiers, MessageText, WordingSettings
from fhirmsg.guidance.wording.inspection import inspect
from fhirmsg.guidance.wording.lexicon import Lexicon

_WORDINGS: dict[Purpose, str] = {
    Purpose.TEST_RESULT: "{name}: your results are ready. {how}",
    Purpose.APPOINTMENT: "{name}: we have news of your appointment with us. {how}",
    Purpose.PRESCRIPTION: "{name}: we have news of your prescription. {how}",
    Purpose.INVITATION: "{name}: we would like to invite you to an appointment. {how}",
    Purpose.INDIVIDUAL_CARE: "{name}: we have a message for you. {how}",
}


def safer_wording(
    purpose: Purpose,
    lexicon: Lexicon,
    settings: WordingSettings,
    *,
    telephone: str | None = None,
    portal: str | None = None,
) -> str | None:
    """Give a text ready to send that names the organisation and nothing confidential.

    portal: what the reader logs in to ("the NHS App"). The first name of the organisation that
    gives nothing away is used. None for a purpose without such a text, or when every name or
    way to answer would itself be remarked on; the text has been inspected like any other.
    """
    wording = _WORDINGS.get(purpose)
    if wording is None:
        return None
    for name in settings.organisation_names:
        body = wording.format(name=name, how=_how(telephone, portal))
        text = MessageText(body=body, channel=Channel.SMS)
        if not inspect(text, KnownIdentifiers(), lexicon, settings):
            return body
    return None


def _how(telephone: str | None, portal: str | None) -> str:
    call = f"call us on {telephone}" if telephone else "call us on the number you usually use"
    if portal:
        return f"Please log in to {portal} to read more, or {call}."
    return f"Please {call}."
