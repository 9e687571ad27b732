"""The sessions of a replay: control events, each at its time between the market data."""

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from heapq import merge
from operator import attrgetter
from pathlib import Path
from threading import Event
from typing import Any

import redis

from models.errors import ConfigError, DecodeError
from models.market_data import ControlEvent
from services.history.feed import Window, aware
from services.history.record import CONTROL_CHANNEL
from services.history.recording import is_recording, read_recording
from services.history.replay import Message
from services.session_registry import REGISTRY

EXAMPLE = '{"at": "2026-01-28T10:00:00Z", "action": "subscribe", "symbol": …}'
HEARD_SECONDS = 3.0
POLL_SECONDS = 0.02
ON_THE_WAY = {"STARTING", "STOPPING"}


def with_script(feed: Iterable[Message], script: Path, window: Window) -> Iterator[Message]:
    """Mix control events in at their times: those of a recording, or JSON lines with the field `at`.

    A window begins with the sessions that were running then. Raises ConfigError for a line that is no event.
    """
    if not script.exists():
        raise ConfigError(f"{script} is not there")
    if is_recording(script):
        control = [each for each in read_recording(script) if each.channel == CONTROL_CHANNEL]
    else:
        control = sorted(_lines(script), key=attrgetter("at"))
    return merge(_in_window(control, window), feed, key=attrgetter("at"))


def _in_window(control: Sequence[Message], window: Window) -> Iterator[Message]:
    """Give the control events of a window, after those that started what was running when it begins."""
    if window.start is not None:
        start = aware(window.start).timestamp()
        for each in _running(each for each in control if each.at < start):
            yield each._replace(at=start)
    yield from window.cut(control)


def _running(control: Iterable[Message]) -> list[Message]:
    """Return the events that started sessions which no later one of them stopped."""
    running: dict[ControlEvent, Message] = {}
    for message in control:
        try:
            event = ControlEvent.decode(message.payload)
        except DecodeError:
            continue
        if event.action == "subscribe":
            running.setdefault(event, message)
        else:
            for started in [each for each in running if _stops(event, each)]:
                del running[started]
    return list(running.values())


def _stops(event: ControlEvent, started: ControlEvent) -> bool:
    """Tell whether an event stops the session that another one started: the one, or all of a kind."""
    if event.symbol != started.symbol:
        return False
    if event.session_id is not None:
        return event.session_id == started.session_id
    return event.strategy_id in {None, started.strategy_id}


class Rehearsal:
    """Waits after a control event until the worker has done what it says, so that no session misses a bar.

    Where nobody does it within three seconds, the replay goes on.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._client: Any = client  # redis-py types every reply as one for awaiting, too
        self._pause = Event()  # never set: Ctrl-C ends a wait

    def wait(self, message: Message) -> None:
        """Wait, if this is a control event. Raises redis.RedisError."""
        if message.channel != CONTROL_CHANNEL:
            return
        try:
            event = ControlEvent.decode(message.payload)
        except DecodeError:
            return
        key = event.session_id or event.strategy_id or f"strat_{event.symbol}"
        names = (key, f"{key}@{event.symbol}")
        deadline = time.monotonic() + HEARD_SECONDS
        while time.monotonic() < deadline:
            self._pause.wait(POLL_SECONDS)
            states = [json.loads(each)["state"] for each in self._client.hmget(REGISTRY, names) if each]
            is_there = any(state not in ON_THE_WAY for state in states)
            if is_there if event.action == "subscribe" else not states:
                return


def _lines(script: Path) -> Iterator[Message]:
    for number, line in enumerate(script.read_text(encoding="utf-8").splitlines(), 1):
        if line.strip():
            try:
                at = aware(datetime.fromisoformat(json.loads(line)["at"])).timestamp()
                ControlEvent.decode(line.encode())
            except (ValueError, KeyError, TypeError, DecodeError) as error:
                reason = f"{type(error).__name__}: {error}"
                raise ConfigError(f"{script}, line {number}: {reason}; write lines like {EXAMPLE}") from None
            yield Message(at, CONTROL_CHANNEL, line.encode())
