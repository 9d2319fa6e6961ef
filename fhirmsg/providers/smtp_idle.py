"""Connections to the mail server that wait for the next message: few of them, and not for long."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress

from fhirmsg.clock import Deadline, elapsed_clock
from fhirmsg.providers.smtp_conversation import Conversation

# How long a connection is asked whether it is still there, before a new one is made.
_ASKED_SECONDS = 3.0
_FAREWELL_SECONDS = 1.0


class IdleConnections:
    """Keeps connections between two messages. Thread-safe, and never shared with a fork.

    most: how many wait at the same time. seconds: how long one waits. messages: how many one
    carries before it is given up.
    """

    def __init__(self, *, most: int, seconds: float, messages: int) -> None:
        """Keep none yet."""
        self._most = most
        self._seconds = seconds
        self._messages = messages
        self._lock = threading.Lock()
        self._idle: list[tuple[float, Conversation]] = []
        self._sweep: threading.Timer | None = None
        self._closed = False
        if hasattr(os, "register_at_fork"):
            forget = weakref.WeakMethod(self._forget)
            os.register_at_fork(after_in_child=lambda: _call(forget))

    def take(self, deadline: Deadline) -> Conversation | None:
        """Give a connection that has just answered, None when there is none.

        The server is asked before anything of the message is written. Where one does not answer
        as it should, the others are given up too: what ended it has mostly ended them.
        """
        while True:
            with self._lock:
                if not self._idle:
                    return None
                since, conversation = self._idle.pop()
            if elapsed_clock() - since < self._seconds and conversation.is_there(
                Deadline(min(_ASKED_SECONDS, deadline.left))
            ):
                conversation.begin(deadline)
                return conversation
            self._drop([conversation, *self._taken_out()])

    def keep(self, conversation: Conversation) -> None:
        """Keep a connection whose message was accepted; one too many is given up."""
        if conversation.carried < self._messages and self._seconds > 0:
            with self._lock:
                if not self._closed and len(self._idle) < self._most:
                    self._idle.append((elapsed_clock(), conversation))
                    self._sweep_later(self._seconds)
                    return
        _part([conversation])

    def close(self) -> None:
        """Say good-bye on every connection that waits, and keep none from now on."""
        with self._lock:
            self._closed = True
            if self._sweep is not None:
                self._sweep.cancel()
        _part(self._taken_out())

    def _taken_out(self, *, idle_for: float = 0.0) -> list[Conversation]:
        until = elapsed_clock() - idle_for
        with self._lock:
            found = [each for since, each in self._idle if since <= until]
            self._idle = [each for each in self._idle if each[0] > until]
            return found

    def _sweep_later(self, seconds: float) -> None:
        if self._sweep is None:
            sweep = threading.Timer(seconds, self._swept)
            sweep.daemon = True
            # Without a thread it waits until the next message looks at it.
            with suppress(RuntimeError):
                sweep.start()
                self._sweep = sweep

    def _swept(self) -> None:
        _part(self._taken_out(idle_for=self._seconds))
        with self._lock:
            self._sweep = None
            if self._idle and not self._closed:
                oldest = min(since for since, _ in self._idle)
                self._sweep_later(max(0.01, oldest + self._seconds - elapsed_clock()))

    @staticmethod
    def _drop(conversations: list[Conversation]) -> None:
        for conversation in conversations:
            with suppress(OSError):
                conversation.close()

    def _forget(self) -> None:
        """In a forked process: close the copies, and say nothing on what the parent still uses."""
        # Another thread may have held the lock at the moment of the fork; it is not here.
        self._lock = threading.Lock()
        self._sweep = None
        idle, self._idle = self._idle, []
        self._drop([conversation for _, conversation in idle])


def _call(method: weakref.WeakMethod[Callable[[], None]]) -> None:
    if (there := method()) is not None:
        there()


def _part(conversations: list[Conversation]) -> None:
    for conversation in conversations:
        conversation.begin(Deadline(_FAREWELL_SECONDS))
        conversation.part()
