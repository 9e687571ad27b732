"""What runs inside a sealed host: it loads a stranger's source and calls it for every event."""
