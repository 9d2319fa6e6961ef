"""What the checker can say: one fixed sentence for each kind, none of the text itself."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Topic(StrEnum):
    """The part of the guidance that an observation belongs to."""

    CONFIDENTIAL = "confidential"
    LINK_PERSONAL_DATA = "link-personal-data"
    LINK = "link"
    WORDING = "wording"
    SENDER = "sender"
    SMS = "sms"


class Kind(StrEnum):
    """What was seen."""

    NHS_NUMBER = "nhs-number"
    FULL_NAME = "full-name"
    BIRTH_DATE = "birth-date"
    ADDRESS = "address"
    POSTCODE = "postcode"
    RESULT = "result"
    CONDITION = "condition"
    DRUG = "drug"
    SERVICE = "service"
    LINK_PERSONAL_DATA = "link-personal-data"
    LINK_SHORTENER = "link-shortener"
    LINK_PLAIN_HTTP = "link-plain-http"
    LINK_FOREIGN_HOST = "link-foreign-host"
    LINK_PUNYCODE = "link-punycode"
    LINK_LOOKALIKE = "link-lookalike"
    LINK_USERINFO = "link-userinfo"
    LOOKALIKE_LETTERS = "lookalike-letters"
    HIDDEN_CHARACTERS = "hidden-characters"
    PRESSURE = "pressure"
    MONEY = "money"
    PERSONAL_DETAILS = "personal-details"
    CAPITALS = "capitals"
    PUNCTUATION = "punctuation"
    NAME_CASE = "name-case"
    PLACEHOLDER = "placeholder"
    SENDER_NOT_NAMED = "sender-not-named"
    SMS_TOO_LONG = "sms-too-long"
    SMS_ALPHABET = "sms-alphabet"

    @property
    def topic(self) -> Topic:
        """The part of the guidance it belongs to."""
        return _TOPICS.get(self, Topic.CONFIDENTIAL)


_TOPICS: dict[Kind, Topic] = {
    Kind.LINK_PERSONAL_DATA: Topic.LINK_PERSONAL_DATA,
    Kind.LINK_SHORTENER: Topic.LINK,
    Kind.LINK_PLAIN_HTTP: Topic.LINK,
    Kind.LINK_FOREIGN_HOST: Topic.LINK,
    Kind.LINK_PUNYCODE: Topic.LINK,
    Kind.LINK_LOOKALIKE: Topic.LINK,
    Kind.LINK_USERINFO: Topic.LINK,
    Kind.LOOKALIKE_LETTERS: Topic.WORDING,
    Kind.HIDDEN_CHARACTERS: Topic.WORDING,
    Kind.PRESSURE: Topic.WORDING,
    Kind.MONEY: Topic.WORDING,
    Kind.PERSONAL_DETAILS: Topic.WORDING,
    Kind.CAPITALS: Topic.WORDING,
    Kind.PUNCTUATION: Topic.WORDING,
    Kind.NAME_CASE: Topic.WORDING,
    Kind.PLACEHOLDER: Topic.WORDING,
    Kind.SENDER_NOT_NAMED: Topic.SENDER,
    Kind.SMS_TOO_LONG: Topic.SMS,
    Kind.SMS_ALPHABET: Topic.SMS,
}


class Place(StrEnum):
    """Where it was seen; `PREVIEW` is what a locked screen shows."""

    BODY = "body"
    SUBJECT = "subject"
    PREVIEW = "preview"
    LINK = "link"


_WHERE = {
    Place.BODY: "The text",
    Place.SUBJECT: "The subject",
    Place.PREVIEW: "What a locked screen shows",
    Place.LINK: "A link",
}

# {where} begins the sentence, {what} is the label of a category of the lexicon.
_SENTENCES: dict[Kind, str] = {
    Kind.NHS_NUMBER: "{where} holds an NHS number. Leave it out: the reader does not need it.",
    Kind.FULL_NAME: "{where} gives the patient's given name and surname together. A greeting "
    "needs only one of them.",
    Kind.BIRTH_DATE: "{where} gives a date of birth. Leave it out.",
    Kind.ADDRESS: "{where} gives the patient's address. Leave it out.",
    Kind.POSTCODE: "{where} gives the patient's postcode. Leave it out.",
    Kind.RESULT: "{where} states a result or a value. Say that results are ready and how to "
    "hear them.",
    Kind.CONDITION: "{where} points to a condition ({what}). Say it neutrally, or send it where "
    "the reader has to log in.",
    Kind.DRUG: "{where} names a medicine ({what}). Say it neutrally, or send it where the reader "
    "has to log in.",
    Kind.SERVICE: "{where} names a service that gives away its reason ({what}). Name the "
    "organisation instead.",
    Kind.LINK_PERSONAL_DATA: "A link carries personal data. Whoever sees or forwards the link "
    "sees them too: use a link without them.",
    Kind.LINK_SHORTENER: "A link is shortened, so that nobody can see where it leads. Give the "
    "full address.",
    Kind.LINK_PLAIN_HTTP: "A link is not encrypted. Use its https address.",
    Kind.LINK_FOREIGN_HOST: "A link leads to a site that is not on the organisation's list of "
    "trusted sites. Leave it out or have the site added.",
    Kind.LINK_PUNYCODE: "The name of a linked site is written in encoded letters (punycode), as "
    "in scam messages. Use a plain address.",
    Kind.LINK_LOOKALIKE: "The name of a linked site holds letters that look like others, as in "
    "scam messages. Type the address anew.",
    Kind.LINK_USERINFO: "A link has a name before an at sign in its address, which hides where "
    "it leads. Use a plain address.",
    Kind.LOOKALIKE_LETTERS: "{where} mixes alphabets within a word, as scam messages do. Type "
    "the word anew.",
    Kind.HIDDEN_CHARACTERS: "{where} holds characters that cannot be seen. Type it anew, or "
    "paste it as plain text.",
    Kind.PRESSURE: "{where} puts the reader under pressure, as scam messages do. Say calmly what "
    "to do and by when.",
    Kind.MONEY: "{where} speaks of paying or of bank details, as scam messages do. Leave it out "
    "of messages.",
    Kind.PERSONAL_DETAILS: "{where} asks for personal details. Ask for them in person or behind "
    "a login, never in a message.",
    Kind.CAPITALS: "{where} is partly written in capitals. Use ordinary letters.",
    Kind.PUNCTUATION: "{where} has doubled or misplaced spaces or marks. Tidy it, so that it "
    "reads as a professional wrote it.",
    Kind.NAME_CASE: "{where} greets the patient with a name in wrong capitals. Write it as on "
    "the record.",
    Kind.PLACEHOLDER: "{where} still holds a placeholder of a template. Fill it in.",
    Kind.SENDER_NOT_NAMED: "The message nowhere names the organisation. Name it, so that the "
    "reader knows who writes.",
    Kind.SMS_TOO_LONG: "The text is longer than one text message can be. Shorten it, or send it "
    "another way.",
    Kind.SMS_ALPHABET: "Typographic quotation marks, dashes or spaces make the text message "
    "longer than it looks. Use plain ones.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One thing seen, once for each place. `category` names a category of the lexicon."""

    kind: Kind
    place: Place
    category: str | None = None
    sentence: str = ""

    @property
    def topic(self) -> Topic:
        """The part of the guidance it belongs to."""
        return self.kind.topic


def observed(
    kind: Kind, place: Place, *, category: str | None = None, label: str | None = None
) -> Observation:
    """Give the observation with its sentence; `label` is how the category is called."""
    sentence = _SENTENCES[kind].format(where=_WHERE[place], what=label or "no category")
    return Observation(kind=kind, place=place, category=category, sentence=sentence)
