"""A PostgreSQL that keeps its word: what it confirmed is on disk."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from services.db_client import migrate
from services.embedded import EmbeddedPostgres


@contextmanager
def durable_database() -> Iterator[str]:
    """Run a server that synchronises what it writes; give the URL of its database, migrated."""
    with tempfile.TemporaryDirectory(prefix="strategy-worker-bench-") as folder:
        Path(folder).chmod(0o755)  # as root the server runs as another user
        with EmbeddedPostgres(data_folder=Path(folder) / "data") as server:
            migrate(server.url)
            yield server.url
