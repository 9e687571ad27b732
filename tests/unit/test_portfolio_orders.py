"""Orders on their way out: given once, found again, and never called expired while they may arrive."""

from datetime import timedelta

from models.execution import ExecutionReport
from models.portfolio_execution import Execution
from models.signal import Signal
from services.portfolio.execution_orders import OrderDispatch, signal_of
from tests.unit.portfolio_driver import START, Driver, report

TTL = 30.0


class Outbox:
    """Takes signals while it has room."""

    def __init__(self) -> None:
        self.taken: list[Signal] = []
        self.full = False

    def submit(self, signal: Signal, *_: object) -> str | None:
        if self.full:
            return "outbox_full"
        self.taken.append(signal)
        return None


def open_execution() -> Execution:
    driver = Driver.of()
    driver.see(AAPL=100, MSFT=100)
    driver.give()
    return driver.execution


def missing(
    dispatch: OrderDispatch, execution: Execution, known: dict[str, ExecutionReport | None], seconds: float
) -> list[tuple[str, str]]:
    found = dispatch.missing(execution, known, START + timedelta(seconds=seconds))
    return [(each.symbol, each.status) for each in found]


def test_an_order_that_was_never_sent_is_given_again_while_it_is_young() -> None:
    outbox, execution = Outbox(), open_execution()
    assert missing(OrderDispatch(outbox.submit, TTL), execution, {}, TTL - 1) == []
    assert outbox.taken == [signal_of(execution, order) for order in execution.open_orders.values()]


def test_an_order_that_was_never_sent_and_is_too_old_is_expired() -> None:
    outbox, execution = Outbox(), open_execution()
    found = missing(OrderDispatch(outbox.submit, TTL), execution, {}, TTL)
    assert found == [("AAPL", "expired"), ("MSFT", "expired")]
    assert outbox.taken == []


def test_an_order_on_its_way_is_neither_given_again_nor_expired_however_old() -> None:
    outbox, execution = Outbox(), open_execution()
    pending: dict[str, ExecutionReport | None] = dict.fromkeys(map(str, execution.open_orders))
    assert missing(OrderDispatch(outbox.submit, TTL), execution, pending, 10 * TTL) == []
    assert outbox.taken == []


def test_what_this_process_gave_is_left_to_the_outbox_also_before_it_has_a_row() -> None:
    outbox, execution = Outbox(), open_execution()
    dispatch = OrderDispatch(outbox.submit, TTL)
    dispatch.give(execution, execution.open_orders.values())
    assert missing(dispatch, execution, {}, 10 * TTL) == []
    assert len(outbox.taken) == dispatch.submitted == 2


def test_what_the_outbox_has_no_room_for_is_refused_and_decided_anew() -> None:
    outbox, execution = Outbox(), open_execution()
    outbox.full = True
    refused = OrderDispatch(outbox.submit, TTL).give(execution, execution.open_orders.values())
    assert [(each.status, each.reason) for each in refused] == [("refused", "outbox_full")] * 2


def test_an_end_that_the_table_knows_is_brought() -> None:
    outbox, execution = Outbox(), open_execution()
    first, second = execution.open_orders.values()
    known = {str(first.order_id): report(first), str(second.order_id): None}
    assert missing(OrderDispatch(outbox.submit, TTL), execution, known, 10 * TTL) == [("AAPL", "filled")]
