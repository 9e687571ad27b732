"""The worker's data thread with real sessions, and a way to hold it still until the messages are there."""

import time
from collections.abc import Mapping
from threading import Event

from benchmarks.feed import FIRST_MINUTE, PATIENCE_SECONDS
from benchmarks.rows import MeasurementError
from benchmarks.strategies import CountBars
from models.gap import Gap
from models.market_data import Bar
from models.session import SessionIdentity
from services.data_consumer import DataConsumer
from services.dead_letters import DeadLetters
from services.mailbox import Mailbox
from services.routing import Router
from services.session import Session, SessionHost
from services.turn import Turn
from strategies.base_strategy import BaseStrategy

LAST_SYMBOL = "LAST"


class _Starter(CountBars):
    """Holds the data thread in `on_gap` until it is released."""

    def __init__(self, strategy_id: str, symbol: str, session_id: str | None = None) -> None:
        super().__init__(strategy_id, symbol, session_id)
        self.held = Event()
        self.released = Event()

    def on_gap(self, gap: Gap) -> None:  # noqa: ARG002 — the call itself is the message
        self.held.set()
        self.released.wait(PATIENCE_SECONDS)


class _Finisher(CountBars):
    """Notes when the last bar came."""

    def __init__(self, strategy_id: str, symbol: str, session_id: str | None = None) -> None:
        super().__init__(strategy_id, symbol, session_id)
        self.finished_at = 0.0
        self.finished = Event()

    def on_bar(self, bar: Bar) -> None:
        super().on_bar(bar)
        self.finished_at = time.perf_counter()
        self.finished.set()


class HostedSessions:
    """A DataConsumer as the worker has it, with `sessions` per symbol, one more symbol for the last bar."""

    def __init__(self, url: str, sessions: Mapping[str, int]) -> None:
        self._router, self._mailbox, self._turn = Router(), Mailbox(), Turn()
        self._dead_letters = DeadLetters(url)
        self._consumer = DataConsumer(url, self._turn, self._router, self._mailbox, self._dead_letters)
        self._host = SessionHost(
            submit=lambda _signal, _received_at, _barred: None,
            post=self._mailbox.post,
            unroute=self._router.remove,
            count_error=lambda _name: None,
            changed=lambda _: None,
            max_errors=1,
        )
        self._starter = _Starter("starter", "STARTER")
        self._finisher = _Finisher("finisher", LAST_SYMBOL)
        self.counting = [
            CountBars(f"{symbol}-{number}", symbol)
            for symbol, count in sessions.items()
            for number in range(count)
        ]
        for strategy in (self._finisher, *self.counting):
            self._router.add(strategy.symbol, self._session(strategy))
        self._consumer.start()
        self._hold()

    def drain(self, count: int) -> float:
        """Let the data thread read what waits, until the bar of LAST_SYMBOL; return the seconds."""
        started = time.perf_counter()
        self._starter.released.set()
        finished = self._finisher.finished.wait(PATIENCE_SECONDS)
        seconds = self._finisher.finished_at - started
        self._consumer.stop(PATIENCE_SECONDS)
        counters = self._consumer.counters
        read = counters.bars_delivered + counters.dropped["no_session"]
        calls = sum(strategy.seen for strategy in (self._finisher, *self.counting))
        if not finished or read != count or calls != counters.bar_calls:
            raise MeasurementError(f"the data thread read {read} of {count} messages and made {calls} calls")
        return seconds

    def _hold(self) -> None:
        now = FIRST_MINUTE
        gap = Gap(stream="bars", symbol="STARTER", since=now, until=now, reason="the benchmark begins")
        self._mailbox.post(self._session(self._starter), gap)
        if not self._starter.held.wait(PATIENCE_SECONDS) or not self._consumer.subscribed:
            raise MeasurementError("the data thread did not subscribe")

    def _session(self, strategy: BaseStrategy) -> Session:
        identity = SessionIdentity(
            key=strategy.strategy_id,
            symbol=strategy.symbol,
            asset_type="stock",
            strategy_id=strategy.strategy_id,
            session_id=None,
            started_at=FIRST_MINUTE,
        )
        session = Session(identity, strategy, self._host)
        session.start(Turn())
        session.hand_over(self._turn)
        return session
