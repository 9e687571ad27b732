-- What the risk checks have to tell, and what of them must survive a restart.
--
-- A risk event names the execution or the session it is about, and neither where it is about everything. It has
-- no foreign keys: an event must never be lost because what it is about was not written, or is gone.

CREATE TABLE risk_events (
    event_id     uuid PRIMARY KEY,
    execution_id uuid,
    session_key  text,
    event_type   text NOT NULL CHECK (event_type IN (
                 'kill_switch', 'missing_data', 'stale_price', 'throttle', 'order_size', 'position_size',
                 'total_exposure', 'daily_loss', 'stop_loss')),
    severity     text NOT NULL CHECK (severity IN ('INFO', 'WARNING', 'CRITICAL')),
    description  text NOT NULL,
    data         jsonb NOT NULL CHECK (jsonb_typeof(data) = 'object'),
    action_taken text NOT NULL CHECK (
                 action_taken IN ('warned', 'reduced', 'refused', 'halted', 'closed', 'resumed')),
    created_at   timestamptz NOT NULL CHECK (isfinite(created_at)),
    CHECK (num_nonnulls(execution_id, session_key) <= 1)
);
CREATE INDEX risk_events_created_at ON risk_events (created_at);
CREATE INDEX risk_events_execution ON risk_events (execution_id, created_at) WHERE execution_id IS NOT NULL;
CREATE INDEX risk_events_session ON risk_events (session_key, created_at) WHERE session_key IS NOT NULL;
COMMENT ON TABLE risk_events IS 'Every warning, refusal, reduction and halt of the risk checks, and what a person resumed.';
COMMENT ON COLUMN risk_events.session_key IS 'The session whose order it was; null for executions, and for what is about everything.';
COMMENT ON COLUMN risk_events.data IS 'What was measured against which limit, as text to the last digit, and the order.';

-- The trading day of each account and, under the name *, of all together. The books of the account of plain
-- sessions are where counting begins after a restart: what the table signals tells since is counted on top.

CREATE TABLE risk_state (
    account       text PRIMARY KEY CHECK (length(account) BETWEEN 1 AND 128),
    trading_day   date NOT NULL,
    opening_value numeric NOT NULL CHECK (opening_value > '-Infinity' AND opening_value < 'Infinity'),
    warned        boolean NOT NULL DEFAULT false,
    halted_reason text,
    halted_at     timestamptz,
    books         jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(books) = 'object'),
    saved_at      timestamptz NOT NULL CHECK (isfinite(saved_at)),
    CHECK ((halted_reason IS NULL) = (halted_at IS NULL))
);
COMMENT ON TABLE risk_state IS 'What risk limits need to know again after a restart: opening values, halts, positions of sessions.';
COMMENT ON COLUMN risk_state.account IS 'sessions, an execution id, or * for all together.';
COMMENT ON COLUMN risk_state.opening_value IS 'Of the account when its day began or it was resumed; of sessions only their profit and loss.';
COMMENT ON COLUMN risk_state.halted_reason IS 'Why only orders that reduce a position pass until the next day or a resume.';
