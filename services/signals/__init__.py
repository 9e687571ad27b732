"""A decision's way out: outbox → courier → gateway client → what the answer means → report."""
