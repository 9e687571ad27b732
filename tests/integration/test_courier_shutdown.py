"""Draining and stopping: what is under way arrives, the rest stays in the outbox, nobody waits too long."""

import threading
import time
from collections.abc import Iterator

import pytest

from models.signal import SignalStatus
from tests.gateway_stub import HANG, Answer, GatewayStub, Received
from tests.sending import sending
from tests.support import eventually, free_port


@pytest.fixture
def stub() -> Iterator[GatewayStub]:
    with GatewayStub() as gateway:
        yield gateway


def test_a_drain_returns_when_everything_was_told(stub: GatewayStub) -> None:
    stub.answer = lambda received: Answer(201, stub.execute(received), delay=0.05)
    with sending(stub.url) as desk:
        assert desk.courier.drain(time.monotonic())
        desk.put(*["a", "b"] * 5)
        desk.drain()
        assert len(desk.told) == 10
        assert desk.outbox.pending == 0


def test_a_drain_gives_up_at_its_deadline() -> None:
    with sending(f"http://127.0.0.1:{free_port()}") as desk:
        desk.put("a")
        began = time.monotonic()
        assert not desk.courier.drain(began + 0.2)
        assert 0.2 <= time.monotonic() - began < 20.0


def test_a_stop_lets_what_is_under_way_arrive_and_begins_nothing(stub: GatewayStub) -> None:
    released = threading.Event()

    def slow(received: Received) -> Answer:
        released.wait(10.0)
        return stub.friendly(received)

    stub.answer = slow
    with sending(stub.url, threads=2) as desk:
        signals = desk.put("a", "a", "b", "c")
        eventually(lambda: len(stub.posts) == 2)
        threading.Timer(0.2, released.set).start()
        assert desk.courier.stop(time.monotonic() + 10.0) == 2
        assert [outcome.report.status for _, outcome in desk.told] == ["filled"] * 2
        assert [entry.signal for entry in desk.outbox.unfinished()] == [signals[1], signals[3]]
        assert desk.outbox.counts()[SignalStatus.PENDING] == 2
        desk.put("d")
        assert desk.outbox.pending == 3
    assert len(stub.posts) == 2


def test_a_stop_never_waits_past_its_deadline(stub: GatewayStub) -> None:
    stub.answer = lambda _: HANG
    with sending(stub.url, timeout=10.0) as desk:
        desk.put("a", "b")
        eventually(lambda: len(stub.posts) == 2)
        began = time.monotonic()
        assert desk.courier.stop(began + 0.3) == 2
        assert 0.3 <= time.monotonic() - began < 8.0
        assert desk.outbox.counts()[SignalStatus.SENDING] == 2
        stub.close()  # which ends the requests: nobody has to wait for them


def test_a_stop_ends_a_drain_and_all_threads(stub: GatewayStub) -> None:
    stub.answer = lambda _: Answer(429, headers={"Retry-After": "60"})
    with sending(stub.url) as desk:
        desk.put("a")
        eventually(lambda: stub.posts)
        drained: list[bool] = []
        drain = threading.Thread(target=lambda: drained.append(desk.courier.drain(time.monotonic() + 60.0)))
        drain.start()
        began = time.monotonic()
        assert desk.courier.stop(began + 10.0) == 1
        drain.join(10.0)
        assert drained == [False]
        assert time.monotonic() - began < 9.0


def test_a_stop_of_idle_threads_takes_no_time(stub: GatewayStub) -> None:
    with sending(stub.url, threads=8) as desk:
        desk.send()
        began = time.monotonic()
        assert desk.courier.stop(began + 10.0) == 0
        assert time.monotonic() - began < 5.0


def test_the_threads_are_named_and_hold_up_no_exit(stub: GatewayStub) -> None:
    with sending(stub.url, threads=3) as desk:
        mine = {thread for thread in threading.enumerate() if thread.name.startswith("courier-")}
        assert {thread.name for thread in mine} == {"courier-0", "courier-1", "courier-2"}
        assert all(thread.daemon for thread in mine)
        desk.courier.stop(time.monotonic() + 10.0)
        assert not any(thread.is_alive() for thread in mine)


def test_a_courier_that_never_started_can_be_stopped(stub: GatewayStub) -> None:
    with sending(stub.url) as desk:
        pass
    assert desk.courier.stop(time.monotonic() + 1.0) == 0


def test_an_idle_courier_uses_next_to_no_time(stub: GatewayStub) -> None:
    stub.answer = lambda _: Answer(429, headers={"Retry-After": "60"})
    with sending(stub.url, ttl=60.0) as desk:
        desk.put(*(f"session-{number}" for number in range(50)))
        eventually(lambda: len(stub.posts) == 50)
        began = time.process_time()
        threading.Event().wait(1.0)
        assert time.process_time() - began < 0.5
