"""The tables of a batch as Parquet files: streamed out of PostgreSQL, so that their size does not matter."""

import tempfile
from pathlib import Path
from typing import IO

from models.errors import ConfigError
from services.db_client import Database

TABLES = {
    "runs": "SELECT * FROM backtest_runs WHERE batch_id = '{batch}' ORDER BY strategy, symbol",
    "signals": (
        "SELECT strategy, symbol, given.* FROM backtest_signals AS given JOIN backtest_runs USING (run_id) "
        "WHERE batch_id = '{batch}' ORDER BY strategy, symbol, number"
    ),
    "performance": "SELECT * FROM backtest_performance WHERE batch_id = '{batch}' ORDER BY place",
}
FLOATS = (
    *("total_return", "sharpe_ratio", "max_drawdown", "final_equity", "seconds", "price", "quantity"),
    *(
        "confidence",
        "mean_return",
        "mean_sharpe",
        "mean_drawdown",
        "worst_drawdown",
        "hit_rate",
        "profitable",
    ),
)
WHOLE = ("bars", "left_out", "signals", "trades", "winning_trades", "number", "place", "symbols", "failed")
TIMES = ("finished_at", "given_at", "computed_at")
TEXTS = (
    *("run_id", "batch_id", "strategy", "symbol", "parameters", "code_hash", "data_hash", "status", "reason"),
    *("findings", "statistics", "signal_id", "action", "metadata"),
)


def check_parquet() -> None:
    """Raise ConfigError where pyarrow is not installed."""
    try:
        import pyarrow  # noqa: F401, ICN001, PLC0415 — optional weight
    except ImportError:
        raise ConfigError("--parquet needs pyarrow: pip install -r requirements-history.txt") from None


def write_parquet(database: Database, batch_id: str, folder: Path) -> None:
    """Write runs.parquet, signals.parquet and performance.parquet, each whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, query in TABLES.items():
        with tempfile.TemporaryFile() as copied:
            with database.transaction() as cursor:
                select = query.format(batch=batch_id)  # a UUID that we derived
                cursor.copy_expert(f"COPY ({select}) TO STDOUT (FORMAT csv, HEADER)", copied)
            copied.seek(0)
            unfinished = folder / f".{name}.parquet.part"
            _convert(copied, unfinished)
            unfinished.replace(folder / f"{name}.parquet")


def _convert(copied: IO[bytes], path: Path) -> None:
    import pyarrow as pa  # noqa: PLC0415 — optional weight
    from pyarrow import csv, parquet  # noqa: PLC0415

    kinds = {
        **dict.fromkeys(FLOATS, pa.float64()),
        **dict.fromkeys(WHOLE, pa.int64()),
        **dict.fromkeys(TIMES, pa.timestamp("us", tz="UTC")),
        **dict.fromkeys(TEXTS, pa.string()),
    }
    options = csv.ConvertOptions(
        column_types=kinds, strings_can_be_null=True, quoted_strings_can_be_null=False, null_values=[""]
    )
    parsing = csv.ParseOptions(newlines_in_values=True)
    with (
        csv.open_csv(copied, convert_options=options, parse_options=parsing) as reader,
        parquet.ParquetWriter(path, reader.schema) as writer,
    ):
        for batch in reader:
            writer.write_batch(batch)
