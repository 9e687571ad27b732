"""What risk does to signals on their way: reduced, refused with a record, halted before they are sent."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal

from prometheus_client import CollectorRegistry

from models.errors import Uncertain
from models.execution import ExecutionReport
from models.risk import Rule
from models.risk_event import RiskEvent
from models.signal import Signal, SignalStatus
from services.risk.account import Account, Books
from services.risk.desk import RiskDesk
from services.risk.events import SESSIONS
from services.risk.guard import Guard
from services.risk.kill_switch import SwitchOff
from services.signals.circuit import Circuit
from services.signals.courier import CourierOptions
from services.signals.delivery import RetryPolicy
from services.signals.desk import SignalDesk
from services.signals.dispatcher import Dispatcher, Ending, Request, Task
from services.signals.gateway_client import GatewayClient, GatewayOptions
from services.signals.outbox import MemoryOutbox, OutboxEntry
from services.signals.route import GatewayRoute
from services.signals.verdict import Executed, NeverSeen
from services.telemetry.metrics import SignalMetrics
from tests.gateway_stub import GatewayStub
from tests.sample_risk import limits, make_book
from tests.sample_signals import make_signal
from tests.support import eventually


class Way:
    """Everything between a session and the gateway, with AAPL at 100 and sessions worth 100,000."""

    def __init__(self, url: str, capacity: int, *, checks_sessions: bool) -> None:
        self.switch = SwitchOff()
        self.events = list[RiskEvent]()
        self.reports: list[ExecutionReport] = []
        self.book = make_book()
        self.book.open(SESSIONS, Account(limits=limits(), fixed_value=Decimal(100_000)), Books())
        desk = RiskDesk(limits(), self.book, self.switch, self.events.append)
        self.guard = Guard(desk, self.switch, checks_sessions=checks_sessions)
        self.outbox = MemoryOutbox(capacity, 30.0)
        route = GatewayRoute(GatewayClient(GatewayOptions(url=url, timeout=5.0)))
        metrics = SignalMetrics(CollectorRegistry())
        self.desk = SignalDesk(route, CourierOptions(), self.outbox, metrics, guard=self.guard)

    def send(self, signal: Signal) -> Signal:
        """Do with a signal what its session does; return it as it was sent."""
        signal, risk = self.guard.vet(signal, "stock")
        if risk is None:
            assert self.desk.submit(signal, time.monotonic()) is None
        else:
            assert self.desk.refuse(signal, time.monotonic(), risk) is None
        return signal

    def told(self, count: int) -> list[str | None]:
        """Wait for so many reports; return their reasons."""
        eventually(lambda: len(self.reports) == count, message=f"{count} reports")
        return [report.reason for report in self.reports]

    def exposure(self) -> Decimal:
        with self.book.holdings() as held:
            return held.tally.exposure

    def report(self, key: str, report: ExecutionReport) -> None:
        assert key == "session-1"
        self.reports.append(report)

    def halt_session(self, key: str, reason: str) -> None:
        raise AssertionError((key, reason))

    def stop_session(self, session_id: str) -> int:
        raise AssertionError(session_id)


@contextmanager
def way(capacity: int = 100, *, checks_sessions: bool = True) -> Iterator[tuple[Way, GatewayStub]]:
    with GatewayStub() as stub:
        made = Way(stub.url, capacity, checks_sessions=checks_sessions)
        made.desk.start(made)
        try:
            yield made, stub
        finally:
            made.desk.stop(time.monotonic() + 10.0)


def test_a_signal_goes_out_as_small_as_it_may_be_and_is_booked_so() -> None:
    with way() as (made, stub):
        sent = made.send(make_signal(quantity=350.0, price=100.0))
        assert made.told(1) == [None]
        assert sent.quantity == 300.0
        assert stub.posts[0].json["quantity"] == 300.0
        assert made.exposure() == 30_000
        assert [(each.event_type, each.action_taken) for each in made.events] == [
            (Rule.POSITION_SIZE, "reduced")
        ]
        assert made.events[0].session_key == "session-1"
        assert made.events[0].data["reduced_to"] == "300"


def test_a_refused_signal_is_counted_told_and_not_sent() -> None:
    with way() as (made, stub):
        made.send(make_signal(quantity=0.5))
        reason = "order_size: the order is worth 50.25, below the smallest of 100.00"
        assert made.told(1) == [reason]
        assert made.reports[0].status == "refused"
        assert made.outbox.counts()[SignalStatus.REFUSED] == 1
        assert made.exposure() == 0
        assert not stub.posts


def test_what_the_outbox_does_not_take_is_not_reserved() -> None:
    with way(capacity=0) as (made, _):
        signal, risk = made.guard.vet(make_signal(), "stock")
        assert risk is None
        assert made.exposure() > 0
        assert made.desk.submit(signal, time.monotonic()) == "outbox_full"
        assert made.exposure() == 0
        assert made.desk.refuse(signal, time.monotonic(), "of this test") == "of this test"


def test_without_checks_only_the_kill_switch_refuses() -> None:
    with way(checks_sessions=False) as (made, stub):
        made.send(make_signal(quantity=0.5))
        assert made.told(1) == [None]
        made.switch.reason = "fire drill"
        made.send(make_signal())
        assert made.told(2) == [None, "halted: fire drill"]
        assert len(stub.posts) == 1
        assert [each.event_type for each in made.events] == [Rule.KILL_SWITCH]


class Sender:
    """A dispatcher with a switch in hand."""

    def __init__(self) -> None:
        self.now = 100.0
        self.switch = SwitchOff()
        policy = RetryPolicy(idempotent=False, draw=lambda: 0.0)
        self.dispatcher = Dispatcher(policy, Circuit(draw=lambda: 1.0), switch=self.switch)
        self.dispatcher.accept(
            OutboxEntry(
                signal=make_signal(), received_at=100.0, expires_at=130.0, created_at=datetime.now(UTC)
            )
        )

    def next(self) -> Task | None:
        return self.dispatcher.next(self.now)

    def request(self) -> Request:
        task = self.next()
        assert isinstance(task, Request)
        return task

    def ending(self) -> Ending:
        task = self.next()
        assert isinstance(task, Ending)
        return task


def test_what_waits_to_be_sent_is_refused_while_trading_is_halted() -> None:
    sender = Sender()
    sender.switch.reason = "fire drill"
    report = sender.ending().outcome.report
    assert (report.status, report.reason) == ("refused", "halted: fire drill")


def test_what_may_have_been_sent_is_asked_about_while_trading_is_halted_and_not_sent_again() -> None:
    sender = Sender()
    request = sender.request()
    assert sender.dispatcher.settle(request.delivery, Uncertain("reset"), sender.now) is None
    sender.switch.reason = "fire drill"
    request = sender.request()
    assert request.delivery.reads_back
    assert sender.dispatcher.settle(request.delivery, NeverSeen(), sender.now) is None
    assert sender.ending().outcome.report.reason == "halted: fire drill"


def test_what_was_executed_before_the_halt_is_reported_so() -> None:
    sender = Sender()
    request = sender.request()
    sender.switch.reason = "fire drill"
    ending = sender.dispatcher.settle(request.delivery, Executed(status="filled"), sender.now)
    assert ending is not None
    assert ending.outcome.status is SignalStatus.EXECUTED


def test_nothing_is_sent_before_it_is_known_whether_trading_is_halted() -> None:
    sender = Sender()
    sender.switch.is_known, sender.switch.reason = False, "nobody knows"
    assert sender.next() is None
    assert sender.now < sender.dispatcher.next_due() <= sender.now + 1.0
    sender.now += 1.0
    assert sender.next() is None
    sender.now += 1.0
    sender.switch.is_known, sender.switch.reason = True, None
    assert sender.request().delivery.attempts == 0
