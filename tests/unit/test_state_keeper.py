"""The thread that writes states: nobody waits for it, the newest of each session survives an outage."""

import threading
import time
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from models.errors import StorageConflict, StorageUnavailable
from models.saved_state import SavedState
from services.state_keeper import BATCH, STATE_DAYS, StateKeeper
from tests.sample_states import saved
from tests.state_keeping import MemoryStates
from tests.support import eventually

ROUND_SECONDS = 0.2


class Kept:
    """A keeper that runs, and what it asked for."""

    def __init__(self, store: MemoryStates) -> None:
        self.store = store
        self.shares: list[float] = []
        self.keeper = StateKeeper(store, ROUND_SECONDS)
        self.keeper.start(self.shares.append)


@pytest.fixture
def kept() -> Iterator[Kept]:
    kept = Kept(MemoryStates())
    yield kept
    kept.store.away = False
    kept.keeper.stop(10)


def test_what_is_handed_in_is_written_soon(kept: Kept) -> None:
    kept.keeper.hand_in(saved("s1"))
    eventually(lambda: kept.store.held.keys() == {"s1"})
    assert kept.keeper.reason is None


def test_everybody_is_asked_once_in_a_round_and_not_at_once(kept: Kept) -> None:
    eventually(lambda: sum(kept.shares) > 3)
    assert max(kept.shares) < 0.9 or len(kept.shares) < 5  # a machine that is held up asks for more at a time


def test_while_the_store_is_away_the_newest_state_of_each_session_waits(kept: Kept) -> None:
    kept.store.away = True
    for second in range(5):
        for key in ("s1", "s2"):
            kept.keeper.hand_in(saved(key, second))
    eventually(lambda: kept.keeper.reason is not None)
    assert kept.keeper.load("s1") == saved("s1", 4)
    kept.store.away = False
    eventually(lambda: kept.store.held == {key: saved(key, 4) for key in ("s1", "s2")})
    assert kept.store.batches == [["s1", "s2"]]
    eventually(lambda: kept.keeper.reason is None)


def test_an_outage_costs_as_much_memory_as_there_are_sessions_however_long_it_lasts(kept: Kept) -> None:
    kept.store.away = True
    for second in range(1_000):
        kept.keeper.hand_in(saved("s1", second))
        if second % 100 == 0:
            eventually(lambda: not kept.keeper._handed_in)  # noqa: SLF001 — its memory is what this is about
    eventually(lambda: not kept.keeper._handed_in)  # noqa: SLF001
    assert len(kept.keeper._waiting) == 1  # noqa: SLF001


def test_a_store_that_was_just_found_away_is_not_asked_again_at_once() -> None:
    class Counted(MemoryStates):
        asked = 0

        def load(self, session_key: str) -> SavedState | None:
            self.asked += 1
            return super().load(session_key)

    store = Counted()
    store.away = True
    keeper = StateKeeper(store, 30.0)
    for _ in range(10):
        with pytest.raises(StorageUnavailable):
            keeper.load("s1")
    assert store.asked == 1


def test_many_states_are_written_in_batches(kept: Kept) -> None:
    for number in range(2 * BATCH + 1):
        kept.keeper.hand_in(saved(f"s{number}"))
    eventually(lambda: len(kept.store.held) == 2 * BATCH + 1)
    assert max(len(batch) for batch in kept.store.batches) <= BATCH


def test_a_state_that_the_store_refuses_does_not_keep_the_others_from_being_written() -> None:
    class Choosy(MemoryStates):
        def save(self, states: Sequence[SavedState]) -> None:
            if any(state.session_key == "bad" for state in states):
                raise StorageConflict("no")
            super().save(states)

    store = Choosy()
    kept = Kept(store)
    for key in ("a", "bad", "z"):
        kept.keeper.hand_in(saved(key))
    eventually(lambda: store.held.keys() == {"a", "z"})
    assert kept.keeper.stop(10) == 0


def test_stopping_writes_what_is_waiting(kept: Kept) -> None:
    kept.keeper.hand_in(saved("s1"))
    assert kept.keeper.stop(10) == 0
    assert kept.store.held.keys() == {"s1"}


def test_stopping_waits_for_the_store_no_longer_than_it_may(kept: Kept) -> None:
    kept.store.away = True
    kept.keeper.hand_in(saved("s1"))
    assert kept.keeper.stop(0.5) == 1


def test_a_store_that_comes_back_while_stopping_still_gets_it(kept: Kept) -> None:
    kept.store.away = True
    kept.keeper.hand_in(saved("s1"))
    eventually(lambda: kept.keeper.reason is not None)

    def come_back() -> None:
        kept.store.away = False

    threading.Timer(0.3, come_back).start()
    assert kept.keeper.stop(10) == 0
    assert kept.store.held.keys() == {"s1"}


def test_a_round_that_fails_is_not_the_last_one() -> None:
    store = MemoryStates()
    keeper = StateKeeper(store, ROUND_SECONDS)

    def ask(share: float) -> None:
        raise ValueError(share)

    keeper.start(ask)
    keeper.hand_in(saved("s1"))
    assert keeper.stop(10) == 0
    assert store.held.keys() == {"s1"}


def test_stopping_waits_for_a_store_that_is_away_no_longer_than_is_of_use() -> None:
    store = MemoryStates()
    store.away = True
    keeper = StateKeeper(store, ROUND_SECONDS, outage_seconds=0.2)
    keeper.start(lambda _: None)
    keeper.hand_in(saved("s1"))
    eventually(lambda: keeper.reason is not None)
    began = time.monotonic()
    assert keeper.stop(60) == 1
    assert time.monotonic() - began < 30


def test_states_of_sessions_that_ended_long_ago_are_forgotten_and_others_kept() -> None:
    store = MemoryStates()
    now = datetime.now(UTC)
    old, young = now - timedelta(days=STATE_DAYS, hours=1), now - timedelta(days=STATE_DAYS - 1)
    store.save([saved("ended", saved_at=old), saved("runs", saved_at=old), saved("new", saved_at=young)])
    keeper = StateKeeper(store, ROUND_SECONDS)
    keeper._prune_at = 0.0  # noqa: SLF001 — an hour later
    keeper.start(lambda _: None, lambda: {"runs"})
    eventually(lambda: store.held.keys() == {"runs", "new"})
    keeper.stop(10)


def test_a_store_that_cannot_prune_now_is_asked_again_another_day() -> None:
    class Busy(MemoryStates):
        asked = 0

        def prune(self, before: datetime, present: Collection[str]) -> int:
            del before, present
            self.asked += 1
            raise StorageUnavailable("busy")

    store = Busy()
    keeper = StateKeeper(store, ROUND_SECONDS)
    keeper._prune_at = 0.0  # noqa: SLF001 — an hour later
    keeper.start(lambda _: None)
    eventually(lambda: store.asked)
    keeper.hand_in(saved("s1"))
    eventually(lambda: store.held)
    keeper.stop(10)
    assert store.asked == 1
