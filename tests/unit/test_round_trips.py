"""What was bought and sold again, first in, first out, with its share of the fees."""

from services.history.broker import Fill
from services.history.round_trips import RoundTrip, pair
from tests.unit.playing import FIRST, MINUTE


def fill(action: str, quantity: float, price: float, minute: int, session: str = "s") -> Fill:
    """Make a fill whose fee is a hundredth of its value."""
    return Fill(
        signal_id=f"{session}-{minute}",
        session_key=session,
        symbol="AAPL",
        action=action,  # type: ignore[arg-type]  # one of the two
        quantity=quantity,
        price=price,
        fee=quantity * price / 100,
        time=FIRST + minute * MINUTE,
    )


def essence(trip: RoundTrip) -> tuple[float, float, float | None, float, float | None]:
    return trip.quantity, trip.entry_price, trip.exit_price, round(trip.fees, 9), trip.profit


def test_a_sale_closes_what_was_bought_first_and_leaves_the_rest() -> None:
    closed, held = pair([fill("BUY", 10, 10.0, 0), fill("BUY", 10, 20.0, 1), fill("SELL", 15, 30.0, 2)])

    assert [essence(trip) for trip in closed] == [
        (10, 10.0, 30.0, 1.0 + 3.0, 200.0 - 4.0),
        (5, 20.0, 30.0, 1.0 + 1.5, 50.0 - 2.5),
    ]
    assert [essence(trip) for trip in held] == [(5, 20.0, None, 1.0, None)]
    assert [trip.seconds for trip in (*closed, *held)] == [120.0, 60.0, None]
    assert closed[0].share == 196.0 / 100.0


def test_sessions_close_their_own_purchases_alone() -> None:
    closed, held = pair(
        [fill("BUY", 1, 10.0, 0, "one"), fill("BUY", 1, 20.0, 1, "other"), fill("SELL", 1, 30.0, 2, "other")]
    )

    assert [(trip.session_key, trip.entry_price) for trip in closed] == [("other", 20.0)]
    assert [(trip.session_key, trip.entry_price) for trip in held] == [("one", 10.0)]


def test_what_is_held_comes_in_the_order_in_which_it_was_bought() -> None:
    _, held = pair([fill("BUY", 1, 10.0, 0), fill("BUY", 1, 20.0, 1, "other"), fill("BUY", 1, 30.0, 2)])

    assert [trip.entry_price for trip in held] == [10.0, 20.0, 30.0]
