-- What strategies want to find again after a restart, one row for each session that ever saved something.
--
-- A row outlives its session: a session that is started again under the same key goes on where it stood.

CREATE TABLE strategy_states (
    session_key  text PRIMARY KEY,
    symbol       text NOT NULL,
    strategy_id  text NOT NULL,
    class_name   text NOT NULL,
    source_hash  text NOT NULL,
    state        json CHECK (json_typeof(state) = 'object'),
    last_bars    jsonb NOT NULL CHECK (jsonb_typeof(last_bars) = 'object'),
    position     jsonb NOT NULL CHECK (jsonb_typeof(position) = 'object'),
    open_signals text[] NOT NULL,
    saved_at     timestamptz NOT NULL CHECK (isfinite(saved_at))
);
COMMENT ON TABLE strategy_states IS 'The state of each session when it was saved last, kept after its end.';
COMMENT ON COLUMN strategy_states.source_hash IS 'SHA-256 of the source that the class came from: state of other source is not given back.';
COMMENT ON COLUMN strategy_states.state IS 'What get_state returned; json, not jsonb, which would turn 1e22 into another number. Null when it never returned any.';
COMMENT ON COLUMN strategy_states.last_bars IS 'Timestamp of the newest bar that the state has seen, by timeframe.';
COMMENT ON COLUMN strategy_states.open_signals IS 'Signals without an answer then; the position counts them as on their way.';
COMMENT ON COLUMN strategy_states.saved_at IS 'When the state was taken, by the clock of the worker; an older one never replaces a newer one.';
