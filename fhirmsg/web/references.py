"""References in a body: all that name one thing are reduced to `Type/id`."""

from __future__ import annotations

import re

from fhirmsg.guidance.request import CitedVersion

_REFERENCE = re.compile(
    r"([A-Z][A-Za-z]+)/([A-Za-z0-9\-.]{1,64})(?:/_history/([A-Za-z0-9\-.]{1,64}))?"
)
_SCHEME = re.compile(r"https?://", re.IGNORECASE)


class NotOurReference(ValueError):
    """A text is no reference to something on our FHIR server; it says why."""


class References:
    """Reads references as far as they lie below one FHIR server's base."""

    def __init__(self, base_url: str) -> None:
        """Take this base, whatever the scheme: servers behind a proxy write either."""
        self._base = _SCHEME.sub("", base_url.rstrip("/")) + "/"

    def literal(self, written: str, kinds: tuple[str, ...] | None = None) -> str:
        """Give `Type/id` of one of these kinds, None being any. Raises NotOurReference."""
        kind, identity, _ = self._parts(written.strip(), kinds)
        return f"{kind}/{identity}"

    def named(self, written: str | None) -> str | None:
        """Give `Type/id` where that can be done, else what is written, which matches nothing."""
        try:
            return None if written is None else self.literal(written)
        except NotOurReference:
            return written

    def cited(self, written: str | None, version: str | None) -> CitedVersion:
        """Give what a person cites as evidence, with the version beside it or within it.

        A reference to one version beside the number of another stays as it is written: nobody
        can say which of the two was seen.
        """
        try:
            _, _, within = self._parts((written or "").strip(), None)
        except NotOurReference:
            within = None
        if version is not None and within not in (None, version):
            return CitedVersion(reference=written, version_id=version)
        return CitedVersion(reference=self.named(written), version_id=version or within)

    def _parts(self, text: str, kinds: tuple[str, ...] | None) -> tuple[str, str, str | None]:
        if "://" in text:
            theirs = _SCHEME.sub("", text, count=1)
            if not _SCHEME.match(text) or not theirs.startswith(self._base):
                raise NotOurReference(
                    "is a reference to another server than the one in the settings"
                )
            text = theirs[len(self._base) :]
        found = _REFERENCE.fullmatch(text)
        if not found or found[2] in (".", "..") or (kinds and found[1] not in kinds):
            raise NotOurReference(
                f"is not a reference of the form {kinds[0] if kinds else 'Type'}/id"
            )
        return found[1], found[2], found[3]
