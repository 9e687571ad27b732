"""What the data checks find in rows made by hand, and which rows they take for bars."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import DecodeError
from models.market_data import Bar
from services.history.data_checks import Kind, review
from services.history.rows import SymbolRows, read_number
from tests.unit.history_rows import BLANK, Row, closes, rows_of

GOOD: Row = ("2024-01-02", 10.0, 11.0, 9.0, 10.5, 100.0)


def found(rows: SymbolRows) -> dict[str, tuple[int, tuple[str, ...]]]:
    return {finding.kind.value: (finding.count, finding.examples) for finding in review(rows).findings}


def test_bars_without_fault_are_all_taken() -> None:
    rows = rows_of(GOOD, ("2024-01-03", 10.5, 10.5, 10.5, 10.5, 0.0))
    assert list(review(rows).usable) == [0, 1]
    assert found(rows) == {}


@pytest.mark.parametrize(
    ("row", "kind", "example"),
    [
        (("2024-01-03", BLANK, 11.0, BLANK, 10.0, 1.0), "blank", "2024-01-03 open low"),
        (("2024-01-03", 10.0, 11.0, 9.0, 10.0, BLANK), "blank", "2024-01-03 volume"),
        (("2024-01-03", -1.0, 11.0, -1.0, 10.0, 1.0), "not_positive", "2024-01-03"),
        (("2024-01-03", 0.0, 11.0, 0.0, 10.0, 1.0), "not_positive", "2024-01-03"),
        (("2024-01-03", 10.0, float("inf"), 9.0, 10.0, 1.0), "not_positive", "2024-01-03"),
        (("2024-01-03", 10.0, 11.0, 9.0, 10.0, -1.0), "not_positive", "2024-01-03"),
        (
            ("2024-01-03", 12.0, 11.0, 9.0, 10.0, 1.0),
            "inconsistent_bar",
            "2024-01-03 open 12 high 11 low 9 close 10",
        ),
        (("2024-01-02", 10.0, 11.0, 9.0, 10.0, 1.0), "duplicate", "2024-01-02"),
        (("2024-01-01", 10.0, 11.0, 9.0, 10.0, 1.0), "out_of_order", "2024-01-01"),
        (("yesterday", 10.0, 11.0, 9.0, 10.0, 1.0), "no_time", "row 2"),
    ],
)
def test_a_row_that_is_no_bar_is_left_out_and_named(row: Row, kind: str, example: str) -> None:
    rows = rows_of(GOOD, row, ("2024-01-04", 10.0, 11.0, 9.0, 10.0, 1.0))
    assert found(rows) == {kind: (1, (example,))}
    assert list(review(rows).usable) == [0, 2]
    assert review(rows).left_out == 1


@given(values=st.tuples(*[st.sampled_from([-1.0, 0.0, 1.0, 2.0, 3.0, float("inf"), BLANK])] * 5))
def test_a_row_is_a_bar_exactly_where_the_live_worker_takes_the_same_message(
    values: tuple[float, float, float, float, float],
) -> None:
    opened, high, low, close, volume = (
        "null" if value != value else "1e999" if value > 9 else value  # noqa: PLR0124 — NaN
        for value in values
    )
    message = (
        f'{{"symbol":"AAPL","timeframe":"1d","open":{opened},"high":{high},"low":{low},"close":{close},'
        f'"volume":{volume},"timestamp":"2024-01-02T00:00:00Z"}}'
    )
    try:
        Bar.decode(message.encode())
        taken = True
    except DecodeError:
        taken = False
    assert (len(review(rows_of(("2024-01-02", *values))).usable) == 1) is taken


def test_a_split_that_prices_were_not_adjusted_for_is_named() -> None:
    assert found(closes(100, 101, 50.2, 50.5)) == {"split": (1, ("2024-01-03: × 0.497",))}
    assert found(closes(10, 10, 100.4, 100)) == {"split": (1, ("2024-01-03: × 10",))}


def test_a_move_that_is_taken_back_soon_is_one_between_levels() -> None:
    assert found(closes(100, 50, 51, 101, 100)) == {
        "level_jump": (2, ("2024-01-02: × 0.5", "2024-01-04: × 1.98"))
    }


def test_a_move_that_is_taken_back_much_later_is_two_moves() -> None:
    assert found(closes(100, *[43] * 20, 100)) == {
        "level_jump": (2, ("2024-01-02: × 0.43", "2024-01-22: × 2.33"))
    }
    assert found(closes(100, *[43] * 21, 100)) == {
        "price_jump": (2, ("2024-01-02: × 0.43", "2024-01-23: × 2.33"))
    }


def test_a_move_like_no_split_is_a_jump_and_a_small_one_is_nothing() -> None:
    assert found(closes(100, 43, 43)) == {"price_jump": (1, ("2024-01-02: × 0.43",))}
    assert found(closes(100, 75, 100)) == {}


def test_more_than_a_long_weekend_without_a_bar_is_a_gap() -> None:
    days = [f"2024-01-{day:02}" for day in (1, 2, 3, 8, 15, 16)]
    rows = rows_of(*((day, 1.0, 1.0, 1.0, 1.0, 1.0) for day in days))
    assert found(rows) == {"gap": (1, ("2024-01-08 to 2024-01-15",))}


def test_where_bars_are_weeks_a_gap_is_more_than_three_of_them() -> None:
    days = ("01-01", "01-08", "01-15", "02-05", "02-12", "03-11", "03-18", "03-25")
    rows = rows_of(*((f"2024-{day}", 1.0, 1.0, 1.0, 1.0, 1.0) for day in days), timeframe="1w")
    assert found(rows) == {"gap": (1, ("2024-02-12 to 2024-03-11",))}


def test_within_a_day_a_gap_is_more_than_three_steps() -> None:
    minutes = ["02T09:59", "02T10:00", "02T10:01", "02T10:02", "02T10:05", "02T10:06", "02T10:10", "03T10:00"]
    rows = rows_of(*((f"2024-01-{each}", 1.0, 1.0, 1.0, 1.0, 1.0) for each in minutes), timeframe="1m")
    assert found(rows) == {"gap": (1, ("2024-01-02T10:06:00Z to 2024-01-02T10:10:00Z",))}


def test_where_the_days_of_the_exchange_are_known_each_missing_one_is_a_gap() -> None:
    rows = rows_of(*((f"2024-01-0{day}", 1.0, 1.0, 1.0, 1.0, 1.0) for day in (2, 5)))
    open_days = {date(2024, 1, day) for day in (1, 2, 3, 5, 8)}
    assert [str(each) for each in review(rows, open_days).findings] == ["1 × gap (2024-01-03)"]


def test_no_more_than_three_examples_of_a_kind_are_given() -> None:
    rows = rows_of(*((f"2024-01-0{day}", BLANK, 1.0, 1.0, 1.0, 1.0) for day in range(1, 6)))
    [finding] = review(rows).findings
    assert (finding.kind, finding.count, len(finding.examples)) == (Kind.BLANK, 5, 3)
    assert str(finding).endswith(", …)")


def test_no_rows_are_no_trouble() -> None:
    assert review(rows_of()).findings == ()


@pytest.mark.parametrize("text", ["", "n/a", "1,000"])
def test_what_is_no_number_is_blank(text: str) -> None:
    assert read_number(text) != read_number(text)
