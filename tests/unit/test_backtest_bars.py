"""Files of bars: what is no bar is named with its line and never mended."""

import gzip
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from models.errors import ConfigError
from services.history.bars import hash_of, read_bars

HEADER = "symbol,timestamp,open,high,low,close,volume\n"
GOOD = HEADER + (
    "AAPL,2026-01-28T10:00:00Z,10,12,9,11,100\n"
    "MSFT,2026-01-28T10:00:00Z,20,22,19,21,100\n"
    "AAPL,2026-01-28T10:01:00Z,11,12,9,10,100.5\n"
)


def _file(folder: Path, text: str) -> Path:
    path = folder / "bars.csv"
    path.write_text(text)
    return path


def test_bars_of_several_symbols_come_in_the_order_of_time(tmp_path: Path) -> None:
    bars = read_bars(_file(tmp_path, GOOD)).in_order()

    assert [(bar.symbol, bar.timestamp.minute, bar.timeframe) for bar in bars] == [
        ("AAPL", 0, "1m"),
        ("MSFT", 0, "1m"),
        ("AAPL", 1, "1m"),
    ]
    assert bars[2].volume == 100.5


def test_what_is_no_bar_is_left_out_and_named_with_its_line(tmp_path: Path) -> None:
    text = GOOD + (
        "\n"
        "AAPL,2026-01-28T10:02:00Z,,12,9,10,100\n"
        "AAPL,2026-01-28T10:02:00Z,13,12,9,10,100\n"
        "AAPL,2026-01-28T10:01:00Z,10,12,9,10,100\n"
        "AAPL,soon,10,12,9,10,100\n"
        "A B,2026-01-28T10:01:00Z,10,12,9,10,100\n"
    )
    file = read_bars(_file(tmp_path, text))

    assert [str(problem) for problem in file.problems] == [
        "line 6: AAPL 2026-01-28T10:02:00Z open: blank",
        "line 7: AAPL 2026-01-28T10:02:00Z open 13 high 12 low 9 close 10: inconsistent_bar",
        "line 8: AAPL 2026-01-28T10:01:00Z: duplicate",
        "line 9: AAPL row 6: no_time",
        "line 10: 'A B' is no symbol: no_symbol",
    ]
    assert len(file.in_order()) == 3


def test_a_file_reads_the_same_packed_and_as_parquet(tmp_path: Path) -> None:
    plain = read_bars(_file(tmp_path, GOOD)).in_order()
    packed = tmp_path / "bars.csv.gz"
    packed.write_bytes(gzip.compress(GOOD.encode()))
    columns = {
        name: [getattr(bar, name) for bar in plain]
        for name in ("symbol", "timestamp", "open", "high", "low", "close", "volume")
    }
    parquet.write_table(pa.table(columns), tmp_path / "bars.parquet")

    assert read_bars(packed).in_order() == plain
    assert read_bars(tmp_path / "bars.parquet").in_order() == plain
    assert hash_of(read_bars(packed).in_order()) == hash_of(plain)
    assert hash_of(plain) != hash_of(plain[:-1])


def test_only_the_symbols_asked_for_are_kept(tmp_path: Path) -> None:
    path = _file(tmp_path, GOOD)

    assert list(read_bars(path, symbols=["MSFT"]).bars) == ["MSFT"]
    with pytest.raises(ConfigError, match="no bars of 'MSFX'; did you mean 'MSFT'"):
        read_bars(path, symbols=["MSFX"])


def test_a_file_without_bars_is_refused_with_its_first_trouble(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no bars; line 2: AAPL"):
        read_bars(_file(tmp_path, HEADER + "AAPL,2026-01-28T10:02:00Z,,12,9,10,100\n"))
