"""What a message gives away, and what makes it look like a scam: questions about a text.

`inspect()` reads the words of one message and gives Observations, whose sentences never hold any
of the text. What they mean for the message is for the rules.
"""

from __future__ import annotations

from fhirmsg.guidance.wording.facts import KnownIdentifiers, MessageText, WordingSettings
from fhirmsg.guidance.wording.inspection import inspect
from fhirmsg.guidance.wording.lexicon import Lexicon, LexiconError
from fhirmsg.guidance.wording.observation import Kind, Observation, Place, Topic
from fhirmsg.guidance.wording.safer import safer_wording
from fhirmsg.guidance.wording.sms import Alphabet, SmsSize, sms_size

__all__ = [
    "Alphabet",
    "Kind",
    "KnownIdentifiers",
    "Lexicon",
    "LexiconError",
    "MessageText",
    "Observation",
    "Place",
    "SmsSize",
    "Topic",
    "WordingSettings",
    "inspect",
    "safer_wording",
    "sms_size",
]
