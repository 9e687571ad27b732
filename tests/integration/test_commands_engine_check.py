"""`engine check`: what is wrong with a file of bars."""

from pathlib import Path

import pytest

from tests.integration.command_line import command

DIRTY = """symbol,date,open,high,low,close,volume
AAPL,2024-01-02,10,11,9,10,100
AAPL,2024-01-03,,11,9,10,100
AAPL,2024-01-04,10,11,9,5,100
MSFT,2024-01-02,10,11,9,10,100
"""


def test_what_is_found_is_named_and_mended_only_where_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "bars.csv"
    file.write_text(DIRTY)
    ended = command("engine", "check", "--data", str(file), "--repair", "fill-open", "--json", "--strict")
    assert ended.code == 1
    assert ended.json["symbols"] == 2
    assert ended.json["dirty"] == [
        {
            "symbol": "AAPL",
            "rows": 3,
            "left_out": 1,
            "findings": [
                {
                    "kind": "inconsistent_bar",
                    "count": 1,
                    "examples": ["2024-01-04 open 10 high 11 low 9 close 5"],
                }
            ],
            "repaired": {"fill-open": 1},
        }
    ]
    assert file.read_text() == DIRTY


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what the package does with pandas
def test_with_a_calendar_each_day_without_a_bar_on_which_the_exchange_was_open_is_named(
    tmp_path: Path,
) -> None:
    file = tmp_path / "bars.csv"
    # 15 January 2024 was a holiday in New York, the 17th was not.
    days = ("2024-01-12", "2024-01-16", "2024-01-18")
    rows = "".join(f"AAPL,{day},10,11,9,10,100\n" for day in days)
    file.write_text(f"{DIRTY.partition(chr(10))[0]}\n{rows}")
    [dirty] = command("engine", "check", "--data", str(file), "--calendar", "XNYS", "--json").json["dirty"]
    assert dirty["findings"] == [{"kind": "gap", "count": 1, "examples": ["2024-01-17"]}]
    assert command("engine", "check", "--data", str(file), "--json").json["dirty"] == []


def test_a_table_names_the_symbols_to_look_at(tmp_path: Path) -> None:
    file = tmp_path / "bars.csv"
    file.write_text(DIRTY)
    ended = command("engine", "check", "--data", str(file))
    assert ended.code == 0
    assert "1 × blank" in ended.output
    assert "MSFT" not in ended.output
    assert ended.output.endswith("2 symbols, 4 rows: 1 to look at\n")
