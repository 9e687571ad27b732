"""A small universe, and what the engine writes of it, without what depends on when it was done."""

from pathlib import Path

HEADER = "symbol,date,open,high,low,close,volume\n"
RUNS = """
    SELECT to_jsonb(backtest_runs) - 'seconds' - 'finished_at' FROM backtest_runs ORDER BY run_id
"""
SIGNALS = "SELECT to_jsonb(backtest_signals) FROM backtest_signals ORDER BY run_id, number"
PERFORMANCE = """
    SELECT to_jsonb(backtest_performance) - 'computed_at' FROM backtest_performance
    ORDER BY batch_id, strategy
"""
BATCHES = """
    SELECT to_jsonb(backtest_batches) - 'started_at' - 'finished_at' FROM backtest_batches ORDER BY batch_id
"""
TABLES = (RUNS, SIGNALS, PERFORMANCE, BATCHES)


def write_universe(file: Path, symbols: int, days: int = 60, last: float = 0.0) -> Path:
    """Write bars that swing, each symbol in its own way; `last` moves the last close of the first symbol."""
    lines = []
    for number in range(symbols):
        for day in range(days):
            close: float = 100 + number + (day * (7 + number)) % 13
            close += last if number == 0 and day == days - 1 else 0
            date = f"2024-{1 + day // 28:02}-{1 + day % 28:02}"
            lines.append(f"S{number:03},{date},{close},{close + 1},{close - 1},{close},1000\n")
    file.write_text(HEADER + "".join(lines))
    return file
