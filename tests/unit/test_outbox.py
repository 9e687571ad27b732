"""The outbox in memory: what goes in comes out once, in order, and is counted until its end."""

import threading
import time

from models.signal import Signal, SignalStatus
from services.signals.outbox import MemoryOutbox, OutboxEntry
from services.signals.outcome import Outcome, executed, failed
from services.signals.verdict import Executed
from tests.sample_signals import make_signal


def make_outbox(capacity: int = 100) -> MemoryOutbox:
    return MemoryOutbox(capacity, ttl_seconds=30.0, clock=lambda: 1000.0)


def filled(signal: Signal) -> Outcome:
    return executed(signal, Executed(status="filled"), attempts=1, at=0.0)


def finish_all(outbox: MemoryOutbox, entries: list[OutboxEntry]) -> None:
    for entry in entries:
        outbox.finish(entry, filled(entry.signal))


def test_an_entry_knows_when_it_came_and_when_it_expires() -> None:
    outbox, signal = make_outbox(), make_signal()
    assert outbox.put(signal, received_at=999.5) is None
    [entry] = outbox.take()
    assert entry.signal is signal
    assert (entry.received_at, entry.expires_at) == (999.5, 1030.0)
    assert entry.created_at.utcoffset() is not None


def test_entries_are_given_once_and_in_order() -> None:
    outbox, signals = make_outbox(), [make_signal() for _ in range(5)]
    for signal in signals[:3]:
        outbox.put(signal, 0.0)
    first = outbox.take()
    for signal in signals[3:]:
        outbox.put(signal, 0.0)
    assert [entry.signal for entry in first + outbox.take()] == signals
    assert outbox.take() == []


def test_a_full_outbox_refuses_until_a_signal_has_ended() -> None:
    outbox = make_outbox(capacity=2)
    assert [outbox.put(make_signal(), 0.0) for _ in range(3)] == [None, None, "outbox_full"]
    [first, _] = outbox.take()
    assert outbox.put(make_signal(), 0.0) == "outbox_full"
    outbox.finish(first, filled(first.signal))
    assert outbox.put(make_signal(), 0.0) is None


def test_the_same_signal_is_taken_once_even_after_its_end() -> None:
    outbox, signal = make_outbox(), make_signal()
    assert outbox.put(signal, 0.0) is None
    assert outbox.put(signal, 0.0) == "duplicate_signal"
    finish_all(outbox, outbox.take())
    assert outbox.put(signal, 0.0) == "duplicate_signal"
    assert outbox.pending == 0


def test_ids_of_the_past_are_forgotten_in_time() -> None:
    outbox, signal = make_outbox(capacity=1), make_signal()
    outbox.put(signal, 0.0)
    finish_all(outbox, outbox.take())
    for _ in range(10_001):
        outbox.put(make_signal(), 0.0)
        finish_all(outbox, outbox.take())
    assert outbox.put(signal, 0.0) is None


def test_signals_are_counted_by_status_from_beginning_to_end() -> None:
    outbox = make_outbox()
    for _ in range(4):
        outbox.put(make_signal(), 0.0)
    assert outbox.counts() == {SignalStatus.PENDING: 4, SignalStatus.SENDING: 0}
    first, second, third, _ = outbox.take()
    for entry in (first, second, third):
        outbox.sending(entry, 1)
    outbox.finish(first, filled(first.signal))
    outbox.finish(second, failed(second.signal, "rejected", "no", 1, 0.0))
    assert outbox.counts() == {
        SignalStatus.PENDING: 1,
        SignalStatus.SENDING: 1,
        SignalStatus.EXECUTED: 1,
        SignalStatus.REJECTED: 1,
    }
    assert outbox.pending == 2


def test_what_has_not_ended_can_be_listed_in_order() -> None:
    outbox, signals = make_outbox(), [make_signal() for _ in range(4)]
    for signal in signals[:3]:
        outbox.put(signal, 0.0)
    entries = outbox.take()
    outbox.put(signals[3], 0.0)
    outbox.finish(entries[1], filled(signals[1]))
    assert [entry.signal for entry in outbox.unfinished()] == [signals[0], signals[2], signals[3]]
    assert outbox.stop(0.0) == {signals[number].signal_id for number in (0, 2, 3)}  # nobody will know of them


def test_a_put_ends_a_wait_and_so_does_a_wake() -> None:
    outbox = make_outbox()
    for end in (lambda: outbox.put(make_signal(), 0.0), outbox.wake):
        timer = threading.Timer(0.05, end)
        timer.start()
        began = time.monotonic()
        outbox.wait(30.0)
        assert time.monotonic() - began < 10.0
        timer.join()


def test_what_came_before_a_wait_ends_it_at_once_and_only_once() -> None:
    outbox = make_outbox()
    for _ in range(3):
        outbox.put(make_signal(), 0.0)
    outbox.wait(30.0)
    began = time.monotonic()
    outbox.wait(0.05)
    assert time.monotonic() - began >= 0.05


def test_putting_from_several_threads_loses_nothing() -> None:
    outbox, taken = MemoryOutbox(100_000, 30.0), list[OutboxEntry]()

    def put_many() -> None:
        for _ in range(2000):
            outbox.put(make_signal(), 0.0)

    threads = [threading.Thread(target=put_many) for _ in range(3)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        outbox.wait(0.01)
        taken += outbox.take()
    taken += outbox.take()
    assert len({entry.signal.signal_id for entry in taken}) == len(taken) == outbox.pending == 6000
