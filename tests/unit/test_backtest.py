"""A strategy over the past is the same strategy as live."""

from collections.abc import Mapping
from typing import ClassVar

import pytest

from models.errors import ConfigError, StrategyCrashed
from models.market_data import Bar
from models.session import SessionIdentity, SessionState
from models.signal import Signal
from services.history.backtest import run
from services.history.bars import in_order
from services.history.casting import identities, make_session, start
from services.history.options import BacktestOptions
from services.routing import Router
from services.session import Session, SessionHost, deliver_bar
from services.turn import Turn
from services.warm_up import join
from strategies.sma_cross import SmaCross
from tests.unit.playing import FIRST, MINUTE, Scripted, bars_from

PRICES = [(10.0 + (n * n) % 7, 10.0 + (n * n * n) % 11) for n in range(200)]
AVERAGES = {"fast": 2, "slow": 5, "cash": 100.0}


def test_signals_have_the_ids_that_they_have_live() -> None:
    bars = bars_from(PRICES)
    played = run(
        SmaCross, bars, BacktestOptions(parameters=AVERAGES, session_id="s-1", strategy_id="sma_cross")
    )

    assert len(played.signals) > 10
    assert [_essence(signal) for signal in played.signals] == [_essence(signal) for signal in _live(bars)]


def _host(sent: list[Signal]) -> SessionHost:
    """Return a host that takes every signal and answers none."""

    def submit(signal: Signal, _received_at: float, barred: str | None) -> str | None:
        sent.append(signal)
        return barred

    return SessionHost(
        submit=submit,
        post=lambda _session, _letter: None,
        unroute=lambda _symbol, _session: None,
        count_error=lambda _: None,
        changed=lambda _: None,
        max_errors=1,
    )


def _live(bars: list[Bar]) -> list[Signal]:
    """Have a live session told of bars; what it decides does not depend on when it is answered."""
    sent: list[Signal] = []
    host = _host(sent)
    identity = SessionIdentity(
        key="s-1",
        symbol="AAPL",
        asset_type="stock",
        strategy_id="sma_cross",
        session_id="s-1",
        started_at=FIRST,
    )
    session = Session(identity, SmaCross.build("sma_cross", "AAPL", "s-1", AVERAGES), host)
    turn = Turn()
    session.start(turn)
    session.begin()
    for bar in bars:
        deliver_bar(iter((session,)), bar, turn)
    return sent


def _essence(signal: Signal) -> tuple[object, ...]:
    return signal.signal_id, signal.action, signal.quantity, signal.price, signal.timestamp


def test_two_runs_decide_the_same() -> None:
    bars = bars_from(PRICES)
    options = BacktestOptions(parameters=AVERAGES, fee_bps=1)

    assert run(SmaCross, bars, options).signals == run(SmaCross, bars, options).signals


def test_bars_before_the_start_warm_up_as_live() -> None:
    start = FIRST + 50 * MINUTE
    bars = bars_from(PRICES)
    seen: list[Bar] = []

    class Warm(Scripted):
        name = "warm"
        script: ClassVar[Mapping[int, tuple[str, float]]] = {0: ("BUY", 1.0), 3: ("BUY", 2.0)}
        warmup_bars = 2

        def on_bar(self, bar: Bar) -> None:
            seen.append(bar)
            super().on_bar(bar)

    played = run(Warm, bars, BacktestOptions(start=start))

    assert seen[0] == bars[48]
    assert played.events[0] == bars[50]
    assert [signal.quantity for signal in played.signals] == [2.0]
    assert played.statistics.final_equity != 100_000
    assert _joined(Warm, bars[:50]) == 2


def test_each_session_is_warmed_up_with_as_many_bars_as_it_asks_for() -> None:
    told: dict[str, list[Bar]] = {"AAPL": [], "MSFT": []}

    class Warm(Scripted):
        name = "warm"

        @property
        def warmup_bars(self) -> int:  # type: ignore[override]  # as its symbol needs
            return {"AAPL": 2, "MSFT": 4}[self.symbol]

        def on_bar(self, bar: Bar) -> None:
            told[bar.symbol].append(bar)

    bars = in_order([bars_from(PRICES), bars_from(PRICES, "MSFT")])
    run(Warm, bars, BacktestOptions(start=FIRST + 50 * MINUTE))

    assert {symbol: (each[0].timestamp - FIRST) / MINUTE for symbol, each in told.items()} == {
        "AAPL": 48.0,
        "MSFT": 46.0,
    }
    assert {len(each) for each in told.values()} == {150 + 2, 150 + 4}


def _joined(strategy: type[Scripted], past: list[Bar]) -> int:
    """Return how many bars a live session is told of before its first one."""
    host = _host([])
    identity = SessionIdentity(
        key="warm", symbol="AAPL", asset_type="stock", strategy_id="warm", session_id=None, started_at=FIRST
    )
    router, turn = Router(), Turn()
    first = Session(identity, strategy.build("warm", "AAPL"), host)
    join(first, router, turn)
    feed = router.feed("AAPL")
    feed.begin("1m").extend(past)
    session = Session(identity, strategy.build("warm", "AAPL"), host)
    session.start(turn)
    join(session, router, turn)
    return session.memory.warm_up_bars


def test_what_answers_no_bar_has_the_time_of_the_market() -> None:
    class Again(Scripted):
        name = "again"
        script: ClassVar[Mapping[int, tuple[str, float]]] = {0: ("BUY", 1.0)}

        def on_start(self) -> None:
            self.send_signal("BUY", 10.0, 1.0)

        def on_execution(self, report: object) -> None:
            del report
            self.seen += 1000  # no line of the script any more
            if self.seen < 3000:
                self.send_signal("BUY", 10.0, 3.0)

    played = run(Again, bars_from(PRICES))

    assert [(signal.timestamp - FIRST) / MINUTE for signal in played.signals] == [0.0, 0.0, 1.0]
    assert run(Again, bars_from(PRICES)).signals == played.signals


def test_what_is_decided_at_the_start_has_the_time_of_the_start_as_live() -> None:
    class AtOnce(Scripted):
        name = "at_once"

        def on_start(self) -> None:
            self.send_signal("BUY", 10.0, 1.0)

    bars, started = bars_from(PRICES), FIRST - 90 * MINUTE
    [usual], [given] = (
        run(AtOnce, bars, options).signals
        for options in (BacktestOptions(), BacktestOptions(started_at=started))
    )

    assert (usual.timestamp, given.timestamp) == (FIRST, started)
    assert usual.signal_id != given.signal_id
    [named] = identities(AtOnce, ["AAPL"], BacktestOptions(), started)
    sent: list[Signal] = []
    session = Session(named, AtOnce.build("at_once", "AAPL"), _host(sent))
    session.start(Turn())
    assert [each.signal_id for each in sent] == [given.signal_id]


def test_a_strategy_is_stopped_after_its_last_bar_with_what_it_holds() -> None:
    stopped: list[tuple[int, float, str | None]] = []

    class Stops(Scripted):
        name = "stops"
        script: ClassVar[Mapping[int, tuple[str, float]]] = {0: ("BUY", 3.0)}

        def on_stop(self) -> None:
            stopped.append((self.seen, self.position.quantity, self.session_id))
            self.send_signal("SELL", 10.0, 3.0)

    bars = bars_from(PRICES)
    played = run(Stops, bars, BacktestOptions(session_id="desk-7"))

    assert stopped == [(len(bars), 3.0, "desk-7")]
    assert [(each.action, each.timestamp, each.session_key) for each in played.signals] == [
        ("BUY", bars[0].timestamp, "desk-7"),
        ("SELL", bars[-1].timestamp, "desk-7"),
    ]
    assert (len(played.fills), played.unfilled) == (1, 1)


def test_a_strategy_that_keeps_failing_is_given_up_as_live() -> None:
    class Fails(Scripted):
        name = "fails"

        def on_bar(self, bar: Bar) -> None:
            raise ValueError(bar.close)

    played = run(Fails, bars_from(PRICES), BacktestOptions(max_errors=3))

    (ended,) = played.ended
    assert (ended.state, ended.time) == (SessionState.ERROR.value, FIRST + 2 * MINUTE)
    assert "3 errors in a row" in ended.reason


def test_a_strategy_that_cannot_start_says_so() -> None:
    class NoStart(Scripted):
        name = "no_start"

        def on_start(self) -> None:
            raise RuntimeError("no key")

    with pytest.raises(StrategyCrashed, match="no_start cannot be started: RuntimeError: no key"):
        run(NoStart, bars_from(PRICES))


def test_a_strategy_whose_wishes_cannot_be_had_says_so() -> None:
    class Undecided(Scripted):
        name = "undecided"

        @property
        def watched_symbols(self) -> tuple[str, ...]:  # type: ignore[override]  # an author's mistake
            raise LookupError("which ones?")

    with pytest.raises(StrategyCrashed, match=r"undecided cannot be made: LookupError: which ones\?"):
        run(Undecided, bars_from(PRICES))


def test_nothing_after_a_start_counts_as_a_part_of_it() -> None:
    turn = Turn()
    [named] = identities(Scripted, ["AAPL"], BacktestOptions(), FIRST)
    session = make_session(Scripted, named, _host([]), BacktestOptions(), turn)
    assert turn.session is None

    start(session, turn)

    assert turn.session is None


def test_a_strategy_that_answers_every_refusal_does_not_hang() -> None:
    class Stubborn(Scripted):
        name = "stubborn"
        script: ClassVar[Mapping[int, tuple[str, float]]] = {0: ("SELL", 1.0)}

        def on_execution(self, report: object) -> None:
            del report
            self.send_signal("SELL", 1.0, 1.0)

    played = run(Stubborn, bars_from(PRICES))

    assert 1 < len(played.signals) <= len(PRICES) + 1


def test_nothing_to_play_is_said() -> None:
    with pytest.raises(ConfigError, match="there are no bars"):
        run(SmaCross, [])
    with pytest.raises(ConfigError, match="from"):
        run(SmaCross, bars_from(PRICES), BacktestOptions(start=FIRST + 1000 * MINUTE))


def test_progress_is_told_of_every_bar() -> None:
    told: list[int] = []
    bars = bars_from(PRICES)

    run(SmaCross, bars, progress=told.append)

    assert sum(told) == len(bars)


def test_a_strategy_is_told_of_the_symbols_that_it_watches() -> None:
    told: list[str] = []

    class Watches(Scripted):
        name = "watches"
        watched_symbols = ("MSFT",)

        def on_bar(self, bar: Bar) -> None:
            told.append(bar.symbol)

    bars = [bar for pair in zip(bars_from(PRICES), bars_from(PRICES, "MSFT"), strict=True) for bar in pair]
    played = run(Watches, bars, BacktestOptions(symbols=("AAPL",)))

    assert told == ["AAPL", "MSFT"] * len(PRICES)
    assert (played.symbols, len(played.equity), played.describe()["bars"]) == (("AAPL",), 200, 200)
    with pytest.raises(ConfigError, match="no bars of 'IBM'"):
        run(Watches, bars, BacktestOptions(symbols=("IBM",)))
