-- The fencing number of the lease under which a row was written: who holds a session later has a greater one.
--
-- What became of a signal is noted only under the number that its row has. So a worker that lost a session
-- while it was cut off or frozen says nothing any more about signals that its successor has taken over. The
-- run 0 is nobody: such rows are taken over at once by the worker that holds their session.

ALTER TABLE signals ADD COLUMN fence bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN signals.fence IS 'The fencing number under which it is delivered; 0 without a lease.';

ALTER TABLE strategy_states ADD COLUMN fence bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN strategy_states.fence IS 'The fencing number under which it was saved; a smaller one never replaces a greater one.';
