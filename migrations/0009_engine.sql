-- The engine: strategies × universe over history.
--
-- A row of backtest_runs is a result, and its id is derived from everything that the result depends on: the
-- strategy, its code and parameters, the symbol, its bars, the rules of the run. So the table is the cache as
-- well: what is there under the same id need not be computed again, and a run that was killed and taken up
-- again writes the same rows as one that was not. Statistics that are undefined are null; NaN is refused.

CREATE TABLE backtest_batches (
    batch_id    uuid PRIMARY KEY,
    status      text NOT NULL DEFAULT 'running' CHECK (status IN ('running', 'finished', 'stopped')),
    strategies  text[] NOT NULL CHECK (cardinality(strategies) > 0),
    symbols     integer NOT NULL CHECK (symbols >= 0),
    data_file   text NOT NULL,
    data_hash   text NOT NULL,
    options     jsonb NOT NULL CHECK (jsonb_typeof(options) = 'object'),
    started_at  timestamptz NOT NULL,
    finished_at timestamptz,
    CHECK (status <> 'finished' OR finished_at IS NOT NULL)
);
CREATE INDEX backtest_batches_started ON backtest_batches (started_at);
COMMENT ON TABLE backtest_batches IS 'One call of the engine: which strategies over which data. The same call again is the same row.';
COMMENT ON COLUMN backtest_batches.batch_id IS 'Derived from strategies, their code and parameters, the data and the options.';

CREATE TABLE backtest_runs (
    run_id         uuid PRIMARY KEY,
    batch_id       uuid NOT NULL REFERENCES backtest_batches,
    strategy       text NOT NULL CHECK (length(strategy) BETWEEN 1 AND 64),
    symbol         text NOT NULL CHECK (length(symbol) BETWEEN 1 AND 128),
    parameters     jsonb NOT NULL CHECK (jsonb_typeof(parameters) = 'object'),
    code_hash      text NOT NULL,
    data_hash      text NOT NULL,
    status         text NOT NULL CHECK (status IN ('done', 'failed')),
    reason         text,
    findings       jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(findings) = 'array'),
    bars           integer NOT NULL CHECK (bars >= 0),
    left_out       integer NOT NULL CHECK (left_out >= 0),
    signals        integer NOT NULL CHECK (signals >= 0),
    trades         integer NOT NULL CHECK (trades >= 0),
    winning_trades integer NOT NULL CHECK (winning_trades BETWEEN 0 AND trades),
    total_return   double precision CHECK (total_return > '-Infinity' AND total_return < 'Infinity'),
    sharpe_ratio   double precision CHECK (sharpe_ratio > '-Infinity' AND sharpe_ratio < 'Infinity'),
    max_drawdown   double precision CHECK (max_drawdown BETWEEN -1e9 AND 1e9),
    final_equity   double precision CHECK (final_equity > '-Infinity' AND final_equity < 'Infinity'),
    statistics     jsonb NOT NULL CHECK (jsonb_typeof(statistics) = 'object'),
    seconds        double precision NOT NULL CHECK (seconds >= 0 AND seconds < 'Infinity'),
    finished_at    timestamptz NOT NULL,
    CHECK (status <> 'failed' OR reason IS NOT NULL)
);
CREATE INDEX backtest_runs_batch ON backtest_runs (batch_id, strategy);
CREATE INDEX backtest_runs_symbol ON backtest_runs (symbol, strategy, finished_at);
COMMENT ON TABLE backtest_runs IS 'One strategy over one symbol''s bars.';
COMMENT ON COLUMN backtest_runs.run_id IS 'Derived from strategy, code, parameters, symbol, data and options.';
COMMENT ON COLUMN backtest_runs.batch_id IS 'The newest batch that this result is part of.';
COMMENT ON COLUMN backtest_runs.reason IS 'Why it failed: one symbol''s failure never stops the rest.';
COMMENT ON COLUMN backtest_runs.findings IS 'What the data checks found: {kind, count, examples}.';
COMMENT ON COLUMN backtest_runs.left_out IS 'Rows of the file that are no bars, and which no strategy saw.';
COMMENT ON COLUMN backtest_runs.seconds IS 'What the run itself took, without reading and writing.';

CREATE TABLE backtest_signals (
    run_id     uuid NOT NULL REFERENCES backtest_runs ON DELETE CASCADE,
    number     integer NOT NULL CHECK (number >= 0),
    signal_id  uuid NOT NULL,
    action     text NOT NULL CHECK (action IN ('BUY', 'SELL')),
    price      double precision NOT NULL CHECK (price > 0 AND price < 'Infinity'),
    quantity   double precision NOT NULL CHECK (quantity > 0 AND quantity < 'Infinity'),
    confidence double precision NOT NULL CHECK (confidence BETWEEN 0 AND 1),
    given_at   timestamptz NOT NULL,
    metadata   jsonb NOT NULL,
    PRIMARY KEY (run_id, number)
);
COMMENT ON TABLE backtest_signals IS 'Every signal of every run, in the order in which it was given.';

CREATE TABLE backtest_performance (
    batch_id        uuid NOT NULL REFERENCES backtest_batches,
    strategy        text NOT NULL CHECK (length(strategy) BETWEEN 1 AND 64),
    place           integer NOT NULL CHECK (place > 0),
    symbols         integer NOT NULL CHECK (symbols >= 0),
    failed          integer NOT NULL CHECK (failed BETWEEN 0 AND symbols),
    signals         bigint NOT NULL CHECK (signals >= 0),
    trades          bigint NOT NULL CHECK (trades >= 0),
    mean_return     double precision CHECK (mean_return > '-Infinity' AND mean_return < 'Infinity'),
    mean_sharpe     double precision CHECK (mean_sharpe > '-Infinity' AND mean_sharpe < 'Infinity'),
    mean_drawdown   double precision CHECK (mean_drawdown > '-Infinity' AND mean_drawdown < 'Infinity'),
    worst_drawdown  double precision CHECK (worst_drawdown > '-Infinity' AND worst_drawdown < 'Infinity'),
    hit_rate        double precision CHECK (hit_rate BETWEEN 0 AND 1),
    profitable      double precision CHECK (profitable BETWEEN 0 AND 1),
    computed_at     timestamptz NOT NULL,
    PRIMARY KEY (batch_id, strategy)
);
CREATE INDEX backtest_performance_strategy ON backtest_performance (strategy, computed_at);
COMMENT ON TABLE backtest_performance IS 'How each strategy of a batch did over all its symbols.';
COMMENT ON COLUMN backtest_performance.place IS 'In the ranking by mean_sharpe, 1 the best.';
COMMENT ON COLUMN backtest_performance.hit_rate IS 'Winning trades among all trades.';
COMMENT ON COLUMN backtest_performance.profitable IS 'Symbols with a return above 0 among those that did not fail.';

CREATE TABLE engine_schedules (
    name        text PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 200),
    due_at      timestamptz NOT NULL,
    outcome     text,
    finished_at timestamptz
);
COMMENT ON TABLE engine_schedules IS 'What each schedule ran last, so that a run that was missed is caught up once.';
COMMENT ON COLUMN engine_schedules.due_at IS 'The time that the last run was due at; for a new schedule, when it was made.';
