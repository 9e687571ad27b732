"""What the courier may rely on, whoever executes its signals: the same tests for the Gateway and the OMS."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass

import pytest

from models.errors import NotSent, Refused
from services.oms.options import Rules
from services.signals.gateway_client import GatewayClient, GatewayOptions
from services.signals.route import GatewayRoute, Route
from services.signals.verdict import Blocked, Executed, Rejected
from tests.gateway_stub import Answer, GatewayStub, Received
from tests.oms_stub import make_client, serving_oms
from tests.sample_signals import make_signal
from tests.support import eventually, free_port

TOKEN = "t0ken"  # noqa: S105 — of this test
LIMIT = 100


@contextmanager
def serving_gateway(port: int, token: str | None) -> Iterator[None]:
    """A gateway that rejects more than LIMIT units."""
    with GatewayStub(port) as stub:

        def answer(received: Received) -> Answer:
            if token and received.headers.get("authorization") != f"Bearer {token}":
                return Answer.of(401, {"error": "unauthorized"})
            if received.method == "POST" and received.json["quantity"] > LIMIT:
                return Answer.of(422, {"error": "quantity_over_limit"})
            return stub.friendly(received)

        stub.answer = answer
        yield


@contextmanager
def serving_reference_oms(port: int, token: str | None) -> Iterator[None]:
    """An OMS that rejects more than LIMIT units."""
    with serving_oms(Rules(fill_parts=2, reject_over_quantity=LIMIT), port=port, token=token):
        yield


@dataclass(frozen=True)
class Kind:
    """A way to have signals executed: who does, and the route there from a token."""

    serve: Callable[[int, str | None], AbstractContextManager[None]]
    make_route: Callable[[int, str | None], Route]


def gateway_route(port: int, token: str | None) -> Route:
    return GatewayRoute(GatewayClient(GatewayOptions(f"http://127.0.0.1:{port}", token=token)))


def oms_route(port: int, token: str | None) -> Route:
    stream = {"token": token, "settling": 0.3 if token else 0.02, "patience": 1.0}
    return make_client(f"127.0.0.1:{port}", stream)


KINDS = {
    "gateway": Kind(serving_gateway, gateway_route),
    "oms": Kind(serving_reference_oms, oms_route),
}


class Bench:
    """A route, and whether there is somebody at its end."""

    def __init__(self, kind: Kind, stack: ExitStack) -> None:
        self._kind = kind
        self._stack = stack
        self._port = free_port()

    def serve(self, token: str | None = None) -> None:
        """Have somebody answer from now on."""
        self._stack.enter_context(self._kind.serve(self._port, token))

    def route(self, token: str | None = None) -> Route:
        """Make and start the route."""
        route = self._kind.make_route(self._port, token)
        route.start()
        self._stack.callback(route.close)
        return route


@pytest.fixture(params=list(KINDS.values()), ids=list(KINDS))
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    with ExitStack() as stack:
        yield Bench(request.param, stack)


def status_of_probe(route: Route) -> int | None:
    try:
        return route.probe().status
    except NotSent:
        return None


def test_a_signal_is_executed_as_it_asks(bench: Bench) -> None:
    bench.serve()
    verdict = bench.route().execute(make_signal(quantity=7.0, price=99.5))
    assert isinstance(verdict, Executed)
    assert (verdict.status, verdict.filled_quantity, verdict.filled_price) == ("filled", 7.0, 99.5)
    assert verdict.order_id


def test_a_rejection_says_why_and_concerns_one_signal(bench: Bench) -> None:
    bench.serve()
    route = bench.route()
    assert route.execute(make_signal(quantity=LIMIT + 1.0)) == Rejected(reason="quantity_over_limit")
    assert isinstance(route.execute(make_signal(quantity=float(LIMIT))), Executed)


def test_the_same_signal_again_is_the_same_execution(bench: Bench) -> None:
    bench.serve()
    signal = make_signal()
    first = bench.route().execute(signal)
    assert isinstance(first, Executed)
    assert bench.route().execute(signal) == first


def test_where_nobody_answers_nothing_is_sent(bench: Bench) -> None:
    route = bench.route()
    with pytest.raises(NotSent):
        route.execute(make_signal())
    assert status_of_probe(route) is None
    bench.serve()
    eventually(lambda: status_of_probe(route))
    assert isinstance(route.execute(make_signal()), Executed)


def test_refused_credentials_are_told_from_everything_else(bench: Bench) -> None:
    bench.serve(TOKEN)
    stranger = bench.route("another")
    eventually(lambda: status_of_probe(stranger) == 401)
    assert isinstance(stranger.execute(make_signal()), Blocked)
    assert isinstance(bench.route(TOKEN).execute(make_signal()), Executed)


def test_what_cannot_be_put_into_words_is_refused_before_it_is_sent(bench: Bench) -> None:
    bench.serve()
    route = bench.route()
    unspeakable = make_signal(quantity=0.5, metadata={"object": object()})
    with pytest.raises(Refused):
        route.execute(unspeakable)
