"""Links in a text: where they lead, and what they carry."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from fhirmsg.guidance.wording.facts import WordingSettings
from fhirmsg.guidance.wording.identifiers import Wanted, personal_details
from fhirmsg.guidance.wording.letters import is_mixed
from fhirmsg.guidance.wording.observation import Kind
from fhirmsg.guidance.wording.reading import Reading, folded, shown
from fhirmsg.guidance.wording.tables import ENDINGS, ENDINGS_THAT_ARE_WORDS, TELLTALE

# A scheme and what follows, or `www.`, or a name with a dot in it that is not an address of mail.
_LINK = re.compile(
    r"(?<![^\W_])(?:(?P<web>https?):[/\\]{1,3}|(?P<other>[a-z][a-z0-9+.\-]{1,20})://|(?=www\.))[^\s<>\"]+"
    r"|(?<![\w.@\-])(?:[\w\-]+\.)+[^\W\d_]{2,}(?![\w@])(?:[:/?#][^\s<>\"]*)?",
    re.IGNORECASE,
)
_ESCAPED = re.compile(r"(?:%[0-9a-f]{2})+", re.IGNORECASE)
_AUTHORITY_END = re.compile(r"[/\\?#]")
_TRAILING = ".,;:!?)]}'\"*\u201d\u2019\u00bb"

_MAIL = re.compile(r"[\w.+\-]{1,64}@[\w\-]{1,63}\.[\w.\-]{2,}")
_TELEPHONE = re.compile(r"(?<!\d)(?:\+?44[\s\-.()]{0,3}0?|0)[127](?:[\s\-.()]{0,3}\d){8,9}(?!\d)")
# The value is only looked at: in a link within a link it holds parameters of its own.
_PARAMETER = re.compile(r"[?&;#/]([^=&;?#/]{1,40})=(?=([^&;#]{1,200}))")
_LONGEST_HOST = 253
_LABEL = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One link: host in small letters, `written` as it stands, `rest` decoded from the path on."""

    start: int
    end: int
    scheme: str
    userinfo: str
    host: str
    rest: str

    @property
    def labels(self) -> list[str]:
        """The words of host and path, as they are run together in links."""
        return _LABEL.findall(folded(shown(f"{self.host} {self.rest}")))


def links(text: str) -> list[Link]:
    """Give every link, in order."""
    found: list[Link] = []
    if "." in text or ":/" in text or ":\\" in text or "\uff0e" in text or "\u3002" in text:
        for match in _LINK.finditer(text):
            scheme = (match["web"] or match["other"] or "").lower()
            link = _link(match.group().rstrip(_TRAILING), scheme, match.start())
            if link is not None:
                found.append(link)
    return found


def _link(written: str, scheme: str, start: int) -> Link | None:
    address = written[len(scheme) + 1 :].lstrip("/\\") if scheme else written
    cut = _AUTHORITY_END.search(address)
    authority, rest = (
        (address, "") if cut is None else (address[: cut.start()], address[cut.start() :])
    )
    userinfo, _, host = authority.rpartition("@")
    host = decoded(host).replace("\u3002", ".").lower()
    if not host.startswith("["):
        host = host.partition(":")[0]
    host = host.rstrip(".")
    if not host or (not scheme and not _is_a_name(host, rest)):
        return None
    return Link(
        start=start,
        end=start + len(written),
        scheme=scheme,
        userinfo=decoded(userinfo),
        host=host,
        rest=decoded(rest),
    )


def _is_a_name(host: str, rest: str) -> bool:
    last = host.rpartition(".")[2]
    return (
        last in ENDINGS
        or (last in ENDINGS_THAT_ARE_WORDS and len(rest) > 1)
        or host.startswith("www.")
    )


def decoded(text: str) -> str:
    """Undo percent-encoding, twice at most: a link in a link is encoded twice."""
    for _ in range(2):
        if "%" not in text:
            break
        text = _ESCAPED.sub(_decode, text)
    return text


def _decode(match: re.Match[str]) -> str:
    return bytes.fromhex(match.group().replace("%", "")).decode("utf-8", "replace")


def destinations(link: Link, settings: WordingSettings) -> Iterator[Kind]:
    """Give what is wrong with where a link leads; one reason for a site not on the list."""
    if link.scheme == "http":
        yield Kind.LINK_PLAIN_HTTP
    if link.userinfo:
        yield Kind.LINK_USERINFO
    if any(label.startswith("xn--") for label in link.host.split(".")):
        yield Kind.LINK_PUNYCODE
    elif not link.host.isascii() and _looks_like_another(link.host):
        yield Kind.LINK_LOOKALIKE
    if is_under(link.host, settings.shorteners):
        yield Kind.LINK_SHORTENER
    elif not is_under(link.host, settings.link_hosts):
        yield Kind.LINK_FOREIGN_HOST


def is_under(host: str, allowed: frozenset[str]) -> bool:
    """Tell whether a host is one of these or a subdomain of one."""
    at = 0 if len(host) <= _LONGEST_HOST else -1
    while at >= 0:
        if host[at:] in allowed:
            return True
        dot = host.find(".", at)
        at = dot + 1 if dot >= 0 else -1
    return False


def _looks_like_another(host: str) -> bool:
    """Tell whether look-alikes stand in a host; one in another script throughout does not."""
    return any(map(is_mixed, host.split("."))) or is_mixed(host) or folded(host).isascii()


def carries_personal_data(link: Link, reading: Reading, wanted: Wanted) -> bool:
    """Tell whether a link says who the reader is; `reading` is the link's own."""
    if _MAIL.search(f"{link.userinfo} {link.rest}"):
        return True
    if _TELEPHONE.search(link.rest.replace("+", " ")):
        return True
    values = _PARAMETER.findall(link.rest)
    if any(_parameter_name(name) in TELLTALE for name, _ in values):
        return True
    if next(personal_details(reading, wanted), None) is not None:
        return True
    if wanted.born is not None and f" {wanted.born:%d%m%y} " in reading.line:
        return True
    return _names_the_patient(reading, values, wanted)


def _names_the_patient(reading: Reading, values: list[tuple[str, str]], wanted: Wanted) -> bool:
    # In a path one name may be a ward's or a street's; as a parameter it is the patient's.
    if any(map(reading.indices, wanted.family)) and any(map(reading.indices, wanted.given)):
        return True
    given_as = {_parameter_name(value) for _, value in values}
    return any("".join(name) in given_as for name in (*wanted.family, *wanted.given))


def reading_of(link: Link) -> Reading:
    """Read the whole link as words."""
    text = f"{link.userinfo} {link.host} {link.rest}".replace("+", " ").replace("=", " ")
    return Reading(shown(text), loose=True)


def _parameter_name(name: str) -> str:
    return "".join(_LABEL.findall(folded(shown(name))))
