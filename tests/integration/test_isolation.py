"""Strategies that hang, against a real data thread: the others lose no event, and wait once."""

import json
import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from threading import Event

import pytest
import redis

from models.execution import ExecutionReport
from models.gap import Gap
from models.market_data import Bar, Trade
from models.session import Lifecycle, SessionIdentity, SessionState
from services.allocation_limit import AllocationLimit
from services.data_consumer import DataConsumer
from services.dead_letters import DeadLetters
from services.mailbox import Mailbox
from services.routing import Router
from services.session import Session, SessionHost
from services.supervisor import Supervisor
from services.turn import Turn
from strategies.base_strategy import BaseStrategy
from tests.support import eventually

NOON = datetime(2026, 1, 28, 12, tzinfo=UTC)
DEADLINE = 0.5
OTHERS = 100
BARS = 60

over = Event()
"""Ends what would otherwise burn this process's time for the rest of the test run."""


class Listener(BaseStrategy):
    """Remembers what it was told, and by how much later than published."""

    name = "listener"

    def __init__(self, strategy_id: str, symbol: str, session_id: str | None = None) -> None:
        super().__init__(strategy_id, symbol, session_id)
        self.bars: list[datetime] = []

    def on_bar(self, bar: Bar) -> None:
        self.bars.append(bar.timestamp)

    def on_trade(self, trade: Trade) -> None: ...


class Hanging(Listener):
    """Does something that never ends on its tenth bar, or in another handler."""

    name = "hanging"
    hang: Callable[[], None]
    in_handler = "on_bar"

    def on_bar(self, bar: Bar) -> None:
        super().on_bar(bar)
        if self.in_handler == "on_bar" and len(self.bars) == 10:
            self.hang()

    def on_stop(self) -> None:
        if self.in_handler == "on_stop":
            self.hang()

    def on_execution(self, report: ExecutionReport) -> None:  # noqa: ARG002 — hangs whatever it says
        if self.in_handler == "on_execution":
            self.hang()

    def on_gap(self, gap: Gap) -> None:  # noqa: ARG002 — hangs at any
        if self.in_handler == "on_gap":
            self.hang()


class Witness(Listener):
    """Writes down what it is told, and does something when it is told of a gap."""

    name = "witness"

    def __init__(self, strategy_id: str, symbol: str, session_id: str | None = None) -> None:
        super().__init__(strategy_id, symbol, session_id)
        self.told: list[str] = []
        self.at_gap: Callable[[], None] = lambda: None

    def on_bar(self, bar: Bar) -> None:
        self.told.append(f"bar {bar.seq}")

    def on_gap(self, gap: Gap) -> None:
        self.told.append(f"gap {gap.missed}")
        self.at_gap()

    def on_stop(self) -> None:
        self.told.append("stop")


def loop_for_ever() -> None:
    while True:
        pass


def loop_that_catches_everything() -> None:
    while not over.is_set():
        try:
            while not over.is_set():
                time.monotonic()
        except BaseException:  # noqa: BLE001, S112 — that is the point
            continue


def sleep_for_an_hour() -> None:
    time.sleep(3600)


def sleep_in_slices_and_catch() -> None:
    while not over.is_set():
        try:
            time.sleep(0.01)
        except Exception:  # noqa: BLE001, S112 — that is the point
            continue


def search_slowly() -> None:
    for _ in range(1_000_000):
        re.match(r"(a+)+$", "a" * 18 + "b")


HANGS = [
    loop_for_ever,
    loop_that_catches_everything,
    sleep_for_an_hour,
    sleep_in_slices_and_catch,
    search_slowly,
]


class Computing(Listener):
    """Computes in C, with the interpreter's lock, for longer than its deadline on every bar, on any day."""

    name = "computing"
    count = 0

    def on_bar(self, bar: Bar) -> None:
        super().on_bar(bar)
        sum(range(self.count))

    def on_execution(self, report: ExecutionReport) -> None:  # noqa: ARG002 — computes whatever it says
        sum(range(self.count))


def count_that_takes(seconds: float) -> int:
    """How far to sum up for so long, on this machine."""
    count, started = 10_000_000, time.thread_time()
    sum(range(count))
    return int(count * seconds / (time.thread_time() - started))


class Floor:
    """A data thread with its supervisor, a hundred listeners, and one strategy that hangs."""

    def __init__(self, redis_url: str) -> None:
        self.turn, self.router, self.mailbox = Turn(), Router(), Mailbox()
        self.consumer = DataConsumer(redis_url, self.turn, self.router, self.mailbox, DeadLetters(redis_url))
        self.supervisor = Supervisor(self.turn, self.consumer.take_over, DEADLINE, AllocationLimit(0))
        self.redis = redis.Redis.from_url(redis_url)
        self._host = SessionHost(
            submit=lambda _signal, _received, _barred: None,
            post=self.mailbox.post,
            unroute=self.router.remove,
            count_error=lambda _: None,
            changed=lambda _: None,
            max_errors=10,
            deadline_ms=int(DEADLINE * 1000),
        )
        self.before = [self.add(Listener(f"b{number}", "AAPL")) for number in range(OTHERS // 2)]
        self.hanging = self.add(Hanging("hanging", "AAPL"))
        self.after = [self.add(Listener(f"a{number}", "AAPL")) for number in range(OTHERS // 2)]

    def add(self, strategy: Listener) -> Session:
        identity = SessionIdentity(
            key=strategy.strategy_id,
            symbol=strategy.symbol,
            asset_type="stock",
            strategy_id=strategy.strategy_id,
            session_id=None,
            started_at=NOON,
        )
        session = Session(identity, strategy, self._host)
        session.hand_over(self.turn)
        session.begin()
        self.router.add(strategy.symbol, session)
        return session

    def publish(self, bars: int) -> list[datetime]:
        moments = [NOON + timedelta(minutes=minute) for minute in range(bars)]
        for moment in moments:
            self.publish_one("AAPL", moment)
        return moments

    def publish_one(self, symbol: str, moment: datetime, seq: int | None = None) -> None:
        fields = {
            "symbol": symbol,
            "timeframe": "1m",
            "open": 1,
            "high": 1,
            "low": 1,
            "close": 1,
            "volume": 1,
            "timestamp": moment.isoformat(),
            "seq": seq,
        }
        self.redis.publish(f"market_data:{symbol}", json.dumps(fields))

    def heard(self) -> list[list[datetime]]:
        strategies = [session.strategy for session in (*self.before, *self.after)]
        return [list(strategy.bars) for strategy in strategies if isinstance(strategy, Listener)]


@pytest.fixture
def floor(redis_url: str) -> Iterator[Floor]:
    floor = Floor(redis_url)
    floor.consumer.start()
    floor.supervisor.start()
    eventually(lambda: floor.consumer.subscribed)
    over.clear()
    yield floor
    over.set()
    assert floor.consumer.stop(10)
    floor.supervisor.stop(10)


def never_ends(floor: Floor, hang: Callable[[], None], handler: str) -> None:
    strategy = floor.hanging.strategy
    assert isinstance(strategy, Hanging)
    strategy.hang = hang
    strategy.in_handler = handler


@pytest.mark.parametrize("hang", HANGS)
def test_the_others_lose_no_bar_to_a_handler_that_never_ends(floor: Floor, hang: Callable[[], None]) -> None:
    never_ends(floor, hang, "on_bar")
    published = floor.publish(BARS)
    eventually(lambda: floor.heard() == [published] * OTHERS, 30)
    assert floor.hanging.state is SessionState.QUARANTINED
    assert "took longer than 0.5 s" in str(floor.hanging.reason) or "did not return" in str(
        floor.hanging.reason
    )
    strategy = floor.hanging.strategy
    assert isinstance(strategy, Hanging)
    assert len(strategy.bars) == 10


@pytest.mark.parametrize("handler", ["on_stop", "on_execution"])
@pytest.mark.parametrize("hang", [loop_for_ever, sleep_for_an_hour])
def test_letters_are_under_the_same_deadline(floor: Floor, hang: Callable[[], None], handler: str) -> None:
    never_ends(floor, hang, handler)
    stop = Lifecycle("stop", NOON)
    if handler == "on_stop":
        floor.mailbox.post(floor.hanging, stop)
    else:
        floor.hanging.strategy.send_signal  # noqa: B018 — the report below answers no signal of ours
        floor.hanging.memory.open_signals.add("s1")  # as if it had been sent
        report = ExecutionReport(signal_id="s1", symbol="AAPL", action="BUY", quantity=1.0, status="filled")
        floor.mailbox.post(floor.hanging, report)
    floor.mailbox.post(floor.before[0], stop)
    eventually(lambda: floor.before[0].state is SessionState.STOPPED)
    assert floor.hanging.state is SessionState.QUARANTINED
    published = floor.publish(5)
    eventually(lambda: floor.heard() == [[], *[published] * (OTHERS - 1)])  # the first was stopped


def test_a_slow_handler_within_its_deadline_is_left_alone(floor: Floor) -> None:
    never_ends(floor, lambda: time.sleep(DEADLINE / 4), "on_bar")
    published = floor.publish(BARS)
    eventually(lambda: floor.heard() == [published] * OTHERS)
    assert floor.hanging.state is SessionState.RUNNING


def test_a_quiet_feed_is_no_handler_that_hangs(floor: Floor) -> None:
    floor.publish(1)
    eventually(lambda: floor.heard()[0])
    since = time.monotonic()
    eventually(lambda: time.monotonic() - since > 5 * DEADLINE)
    assert {session.state for session in (floor.hanging, *floor.before)} == {SessionState.RUNNING}


def test_a_stuck_thread_that_comes_back_finds_itself_retired(floor: Floor) -> None:
    never_ends(floor, lambda: time.sleep(5 * DEADLINE), "on_bar")
    published = floor.publish(BARS)
    eventually(lambda: floor.heard() == [published] * OTHERS)
    eventually(lambda: floor.turn.tenure.thread)
    more = floor.publish(BARS + 20)[BARS:]
    eventually(lambda: floor.heard() == [published + more] * OTHERS, 30)


def test_a_handler_that_holds_up_every_thread_does_not_do_so_for_ever(floor: Floor) -> None:
    floor.consumer.long_event_seconds = DEADLINE / 2
    Computing.count = count_that_takes(3 * DEADLINE)
    computing = floor.add(Computing("computing", "AAPL"))
    published = floor.publish(5)
    eventually(lambda: floor.heard() == [published] * OTHERS, 30)
    assert computing.state is SessionState.QUARANTINED
    assert "took longer than 0.5 s" in str(computing.reason)
    assert computing.bars < 5  # two, unless the machine held up others before it
    assert {session.state for session in (floor.hanging, *floor.before)} == {SessionState.RUNNING}


def test_a_letter_that_holds_up_every_thread_does_so_once(floor: Floor) -> None:
    Computing.count = count_that_takes(3 * DEADLINE)
    computing = floor.add(Computing("computing", "MSFT"))
    computing.memory.open_signals.add("s1")
    report = ExecutionReport(signal_id="s1", symbol="MSFT", action="BUY", quantity=1.0, status="filled")
    floor.mailbox.post(computing, report)
    floor.mailbox.post(floor.before[0], Lifecycle("stop", NOON))
    eventually(lambda: floor.before[0].state is SessionState.STOPPED)
    assert computing.state is SessionState.QUARANTINED


def test_who_takes_over_tells_letters_before_the_event_behind_them_and_nothing_to_who_is_stopped(
    floor: Floor,
) -> None:
    quitting, hanging = Witness("quitting", "MSFT"), Hanging("hangs", "MSFT")
    staying = Witness("staying", "MSFT")
    hanging.in_handler, hanging.hang = "on_gap", sleep_for_an_hour
    session, stuck, _ = (floor.add(strategy) for strategy in (quitting, hanging, staying))
    quitting.at_gap = lambda: floor.mailbox.post(session, Lifecycle("stop", NOON))
    for seq in (1, 5):
        floor.publish_one("MSFT", NOON + timedelta(minutes=seq), seq)
    eventually(lambda: staying.told == ["bar 1", "gap 3", "bar 5"])
    eventually(lambda: quitting.told == ["bar 1", "gap 3", "stop"])
    assert stuck.state is SessionState.QUARANTINED
