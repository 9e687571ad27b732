"""Many sessions, and storms of control events, against a real worker."""

import json
import random

import pytest

from tests.acceptance.conftest import CONTROL, LiveWorker, StartWorker, bar
from tests.control_model import Event, expected_sessions
from tests.support import eventually

SYMBOLS = [f"SYM{number}" for number in range(200)]
SESSIONS = 1_000
STORM = 10_000
SEED = 20260128
STRATEGIES = ("sma_cross", "rsi_reversion", "macd_trend", None)


def publish(worker: LiveWorker, events: list[Event]) -> None:
    """Publish control events in order, in parts that no subscriber's buffer is too small for."""
    for start in range(0, len(events), 500):
        pipeline = worker.redis.pipeline(transaction=False)
        for action, symbol, strategy, session in events[start : start + 500]:
            fields = {"action": action, "symbol": symbol, "type": "stock", "strategyId": strategy}
            event = {**fields, "sessionId": session}
            pipeline.publish(CONTROL, json.dumps({name: text for name, text in event.items() if text}))
        pipeline.execute()


def applied(worker: LiveWorker) -> float:
    """How many control events the worker has dealt with."""
    return sum(value for name, value in worker.metrics().items() if name[0] == "worker_control_events_total")


@pytest.mark.timeout(240)
def test_a_thousand_sessions_over_two_hundred_symbols_start_run_and_stop(start_worker: StartWorker) -> None:
    worker = start_worker()
    starts: list[Event] = [
        ("subscribe", SYMBOLS[number % 200], "sma_cross", f"s{number}") for number in range(SESSIONS)
    ]
    publish(worker, starts)
    eventually(lambda: worker.metric("worker_sessions", "RUNNING") == SESSIONS, 120)
    for minute in range(5):
        pipeline = worker.redis.pipeline(transaction=False)
        for symbol in SYMBOLS:
            pipeline.publish(f"market_data:{symbol}", json.dumps(bar(symbol, minute)))
        pipeline.execute()
    eventually(lambda: worker.delivered() == 5 * len(SYMBOLS), 60)
    assert {session["bars"] for session in worker.sessions().values()} == {5}
    assert worker.metric("worker_handler_calls_total", "bar") == 5 * SESSIONS
    publish(worker, [("unsubscribe", symbol, None, None) for symbol in SYMBOLS])
    eventually(lambda: not worker.sessions(), 60)
    assert worker.get("/health").status_code == 200


@pytest.mark.timeout(240)
def test_a_storm_of_control_events_ends_in_exactly_the_state_that_they_imply(
    start_worker: StartWorker,
) -> None:
    chance = random.Random(SEED)  # noqa: S311 — not for secrets
    worker = start_worker()
    storm: list[Event] = []
    for _ in range(STORM // 2):
        action = chance.choice(["subscribe", "subscribe", "unsubscribe"])
        session = chance.choice([None, *(f"s{number}" for number in range(300))])
        event = (action, chance.choice(SYMBOLS), chance.choice(STRATEGIES), session)
        storm += [event, event] if chance.random() < 0.5 else [event]
    storm += chance.choices(storm, k=STORM - len(storm))
    publish(worker, storm)
    eventually(lambda: applied(worker) == STORM, 120, "every event of the storm is dealt with")
    held = {
        (session["symbol"], session["strategyId"], session["sessionId"])
        for session in worker.sessions().values()
    }
    assert held == expected_sessions(storm)
    assert {session["state"] for session in worker.sessions().values()} == {"RUNNING"}
    assert worker.metric("worker_sessions", "RUNNING") == len(held)
