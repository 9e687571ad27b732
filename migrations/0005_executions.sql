-- Portfolio executions: what was approved, the orders given for it, what it was worth when, and what is to be
-- told about it.
--
-- An execution's `state` is written in the same transaction as the orders that it decided on. So whoever finds
-- the row after a crash finds all of a decision or nothing of it, and gives unfinished orders again under the
-- ids that they have.
--
-- Amounts are numeric(38, 12) as in the platform's tables; NaN, which sorts above every number, is refused.

CREATE TABLE strategy_executions (
    execution_id       uuid PRIMARY KEY,
    strategy_id        uuid NOT NULL,
    user_id            uuid NOT NULL,
    approved_at        timestamptz NOT NULL CHECK (isfinite(approved_at)),
    status             text NOT NULL DEFAULT 'active'
                       CHECK (status IN ('active', 'paused', 'stopped', 'completed', 'error')),
    reason             text,
    config             jsonb NOT NULL CHECK (jsonb_typeof(config) = 'object'),
    state              jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(state) = 'object'),
    positions          jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(positions) = 'object'),
    total_pnl          numeric(38, 12) NOT NULL DEFAULT 0 CHECK (total_pnl <> 'NaN'),
    realized_pnl       numeric(38, 12) NOT NULL DEFAULT 0 CHECK (realized_pnl <> 'NaN'),
    unrealized_pnl     numeric(38, 12) NOT NULL DEFAULT 0 CHECK (unrealized_pnl <> 'NaN'),
    fees               numeric(38, 12) NOT NULL DEFAULT 0 CHECK (fees >= 0 AND fees <> 'NaN'),
    total_trades       integer NOT NULL DEFAULT 0 CHECK (total_trades >= 0),
    winning_trades     integer NOT NULL DEFAULT 0 CHECK (winning_trades >= 0),
    losing_trades      integer NOT NULL DEFAULT 0 CHECK (losing_trades >= 0),
    total_exposure     numeric(38, 12) NOT NULL DEFAULT 0 CHECK (total_exposure >= 0 AND total_exposure <> 'NaN'),
    daily_pnl          numeric(38, 12) NOT NULL DEFAULT 0 CHECK (daily_pnl <> 'NaN'),
    started_at         timestamptz NOT NULL DEFAULT now(),
    stopped_at         timestamptz,
    last_rebalanced_at timestamptz,
    last_checked_at    timestamptz,
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now(),
    UNIQUE (strategy_id, approved_at),
    CHECK (winning_trades + losing_trades <= total_trades),
    CHECK (status <> 'error' OR reason IS NOT NULL),
    CHECK (status NOT IN ('stopped', 'completed') OR stopped_at IS NOT NULL)
);
CREATE INDEX strategy_executions_live ON strategy_executions (started_at) WHERE status IN ('active', 'paused', 'error');
CREATE INDEX strategy_executions_user ON strategy_executions (user_id);
CREATE TRIGGER strategy_executions_touch BEFORE UPDATE ON strategy_executions
    FOR EACH ROW EXECUTE FUNCTION worker_touch_updated_at();
COMMENT ON TABLE strategy_executions IS 'One approved portfolio strategy and how it fares. The same approval twice is one row.';
COMMENT ON COLUMN strategy_executions.execution_id IS 'Derived from strategy_id and approved_at.';
COMMENT ON COLUMN strategy_executions.approved_at IS 'The timestamp of the approval.';
COMMENT ON COLUMN strategy_executions.reason IS 'Why it is paused, stopped or in error.';
COMMENT ON COLUMN strategy_executions.state IS 'Where the executor stands: cycle, symbols entered, day. Its own; not for others to write.';
COMMENT ON COLUMN strategy_executions.total_trades IS 'Round trips: from the fill that opens a position to the one that closes it.';
COMMENT ON COLUMN strategy_executions.total_pnl IS 'realized_pnl + unrealized_pnl - fees.';

CREATE TABLE execution_orders (
    order_id        uuid PRIMARY KEY,
    execution_id    uuid NOT NULL REFERENCES strategy_executions,
    cycle           integer NOT NULL CHECK (cycle > 0),
    ordinal         integer NOT NULL CHECK (ordinal >= 0),
    oms_order_id    text,
    symbol          text NOT NULL CHECK (symbol ~ '^[A-Za-z0-9._:/-]{1,32}$'),
    side            text NOT NULL CHECK (side IN ('BUY', 'SELL')),
    order_type      text NOT NULL DEFAULT 'LIMIT' CHECK (order_type IN ('LIMIT', 'MARKET')),
    quantity        numeric(38, 12) NOT NULL CHECK (quantity > 0 AND quantity <> 'NaN'),
    price           numeric(38, 12) NOT NULL CHECK (price > 0 AND price <> 'NaN'),
    filled_quantity numeric(38, 12) NOT NULL DEFAULT 0
                    CHECK (filled_quantity >= 0 AND filled_quantity <> 'NaN'),
    filled_price    numeric(38, 12) CHECK (filled_price > 0 AND filled_price <> 'NaN'),
    fee             numeric(38, 12) NOT NULL DEFAULT 0 CHECK (fee >= 0 AND fee <> 'NaN'),
    status          text NOT NULL DEFAULT 'PENDING' CHECK (
                    status IN ('PENDING', 'ACCEPTED', 'REJECTED', 'PARTIALLY_FILLED', 'FILLED', 'CANCELLED')),
    error_message   text,
    reason          text NOT NULL,
    decided_at      timestamptz NOT NULL CHECK (isfinite(decided_at)),
    submitted_at    timestamptz,
    filled_at       timestamptz,
    cancelled_at    timestamptz,
    number          bigint GENERATED ALWAYS AS IDENTITY,
    fill_number     bigint,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    UNIQUE (execution_id, cycle, symbol, ordinal),
    CHECK ((filled_quantity > 0) = (filled_price IS NOT NULL)),
    CHECK (status <> 'FILLED' OR filled_quantity > 0)
);
CREATE INDEX execution_orders_execution ON execution_orders (execution_id, number);
CREATE INDEX execution_orders_open ON execution_orders (execution_id)
    WHERE status IN ('PENDING', 'ACCEPTED', 'PARTIALLY_FILLED');
CREATE TRIGGER execution_orders_touch BEFORE UPDATE ON execution_orders
    FOR EACH ROW EXECUTE FUNCTION worker_touch_updated_at();
COMMENT ON TABLE execution_orders IS 'Every order of every execution, written down before it is given to the outbox.';
COMMENT ON COLUMN execution_orders.order_id IS 'Derived from execution, cycle, symbol and ordinal; the signal_id of its signal.';
COMMENT ON COLUMN execution_orders.cycle IS 'Which decision of its execution it belongs to, from 1.';
COMMENT ON COLUMN execution_orders.reason IS 'initial, rebalance, stop_loss or close.';
COMMENT ON COLUMN execution_orders.status IS 'What ended with a part filled is CANCELLED, with that part in filled_quantity.';
COMMENT ON COLUMN execution_orders.error_message IS 'Why it was not filled; on an open order why nothing is known of it.';
COMMENT ON COLUMN execution_orders.fill_number IS 'The order of fills within an execution: the books are replayed in it.';

CREATE TABLE position_snapshots (
    snapshot_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    execution_id   uuid NOT NULL REFERENCES strategy_executions,
    positions      jsonb NOT NULL CHECK (jsonb_typeof(positions) = 'object'),
    cash           numeric(38, 12) NOT NULL CHECK (cash <> 'NaN'),
    total_value    numeric(38, 12) NOT NULL CHECK (total_value <> 'NaN'),
    total_pnl      numeric(38, 12) NOT NULL CHECK (total_pnl <> 'NaN'),
    unrealized_pnl numeric(38, 12) NOT NULL CHECK (unrealized_pnl <> 'NaN'),
    snapshot_at    timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX position_snapshots_execution ON position_snapshots (execution_id, snapshot_at);
COMMENT ON TABLE position_snapshots IS 'What each execution held and was worth, every POSITION_CHECK_SECONDS.';
COMMENT ON COLUMN position_snapshots.total_value IS 'cash + positions at market.';

CREATE TABLE execution_events (
    event_id     uuid PRIMARY KEY,
    execution_id uuid REFERENCES strategy_executions,
    topic        text NOT NULL CHECK (topic IN ('strategy.execution', 'strategy.positions', 'strategy.errors')),
    payload      json NOT NULL,
    number       bigint GENERATED ALWAYS AS IDENTITY,
    created_at   timestamptz NOT NULL DEFAULT now(),
    published_at timestamptz
);
CREATE INDEX execution_events_waiting ON execution_events (number) WHERE published_at IS NULL;
CREATE INDEX execution_events_published ON execution_events (published_at) WHERE published_at IS NOT NULL;
COMMENT ON TABLE execution_events IS 'What is to be published, written with what it tells of; published at least once, under its id.';
COMMENT ON COLUMN execution_events.execution_id IS 'Null for an approval that was refused.';

CREATE VIEW strategy_metrics AS
SELECT
    execution.execution_id,
    execution.strategy_id,
    execution.user_id,
    execution.status,
    execution.total_pnl,
    execution.realized_pnl,
    execution.unrealized_pnl,
    execution.total_trades,
    execution.winning_trades,
    execution.losing_trades,
    execution.winning_trades::double precision / nullif(execution.total_trades, 0) AS win_rate,
    count(given.order_id) AS total_orders,
    count(given.order_id) FILTER (WHERE given.status = 'FILLED') AS filled_orders,
    count(given.order_id) FILTER (WHERE given.status = 'REJECTED') AS rejected_orders,
    count(given.order_id) FILTER (WHERE given.status = 'CANCELLED') AS cancelled_orders,
    extract(epoch FROM coalesce(execution.stopped_at, now()) - execution.started_at)::double precision / 3600
        AS runtime_hours
FROM strategy_executions AS execution
LEFT JOIN execution_orders AS given USING (execution_id)
GROUP BY execution.execution_id;
COMMENT ON VIEW strategy_metrics IS 'Per execution: P&L, trades, orders and hours. win_rate is null before the first round trip.';
