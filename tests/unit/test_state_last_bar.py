"""A session that was stopped is told of nothing more, even of a bar that was at hand already."""

import json
from typing import Any

from models.gap import Gap
from models.market_data import Bar, Trade
from models.session import Lifecycle, SessionIdentity
from services.data_consumer import DataConsumer
from services.dead_letters import DeadLetters
from services.mailbox import Mailbox
from services.routing import Router
from services.session import Session, SessionHost
from services.turn import Turn
from services.warm_up import join
from strategies.base_strategy import BaseStrategy
from tests.acceptance.conftest import bar
from tests.unit.state_world import NOON

NO_SERVER = "redis://127.0.0.1:1"


class Noting(BaseStrategy):
    """Notes what it is told; on a gap it does what the test says."""

    def __init__(self, strategy_id: str, symbol: str, session_id: str | None = None) -> None:
        super().__init__(strategy_id, symbol, session_id)
        self.told: list[Any] = []
        self.at_gap: Any = None

    def on_bar(self, bar: Bar) -> None:
        self.told.append(bar.timestamp.minute)

    def on_trade(self, trade: Trade) -> None: ...

    def on_stop(self) -> None:
        self.told.append("stop")

    def on_gap(self, gap: Gap) -> None:
        del gap
        if self.at_gap is not None:
            self.at_gap()


class Floor:
    """A data thread's work, done by the test itself: nothing is connected."""

    def __init__(self, *keys: str) -> None:
        self.router, self.mailbox, self.turn = Router(), Mailbox(), Turn()
        self.consumer = DataConsumer(NO_SERVER, self.turn, self.router, self.mailbox, DeadLetters(NO_SERVER))
        self.mailbox.wake = lambda: None
        self.sessions = {key: self._session(key) for key in keys}

    def told(self, key: str) -> list[Any]:
        strategy = self.sessions[key].strategy
        assert isinstance(strategy, Noting)
        return strategy.told

    def stop(self, key: str) -> None:
        self.mailbox.post(self.sessions[key], Lifecycle("stop", NOON))

    def read(self, *minutes: int) -> None:
        """Have these bars read as one batch."""
        payloads = [json.dumps(bar("AAPL", minute)).encode() for minute in minutes]
        channel = b"market_data:AAPL"
        self.consumer._messages = iter([[b"pmessage", b"", channel, each] for each in payloads])  # noqa: SLF001
        self.consumer._consume()  # noqa: SLF001 — what its thread does with a batch

    def _session(self, key: str) -> Session:
        identity = SessionIdentity(
            key=key, symbol="AAPL", asset_type="stock", strategy_id=key, session_id=key, started_at=NOON
        )
        host = SessionHost(
            submit=lambda *_: None,
            post=self.mailbox.post,
            unroute=self.router.remove,
            count_error=lambda _: None,
            changed=lambda _: None,
            max_errors=3,
        )
        session = Session(identity, Noting(key, "AAPL", key), host)
        session.start(Turn())
        session.hand_over(self.turn)
        join(session, self.router, self.turn)
        return session


def test_a_stop_is_heard_before_the_next_bar_of_the_same_batch() -> None:
    floor = Floor("a", "b")
    floor.read(0)
    floor.stop("b")
    floor.read(1, 2)
    assert (floor.told("a"), floor.told("b")) == ([0, 1, 2], [0, "stop"])


def test_after_on_stop_no_bar_comes_though_it_was_at_hand() -> None:
    floor = Floor("a", "b")
    strategy: Any = floor.sessions["a"].strategy
    strategy.at_gap = lambda: floor.stop("b")
    floor.read(0, 5, 6)  # four are missing: `a` hears of it with the fifth at hand
    assert (floor.told("a"), floor.told("b")) == ([0, 5, 6], [0, "stop"])
    assert floor.consumer.counters.bar_calls == 4


def test_a_bar_that_nobody_waits_for_any_more_is_no_event() -> None:
    floor = Floor("a")
    strategy: Any = floor.sessions["a"].strategy
    strategy.at_gap = lambda: floor.stop("a")
    floor.read(0, 5, 6)
    assert floor.told("a") == [0, "stop"]
    assert floor.consumer.counters.bars_delivered == 1
