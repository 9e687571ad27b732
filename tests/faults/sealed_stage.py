"""Sessions of stored code on a stage, which can write no journal: their signals say what they saw."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf
from threading import Event, Lock
from typing import Any

from models.signal import derive_signal_id
from tests.faults.databases import cursor_of
from tests.faults.feed import bar_identity
from tests.faults.stage import Stage
from tests.gateway_stub import Answer, Received
from tests.support import eventually

TOKEN = "open-sesame"  # noqa: S105 — of a worker under test
AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}
START_SECONDS = 120.0
# Tells of every bar: how many it has seen before, and which version of the code it is.
TELLING = """
seen = 0
def on_bar(bar):
    global seen
    send_signal("BUY", bar.close, 1.0, metadata={{"seen": seen, "version": {version}}})
    seen += 1
def get_state():
    return {{"seen": seen}}
def set_state(state):
    global seen
    seen = state["seen"]
"""
_pause = Event()


def add_code(url: str, name: str, source: str) -> str:
    """Store code in the catalogue; return the id of its row."""
    with cursor_of(url) as cursor:
        cursor.execute(
            "INSERT INTO strategies (name, symbol, strategy_type, parameters, python_code, current_score,"
            " strategy_hash) VALUES (%s, 'ANY', 'python', '{}', %s, 0, %s) RETURNING strategy_id::text",
            (name, source, name),
        )
        return str(cursor.fetchone()[0])


def change_code(url: str, strategy_id: str, source: str) -> None:
    """Store other code in a row."""
    with cursor_of(url) as cursor:
        cursor.execute("UPDATE strategies SET python_code = %s WHERE strategy_id = %s", (source, strategy_id))


def start_sealed(stage: Stage, strategy_id: str, symbols: Sequence[str], name: str) -> list[str]:
    """Start a session on each symbol, and wait until all run; return their keys."""
    keys = {f"{name}-{symbol}": symbol for symbol in symbols}
    for key, symbol in keys.items():
        stage.worker.control("subscribe", symbol, strategy_id, key)
    eventually(lambda: keys.keys() <= stage.running(), START_SECONDS, f"{name} run", pause=0.1)
    return list(keys)


def publish(stage: Stage, symbols: Sequence[str], per_second: float, seconds: float) -> None:
    """Publish bars at an even pace, the symbols taking turns; where the machine is late, it catches up."""
    began, count = time.monotonic(), 0
    while (passed := time.monotonic() - began) < seconds:
        while count < passed * per_second:
            stage.feed.publish(symbols[count % len(symbols)])
            count += 1
        _pause.wait(0.005)


def answer_times(stage: Stage, keys: Sequence[str], since: float, until: float = inf) -> list[float]:
    """Seconds from publishing a bar, between these moments, to the arrival of the signal in answer to it."""
    return [
        stage.gateway.arrivals[signal_id] - at
        for key in keys
        for minute, at in stage.feed.published[_symbol(key)].items()
        if since <= at < until
        and (signal_id := derive_signal_id(key, bar_identity(_symbol(key), minute), 0))
        in stage.gateway.arrivals
    ]


@dataclass(frozen=True)
class Told:
    """What a signal says: which bar it answers, of how many before, by which version."""

    signal_id: str
    seen: int
    version: int


class Chronicle:
    """Keeps what sessions of TELLING say to the gateway of a stage, in the order in which it arrives."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._lock = Lock()
        self._told: dict[str, list[Told]] = {}
        stage.gateway.fault = self._note

    def complaints(self, keys: Sequence[str]) -> Iterator[str]:
        """Wait until every bar was told of; say where one is missing, twice or out of order."""
        for key in keys:
            symbol = _symbol(key)
            minutes = sorted(self._stage.feed.published[symbol])
            wanted = [derive_signal_id(key, bar_identity(symbol, minute), 0) for minute in minutes]
            yield from self._compare(key, wanted)

    def _compare(self, key: str, wanted: list[str]) -> Iterator[str]:
        try:
            eventually(lambda: len(self._of(key)) >= len(wanted), 20)
        except AssertionError:
            yield f"{key} told of {len(self._of(key))} of {len(wanted)} bars"
            return
        told = self._of(key)
        if [each.signal_id for each in told] != wanted:
            yield f"{key} told of other bars than were published, or in another order"
        if [each.seen for each in told] != list(range(len(told))):
            yield f"{key} saw a bar twice, or one less"
        versions = [each.version for each in told]
        if versions != sorted(versions):
            yield f"{key} was at an older version after a newer one"

    def versions(self, key: str) -> set[int]:
        """Return which versions told of at least one bar."""
        return {each.version for each in self._of(key)}

    def _of(self, key: str) -> list[Told]:
        with self._lock:
            return list(self._told.get(key, ()))

    def _note(self, received: Received) -> Answer | None:
        if received.method == "POST":
            said: Any = received.json
            metadata = said["metadata"]
            told = Told(received.signal_id, metadata["seen"], metadata["version"])
            with self._lock:
                self._told.setdefault(said["sessionId"], []).append(told)
        return None


def _symbol(key: str) -> str:
    return key.rpartition("-")[2]
