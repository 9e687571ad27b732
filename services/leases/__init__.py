"""Which worker runs which session: one at a time, known to all by way of Redis."""
