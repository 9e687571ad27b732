"""A position after a restart: what was saved, and every answer since."""

from models.execution import ExecutionReport, ReportStatus
from models.position import Position
from models.signal import Action
from services.state_history import PastSignal, carry_on


def past(
    name: str, action: Action, quantity: float, status: ReportStatus | None, price: float = 100.0
) -> PastSignal:
    if status is None:
        return PastSignal(name, action, quantity)
    executed = status in {"filled", "accepted"}
    report = ExecutionReport(
        signal_id=name,
        symbol="AAPL",
        action=action,
        quantity=quantity,
        status=status,
        filled_quantity=quantity if executed else 0.0,
        filled_price=price if executed else None,
    )
    return PastSignal(name, action, quantity, report)


def test_without_any_signal_the_position_is_the_one_that_was_saved() -> None:
    saved = Position(quantity=3.0, average_price=90.0, realised_pnl=7.0)
    assert carry_on(saved, []) == (saved, set())


def test_what_was_executed_since_is_booked() -> None:
    saved = Position(quantity=2.0, average_price=100.0)
    position, waiting = carry_on(
        saved, [past("a", "BUY", 2.0, "filled", 110.0), past("b", "SELL", 1.0, "accepted", 120.0)]
    )
    assert position == Position(quantity=3.0, average_price=105.0, realised_pnl=15.0)
    assert waiting == set()


def test_what_was_on_its_way_when_it_was_saved_is_booked_once() -> None:
    saved = Position(quantity=0.0, unanswered=1, ahead=2.0)
    position, _ = carry_on(saved, [past("a", "BUY", 2.0, "filled")])
    assert (position.quantity, position.expected, position.unanswered) == (2.0, 2.0, 0)


def test_what_has_no_answer_yet_is_still_expected() -> None:
    saved = Position(quantity=1.0, average_price=100.0, unanswered=1, ahead=3.0)
    position, waiting = carry_on(saved, [past("a", "BUY", 2.0, None), past("b", "SELL", 0.5, None)])
    assert (position.quantity, position.expected, position.unanswered) == (1.0, 2.5, 2)
    assert waiting == {"a", "b"}


def test_what_nobody_knows_of_any_more_is_not_waited_for() -> None:
    position, waiting = carry_on(Position(quantity=1.0, average_price=9.0, unanswered=3, ahead=9.0), [])
    assert (position.quantity, position.expected) == (1.0, 1.0)
    assert waiting == set()


def test_what_was_refused_changes_nothing() -> None:
    saved = Position(quantity=1.0, average_price=9.0)
    for status in ("rejected", "expired", "refused", "unknown"):
        assert carry_on(saved, [past("a", "BUY", 2.0, status)]) == (saved, set())
