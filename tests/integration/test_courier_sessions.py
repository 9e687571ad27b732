"""Order within a session, independence between sessions, and each outcome told once."""

import random
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from models.signal import SignalStatus
from services.signals.courier import Courier, CourierOptions
from services.signals.outbox import MemoryOutbox, OutboxEntry
from services.signals.outcome import Outcome
from services.signals.verdict import Executed, Reply, Verdict
from tests.gateway_stub import SILENT_DROP, SILENT_RESET, Answer, GatewayStub, Received
from tests.sample_signals import make_signal
from tests.sending import PATIENCE, QUICK, sending
from tests.support import eventually

if TYPE_CHECKING:
    from models.signal import Signal


@pytest.fixture
def stub() -> Iterator[GatewayStub]:
    with GatewayStub() as gateway:
        yield gateway


class Moody:
    """Answers at random, in every way that leaves a signal a chance; repeats itself only when idempotent."""

    def __init__(self, stub: GatewayStub, seed: int, *, idempotent: bool) -> None:
        self._idempotent = idempotent
        self._stub = stub
        self._chance = random.Random(seed)  # noqa: S311 — not for secrets
        self._lock = threading.Lock()
        self.executed: list[str] = []

    def answer(self, received: Received) -> Answer:
        with self._lock:
            mood = self._chance.randrange(10)
            if mood == 0:
                return Answer(502)
            if mood == 1:
                return Answer(429, headers={"Retry-After": "0"})
            if mood == 2:
                return SILENT_RESET
            repeated = self._idempotent and received.signal_id in self.executed
            if received.method == "POST" and not repeated:
                self.executed.append(received.signal_id)
                self._stub.execute(received)
            if mood == 3:
                return SILENT_DROP
            return self._stub.friendly(received)


@pytest.mark.parametrize("idempotent", [True, False])
def test_sessions_keep_their_order_whatever_goes_wrong(stub: GatewayStub, idempotent: bool) -> None:  # noqa: FBT001 — a case
    moody = Moody(stub, seed=7, idempotent=idempotent)
    stub.answer = moody.answer
    keys = [f"session-{number}" for number in range(10)]
    with sending(stub.url, idempotent=idempotent, ttl=60.0) as desk:
        signals = desk.put(*(random.Random(7).choices(keys, k=200)))  # noqa: S311 — not for secrets
        desk.drain()
        told = list(desk.told)
    put_by_session: dict[str, list[str]] = defaultdict(list)
    for signal in signals:
        put_by_session[signal.session_key].append(signal.signal_id)
    session_of = {signal.signal_id: signal.session_key for signal in signals}
    assert {outcome.status for _, outcome in told} == {SignalStatus.EXECUTED}
    assert len(moody.executed) == len(set(moody.executed)) == len(told) == 200
    for key, ids in put_by_session.items():
        assert [signal.signal_id for signal, _ in told if signal.session_key == key] == ids
        assert [signal_id for signal_id in moody.executed if session_of[signal_id] == key] == ids


def test_a_slow_session_does_not_hold_up_the_others(stub: GatewayStub) -> None:
    released = threading.Event()

    def slow_for_one(received: Received) -> Answer:
        if received.json["sessionId"] == "slow":
            released.wait(15.0)
        return stub.friendly(received)

    stub.answer = slow_for_one
    with sending(stub.url, timeout=20.0) as desk:
        desk.put("slow", "slow", *(f"session-{number % 50}" for number in range(500)))
        for _ in range(500):
            assert desk.outcome().report.status == "filled"
        assert {signal.session_key for signal, _ in desk.told} == {
            f"session-{number}" for number in range(50)
        }
        released.set()
        assert desk.outcome().report.status == desk.outcome().report.status == "filled"


def test_sessions_that_hang_hold_up_no_other(stub: GatewayStub) -> None:
    released = threading.Event()

    def hang_for_some(received: Received) -> Answer:
        if received.json["sessionId"].startswith("hangs"):
            released.wait(PATIENCE)
        return stub.friendly(received)

    stub.answer = hang_for_some
    with sending(stub.url, timeout=2 * PATIENCE, threads=2, most_threads=32, ttl=60.0) as desk:
        hanging = desk.put(*(f"hangs-{number}" for number in range(20)))
        answered = [desk.send(f"session-{number}").report.signal_id for number in range(80)]
        assert not {signal.signal_id for signal in hanging} & set(answered)
        released.set()
        desk.drain()


def test_sessions_that_wait_occupy_no_thread(stub: GatewayStub) -> None:
    def not_now(received: Received) -> Answer:
        waits = received.json["sessionId"].startswith("waiting")
        return Answer(429, headers={"Retry-After": "60"}) if waits else stub.friendly(received)

    stub.answer = not_now
    with sending(stub.url, threads=2, ttl=60.0) as desk:
        desk.put(*(f"waiting-{number}" for number in range(100)))
        for number in range(100):
            assert desk.send(f"session-{number}").report.status == "filled"
        assert desk.outbox.pending == 100
        assert len(stub.posts) == 200, "and nobody who was told to wait came back early"


def test_a_wait_ends_in_time_while_other_threads_are_busy(stub: GatewayStub) -> None:
    released = threading.Event()

    def moody(received: Received) -> Answer:
        if received.json["sessionId"] == "busy":
            released.wait(15.0)
        first = sum(other.signal_id == received.signal_id for other in stub.posts) == 1
        waits = received.json["sessionId"] == "waiting" and first
        return Answer(429, headers={"Retry-After": "0.3"}) if waits else stub.friendly(received)

    stub.answer = moody
    with sending(stub.url, threads=2, timeout=20.0) as desk:
        for _ in range(4):
            released.clear()
            [waiting] = desk.put("waiting")
            eventually(lambda: stub.posts and stub.posts[-1].json["sessionId"] == "waiting")
            threading.Event().wait(0.05)  # both threads are idle, one until the wait ends
            desk.put("busy")
            assert desk.outcome().report.signal_id == waiting.signal_id
            first, second = (
                received.at for received in stub.posts if received.signal_id == waiting.signal_id
            )
            assert 0.3 <= second - first < 0.7
            released.set()
            desk.outcome()


def test_one_session_does_not_starve_the_others(stub: GatewayStub) -> None:
    with sending(stub.url, threads=1) as desk:
        desk.put(*["busy"] * 300, "quiet")
        desk.drain()
        position = [signal.session_key for signal, _ in desk.told].index("quiet")
    assert position < 300 - 1, "the quiet session's turn comes before the busy one is done"


def test_the_same_signal_put_twice_is_sent_once(stub: GatewayStub) -> None:
    with sending(stub.url) as desk:
        [signal] = desk.put("a")
        assert desk.outbox.put(signal, time.monotonic()) == "duplicate_signal"
        desk.drain()
        assert desk.outbox.put(signal, time.monotonic()) == "duplicate_signal"
    assert len(stub.posts) == len(desk.told) == 1


def test_a_listener_that_raises_holds_nobody_up(stub: GatewayStub) -> None:
    outbox, told = MemoryOutbox(100, 15.0), list[Outcome]()

    def listen(_: OutboxEntry, outcome: Outcome) -> None:
        told.append(outcome)
        raise RuntimeError("a mistake in the listener")

    with sending(stub.url) as desk:
        courier = Courier(outbox, desk.route, CourierOptions(**QUICK), listen)  # type: ignore[arg-type]  # by name
        courier.start()
        for _ in range(3):
            outbox.put(make_signal("a"), 0.0)
        assert courier.drain(time.monotonic() + 15.0)
        courier.stop(time.monotonic() + 15.0)
    assert [outcome.report.status for outcome in told] == ["filled"] * 3
    assert outbox.pending == 0


class FailingGateway:
    """Fails in ways that no gateway should, so that only the courier's own boundary is left."""

    def __init__(self) -> None:
        self.executions = 0

    def start(self) -> None: ...

    def close(self) -> None: ...

    def execute(self, signal: "Signal") -> Verdict:
        self.executions += 1
        raise KeyError(signal.signal_id)

    def read_back(self, signal_id: str) -> Verdict:
        if self.executions < 2:
            raise MemoryError(signal_id)
        return Executed(status="filled")

    def probe(self) -> Reply:
        raise ZeroDivisionError


def test_a_mistake_of_our_own_is_taken_for_doubt() -> None:
    outbox, told = MemoryOutbox(100, 0.5), list[Outcome]()
    options = CourierOptions(**QUICK)  # type: ignore[arg-type]  # by name
    courier = Courier(outbox, FailingGateway(), options, lambda _, outcome: told.append(outcome))
    courier.start()
    outbox.put(make_signal("a"), 0.0)
    outbox.put(make_signal("b"), 0.0)
    assert courier.drain(time.monotonic() + 15.0)
    courier.stop(time.monotonic() + 15.0)
    assert {outcome.report.status for outcome in told} <= {"unknown", "filled"}
    assert len(told) == 2
