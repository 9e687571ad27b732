-- How the processes of stored strategies ended by their own fault. Holds over restarts of the worker.

CREATE TABLE sandbox_strikes (
    strike_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    session_key  text NOT NULL,
    struck_at    timestamptz NOT NULL DEFAULT now(),
    cause        text NOT NULL,
    reason       text NOT NULL,
    quarantined  boolean NOT NULL DEFAULT false
);
CREATE INDEX sandbox_strikes_session ON sandbox_strikes (session_key, struck_at);
COMMENT ON TABLE sandbox_strikes IS 'Ends of sealed processes, by session; three in ten minutes quarantine it.';
COMMENT ON COLUMN sandbox_strikes.quarantined IS 'The session runs no more until `session resume` deletes its strikes.';
