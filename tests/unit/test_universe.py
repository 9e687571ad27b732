"""A file of many symbols, put down symbol by symbol."""

import gzip
import tempfile
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from models.errors import ConfigError
from services.history.engine import spool, universe
from services.history.engine.universe import Universe
from tests.unit.history_rows import texts

HEADER = "symbol,date,open,high,low,close,volume\n"
BY_DATE = "B,2024-01-02,1,1,1,1,5\nA,2024-01-02,2,2,2,2,6\nB,2024-01-03,3,3,3,3,7\nA,2024-01-03,4,4,,4,8\n"
BY_SYMBOL = "".join(sorted(BY_DATE.splitlines(keepends=True)))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "bars.csv"


def content(path: Path) -> dict[str, list[tuple[str, ...]]]:
    with Universe.read(path) as read:
        return {each.symbol: [tuple(map(str, row)) for row in texts(each.read(read.path))] for each in read}


def test_each_symbol_has_its_rows_in_their_order(file: Path) -> None:
    file.write_text(HEADER + BY_DATE)
    assert content(file) == {
        "B": [("1.0", "1.0", "1.0", "1.0", "5.0"), ("3.0", "3.0", "3.0", "3.0", "7.0")],
        "A": [("2.0", "2.0", "2.0", "2.0", "6.0"), ("4.0", "4.0", "nan", "4.0", "8.0")],
    }


def test_rows_that_are_written_in_many_pieces_come_back_whole(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text(HEADER + BY_DATE)
    whole = content(file)
    monkeypatch.setattr(universe, "BUFFER_BYTES", 1)
    assert content(file) == whole


def test_the_hash_follows_the_rows_and_not_how_the_file_holds_them(file: Path, tmp_path: Path) -> None:
    def hash_of(path: Path, text: str) -> str:
        data = text.encode()
        path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
        with Universe.read(path) as read:
            return read.data_hash

    first = hash_of(file, HEADER + BY_DATE)
    assert hash_of(tmp_path / "bars.csv.gz", HEADER + BY_SYMBOL) == first
    assert hash_of(file, HEADER + BY_DATE.replace(",8", ",9")) != first


def test_parquet_says_the_same(file: Path, tmp_path: Path) -> None:
    file.write_text(HEADER + BY_DATE)
    rows = [line.split(",") for line in BY_DATE.splitlines()]
    names = HEADER.strip().split(",")
    columns = {name: [row[place] for row in rows] for place, name in enumerate(names)}
    numbers = {
        name: pa.array([float(text) if text else None for text in columns[name]]) for name in names[2:]
    }
    table = pa.table({"symbol": columns["symbol"], "date": columns["date"], **numbers})
    parquet.write_table(table, tmp_path / "bars.parquet")
    assert content(tmp_path / "bars.parquet") == content(file)


@pytest.mark.parametrize(
    ("step", "timeframe"), [("00:01:00", "1m"), ("00:05:00", "5m"), ("04:00:00", "4h"), ("00:00:10", "10s")]
)
def test_bars_are_named_by_the_step_that_most_keep(file: Path, step: str, timeframe: str) -> None:
    first, second = "2024-01-02T00:00:00Z", f"2024-01-02T{step}Z"
    file.write_text(
        f"symbol,timestamp,open,high,low,close,volume\nA,{first},1,1,1,1,1\nA,{second},1,1,1,1,1\n"
    )
    with Universe.read(file) as read:
        assert read.slices["A"].timeframe == timeframe


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no column symbol, timestamp or date, open"),
        ("symbol,date,open,high,low,close\n", "no column volume"),
        ("symbol,open,high,low,close,volume\n", "no column timestamp or date"),
        (HEADER, "holds no rows"),
    ],
)
def test_a_file_without_bars_is_refused_with_what_it_lacks(file: Path, text: str, message: str) -> None:
    file.write_text(text)
    with pytest.raises(ConfigError, match=message):
        Universe.read(file)


def test_a_file_that_is_cut_off_is_refused(file: Path) -> None:
    file.write_bytes(gzip.compress((HEADER + BY_DATE).encode())[:-12])
    with pytest.raises(ConfigError, match="cannot be read"):
        Universe.read(file)


def test_nothing_is_left_of_our_own_file(file: Path) -> None:
    file.write_text(HEADER + BY_DATE)
    with Universe.read(file) as read:
        assert read.path.exists()
    assert not read.path.parent.exists()


def test_what_a_killed_run_left_behind_goes_and_what_a_living_one_uses_stays(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(spool, "FRESH_SECONDS", -1.0)
    file.write_text(HEADER + BY_DATE)
    left = tmp_path / f"{spool.PREFIX}left"
    left.mkdir()
    (left / "rows").write_bytes(b"rows")
    with Universe.read(file) as living, Universe.read(file) as other:
        assert not left.exists()
        assert living.path.exists()
        assert other.path.exists()
