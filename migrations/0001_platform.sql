-- The platform's tables: users, sessions, positions, trades; and the receipts of the paper gateway.
--
-- A platform with a Gateway of its own brings these tables along and writes them. So each is made only
-- where there is none of that name, and one that exists is left exactly as it is.
--
-- Identifiers of users and sessions are text, because they come from outside and are opaque here: one
-- platform counts them, another uses UUIDs, a person types "alice". What is made here gets a UUID.
--
-- Money, prices and quantities are numeric(38, 12): 12 decimals hold crypto fractions and cheap coins,
-- 26 digits before the point leave room for any product of the two. That type cannot hold Infinity;
-- NaN it can, and PostgreSQL sorts NaN above every number, so that ">= 0" lets it pass. Hence the
-- checks against NaN.

CREATE OR REPLACE FUNCTION worker_touch_updated_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END
$$;

DO $platform$
BEGIN

IF to_regclass('users') IS NULL THEN
    CREATE TABLE users (
        user_id         text PRIMARY KEY DEFAULT gen_random_uuid()::text CHECK (length(user_id) BETWEEN 1 AND 128),
        username        text NOT NULL,
        virtual_balance numeric(38, 12) NOT NULL DEFAULT 100000
                        CHECK (virtual_balance >= 0 AND virtual_balance <> 'NaN'),
        created_at      timestamptz NOT NULL DEFAULT now(),
        updated_at      timestamptz NOT NULL DEFAULT now()
    );
    CREATE TRIGGER users_touch BEFORE UPDATE ON users
        FOR EACH ROW EXECUTE FUNCTION worker_touch_updated_at();
    COMMENT ON TABLE users IS 'Who trades, with the cash that is left.';
    COMMENT ON COLUMN users.user_id IS 'Opaque, from outside; a UUID when it is made here.';
    COMMENT ON COLUMN users.virtual_balance IS 'Cash in the quote currency, after fees. Never below zero.';
END IF;

IF to_regclass('sessions') IS NULL THEN
    CREATE TABLE sessions (
        session_id  text PRIMARY KEY DEFAULT gen_random_uuid()::text CHECK (length(session_id) BETWEEN 1 AND 128),
        strategy_id text NOT NULL,
        user_id     text NOT NULL REFERENCES users,
        symbol      text NOT NULL CHECK (symbol ~ '^[A-Za-z0-9._:/-]{1,32}$'),
        type        text NOT NULL CHECK (type IN ('stock', 'crypto')),
        mode        text NOT NULL DEFAULT 'paper' CHECK (mode IN ('paper', 'live')),
        status      text NOT NULL DEFAULT 'RUNNING' CHECK (status IN ('RUNNING', 'STOPPED')),
        started_at  timestamptz NOT NULL DEFAULT now(),
        ended_at    timestamptz
    );
    CREATE INDEX sessions_running ON sessions (symbol, type) WHERE status = 'RUNNING';
    CREATE INDEX sessions_user ON sessions (user_id);
    COMMENT ON TABLE sessions IS 'One strategy on one symbol for one user. The RUNNING rows are the truth about what should run.';
    COMMENT ON COLUMN sessions.session_id IS 'Opaque, from outside; a UUID when it is made here.';
    COMMENT ON COLUMN sessions.strategy_id IS 'A row of strategies (a UUID) or the name of a strategy class.';
END IF;

IF to_regclass('positions') IS NULL THEN
    CREATE TABLE positions (
        user_id       text NOT NULL REFERENCES users,
        session_id    text NOT NULL REFERENCES sessions,
        symbol        text NOT NULL,
        quantity      numeric(38, 12) NOT NULL CHECK (quantity > 0 AND quantity <> 'NaN'),
        average_price numeric(38, 12) NOT NULL CHECK (average_price > 0 AND average_price <> 'NaN'),
        updated_at    timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (user_id, session_id, symbol)
    );
    CREATE INDEX positions_session ON positions (session_id);
    CREATE TRIGGER positions_touch BEFORE UPDATE ON positions
        FOR EACH ROW EXECUTE FUNCTION worker_touch_updated_at();
    COMMENT ON TABLE positions IS 'What is held now, for each session by itself. A position that is sold off has no row.';
    COMMENT ON COLUMN positions.average_price IS 'Average cost of a unit, before fees. Buying moves it, selling does not.';
END IF;

IF to_regclass('trades') IS NULL THEN
    CREATE TABLE trades (
        trade_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        signal_id    text NOT NULL UNIQUE,
        session_id   text NOT NULL REFERENCES sessions,
        user_id      text NOT NULL REFERENCES users,
        symbol       text NOT NULL,
        action       text NOT NULL CHECK (action IN ('BUY', 'SELL')),
        quantity     numeric(38, 12) NOT NULL CHECK (quantity > 0 AND quantity <> 'NaN'),
        price        numeric(38, 12) NOT NULL CHECK (price > 0 AND price <> 'NaN'),
        fee          numeric(38, 12) NOT NULL DEFAULT 0 CHECK (fee >= 0 AND fee <> 'NaN'),
        realized_pnl numeric(38, 12) CHECK (realized_pnl <> 'NaN'),
        executed_at  timestamptz NOT NULL DEFAULT clock_timestamp()
    );
    CREATE INDEX trades_user ON trades (user_id, trade_id);
    CREATE INDEX trades_session ON trades (session_id, trade_id);
    COMMENT ON TABLE trades IS 'What was executed, one row for each signal, never changed.';
    COMMENT ON COLUMN trades.trade_id IS 'Counts up in the order of a user''s trades, so that it serves as a page mark.';
    COMMENT ON COLUMN trades.price IS 'What was paid or received for a unit, slippage included, fee not.';
    COMMENT ON COLUMN trades.realized_pnl IS 'On a SELL (price - average cost) x quantity, before the fee; null on a BUY.';
END IF;

END
$platform$;

CREATE TABLE paper_receipts (
    signal_id    text PRIMARY KEY CHECK (length(signal_id) BETWEEN 1 AND 128),
    session_id   text NOT NULL,
    request_hash text NOT NULL,
    status_code  integer CHECK (status_code BETWEEN 200 AND 499),
    reply        json,
    received_at  timestamptz NOT NULL DEFAULT now(),
    CHECK ((status_code IS NULL) = (reply IS NULL))
);
CREATE INDEX paper_receipts_session ON paper_receipts (session_id);
COMMENT ON TABLE paper_receipts IS 'The paper gateway''s answer to each signal, executed or rejected, given again when the signal comes again.';
COMMENT ON COLUMN paper_receipts.session_id IS 'As the signal named it; a session of that name need not exist.';
COMMENT ON COLUMN paper_receipts.request_hash IS 'SHA-256 of the request, to know the same signal from another one under its key.';
COMMENT ON COLUMN paper_receipts.status_code IS 'Null only inside the transaction that books the signal.';
COMMENT ON COLUMN paper_receipts.reply IS 'json, not jsonb: a repeated reply keeps the order of its fields.';
