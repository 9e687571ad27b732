"""What psycopg2 raises, told as our own errors: who must act, and nothing of the URL."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg2
from psycopg2 import errors

from models.errors import ConfigError, StorageConflict, StorageError, StorageUnavailable

_CONNECT_REASONS = (
    ("authentication failed", "the user or password is refused"),
    ("no password supplied", "it wants a password and the URL has none"),
    ("does not exist", "the user or database of the URL does not exist there"),
    ("Connection refused", "connection refused"),
    ("No such file or directory", "there is no server at that socket"),
    ("could not translate host name", "the host name cannot be resolved"),
    ("timeout expired", "no answer in time"),
    ("too many clients", "it has too many clients"),
    ("remaining connection slots", "it has too many clients"),
    ("starting up", "it is starting up"),
    ("shutting down", "it is shutting down"),
)

_ROLLED_BACK_CLASSES = {"23", "40"}  # integrity and serialization: the server says that COMMIT undid it all


def connect_failure(error: psycopg2.Error) -> StorageUnavailable:
    """Explain a failed connection attempt.

    libpq's own text is not passed on: an unescaped character in a password makes it quote the rest of
    the password as a host name.
    """
    text = str(error)
    reason = next((reason for sign, reason in _CONNECT_REASONS if sign in text), "the connection failed")
    return StorageUnavailable(f"PostgreSQL cannot be reached: {reason}")


def statement_failure(error: psycopg2.Error) -> StorageError | ConfigError | None:
    """Return our error for one that a statement raised, or None for a mistake in the SQL itself."""
    text = error.diag.message_primary or type(error).__name__
    if isinstance(error, psycopg2.IntegrityError | psycopg2.DataError):
        return StorageConflict(f"PostgreSQL refused the data: {text}")
    if isinstance(error, errors.UndefinedTable | errors.UndefinedColumn):
        return ConfigError(
            f"the database is not what this version needs ({text}): run python main.py migrate"
        )
    if isinstance(error, errors.InsufficientPrivilege):
        return ConfigError(f"the database user of the URL may not do this: {text}")
    if isinstance(error, errors.ReadOnlySqlTransaction):
        return StorageUnavailable("PostgreSQL takes no writes now: it is a standby or read-only")
    if isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError):
        return StorageUnavailable(_loss(error))
    return None


def _loss(error: psycopg2.Error) -> str:
    if error.pgcode is None:
        return "the connection to PostgreSQL was lost"
    return f"PostgreSQL did not finish a statement: {error.diag.message_primary}"


@contextmanager
def translated() -> Iterator[None]:
    """Raise StorageUnavailable, StorageConflict or ConfigError in place of psycopg2's errors."""
    try:
        yield
    except psycopg2.Error as error:
        if (failure := statement_failure(error)) is None:
            raise
        raise failure from error


def commit_failure(error: psycopg2.Error) -> StorageError | ConfigError:
    """Explain a failed COMMIT. Unless the server itself said that it rolled back, the outcome is unknown."""
    if (error.pgcode or "")[:2] in _ROLLED_BACK_CLASSES:
        failure = statement_failure(error)
        if failure is not None:
            return failure
    return StorageUnavailable("PostgreSQL did not confirm a COMMIT: it may have happened", uncertain=True)
