"""Speed as ratios to floors that are measured beside it; `make bench` runs it."""
