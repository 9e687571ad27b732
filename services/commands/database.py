"""The database of a command: that of DATABASE_URL, or a PostgreSQL of its own that ends with it."""

from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from models.errors import ConfigError


def embedded_database(stack: ExitStack, folder: Path, console: Console, what: str) -> str:
    """Start a PostgreSQL that keeps its data in a folder, until the stack is closed; return its URL.

    Raises ConfigError where the folder cannot be made; `what` names what is kept there, to a person.
    """
    from services.embedded import EmbeddedPostgres

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"--data-folder: {folder} cannot be made: {error.strerror}; "
            "name another folder, or set DATABASE_URL"
        ) from None
    server = stack.enter_context(EmbeddedPostgres(folder / "postgres"))
    console.print(f"DATABASE_URL is not set: {what} in an embedded PostgreSQL, kept in {folder}")
    return server.url
