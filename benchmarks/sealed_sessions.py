"""What an author notices of the seal: on the way to a running session, and from a bar to an order."""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count as counting
from statistics import quantiles
from threading import Event, Thread

from benchmarks.databases import durable_database
from benchmarks.effort import Effort
from benchmarks.feed import Publisher, bar, bars, command, symbols
from benchmarks.gateway_stub import Arrival, GatewayStub
from benchmarks.processes import running_worker
from benchmarks.rows import Floor, MeasurementError, Row, compare
from models.market_data import Bar
from models.signal import derive_signal_id
from services.control_listener import CONTROL_CHANNEL
from services.db_client import Database

SESSIONS = 100
PER_SECOND = 5_000
GROUP = 10
MOST_ROUNDS = 3
LAST_SECONDS = 2.0
AT_START, NOW_AND_THEN = "signal_at_start", "signal_now_and_then"
STORED = {
    AT_START: "def on_start():\n    send_signal('BUY', 1.0, 1.0)\ndef on_bar(bar):\n    pass\n",
    NOW_AND_THEN: (
        "def on_bar(bar):\n"
        "    if (bar.timestamp.minute + int(bar.symbol[3:])) % 30 == 0:\n"
        "        send_signal('BUY', bar.close, 1.0)\n"
    ),
}
INSERT = """
    INSERT INTO strategies
        (name, symbol, strategy_type, parameters, python_code, current_score, strategy_hash)
    VALUES (%s, 'ANY', 'python', '{}', %s, 0, %s) RETURNING strategy_id::text
"""


def sealed_and_not(url: str, effort: Effort) -> list[Row]:
    """Compare stored code in sealed processes with the same code in files, in one worker."""
    sessions = min(SESSIONS, effort.sessions // 5)
    rounds = min(effort.rounds, MOST_ROUNDS)
    with (
        durable_database() as database_url,
        GatewayStub() as gateway,
        Publisher(url) as publisher,
        running_worker(url, gateway.url, database_url) as worker,
    ):
        rows = {name: _store(database_url, name, source) for name, source in STORED.items()}
        names = symbols(2 * sessions)
        sealed, unsealed = _Paced(names[:sessions], 0), _Paced(names[sessions:], sessions)
        worker.start_sessions(rows[NOW_AND_THEN], names, sessions)
        worker.start_sessions(NOW_AND_THEN, names, sessions)
        count = max(effort.events // rounds // PER_SECOND, 1) * PER_SECOND
        slow: dict[_Paced, list[float]] = {sealed: [], unsealed: []}
        for turn in range(1 + rounds):  # the first warms up
            for side in sorted(slow, key=lambda each: each.first_session, reverse=turn % 2 == 0):
                times = side.answer_times(publisher, gateway, count)
                slow[side] += [quantiles(times, n=100)[-1] * 1e3] if turn else []
        starts = [
            (_start(publisher, gateway, rows[AT_START]), _start(publisher, gateway, AT_START))
            for _ in range(effort.rounds)
        ]
    return [
        compare(
            f"{sessions} sealed sessions at {PER_SECOND} bars/s in all, PUBLISH to POST, p99",
            "ms",
            slow[sealed],
            Floor("the same code unsealed", slow[unsealed]),
            None,
        ),
        compare(
            "subscribe to the POST of on_start, sealed",
            "ms",
            [each for each, _ in starts],
            Floor("the same code unsealed", [each for _, each in starts]),
            None,
        ),
    ]


class _Paced:
    """Sessions of NOW_AND_THEN, one per symbol, called `session-N` from `first_session` on."""

    def __init__(self, names: Sequence[str], first_session: int) -> None:
        self.first_session = first_session
        self._keys = {name: f"session-{first_session + number}" for number, name in enumerate(names)}
        self._minute = 0

    def answer_times(self, publisher: Publisher, gateway: GatewayStub, count: int) -> list[float]:
        """Publish so many bars at the pace; return the seconds until their signals were POSTed."""
        minutes = range(self._minute, self._minute + count // len(self._keys))
        self._minute = minutes.stop
        published: dict[tuple[int, int], float] = {}
        names = list(self._keys)
        groups = [names[first : first + GROUP] for first in range(0, len(names), GROUP)]
        with _beside(publisher, groups, minutes, published):
            arrivals = gateway.serve(self._due(minutes), count / PER_SECOND + LAST_SECONDS)
        at = {arrival.key: arrival.arrived_at for arrival in arrivals}
        times = [
            at[key] - published[minute, number]
            for minute in minutes
            for number, group in enumerate(groups)
            for name in group
            if _answers(name, minute) and (key := self._signal(name, minute)) in at
        ]
        if len(times) != self._due(minutes):
            raise MeasurementError(f"{len(times)} of {self._due(minutes)} signals reached the gateway")
        return times

    def _due(self, minutes: range) -> int:
        return sum(_answers(name, minute) for name in self._keys for minute in minutes)

    def _signal(self, name: str, minute: int) -> bytes:
        identity = Bar.decode(bar(name, minute)).identity
        return derive_signal_id(self._keys[name], identity, 0).encode()


@contextmanager
def _beside(
    publisher: Publisher,
    groups: Sequence[Sequence[str]],
    minutes: range,
    published: dict[tuple[int, int], float],
) -> Iterator[None]:
    """Publish the bars of all groups, minute by minute, while the block runs; note when each group's were."""

    def publish() -> None:
        began, sent, pause = time.monotonic(), 0, Event()
        for minute in minutes:
            for number, group in enumerate(groups):
                pause.wait(max(0.0, began + sent / PER_SECOND - time.monotonic()))
                messages = bars(group, len(group), first_minute=minute)
                published[minute, number] = time.monotonic()
                publisher.send(messages)
                sent += len(group)

    thread = Thread(target=publish, name="publisher", daemon=True)
    thread.start()
    yield
    thread.join()


def _answers(name: str, minute: int) -> bool:
    return (minute % 60 + int(name[3:])) % 30 == 0


_numbers = counting()


def _start(publisher: Publisher, gateway: GatewayStub, strategy: str) -> float:
    """Start a session; return the milliseconds until the signal of its `on_start` was POSTed."""
    key = f"start-{next(_numbers)}"
    event = {"action": "subscribe", "symbol": "START", "type": "stock", "strategyId": strategy}
    began = time.monotonic()
    publisher.send(command("PUBLISH", CONTROL_CHANNEL, json.dumps({**event, "sessionId": key})))
    arrivals: list[Arrival] = gateway.expect(1)
    return (arrivals[0].arrived_at - began) * 1e3


def _store(database_url: str, name: str, source: str) -> str:
    database = Database(database_url)
    try:
        with database.transaction() as cursor:
            cursor.execute(INSERT, (name, source, name))
            row = cursor.fetchone()
    finally:
        database.close()
    if row is None:
        raise MeasurementError("a row was not stored")
    return str(row[0])
