"""`python main.py migrate`: bring the database's tables up to date."""

from rich.console import Console

from config import load_settings
from models.errors import ConfigError
from services import db_client


def migrate() -> None:
    """Apply the SQL migrations that DATABASE_URL does not have yet."""
    settings = load_settings()
    if settings.database_url is None:
        raise ConfigError("DATABASE_URL is not set; set it to the database to migrate")
    applied = db_client.migrate(settings.database_url)
    console = Console(highlight=False)
    for name in applied:
        console.print(f"applied {name}")
    if not applied:
        console.print("the database is up to date")
