"""What each rule mends, and that nothing is mended that nobody asked for."""

import pytest

from models.errors import ConfigError
from services.history.data_checks import review
from services.history.repairs import RULES, check_rules, repair
from services.history.rows import SymbolRows
from tests.unit.history_rows import BLANK, closes, rows_of, texts


def test_without_a_rule_nothing_changes() -> None:
    rows = rows_of(("2024-01-02", BLANK, 11.0, 9.0, 10.5, BLANK))
    assert repair(rows, []) == (rows, {})


@pytest.mark.parametrize(
    ("rule", "before", "after"),
    [
        ("fill-open", (BLANK, 12.0, 9.0, 10.0, 1.0), (10.5, 12.0, 9.0, 10.0, 1.0)),
        ("fill-open", (BLANK, 10.2, 9.0, 10.0, 1.0), (10.2, 10.2, 9.0, 10.0, 1.0)),
        ("fill-range", (9.0, BLANK, BLANK, 10.0, 1.0), (9.0, 10.0, 9.0, 10.0, 1.0)),
        ("fill-volume", (10.0, 10.0, 10.0, 10.0, BLANK), (10.0, 10.0, 10.0, 10.0, 0.0)),
        ("widen", (12.0, 11.0, 9.0, 8.0, 1.0), (12.0, 12.0, 8.0, 8.0, 1.0)),
    ],
)
def test_a_rule_mends_its_kind_of_row(
    rule: str, before: tuple[float, float, float, float, float], after: tuple[float, ...]
) -> None:
    rows = rows_of(("2024-01-02", 10.0, 11.0, 9.0, 10.5, 100.0), ("2024-01-03", *before))
    mended, changed = repair(rows, [rule])
    assert texts(mended) == [(10.0, 11.0, 9.0, 10.5, 100.0), after]
    assert changed == {rule: 1}
    assert review(mended).findings == ()
    assert texts(rows)[1] != after  # what was given is as it was


def test_rules_work_together_whatever_their_order() -> None:
    rows = rows_of(
        ("2024-01-02", 10.0, 11.0, 9.0, 10.5, 100.0), ("2024-01-03", BLANK, BLANK, 9.0, 8.0, BLANK)
    )
    mended, changed = repair(rows, ["widen", "fill-volume", "fill-range", "fill-open"])
    assert texts(mended)[1] == (10.5, 10.5, 8.0, 8.0, 0.0)
    assert list(changed) == ["fill-open", "fill-range", "fill-volume", "widen"]


def test_sorted_rows_are_in_order_of_time() -> None:
    rows = rows_of(("2024-01-03", 2.0, 2.0, 2.0, 2.0, 1.0), ("2024-01-02", 1.0, 1.0, 1.0, 1.0, 1.0))
    mended, changed = repair(rows, ["sort"])
    assert [values[0] for values in texts(mended)] == [1.0, 2.0]
    assert changed == {"sort": 2}


def test_the_last_of_several_rows_of_one_time_is_kept_where_that_is_asked_for() -> None:
    rows = rows_of(("2024-01-02", 1.0, 1.0, 1.0, 1.0, 1.0), ("2024-01-02", 2.0, 2.0, 2.0, 2.0, 1.0))
    mended, changed = repair(rows, ["keep-last"])
    assert texts(mended) == [(2.0, 2.0, 2.0, 2.0, 1.0)]
    assert changed == {"keep-last": 1}


def adjusted(rows: SymbolRows) -> list[tuple[float, float]]:
    mended, _ = repair(rows, ["adjust-splits"])
    return [(round(values[3], 6), round(values[4], 6)) for values in texts(mended)]


def test_prices_before_a_split_are_scaled_and_volumes_the_other_way() -> None:
    assert adjusted(closes(100, 102, 51, 51)) == [(50, 2), (51, 2), (51, 1), (51, 1)]


def test_two_splits_add_up() -> None:
    assert adjusted(closes(120, 40, 40, 20)) == [(20, 6), (20, 2), (20, 2), (20, 1)]


def test_what_is_no_split_is_not_adjusted() -> None:
    assert adjusted(closes(100, 43, 43)) == [(100, 1), (43, 1), (43, 1)]


def test_an_unknown_rule_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="no repair 'fill-opens'; did you mean 'fill-open'"):
        check_rules(["fill-opens"])
    check_rules(RULES)
