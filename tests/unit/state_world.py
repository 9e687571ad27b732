"""A manager with a data thread that is played by the test: nobody waits, everything is in order."""

from collections import deque
from datetime import UTC, datetime, timedelta
from typing import Any

from models.errors import StrategyRejected
from models.execution import ExecutionReport
from models.market_data import Bar, Trade
from models.session import SessionIdentity
from models.signal import Signal
from services.routing import BAR_CHANNEL, Router
from services.session import Session, SessionHost, deliver_bar
from services.state_desk import StateDesk
from services.state_history import UnansweredSignals
from services.state_keeper import StateKeeper
from services.strategy_manager import StrategyManager
from services.strategy_source import StrategyRecipe
from services.turn import Letter, Turn
from strategies.base_strategy import BaseStrategy
from tests.state_keeping import MemoryStates

NOON = datetime(2026, 1, 28, 12, tzinfo=UTC)


class Counting(BaseStrategy):
    """Remembers the bars it saw; buys on each whose minute is in `buys_at`."""

    name = "counting"
    warmup_bars = 5
    buys_at: tuple[int, ...] = ()

    def __init__(self, strategy_id: str, symbol: str, session_id: str | None = None) -> None:
        super().__init__(strategy_id, symbol, session_id)
        self.seen: list[str] = []
        self.before_start: Any = None
        self.answers: list[ExecutionReport] = []

    def on_start(self) -> None:
        self.before_start = (list(self.seen), self.position)

    def on_bar(self, bar: Bar) -> None:
        self.seen.append(f"{bar.timeframe} {minute_of(bar)}")
        if minute_of(bar) in type(self).buys_at:
            self.send_signal("BUY", bar.close, 2.0)

    def on_trade(self, trade: Trade) -> None: ...

    def on_execution(self, report: ExecutionReport) -> None:
        self.answers.append(report)

    def get_state(self) -> dict[str, Any]:
        return {"seen": self.seen}

    def set_state(self, state: dict[str, Any]) -> None:
        self.seen = state["seen"]


class World:
    """One process: `bar` publishes, `manager` starts and stops, `restarted` is the next process."""

    def __init__(
        self, strategy: type[BaseStrategy] = Counting, store: MemoryStates | None = None, *, idle: bool = True
    ) -> None:
        self.strategy = strategy
        self.store = store or MemoryStates()
        self.idle = idle
        self.letters: deque[tuple[Session, Letter]] = deque()
        self.sent: list[Signal] = []
        self.errors: list[str] = []
        self.router = Router()
        self.turn = Turn()
        self.keeper = StateKeeper(self.store, 30.0)
        self.states = StateDesk(self.keeper, UnansweredSignals(lambda: iter(self.sent)), self._post)
        host = SessionHost(
            submit=self._submit,
            post=self._post,
            unroute=self.router.remove,
            count_error=self.errors.append,
            changed=lambda _: None,
            max_errors=3,
        )
        self.manager = StrategyManager(self, self.router, host, self.turn, self.states)  # type: ignore[arg-type]

    def find(self, strategy_id: str, symbol: str) -> StrategyRecipe:
        """Play the source of strategies."""
        del symbol
        if strategy_id != self.strategy.name:
            raise StrategyRejected(f"no strategy {strategy_id!r}")
        return StrategyRecipe(self.strategy, {})

    def start(self, key: str = "s1", symbol: str = "AAPL") -> Any:
        """Start a session; return its strategy."""
        assert self.manager.start_session(symbol, self.strategy.name, key) == "started"
        return self.strategy_of(key)

    def session(self, key: str = "s1") -> Session:
        session = self.manager._sessions[key]  # noqa: SLF001 — what a test compares is inside
        assert isinstance(session, Session)
        return session

    def strategy_of(self, key: str = "s1") -> Any:
        return self.session(key).strategy

    def described(self, key: str = "s1") -> dict[str, Any]:
        return {each["key"]: each for each in self.manager.sessions()}[key]

    def bar(self, minute: int, symbol: str = "AAPL", timeframe: str = "1m") -> None:
        """Play the data thread: decide who is told, tell them, then read letters."""
        route = self.router.table.get(BAR_CHANNEL + symbol.encode())
        if route is not None:
            told = bar(minute, symbol, timeframe)
            recent = route.feed.recent.get(timeframe) or route.feed.begin(timeframe)
            recent.append(told)
            deliver_bar(iter(route.sessions), told, self.turn)
        if self.idle:
            self.deliver()

    def deliver(self) -> None:
        """Read the letters."""
        while self.letters:
            session, letter = self.letters.popleft()
            session.handle(letter)

    def save(self, key: str = "s1") -> None:
        """Have a session's state written down."""
        self.states.save(self.session(key))
        self.write()

    def write(self) -> None:
        assert self.keeper._write()  # noqa: SLF001 — one turn of its thread

    def restarted(self, strategy: type[BaseStrategy] | None = None) -> "World":
        """The next process, which finds what this one wrote, with the same sessions adopted."""
        world = World(strategy or self.strategy, self.store)
        for record in self.manager.records().values():
            world.manager.adopt(record.identity)
        return world

    def answer(self, signal: Signal, price: float = 100.0) -> ExecutionReport:
        """Have the gateway execute a signal."""
        self.sent.remove(signal)
        report = ExecutionReport(
            signal_id=signal.signal_id,
            symbol=signal.symbol,
            action=signal.action,
            quantity=signal.quantity,
            status="filled",
            filled_quantity=signal.quantity,
            filled_price=price,
        )
        self.manager.report(signal.session_key, report)
        return report

    def _submit(self, signal: Signal, _received_at: float, barred: str | None) -> str | None:
        if barred is None:
            self.sent.append(signal)
        return barred

    def _post(self, session: Session, letter: Letter) -> None:
        self.letters.append((session, letter))
        if self.idle and self.turn.session is None:
            self.deliver()


def bar(minute: int, symbol: str = "AAPL", timeframe: str = "1m") -> Bar:
    return Bar(symbol, timeframe, 100.0, 101.0, 99.0, 100.0, 10.0, NOON + timedelta(minutes=minute))


def minute_of(told: Bar) -> int:
    return int((told.timestamp - NOON).total_seconds() // 60)


def minutes(*numbers: int) -> list[str]:
    return [f"1m {number}" for number in numbers]


def identity(key: str = "s1", strategy: str = "counting", symbol: str = "AAPL") -> SessionIdentity:
    return SessionIdentity(
        key=key, symbol=symbol, asset_type="stock", strategy_id=strategy, session_id=key, started_at=NOON
    )
