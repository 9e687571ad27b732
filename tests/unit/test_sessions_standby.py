"""Sessions that another worker has: they stand by, are left when they are lost, and run when they are won."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import pytest

from models.errors import StorageUnavailable
from models.execution import ExecutionReport
from models.market_data import Bar, Trade
from models.session import SessionIdentity, SessionRecord, SessionState
from models.signal import Signal
from services.reconciliation import Reconciler
from services.routing import Router, sessions_of
from services.session import Session, SessionHost
from services.state_desk import StateDesk
from services.state_history import UnansweredSignals
from services.state_keeper import StateKeeper
from services.strategy_manager import StrategyManager
from services.strategy_source import StrategyRecipe
from services.turn import Letter, Turn
from strategies.base_strategy import BaseStrategy
from tests.state_keeping import MemoryStates

NOON = datetime(2026, 1, 28, 12, tzinfo=UTC)
OTHER = "elsewhere-1"


class Parting(BaseStrategy):
    """Sends a signal when it is stopped."""

    name = "parting"

    def on_bar(self, bar: Bar) -> None: ...

    def on_trade(self, trade: Trade) -> None: ...

    def on_stop(self) -> None:
        self.send_signal("SELL", 100.0, 1)


class Leases:
    """Who has which session; plays a Redis that is away when told so."""

    def __init__(self) -> None:
        self.owners: dict[str, str] = {}
        self.mine: set[str] = set()
        self.away = False

    def claim(self, keys: Iterable[str]) -> dict[str, str]:
        if self.away:
            raise StorageUnavailable("Redis does not answer about leases")
        others = {key: self.owners[key] for key in keys if key in self.owners}
        self.mine |= set(keys) - others.keys()
        return others

    def __contains__(self, key: str) -> bool:
        return key in self.mine

    def owner(self, key: str) -> str | None:
        return self.claim([key]).get(key)


class Registry:
    """What is written down of sessions, and what was to be written."""

    def __init__(self) -> None:
        self.held: dict[str, SessionRecord] = {}
        self.told: list[str] = []

    def load(self) -> dict[str, SessionRecord]:
        return dict(self.held)

    def changed(self, key: str) -> None:
        self.told.append(key)


class World:
    """One worker whose data thread is idle: letters are handled at once."""

    def __init__(self) -> None:
        self.leases = Leases()
        self.registry = Registry()
        self.router = Router()
        self.submitted: list[tuple[Signal, str | None]] = []
        self.store = MemoryStates()
        self.keeper = StateKeeper(self.store, 30.0)
        self.states = StateDesk(self.keeper, UnansweredSignals(list), self._post)
        host = SessionHost(
            submit=self._submit,
            post=self._post,
            unroute=self.router.remove,
            count_error=lambda _: None,
            changed=self.registry.changed,
            max_errors=3,
            claim=self.leases.owner,
        )
        source: Any = self
        self.manager = StrategyManager(source, self.router, host, Turn(), self.states)
        registry: Any = self.registry
        self.reconciler = Reconciler(self.manager, registry, None, self.leases)

    def find(self, strategy_id: str, symbol: str) -> StrategyRecipe:
        """Play the source of strategies."""
        del strategy_id, symbol
        return StrategyRecipe(Parting, {})

    def start(self) -> str:
        return self.manager.start_session("AAPL", "parting", "s1")

    def reconcile(self) -> None:
        self.reconciler.reconcile(lambda: None)

    def state(self) -> str:
        found = self.manager.records().get("s1")
        return "gone" if found is None else found.state

    def routed(self) -> int:
        return len(sessions_of(self.router.table, "AAPL"))

    def _submit(self, signal: Signal, _received_at: float, barred: str | None) -> str | None:
        self.submitted.append((signal, barred))
        return barred

    def _post(self, session: Session, letter: Letter) -> None:
        session.handle(letter)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def standby(world: World) -> World:
    world.leases.owners["s1"] = OTHER
    assert world.start() == "standby"
    return world


def record(state: SessionState = SessionState.RUNNING) -> SessionRecord:
    identity = SessionIdentity(
        key="s1",
        symbol="AAPL",
        asset_type="stock",
        strategy_id="parting",
        session_id="s1",
        started_at=NOON,
    )
    return SessionRecord(identity=identity, state=state, reason="because")


def test_a_session_that_another_worker_has_stands_by_and_says_where_it_runs(standby: World) -> None:
    [session] = standby.manager.sessions()
    assert (session["state"], session["reason"]) == ("STANDBY", f"runs on worker {OTHER}")
    assert standby.routed() == 0
    assert standby.manager.count_states() == {"STANDBY": 1}
    assert standby.start() == "standby"


def test_a_session_that_stands_by_is_stopped_without_a_word_to_the_registry(standby: World) -> None:
    standby.registry.told.clear()
    assert standby.manager.stop_session("s1") == 1
    assert (standby.state(), standby.registry.told) == ("gone", [])


def test_while_it_cannot_be_known_who_has_a_session_it_waits(world: World) -> None:
    world.leases.away = True
    assert world.start() == "pending"
    world.reconcile()
    assert (world.state(), world.reconciler.reason) == ("PENDING", "Redis does not answer about leases")
    world.leases.away = False
    world.reconcile()
    assert (world.state(), world.reconciler.reason) == ("RUNNING", None)


def test_a_session_that_was_lost_stands_by_and_its_last_words_go_nowhere(world: World) -> None:
    world.start()
    world.leases.mine.clear()
    world.manager.stand_by("s1", "runs on worker elsewhere-1")
    assert (world.state(), world.routed()) == ("STANDBY", 0)
    assert [(signal.action, barred) for signal, barred in world.submitted] == [("SELL", "lease_lost")]


def test_nothing_more_is_saved_of_a_session_that_was_lost(world: World) -> None:
    world.start()
    [session] = sessions_of(world.router.table, "AAPL")
    world.states.save(session)
    world.manager.stand_by("s1", "lost")
    world.states.save(session)
    assert world.keeper._write()  # noqa: SLF001 — one turn of its thread
    assert world.store.held == {}


def test_what_becomes_of_signals_of_a_lost_session_is_its_owners_to_know(standby: World) -> None:
    standby.manager.halt_session("s1", "outcome unknown")
    report = ExecutionReport(
        signal_id="x", symbol="AAPL", action="BUY", quantity=1.0, status="refused", reason="lease_lost"
    )
    standby.manager.report("s1", report)
    assert standby.state() == "STANDBY"
    standby.leases.owners.clear()
    assert standby.manager.adopt(record().identity) == "started"
    assert standby.state() == "RUNNING"


def test_what_is_written_down_stands_by_where_another_worker_has_it(world: World) -> None:
    world.registry.held["s1"] = record()
    world.leases.owners["s1"] = OTHER
    world.reconcile()
    assert (world.state(), world.registry.told) == ("STANDBY", [])
    world.reconcile()
    assert world.state() == "STANDBY"


@pytest.mark.parametrize("state", [SessionState.RUNNING, SessionState.HALTED, SessionState.QUARANTINED])
def test_a_session_that_was_won_goes_on_as_it_is_written_down(standby: World, state: SessionState) -> None:
    standby.registry.held["s1"] = record(state)
    standby.leases.mine.add("s1")
    standby.leases.owners.clear()
    standby.reconcile()
    assert standby.state() == state


def test_a_session_that_was_won_and_is_written_down_no_more_has_ended(standby: World) -> None:
    standby.leases.mine.add("s1")
    standby.reconcile()
    assert standby.state() == "gone"


def test_a_session_that_stands_by_stays_however_little_is_written_down(standby: World) -> None:
    standby.reconcile()  # Redis may have lost its data; who has the session will write it down again
    assert standby.state() == "STANDBY"
