"""What is measured on a stage: what arrived, what was decided and executed, how long it took."""

import contextlib
import statistics
import time
from collections.abc import Iterable, Sequence
from threading import Event

from tests.faults.databases import signal_statuses, unfinished_signals
from tests.faults.journals import EVERY
from tests.faults.result import Tally
from tests.faults.stage import PROBE, Stage
from tests.support import eventually

STREAMS = ("control", "bars", "trades")
RECOVERY_SECONDS = 60.0
# Where nothing more came for so long, the rest counts as lost.
SILENT_SECONDS = 5.0
POLL_SECONDS = 0.02
_pause = Event()


def send(stage: Stage, symbols: Sequence[str], bars: int, interval: float = 0.005) -> list[str]:
    """Publish so many bars of each symbol and wait until every session has them; return complaints."""
    wanted: dict[str, set[int]] = {symbol: set() for symbol in symbols}
    for _ in range(bars):
        for symbol in symbols:
            before = set(stage.feed.published[symbol])
            stage.feed.publish(symbol)
            wanted[symbol] |= set(stage.feed.published[symbol]) - before
        _pause.wait(interval)
    complaints = [
        f"{symbol}: {bars - len(minutes)} of {bars} bars found no subscriber"
        for symbol, minutes in wanted.items()
        if len(minutes) < bars
    ]
    if missed := _still_missing(stage, wanted):
        complaints.append(f"{len(missed)} sessions missed up to {max(missed.values())} bars")
    return complaints


def _still_missing(stage: Stage, wanted: dict[str, set[int]]) -> dict[str, int]:
    """Wait until every session has these bars, or for a while no more of them come."""
    missed = missing(stage, wanted)
    progress = time.monotonic()
    while missed and time.monotonic() - progress < SILENT_SECONDS:
        _pause.wait(POLL_SECONDS)
        before, missed = missed, missing(stage, wanted)
        if missed != before:
            progress = time.monotonic()
    return missed


def missing(stage: Stage, minutes: dict[str, set[int]]) -> dict[str, int]:
    """How many of these bars each session on their symbols was not told of, where it misses some."""
    missing = {}
    for session in list(stage.sessions.values()):
        if session.symbol in minutes and session.strategy in EVERY and session.key not in stage.ended:
            heard = {each.minute for each in stage.journals.bars(session.key)}
            missing[session.key] = len(minutes[session.symbol] - heard)
    return {key: count for key, count in missing.items() if count}


def recover(stage: Stage, since: float) -> float:
    """Publish until a bar arrives and the worker is ready; return the seconds from `since` until then."""
    before = len(stage.journals.bars(PROBE.key))

    def heard() -> bool:
        stage.feed.try_to_publish(PROBE.symbol)
        return len(stage.journals.bars(PROBE.key)) > before and stage.is_ready()

    deadline = time.monotonic() + RECOVERY_SECONDS
    while not heard():
        assert time.monotonic() < deadline, (
            f"not recovered within {RECOVERY_SECONDS:.0f} s: {stage.worker.get('/ready').text}"
        )
        _pause.wait(POLL_SECONDS)
    return time.monotonic() - since


def gaps(stage: Stage) -> dict[str, int]:
    """How many gaps the worker has reported, by stream."""
    metrics = stage.worker.metrics()
    return {stream: int(metrics.get(("worker_gaps_total", stream), 0)) for stream in STREAMS}


def inexact_sessions(stage: Stage) -> list[str]:
    """Say where the sessions of the worker are not those that they should be, all running."""
    wanted = stage.sessions.keys() - stage.ended
    with contextlib.suppress(AssertionError):
        eventually(lambda: stage.running() == wanted, 5)
    held = stage.worker.sessions()
    wrong = [f"{key} is gone" for key in wanted - held.keys()]
    wrong += [f"{key} should not be there" for key in held.keys() - wanted]
    wrong += [f"{key} is {each['state']}" for key, each in held.items() if each["state"] != "RUNNING"]
    return wrong


def settle(stage: Stage, seconds: float = 30.0) -> float:
    """Wait until every recorded signal has ended, or give up; return the seconds it took."""
    started = time.monotonic()
    with contextlib.suppress(AssertionError):
        eventually(lambda: _is_settled(stage), seconds)
    return time.monotonic() - started


def tally(stage: Stage, statuses: dict[str, str] | None = None) -> Tally:
    """Count signals: decided by the journals, executed by the gateway, ended by the table."""
    decided = [each for session in stage.sessions.values() for each, _ in stage.journals.decided(session)]
    said = signal_statuses(stage.database_url) if statuses is None else statuses
    return Tally.of(decided, stage.gateway.executions, said)


def waits(stage: Stage, keys: Iterable[str], since: float = 0.0) -> list[float]:
    """How long each bar published after `since` took to each of these sessions, in seconds."""
    return [
        heard.at - at
        for key in keys
        for heard in stage.journals.bars(key)
        if (at := stage.feed.published[stage.sessions[key].symbol].get(heard.minute, 0.0)) > since
    ]


def latencies(stage: Stage, keys: Iterable[str], since: float, until: float) -> list[float]:
    """Seconds from a session's bar to the arrival of its signal, for bars heard in that time."""
    return [
        stage.gateway.arrivals[signal_id] - heard.at
        for key in keys
        for signal_id, heard in stage.journals.decided(stage.sessions[key])
        if since <= heard.at < until and signal_id in stage.gateway.arrivals
    ]


def p99(values: Sequence[float]) -> float:
    """The 99th percentile; 0 without values."""
    return statistics.quantiles(values, n=100)[-1] if len(values) > 1 else sum(values)


def _is_settled(stage: Stage) -> bool:
    return stage.worker.metric("worker_outbox_pending") == 0 and unfinished_signals(stage.database_url) == 0
