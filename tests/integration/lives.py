"""One session through many processes on one database, beside a gateway that is played by hand."""

from collections import deque
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from models.execution import ExecutionReport
from models.market_data import Bar, Trade
from models.position import Position
from models.session import SessionIdentity
from models.signal import Signal
from services.db_client import Database
from services.routing import Router
from services.session import Session, SessionHost, deliver_bar
from services.signals.outcome import failed
from services.state_desk import StateDesk
from services.state_history import RecordedSignals
from services.state_keeper import StateKeeper
from services.state_store import PostgresStates
from services.strategy_manager import StrategyManager
from services.strategy_source import StrategySource
from services.turn import Letter, Turn
from strategies.base_strategy import BaseStrategy
from strategies.registry import StrategyRegistry
from tests.integration.durable_outbox import Crashable, execute, filled, rows
from tests.support import eventually

if TYPE_CHECKING:
    from services.signals.outbox import OutboxEntry

NOON = datetime(2026, 1, 28, 12, tzinfo=UTC)
IDENTITY = SessionIdentity(
    key="s1", symbol="AAPL", asset_type="stock", strategy_id="buyer", session_id="s1", started_at=NOON
)
LOSE_MARK = """
    UPDATE signals SET status = 'pending', finished_at = NULL, report = NULL WHERE signal_id = '{}'
"""


class Buyer(BaseStrategy):
    """Buys on every bar, another quantity for each minute."""

    name = "buyer"

    def __init__(self, strategy_id: str, symbol: str, session_id: str | None = None) -> None:
        super().__init__(strategy_id, symbol, session_id)
        self.answers: list[ExecutionReport] = []

    def on_bar(self, bar: Bar) -> None:
        self.send_signal("BUY", 100.0, quantity_of(minute_of(bar)))

    def on_trade(self, trade: Trade) -> None: ...

    def on_execution(self, report: ExecutionReport) -> None:
        self.answers.append(report)


class Life:
    """One process: played by hand, so that everything happens in the order of the test."""

    def __init__(self, url: str, executed: dict[str, float]) -> None:
        self.url = url
        self.executed = executed
        self.on_their_way: list[OutboxEntry] = []
        self._letters: deque[tuple[Session, Letter]] = deque()
        self._left = sum(row["status"] in {"pending", "sending"} for row in rows(url))
        self._made = Crashable(url)
        self._made.outbox.start()
        self._database = Database(url, size=1)
        self._keeper = StateKeeper(PostgresStates(self._database), 30.0)
        history = RecordedSignals(self._database, self._unfinished)
        self._states = StateDesk(self._keeper, history, self._post)
        self._router, self._turn = Router(), Turn()
        host = SessionHost(
            submit=lambda signal, received_at, _: self._made.outbox.put(signal, received_at),
            post=self._post,
            unroute=self._router.remove,
            count_error=lambda _: None,
            changed=lambda _: None,
            max_errors=3,
        )
        source = StrategySource(StrategyRegistry([Buyer]), None, Buyer.name)
        self._manager = StrategyManager(source, self._router, host, self._turn, self._states)
        self.adopt()

    def adopt(self) -> None:
        assert self._manager.adopt(IDENTITY) == "started"
        self._deliver()

    @property
    def session(self) -> Session:
        session = self._manager._sessions["s1"]  # noqa: SLF001 — what a test compares is inside
        assert isinstance(session, Session)
        return session

    @property
    def position(self) -> Position:
        return self.session.strategy.position

    @property
    def answers(self) -> list[ExecutionReport]:
        assert isinstance(self.session.strategy, Buyer)
        return self.session.strategy.answers

    def bar(self, minute: int) -> None:
        """Have the session decide."""
        bar = Bar("AAPL", "1m", 100.0, 100.0, 100.0, 100.0, 1.0, NOON + timedelta(minutes=minute))
        deliver_bar(iter((self.session,)), bar, self._turn)
        self._deliver()

    def carry(self) -> None:
        """Have everything written that was decided, and take it; what is settled is told at once."""
        eventually(self._everything_is_taken)

    def answer(self, number: int) -> str:
        """Have the gateway execute a signal on its way, or say again that it did; return its id."""
        entry = self.on_their_way.pop(number)
        self.executed[entry.signal.signal_id] = entry.signal.quantity
        self._made.finish(entry)
        self._report(entry.signal, filled(entry.signal).report)
        return entry.signal.signal_id

    def lose_the_answer(self) -> str:
        """Have the oldest signal on its way end unknown; return its id."""
        entry = self.on_their_way.pop(0)
        outcome = failed(entry.signal, "unknown", "read_timeout", 1, 0.0)
        self._made.outbox.finish(entry, outcome)
        self._report(entry.signal, outcome.report)
        return entry.signal.signal_id

    def save(self) -> None:
        """Have the session's state written down."""
        self._states.save(self.session)
        assert self._keeper._write()  # noqa: SLF001 — one turn of its thread

    def end(self, *lost: str) -> None:
        """End, killed before what became of these signals was marked."""
        self._made.stop()
        self._database.close()
        for signal_id in lost:
            execute(self.url, LOSE_MARK.format(signal_id))

    def _everything_is_taken(self) -> bool:
        for entry in self._made.outbox.take():
            self._left -= entry.ask_until is not None  # of the process before
            if entry.settled is None:
                self.on_their_way.append(entry)
            else:
                self._made.outbox.finish(entry, entry.settled)
                self._report(entry.signal, entry.settled.report)
        ids = {entry.signal.signal_id for entry in self.on_their_way}
        return not self._left and {signal.signal_id for signal in self._unfinished()} == ids

    def _report(self, signal: Signal, report: ExecutionReport) -> None:
        self._manager.report(signal.session_key, report)
        self._deliver()

    def _unfinished(self) -> list[Signal]:
        return [entry.signal for entry in self._made.outbox.unfinished()]

    def _post(self, session: Session, letter: Letter) -> None:
        self._letters.append((session, letter))

    def _deliver(self) -> None:
        while self._letters:
            session, letter = self._letters.popleft()
            session.handle(letter)


def quantity_of(minute: int) -> float:
    """Powers of two: a sum of them tells which were counted how often."""
    return float(2**minute)


def minute_of(bar: Bar) -> int:
    return int((bar.timestamp - NOON).total_seconds() // 60)
