"""SMTP: one e-mail for one message, and an exact word about what became of it.

Until the final dot is written a server must throw the message away when the connection ends
(RFC 5321 section 3.8), so everything before is surely not accepted. After it, only the server's
answer tells.
"""

from __future__ import annotations

import ipaddress
import re
import smtplib
import ssl
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal

from fhirmsg.clock import Deadline
from fhirmsg.errors import ProviderSilent, SettingsError
from fhirmsg.guidance.terms import Channel
from fhirmsg.ports import OutboundMessage, Outcome, ProviderKind, Receipt
from fhirmsg.providers.smtp_conversation import Conversation, Garbled
from fhirmsg.providers.smtp_letter import is_address, message_id_of, why_unfit, write_letter

# Replies of RFC 4954 about the log-in: a fault of ours wherever they come, not of the message.
_ABOUT_THE_LOG_IN = frozenset({530, 534, 535, 538})

# Where servers say under which number they queued a message: Postfix, Exim, Exchange; then SES
# and Sendmail, which say it first.
_QUEUE_IDS = (
    re.compile(r"\bqueued as <?([\w.+/=-]{4,128})", re.ASCII | re.IGNORECASE),
    re.compile(r"\bid=<?([\w.+/=-]{4,128})", re.ASCII | re.IGNORECASE),
    re.compile(r"\[InternalId=(\d{4,64})", re.ASCII),
    re.compile(
        r"^(?:2\.\d+\.\d+ )?(?:OK:? *)?(?=\S*\d)([\w.+/=-]{8,128})(?=\s|$)", re.ASCII | re.I
    ),
)

# The first that fits; the text of an error is left out, it may quote an address.
_WORDS: tuple[tuple[type[Exception], str], ...] = (
    (ssl.SSLCertVerificationError, "certificate"),
    (TimeoutError, "timed-out"),
    (ssl.SSLError, "tls"),
    (smtplib.SMTPException, "garbled"),
    (ConnectionError, "connection-lost"),
    (ValueError, "garbled"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpSettings:
    """How to reach the mail server, and in whose name.

    `connect_timeout` in seconds, for each address and for the TLS handshake. `ca_file` (PEM)
    stands in place of the system's certificates. `security` "none" is for a server on this host
    alone. Raises SettingsError with every fault.
    """

    host: str
    port: int
    security: Literal["starttls", "tls", "none"]
    from_address: str
    from_name: str = ""
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: str | None = None
    connect_timeout: float = 10.0
    reply_to: str | None = None

    def __post_init__(self) -> None:
        """Check what can be checked without a server."""
        credentials = (self.username or "") + (self.password or "")
        checks = (
            (self.host.isascii() and re.fullmatch(r"[\w.:-]+", self.host), "host: not a host name"),
            (0 < self.port < 65536, "port: not between 1 and 65535"),
            (self.security in ("starttls", "tls", "none"), "security: not starttls, tls or none"),
            (
                self.security != "none" or _is_loopback(self.host),
                "security: none would send patient data in the clear, and is only for loopback",
            ),
            (is_address(self.from_address, ascii_only=True), "from_address: not an ASCII address"),
            (
                self.reply_to is None or is_address(self.reply_to, ascii_only=True),
                "reply_to: not an ASCII address",
            ),
            (self.from_name.isprintable(), "from_name: has characters that do not print"),
            (
                (self.username is None) == (self.password is None),
                "username, password: one without the other",
            ),
            (
                credentials.isascii() and credentials.isprintable(),
                "username, password: only printable ASCII can be sent",
            ),
            (0 < self.connect_timeout <= 300, "connect_timeout: not between 0 and 300 seconds"),
        )
        if faults := [f"smtp: {text}" for holds, text in checks if not holds]:
            raise SettingsError(faults)


class SmtpProvider:
    """Hands messages to a mail server, each over a connection of its own."""

    name: str = "smtp"
    kind: ProviderKind = ProviderKind.NEITHER
    settle_seconds: float = 0.0
    retention_seconds: float | None = None

    def __init__(self, settings: SmtpSettings) -> None:
        """Load the certificates; raises SettingsError when `ca_file` cannot be read."""
        self._settings = settings
        try:
            # Certificate and host name are verified: the default of a client's context.
            self._tls = ssl.create_default_context(cafile=settings.ca_file)
        except OSError as error:
            raise SettingsError(
                [f"smtp: ca_file {settings.ca_file!r} cannot be read as PEM certificates"]
            ) from error
        self._tls.minimum_version = ssl.TLSVersion.TLSv1_2

    def send(self, message: OutboundMessage, *, start_by: Deadline, deadline: Deadline) -> Receipt:
        """Hand one e-mail over; see Provider. `reason` is an SMTP code and a word of ours."""
        if message.channel is not Channel.EMAIL:
            return Receipt(outcome=Outcome.REFUSED, reason="channel")
        if word := why_unfit(message):
            return Receipt(outcome=Outcome.REFUSED, reason=word)
        conversation = Conversation(deadline)
        try:
            receipt = self._introduced(conversation) or self._handed_over(
                conversation, message, start_by
            )
            conversation.say_farewell("QUIT")
        except (OSError, ValueError, RuntimeError) as error:
            word = next((word for kind, word in _WORDS if isinstance(error, kind)), "failed")
            outcome = Outcome.MAY_HAVE_LEFT if conversation.dot_written else Outcome.RETRYABLE
            return Receipt(outcome=outcome, reason=f"{conversation.stage} {word}")
        finally:
            with suppress(OSError):
                conversation.close()
        return receipt

    def find(self, reference: str) -> Receipt | None:
        """Raise ProviderSilent: a mail server cannot be asked, and None would be read as a no."""
        raise ProviderSilent(
            "A mail server cannot be asked what became of a message, so nobody knows whether it"
            " left. Let a person look, and do not send it again unseen."
        )

    def _introduced(self, conversation: Conversation) -> Receipt | None:
        """Connect, encrypt and log in; a receipt says that it went no further."""
        settings = self._settings
        conversation.open(settings.host, settings.port, settings.connect_timeout)
        if settings.security == "tls":
            conversation.encrypt(self._tls, settings.host, settings.connect_timeout)
        conversation.stage = "greeting"
        code, _ = conversation.getreply()
        if code != 220:
            return _not_now(code, "greeting")
        conversation.stage = "ehlo"
        code, _ = conversation.ehlo()
        if code == 250 and settings.security == "starttls":
            conversation.stage = "starttls"
            if not conversation.has_extn("starttls"):
                return Receipt(outcome=Outcome.RETRYABLE, reason="starttls-not-offered")
            code, _ = conversation.docmd("STARTTLS")
            if code != 220:
                return _not_now(code, "starttls")
            conversation.encrypt(self._tls, settings.host, settings.connect_timeout)
            # What was said before the handshake does not count: anybody could have said it.
            conversation.stage = "ehlo"
            code, _ = conversation.ehlo()
        if code != 250:
            return _not_now(code, "ehlo")
        if settings.username is not None and settings.password is not None:
            return self._logged_in(conversation, settings.username, settings.password)
        return None

    def _logged_in(self, conversation: Conversation, user: str, password: str) -> Receipt | None:
        """Log in with one try: more of them could lock the account."""
        conversation.stage = "auth"
        conversation.user, conversation.password = user, password
        offered = conversation.esmtp_features.get("auth", "").upper().split()
        try:
            if "PLAIN" in offered:
                conversation.auth("PLAIN", conversation.auth_plain)
            elif "LOGIN" in offered:
                conversation.auth("LOGIN", conversation.auth_login)
            else:
                return Receipt(outcome=Outcome.RETRYABLE, reason="auth-not-offered")
        except smtplib.SMTPAuthenticationError as error:
            return _not_now(error.smtp_code, "auth")
        return None

    def _handed_over(
        self, conversation: Conversation, message: OutboundMessage, start_by: Deadline
    ) -> Receipt:
        settings = self._settings
        content = write_letter(
            message, settings.from_address, settings.from_name, settings.reply_to
        )
        options = f" SIZE={len(content)}" if conversation.has_extn("size") else ""
        if not message.to.isascii():
            if not conversation.has_extn("smtputf8"):
                return Receipt(outcome=Outcome.REFUSED, reason="smtputf8-not-offered")
            options += " BODY=8BITMIME SMTPUTF8"
        for stage, command in (
            ("mail", f"MAIL FROM:<{settings.from_address}>{options}"),
            ("rcpt", f"RCPT TO:<{message.to}>"),
        ):
            conversation.stage = stage
            code, _ = conversation.docmd(command)
            if not 200 <= code <= 299:
                return _declined(code, stage)
        if start_by.passed:
            conversation.say_farewell("RSET")
            return Receipt(outcome=Outcome.RETRYABLE, reason="started-too-late")
        conversation.stage = "data"
        code, _ = conversation.docmd("DATA")
        if code != 354:
            return _declined(code, "data")
        if start_by.passed:
            # Amid the data no command is one any more; a lost connection ends it.
            conversation.close()
            return Receipt(outcome=Outcome.RETRYABLE, reason="started-too-late")
        code, text = conversation.deliver(content)
        if not 200 <= code <= 299:
            return _declined(code, "content")
        provider_id = _queue_id(text, message.to) or message_id_of(message, settings.from_address)
        return Receipt(outcome=Outcome.ACCEPTED, provider_id=provider_id)


def _is_loopback(host: str) -> bool:
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host.lower() == "localhost"


def _not_now(code: int, stage: str) -> Receipt:
    return Receipt(outcome=Outcome.RETRYABLE, reason=f"{code} {stage}")


def _declined(code: int, stage: str) -> Receipt:
    if 400 <= code <= 499 or code in _ABOUT_THE_LOG_IN:
        return _not_now(code, stage)
    if 500 <= code <= 599:
        return Receipt(outcome=Outcome.REFUSED, reason=f"{code} {stage}")
    raise Garbled


def _queue_id(text: bytes, address: str) -> str | None:
    """The number under which the server queued it, unless the address shows in it."""
    said = text.decode("ascii", "replace")
    local_part = address.rpartition("@")[0].casefold()
    for pattern in _QUEUE_IDS:
        if (found := pattern.search(said)) and local_part not in found[1].casefold():
            return found[1].rstrip(".")
    return None
