"""Live equals history: a real worker and a backtest over the same events, compared signal by signal."""
