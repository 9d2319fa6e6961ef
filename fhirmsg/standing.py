"""Which of several record entries of one message stands.

There is to be one. A server can let two through: with HAPI 8.8.0 under load, about one race in 25
left two (presumably its guard goes with the first update of the first entry). Nothing is sent on
such an entry: who finds another one beside its own gives way.
"""

from __future__ import annotations

from collections.abc import Iterable

from fhirmsg.ports import Entry, EntryStatus

_OPEN = (EntryStatus.IN_PROGRESS, EntryStatus.NOT_DONE)


def place(entry: Entry) -> tuple[int, str]:
    """Give the order of entries by id, the same for everybody who looks."""
    return len(entry.reference), entry.reference


def standing(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """Give the entries that count: handed off, else being sent, else one that was not done."""
    ordered = sorted(entries, key=place)
    handed_off = tuple(each for each in ordered if each.status not in _OPEN)
    running = tuple(each for each in ordered if each.status is EntryStatus.IN_PROGRESS)
    return handed_off or running or tuple(ordered[:1])


def is_confused(entries: Iterable[Entry]) -> bool:
    """Tell whether only a person can say which entry is true."""
    found = standing(entries)
    return len(found) > 1 or any(each.status is None for each in found)


def others(entries: Iterable[Entry], own: Entry) -> tuple[Entry, ...]:
    """Give the entries beside our own on which something may be sent or have been sent."""
    return tuple(
        each
        for each in entries
        if each.reference != own.reference and each.status is not EntryStatus.NOT_DONE
    )


def comes_first(own: Entry, beside: Iterable[Entry]) -> bool:
    """Tell whether ours is the one that the others, being sent too, give way to."""
    return all(
        each.status is EntryStatus.IN_PROGRESS and place(own) < place(each) for each in beside
    )
