"""Everything that runs: listeners, sessions, the way out for signals, and what surrounds them."""
