"""Whose call computed for too long is known for certain, or nobody is blamed."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from threading import Event
from time import thread_time

import pytest

from models.market_data import Bar, Trade
from models.session import SessionIdentity, SessionState
from services.call_times import TimedCalls
from services.session import Session, SessionHost, deliver_bar
from services.turn import Turn
from strategies.base_strategy import BaseStrategy

NOON = datetime(2026, 1, 28, 12, tzinfo=UTC)
BAR = Bar("AAPL", "1m", 1, 1, 1, 1, 1, NOON)
DEADLINE = 0.01


class Doing(BaseStrategy):
    what: Callable[[], None]

    def on_bar(self, bar: Bar) -> None:  # noqa: ARG002 — does the same on every one
        self.what()

    def on_trade(self, trade: Trade) -> None: ...


def compute() -> None:
    until = thread_time() + 25 * DEADLINE
    while thread_time() < until:
        pass


def wait() -> None:
    Event().wait(3 * DEADLINE)


def nothing() -> None:
    """Return at once."""


def raise_late() -> None:
    compute()
    raise ValueError("late")


@pytest.fixture
def errors() -> list[str]:
    return []


def sessions(errors: list[str], *doing: Callable[[], None]) -> list[Session]:
    host = SessionHost(
        submit=lambda *_: None,
        post=lambda *_: None,
        unroute=lambda *_: None,
        count_error=errors.append,
        changed=lambda _: None,
        max_errors=10,
        deadline_ms=int(DEADLINE * 1000),
    )
    made = []
    for number, what in enumerate(doing):
        strategy = Doing(f"s{number}", "AAPL")
        strategy.what = what
        identity = SessionIdentity(
            key=f"s{number}",
            symbol="AAPL",
            asset_type="stock",
            strategy_id=f"s{number}",
            session_id=None,
            started_at=NOON,
        )
        session = Session(identity, strategy, host)
        session.begin()
        made.append(session)
    return made


def deliver(told: list[Session]) -> list[str]:
    turn = Turn()
    deliver_bar(TimedCalls(iter(told), turn), BAR, turn)
    return [session.identity.key for session in told if session.state is SessionState.QUARANTINED]


def test_the_session_that_computed_too_long_is_quarantined_and_no_other(errors: list[str]) -> None:
    told = sessions(errors, nothing, compute, nothing, wait)
    assert deliver(told) == ["s1"]
    assert [session.bars for session in told] == [1, 1, 1, 1]
    assert told[1].reason == "a call took longer than 0.01 s, in C"
    assert errors == ["doing"]


def test_one_that_waited_beside_one_that_computed_is_not_blamed(errors: list[str]) -> None:
    assert "s0" not in deliver(sessions(errors, wait, nothing, compute, wait))


def test_the_last_of_an_event_is_judged_too(errors: list[str]) -> None:
    assert deliver(sessions(errors, nothing, compute)) == ["s1"]


def test_one_that_computed_too_long_and_then_raised_is_quarantined(errors: list[str]) -> None:
    assert deliver(sessions(errors, raise_late, nothing)) == ["s0"]


def test_nobody_is_lost_when_an_interruption_comes_too_late(errors: list[str]) -> None:
    told = sessions(errors, nothing, nothing, nothing)
    waiting: Iterator[Session] = iter(told)
    turn = Turn()
    timed = TimedCalls(waiting, turn)
    assert next(timed) is told[0]
    assert turn.session is None  # so that what comes from here on strikes nobody
    assert [*TimedCalls(waiting, turn)] == told[1:]
