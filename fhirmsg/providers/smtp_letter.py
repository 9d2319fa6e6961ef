"""An outbound message as an e-mail: what fits into one, and how it is written."""

from __future__ import annotations

import re
import unicodedata
from email.header import Header
from email.message import EmailMessage
from email.policy import EmailPolicy
from email.utils import format_datetime

from fhirmsg.clock import now
from fhirmsg.ports import OutboundMessage

_REFERENCE = re.compile(r"(?=.{1,128}$)[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
# Dot-atoms of RFC 5322 and RFC 6531; quoted local parts and literals are nobody's real address.
_LOCAL_PART = re.compile(r"[^\s()<>\[\]:;@\\,.\"]+(\.[^\s()<>\[\]:;@\\,.\"]+)*")
_LABEL = r"(?!-)[^\s()<>\[\]:;@\\,.\"!#$%&'*+/=?^`{|}~]+(?<!-)"
_DOMAIN = re.compile(rf"{_LABEL}(\.{_LABEL})*")


class _HeadersAsGiven(EmailPolicy):
    """The policy for SMTP, but headers stand as they were written here.

    The one of the library decodes what looks encoded already, line breaks included, and loses
    spaces when it folds a long subject.
    """

    def header_store_parse(self, name: str, value: str) -> tuple[str, str]:
        return name, value


# 76 is the limit of quoted-printable; `none`: no header is folded again.
_POLICY = _HeadersAsGiven(linesep="\r\n", max_line_length=76, refold_source="none", utf8=True)


def is_address(text: str, *, ascii_only: bool = False) -> bool:
    """Tell whether a text is one plain address, `local-part@domain`, that needs no quoting.

    A server is given it between angle brackets exactly as it is, so nothing in it may be read
    in another way.
    """
    local_part, _, domain = text.rpartition("@")
    return bool(
        text.isprintable()
        and len(text.encode()) <= 254
        and _LOCAL_PART.fullmatch(local_part)
        and _DOMAIN.fullmatch(domain)
        and (text.isascii() or not ascii_only)
    )


def why_unfit(message: OutboundMessage) -> str | None:
    """Give the word for what keeps a message from being an e-mail, None when nothing does."""
    headings = (message.to, message.subject or "", message.sender_name, message.platform)
    if any(_breaks_a_line(character) for character in "".join(headings)):
        return "header-injection"
    try:
        "".join((*headings, message.body)).encode()
    except UnicodeEncodeError:
        return "not-unicode"
    if not is_address(message.to):
        return "address"
    return None if _REFERENCE.fullmatch(message.reference) else "reference"


def message_id_of(message: OutboundMessage, from_address: str) -> str:
    """Give the Message-ID, the same for every try of one message."""
    return f"<{message.reference}@{from_address.rpartition('@')[2]}>"


def write_letter(
    message: OutboundMessage, from_address: str, from_name: str, reply_to: str | None
) -> bytes:
    """Give the e-mail as bytes, lines ending in CRLF, not yet dot-stuffed.

    Only the header To of an international address has anything but ASCII in it. The message's
    own sender name goes before `from_name`; where there is no subject, that name stands for it.
    """
    name = message.sender_name or from_name
    letter = EmailMessage(policy=_POLICY)
    letter["Message-ID"] = message_id_of(message, from_address)
    letter["Date"] = format_datetime(now())
    letter["From"] = _named(name, from_address)
    letter["To"] = message.to
    if reply_to is not None:
        letter["Reply-To"] = reply_to
    letter["Subject"] = _worded("Subject", message.subject or name or message.platform)
    letter["Auto-Submitted"] = "auto-generated"
    letter.set_content(message.body, charset="utf-8", cte="quoted-printable")
    return letter.as_bytes()


def _breaks_a_line(character: str) -> bool:
    # Beyond CR, LF and NUL: all that some reader somewhere takes for the end of a line.
    return character != "\t" and unicodedata.category(character) in ("Cc", "Zl", "Zp")


def _worded(header: str, text: str) -> str:
    """A text as it is, or in encoded words (RFC 2047) where a reader would see another one."""
    if text.isascii() and "=?" not in text and len(text) <= 60:
        return text
    return Header(text, "utf-8", maxlinelen=75, header_name=header).encode(linesep="\r\n")


def _named(name: str, address: str) -> str:
    if not name:
        return address
    worded = _worded("From", name)
    if worded == name:
        worded = '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return f"{worded} <{address}>"
