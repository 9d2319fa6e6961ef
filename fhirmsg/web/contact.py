"""`GET /v1/patients/{id}/contact`: the overview in the shape of the contract."""

from __future__ import annotations

from typing import Any

from fhirmsg.overview import OpenChannel, Overview, ProxyOverview


def overview_as_json(overview: Overview, *, with_reasons: bool) -> dict[str, Any]:
    """Give the shape `Contact`; the reasons of objections only to those who may know them."""
    preferences = overview.preferences
    return {
        "patient": overview.patient,
        "as_of": overview.as_of.isoformat(),
        "incomplete": overview.incomplete,
        "channels": [_channel(each) for each in overview.channels],
        "proxies": [_proxy(each) for each in overview.proxies],
        "objections": [
            {
                "evidence": each.evidence.as_json(),
                "says": each.says,
                "channel": None if each.channel is None else str(each.channel),
                **({"reason": each.reason} if with_reasons else {}),
            }
            for each in overview.objections
        ],
        "preferences": {
            "channels": sorted(preferences.channels),
            "other": list(preferences.other),
            "not_understood": preferences.unknown,
            "no_telephone": preferences.no_telephone,
            "times": list(preferences.times),
        },
        "needs": [
            {"name": need.name, "met_by": sorted(need.met_by), "evidence": need.version.as_json()}
            for need in overview.needs
        ],
    }


def _channel(channel: OpenChannel) -> dict[str, Any]:
    return {
        "channel": str(channel.channel),
        "open": channel.open,
        "platform": channel.platform,
        "contact_point_ends_in": channel.ends_in or None,
        "findings": [finding.as_json() for finding in channel.findings],
    }


def _proxy(proxy: ProxyOverview) -> dict[str, Any]:
    return {
        "person": proxy.reference,
        "basis": proxy.basis,
        "consent": proxy.consent.as_json(),
        "until": None if proxy.until is None else proxy.until.isoformat(),
        "held_by": [finding.as_json() for finding in proxy.held],
        "channels": [_channel(each) for each in proxy.channels],
    }
