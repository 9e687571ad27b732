-- Snapshots older than POSITION_SNAPSHOT_DAYS are looked for by their time alone.
CREATE INDEX position_snapshots_at ON position_snapshots (snapshot_at);
