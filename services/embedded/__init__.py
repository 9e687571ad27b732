"""Real servers from wheels: a Valkey and a PostgreSQL in private folders, which end with their parent."""

from services.embedded.launcher import EmbeddedServerError
from services.embedded.postgres import EmbeddedPostgres
from services.embedded.valkey import EmbeddedValkey

__all__ = ["EmbeddedPostgres", "EmbeddedServerError", "EmbeddedValkey"]
