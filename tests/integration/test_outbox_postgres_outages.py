"""The durable outbox while PostgreSQL is killed, stopped and restarted: nothing lost, nothing given twice."""

import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Self

import pytest

from models.signal import Signal
from services.db_client import migrate
from services.embedded import EmbeddedPostgres
from tests.integration.durable_outbox import Crashable, rows, running_outbox, statuses
from tests.sample_signals import make_signal
from tests.support import eventually

if TYPE_CHECKING:
    from services.signals.outbox import OutboxEntry


@pytest.fixture
def server(own_postgres: EmbeddedPostgres) -> EmbeddedPostgres:
    migrate(own_postgres.url)
    return own_postgres


class Courier:
    """Takes and finishes everything at once, and remembers what it was given."""

    def __init__(self, made: Crashable) -> None:
        self._made = made
        self._stop = threading.Event()
        self.given: list[OutboxEntry] = []
        self._thread = threading.Thread(target=self._run)

    def goes_on(self) -> None:
        """Wait until it was given 50 more."""
        before = len(self.given)
        eventually(lambda: len(self.given) > before + 50)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._made.outbox.wait(0.01)
            for entry in self._made.outbox.take():
                self._made.outbox.sending(entry, 1)
                self.given.append(entry)
                self._made.finish(entry)


def load(made: Crashable, stop: threading.Event) -> Iterator[Signal]:
    """Decide something every millisecond until told to stop; a put never waits."""
    number = 0
    while not stop.wait(0.001):
        signal = make_signal(f"session-{number % 10}")
        began = time.monotonic()
        [refusal] = made.put(signal)
        assert time.monotonic() - began < 3.0, "the data thread waited"
        assert refusal is None
        number += 1
        yield signal


def strike(server: EmbeddedPostgres, kind: str) -> None:
    if kind == "kill":
        server.kill()
        threading.Event().wait(0.3)
        server.restart()
    elif kind == "restart":
        server.restart()
    else:
        server.pause()
        threading.Event().wait(2.0)  # longer than a statement may take: the connection is given up
        server.resume()


@pytest.mark.parametrize("kind", ["kill", "restart", "stop"])
def test_under_load_everything_is_written_and_given_once(server: EmbeddedPostgres, kind: str) -> None:
    put: list[Signal] = []
    stop = threading.Event()
    with running_outbox(server.url, capacity=100_000) as made, Courier(made) as courier:
        loader = threading.Thread(target=lambda: put.extend(load(made, stop)))
        loader.start()
        for _ in range(3):
            courier.goes_on()
            strike(server, kind)
        courier.goes_on()
        stop.set()
        loader.join()
        eventually(lambda: made.outbox.pending == 0, 20)
    assert [entry.signal.signal_id for entry in courier.given] == [signal.signal_id for signal in put]
    assert all(entry.ask_until is None and entry.settled is None for entry in courier.given)
    assert [row["signal_id"] for row in rows(server.url)] == [signal.signal_id for signal in put]
    assert set(statuses(server.url)) == {"executed"}


def test_signals_wait_in_memory_up_to_the_bound_and_none_is_given_without_its_row(
    server: EmbeddedPostgres,
) -> None:
    with running_outbox(server.url, capacity=50) as made:
        made.put(make_signal())
        made.finish(*made.taken(1))
        server.pause()
        refusals = made.put(*(make_signal() for _ in range(60)))
        assert refusals == [None] * 50 + ["outbox_full"] * 10
        made.outbox.wait(1.5)
        assert made.outbox.take() == []
        server.resume()
        made.finish(*made.taken(50))
        assert made.outbox.pending == 0
    assert statuses(server.url) == ["executed"] * 51


def test_a_row_whose_commit_was_not_confirmed_is_not_written_twice(server: EmbeddedPostgres) -> None:
    """The statement is given up here while the server holds it; then it is carried out all the same."""
    with running_outbox(server.url) as made:
        made.put(make_signal())
        made.finish(*made.taken(1))
        eventually(lambda: statuses(server.url) == ["executed"])
        server.pause()
        signals = [make_signal() for _ in range(20)]
        made.put(*signals)
        made.outbox.wait(2.0)  # the statement is in the server's hands, and has been given up
        server.resume()
        entries = made.taken(20)
        assert [entry.signal for entry in entries] == signals
        assert all(entry.settled is None and entry.ask_until is None for entry in entries)
    assert len(rows(server.url)) == 21


def test_an_end_that_could_not_be_written_is_written_later(server: EmbeddedPostgres) -> None:
    with running_outbox(server.url) as made:
        made.put(make_signal())
        [entry] = made.taken(1)
        server.pause()
        made.outbox.sending(entry, 1)
        made.finish(entry)
        made.outbox.wait(1.5)
        server.resume()
        eventually(lambda: statuses(server.url) == ["executed"])


def test_a_database_that_is_away_at_start_is_waited_for_and_what_it_holds_comes_first(
    server: EmbeddedPostgres,
) -> None:
    with running_outbox(server.url) as before:
        before.put(make_signal())
        [found] = before.taken(1)
    server.kill()
    with running_outbox(server.url) as after:
        new = make_signal()
        after.put(new)
        after.outbox.wait(0.5)
        assert after.outbox.take() == []
        server.restart()
        assert [entry.signal for entry in after.taken(2)] == [found.signal, new]


def test_stopping_does_not_wait_for_a_database_that_is_away(server: EmbeddedPostgres) -> None:
    made = Crashable(server.url)
    made.outbox.start()
    made.put(make_signal())
    made.taken(1)
    server.pause()
    made.put(make_signal())
    began = time.monotonic()
    made.outbox.stop(began + 1.0)
    assert time.monotonic() - began < 4.5  # a statement would be given up after 5
    server.resume()
