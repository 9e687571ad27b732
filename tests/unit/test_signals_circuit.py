"""When sending stops for all, when it is probed, and what lets it go on."""

import math

import pytest

from models.errors import NotSent, Uncertain
from services.signals.circuit import Circuit
from services.signals.verdict import Reply

Silence = NotSent | Uncertain


def make_circuit() -> Circuit:
    """Make a circuit that always draws the longest wait."""
    return Circuit(draw=lambda: 1.0)


def test_a_closed_circuit_has_no_reason_and_no_probe() -> None:
    circuit = make_circuit()
    assert not circuit.is_open
    assert circuit.reason is None
    assert circuit.probe_at == math.inf
    assert not circuit.begin_probe(1e9)


def test_an_unreachable_gateway_opens_it_and_says_why() -> None:
    circuit = make_circuit()
    circuit.unreachable("connection_refused", 10.0)
    assert circuit.is_open
    assert circuit.reason == "gateway_unreachable: connection_refused"


def test_where_an_oms_executes_the_reason_names_it() -> None:
    circuit = Circuit(draw=lambda: 1.0, whose="oms")
    circuit.blocked("unauthenticated", 10.0)
    assert circuit.reason == "oms_refuses_credentials: unauthenticated"


def test_only_one_probe_is_under_way() -> None:
    circuit = make_circuit()
    circuit.unreachable("connection_refused", 10.0)
    assert not circuit.begin_probe(10.05)
    assert circuit.begin_probe(10.1)
    assert not circuit.begin_probe(99.0)
    assert circuit.probe_at == math.inf


def test_a_dead_gateway_is_probed_at_least_twice_a_second_however_long_it_is_away() -> None:
    circuit, now = make_circuit(), 0.0
    circuit.unreachable("connection_refused", now)
    for _ in range(50):
        assert circuit.probe_at - now <= 0.5 + 1e-9
        now = circuit.probe_at
        assert circuit.begin_probe(now)
        circuit.probed(NotSent("connection_refused"), now)
    assert circuit.is_open


def test_many_failures_at_once_do_not_put_the_probe_off() -> None:
    circuit = make_circuit()
    circuit.unreachable("connection_refused", 10.0)
    due = circuit.probe_at
    circuit.unreachable("connect_timeout", 12.0)
    assert circuit.probe_at == due


@pytest.mark.parametrize("status", [200, 400, 404, 405, 500, 501])
def test_any_answer_of_the_gateway_itself_closes_it(status: int) -> None:
    for fail in (Circuit.unreachable, Circuit.blocked):
        circuit = make_circuit()
        fail(circuit, "it failed", 0.0)
        assert circuit.begin_probe(5.0)
        circuit.probed(Reply(status=status), 5.0)
        assert not circuit.is_open
        assert circuit.reason is None


@pytest.mark.parametrize(
    "answer",
    [
        NotSent("connection_refused"),
        Uncertain("read_timeout"),
        Reply(status=502),
        Reply(status=503),
        Reply(status=504),
    ],
)
def test_an_answer_of_something_in_front_of_the_gateway_does_not(answer: Reply | Silence) -> None:
    for fail in (Circuit.unreachable, Circuit.blocked):
        circuit = make_circuit()
        fail(circuit, "it failed", 0.0)
        assert circuit.begin_probe(5.0)
        circuit.probed(answer, 5.0)
        assert circuit.is_open
        assert 5.0 < circuit.probe_at < math.inf


@pytest.mark.parametrize("status", [401, 403])
def test_refused_credentials_keep_it_open_whatever_opened_it(status: int) -> None:
    for fail in (Circuit.unreachable, Circuit.blocked):
        circuit = make_circuit()
        fail(circuit, "it failed", 0.0)
        assert circuit.begin_probe(5.0)
        circuit.probed(Reply(status=status), 5.0)
        assert circuit.reason is not None
        assert circuit.reason.startswith("gateway_refuses_credentials")
        assert 6.0 < circuit.probe_at < math.inf


def test_refused_credentials_outrank_an_unreachable_gateway() -> None:
    circuit = make_circuit()
    circuit.blocked("http_401", 0.0)
    circuit.unreachable("connection_refused", 0.1)
    assert circuit.reason == "gateway_refuses_credentials: http_401"


def test_where_a_probe_passes_and_signals_are_refused_the_probes_become_rare() -> None:
    circuit, now, waits = make_circuit(), 0.0, []
    for _ in range(6):
        circuit.blocked("http_401", now)
        waits.append(circuit.probe_at - now)
        now = circuit.probe_at
        assert circuit.begin_probe(now)
        circuit.probed(Reply(status=404), now)
    assert waits == [2.0, 4.0, 8.0, 10.0, 10.0, 10.0]
    circuit.answered()
    circuit.blocked("http_401", now)
    assert circuit.probe_at - now == 2.0
