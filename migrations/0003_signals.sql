-- The outbox and the audit trail in one: every signal is a row here before it is a request.
--
-- Prices and quantities are numeric without a scale: what a strategy gave is kept to the last digit, so that
-- a signal sent again after a crash is the same signal. That type holds NaN and Infinity, and sorts both
-- above every number: hence "< 'Infinity'".
--
-- A row belongs to the run of the worker that named it in `worker`. While that run lives it holds the
-- advisory lock of this number, on the connection that it writes with. So a lock that can be had means that
-- nobody delivers the row any more, and the next worker takes it over.

CREATE TABLE signals (
    signal_id   text PRIMARY KEY CHECK (length(signal_id) BETWEEN 1 AND 128),
    session_key text NOT NULL,
    session_id  text,
    strategy_id text NOT NULL,
    symbol      text NOT NULL,
    action      text NOT NULL CHECK (action IN ('BUY', 'SELL')),
    price       numeric NOT NULL CHECK (price > 0 AND price < 'Infinity'),
    quantity    numeric NOT NULL CHECK (quantity > 0 AND quantity < 'Infinity'),
    confidence  double precision NOT NULL CHECK (confidence BETWEEN 0 AND 1),
    metadata    jsonb NOT NULL CHECK (jsonb_typeof(metadata) = 'object'),
    status      text NOT NULL DEFAULT 'pending' CHECK (
                status IN ('pending', 'sending', 'executed', 'rejected', 'expired', 'unknown', 'refused')),
    reason      text,
    attempts    integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    created_at  timestamptz NOT NULL CHECK (isfinite(created_at)),
    sent_at     timestamptz,
    finished_at timestamptz,
    report      jsonb,
    body        json NOT NULL,
    number      bigint GENERATED ALWAYS AS IDENTITY,
    worker      bigint NOT NULL,
    CHECK ((status IN ('pending', 'sending')) = (finished_at IS NULL)),
    CHECK (status <> 'executed' OR report IS NOT NULL)
);
CREATE INDEX signals_unfinished ON signals (worker, number) WHERE status IN ('pending', 'sending');
CREATE INDEX signals_unknown ON signals (number) WHERE status = 'unknown';
CREATE INDEX signals_session ON signals (session_key, number);
CREATE INDEX signals_created_at ON signals (created_at);
COMMENT ON TABLE signals IS 'Every signal, written down before it is sent, and what became of it.';
COMMENT ON COLUMN signals.signal_id IS 'Derived from session, event and ordinal: the same decision is the same row.';
COMMENT ON COLUMN signals.status IS 'Pending and sending may be behind the truth by a moment; the others are final.';
COMMENT ON COLUMN signals.attempts IS 'Requests begun to have it executed, as far as they were noted before a crash.';
COMMENT ON COLUMN signals.created_at IS 'When the strategy decided; the time to live begins here.';
COMMENT ON COLUMN signals.report IS 'What the strategy was told.';
COMMENT ON COLUMN signals.body IS 'The request as it is sent; json, not jsonb, which would write it differently the next time.';
COMMENT ON COLUMN signals.number IS 'Counts up in the order of a session''s decisions.';
COMMENT ON COLUMN signals.worker IS 'The run of a worker that delivers it; it holds the advisory lock of this number while it lives.';
