"""A Redis subscription that never ends quietly.

redis-py re-subscribes without a word and cannot tell a dead peer from a quiet one, so that messages vanish
unnoticed. This one reads its socket itself: it pings after a second of silence, gives a connection up after
three, connects again for ever, waits for the confirmation of every subscription, and tells its owner of every
connection that came or went.
"""

import select
import socket
import time
from collections.abc import Iterator
from threading import Event
from typing import TYPE_CHECKING, Any, Protocol

import hiredis
import redis

from services.redis_client import open_connection

if TYPE_CHECKING:
    from redis.connection import AbstractConnection

PING_AFTER_SECONDS = 1.0
DEAD_AFTER_SECONDS = 3.0
READ_SECONDS = 0.5
BACKOFF_SECONDS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.0)
RECEIVE_BYTES = 64 * 1024
MESSAGE_PARTS = 4

Message = list[bytes]
"""Kind, pattern, channel and payload, as Redis sends them."""


class SubscriptionOwner(Protocol):
    """Who reads a subscription and wants to know whether it holds."""

    def on_subscribed(self, silent_seconds: float | None) -> None:
        """Every pattern is confirmed; `silent_seconds` since anything was heard, None the first time."""

    def on_lost(self, reason: str) -> None:
        """The connection is gone: messages may be missed until `on_subscribed`."""


class Subscription:
    """One connection, some patterns, one reading thread.

    `wake` may be called by any thread: it ends a wait for messages at once.
    """

    def __init__(self, url: str, patterns: tuple[str, ...], owner: SubscriptionOwner) -> None:
        self._url = url
        self._patterns = patterns
        self._owner = owner
        self._connection: AbstractConnection | None = None
        self._heard_at = 0.0
        self._pinged = False
        self._pinged_at = 0.0
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._wake_reader.setblocking(False)  # noqa: FBT003 — the standard library takes it by position
        self._wake_writer.setblocking(False)  # noqa: FBT003 — the standard library takes it by position

    def wake(self) -> None:
        """End a wait in `batches` now. Safe from every thread, and after `close`."""
        try:
            self._wake_writer.send(b"w")
        except OSError:
            return  # the buffer is full of wake-ups already, or nobody reads any more

    def close(self) -> None:
        """Give the sockets back; `batches` must have ended."""
        self._disconnect()
        self._wake_reader.close()
        self._wake_writer.close()

    def batches(self, stop: Event) -> Iterator[list[Message]]:
        """Yield messages as they come, in lists; an empty list at least twice a second when none do.

        Ends when `stop` is set (call `wake` after setting it). Never raises: a failure of the connection is
        told to the owner and mended.
        """
        lost_at: float | None = None
        attempt = 0
        while not stop.is_set():
            try:
                first, sock, reader = self._subscribe()
                self._owner.on_subscribed(None if lost_at is None else time.monotonic() - lost_at)
                lost_at, attempt = None, 0
                yield first
                yield from self._read_until(stop, sock, reader)
            except (OSError, redis.RedisError, hiredis.HiredisError) as error:
                if lost_at is None:
                    lost_at = self._heard_at or time.monotonic()
                    self._owner.on_lost(_describe(error))
                self._disconnect()
                yield []
                self._pause(BACKOFF_SECONDS[min(attempt, len(BACKOFF_SECONDS) - 1)])
                attempt += 1
        self._disconnect()

    def _subscribe(self) -> tuple[list[Message], socket.socket, hiredis.Reader]:
        """Connect and subscribe; return what arrived together with the confirmations."""
        self._connection, sock = open_connection(self._url)
        sock.sendall(_command("PSUBSCRIBE", *self._patterns))
        reader = hiredis.Reader()
        confirmed = 0
        messages: list[Message] = []
        while confirmed < len(self._patterns):
            self._receive(sock, reader)
            for reply in iter(reader.gets, False):  # noqa: FBT003 — hiredis says False for "no more"
                _raise_refusal(reply)
                if len(reply) == MESSAGE_PARTS:
                    messages.append(reply)
                else:
                    confirmed += 1
        return messages, sock, reader

    def _read_until(
        self, stop: Event, sock: socket.socket, reader: hiredis.Reader
    ) -> Iterator[list[Message]]:
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        poll.register(self._wake_reader, select.POLLIN)
        wake = self._wake_reader.fileno()
        buffered = getattr(sock, "pending", lambda: 0)  # TLS may hold bytes that poll cannot see
        while not stop.is_set():
            ready = [(sock.fileno(), 0)] if buffered() else poll.poll(READ_SECONDS * 1000)
            if any(descriptor == wake for descriptor, _ in ready):
                self._drain_wakes()
                ready = [each for each in ready if each[0] != wake]
            if ready:
                self._receive(sock, reader)
                messages = list(iter(reader.gets, False))  # noqa: FBT003 — hiredis says False for "no more"
                if self._pinged:
                    messages = self._without_pongs(messages)
                yield messages
            else:
                self._check_silence(sock)
                yield []

    def _receive(self, sock: socket.socket, reader: hiredis.Reader) -> None:
        data = sock.recv(RECEIVE_BYTES)
        if not data:
            raise ConnectionResetError("the server closed the connection")
        reader.feed(data)
        self._heard_at = time.monotonic()

    def _without_pongs(self, replies: list[Any]) -> list[Message]:
        """Take the answers to our pings out; only called while one is awaited."""
        for reply in replies:
            _raise_refusal(reply)
        messages = [reply for reply in replies if len(reply) == MESSAGE_PARTS]
        self._pinged = len(messages) == len(replies)
        return messages

    def _check_silence(self, sock: socket.socket) -> None:
        now = time.monotonic()
        silent = now - self._heard_at
        if self._pinged and now - self._pinged_at > DEAD_AFTER_SECONDS - PING_AFTER_SECONDS:
            raise TimeoutError(f"nothing heard for {silent:.1f} s, not even the answer to a ping")
        if silent > PING_AFTER_SECONDS and not self._pinged:
            self._pinged, self._pinged_at = True, now
            sock.sendall(_command("PING"))

    def _pause(self, seconds: float) -> None:
        """Wait between two attempts; a wake-up ends it."""
        poll = select.poll()
        poll.register(self._wake_reader, select.POLLIN)
        if poll.poll(seconds * 1000):
            self._drain_wakes()

    def _drain_wakes(self) -> None:
        try:
            self._wake_reader.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return

    def _disconnect(self) -> None:
        self._pinged = False
        if self._connection is not None:
            self._connection.disconnect()  # type: ignore[no-untyped-call]  # redis-py leaves it untyped
            self._connection = None


def _command(*words: str) -> bytes:
    packed: bytes = hiredis.pack_command(words)  # type: ignore[arg-type]  # its stub allows only one word
    return packed


def _raise_refusal(reply: object) -> None:
    if isinstance(reply, Exception):  # hiredis returns error replies (no permission, …) as values
        raise redis.ResponseError(str(reply))


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
