"""A gateway that is away, or does not know us: what it costs, what is held back, and how soon it goes on."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from functools import partial
from typing import ClassVar

import pytest

from models.signal import SignalStatus
from tests.gateway_stub import Answer, GatewayStub, Received
from tests.sending import sending
from tests.support import eventually, free_port

SESSIONS = [f"session-{number}" for number in range(1000)]


@pytest.fixture
def stub() -> Iterator[GatewayStub]:
    with GatewayStub() as gateway:
        yield gateway


class Guarded:
    """A gateway whose token has expired until `renewed` is set."""

    def __init__(self, stub: GatewayStub) -> None:
        self._stub = stub
        self.renewed = threading.Event()

    def answer(self, received: Received) -> Answer:
        if not self.renewed.is_set():
            return Answer.of(401, {"error": "token_expired"})
        return self._stub.friendly(received)


def test_refused_credentials_cost_one_signal_and_hold_the_others_until_a_probe_passes(
    stub: GatewayStub,
) -> None:
    guarded = Guarded(stub)
    stub.answer = guarded.answer
    with sending(stub.url, ttl=60.0) as desk:
        outcome = desk.send("a")
        assert (outcome.status, outcome.report.reason) == (SignalStatus.REJECTED, "token_expired")
        assert desk.courier.circuit_reason == "gateway_refuses_credentials: token_expired"
        desk.put(*SESSIONS)
        eventually(lambda: len(stub.gets) >= 3)
        assert len(stub.posts) == 1, "nothing but probes is sent"
        assert desk.courier.circuit_reason is not None
        guarded.renewed.set()
        desk.drain()
        assert desk.courier.circuit_reason is None
        statuses = [outcome.status for _, outcome in desk.told[1:]]
    assert statuses == [SignalStatus.EXECUTED] * len(SESSIONS)
    assert len(stub.posts) == 1 + len(SESSIONS)


def test_signals_behind_refused_credentials_expire_unsent(stub: GatewayStub) -> None:
    stub.answer = Guarded(stub).answer
    with sending(stub.url, ttl=0.5) as desk:
        desk.send("a")
        desk.put("a", "b")
        for _ in range(2):
            outcome = desk.outcome()
            assert (outcome.status, outcome.attempts) == (SignalStatus.EXPIRED, 0)
            assert outcome.report.reason == "gateway_refuses_credentials: token_expired"
    assert len(stub.posts) == 1


def test_credentials_that_pass_the_probe_but_not_with_a_signal_cost_ever_fewer_signals(
    stub: GatewayStub,
) -> None:
    stub.answer = lambda received: Answer(404 if received.method == "GET" else 403)
    with sending(stub.url, ttl=1.5) as desk:
        desk.put(*SESSIONS)
        desk.drain()
        rejected = [outcome for _, outcome in desk.told if outcome.status is SignalStatus.REJECTED]
    assert len(rejected) == len(stub.posts) < 80


@contextlib.contextmanager
def counting_refuser(port: int) -> Iterator[list[float]]:
    """A port that takes connections and resets them before a word is said, noting when."""
    knocks: list[float] = []
    with socket.create_server(("127.0.0.1", port)) as listener:
        listener.settimeout(0.1)
        ended = threading.Event()

        def refuse() -> None:
            while not ended.is_set():
                with contextlib.suppress(TimeoutError):
                    connection, _ = listener.accept()
                    knocks.append(time.monotonic())
                    connection.close()

        thread = threading.Thread(target=refuse)
        thread.start()
        try:
            yield knocks
        finally:
            ended.set()
            thread.join()


def test_a_thousand_sessions_do_not_hammer_a_gateway_that_is_away() -> None:
    port = free_port()
    with counting_refuser(port) as knocks, sending(f"https://127.0.0.1:{port}", ttl=1.0) as desk:
        desk.put(*SESSIONS)
        desk.drain()
        assert {outcome.status for _, outcome in desk.told} == {SignalStatus.EXPIRED}
    assert 2 <= len(knocks) <= 4 + 20, "one attempt per thread, then one probe at a time"


def test_everything_goes_out_within_a_second_of_the_gateways_return() -> None:
    port = free_port()
    with sending(f"http://127.0.0.1:{port}", ttl=60.0) as desk:
        signals = desk.put(*SESSIONS[:100], *SESSIONS[:100])
        eventually(lambda: desk.courier.circuit_reason)
        assert desk.courier.circuit_reason == "gateway_unreachable: connection_refused"
        threading.Event().wait(1.5)  # the probes are as rare now as they become
        with GatewayStub(port) as stub:
            back = time.monotonic()
            desk.drain()
            assert desk.courier.circuit_reason is None
            assert stub.posts[0].at - back < 1.0
            assert {received.signal_id for received in stub.posts} == {signal.signal_id for signal in signals}
            assert len(stub.posts) == len(signals)


def test_the_circuit_closes_without_any_signal_waiting() -> None:
    port = free_port()
    with sending(f"http://127.0.0.1:{port}", ttl=0.2) as desk:
        assert desk.send().status is SignalStatus.EXPIRED
        assert desk.courier.circuit_reason is not None
        with GatewayStub(port):
            eventually(lambda: desk.courier.circuit_reason is None)


class Obedient(GatewayStub):
    """Executes whatever it is sent, as often as it is sent, and only remembers what it did last."""

    executions: ClassVar[list[str]] = []

    def friendly(self, received: Received) -> Answer:
        if received.method == "GET":
            return super().friendly(received)
        self.executions.append(received.signal_id)
        return Answer(201, self.execute(received))


def test_a_gateway_restarted_in_the_middle_of_it_all_loses_and_doubles_nothing() -> None:
    port, ledger = free_port(), dict[str, bytes]()
    Obedient.executions.clear()
    with sending(f"http://127.0.0.1:{port}", ttl=60.0) as desk:

        def enough(stub: GatewayStub) -> bool:
            return len(stub.posts) >= 50 or desk.outbox.pending == 0

        signals = desk.put(*SESSIONS[:200], *SESSIONS[:200])
        for _ in range(4):
            with Obedient(port, executed=ledger) as stub:
                eventually(partial(enough, stub))
        with Obedient(port, executed=ledger):
            desk.drain()
        assert {outcome.status for _, outcome in desk.told} == {SignalStatus.EXECUTED}
    assert len(Obedient.executions) == len(signals)
    assert set(Obedient.executions) == {signal.signal_id for signal in signals}
