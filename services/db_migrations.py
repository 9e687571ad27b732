"""Applies migrations/NNNN_name.sql, in order, each once, whoever else tries at the same time."""

import hashlib
import re
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import psycopg2
import structlog
from psycopg2.extensions import connection as Connection  # noqa: N812  # a class, spelt like a variable

from models.errors import ConfigError, StorageUnavailable
from services.db_connection import readable_dsn
from services.db_errors import connect_failure, statement_failure

log = structlog.get_logger(__name__)

MIGRATIONS = Path(__file__).parent.parent / "migrations"
CONNECT_SECONDS = 10
ADVISORY_LOCK = 0x57_4F_52_4B_45_52  # "WORKER"

_FILE_NAME = re.compile(r"(?P<version>\d{4})_[a-z0-9_]+\.sql")

_CREATE_RECORD = """
    CREATE TABLE IF NOT EXISTS schema_migrations (
        version    integer PRIMARY KEY,
        name       text NOT NULL,
        checksum   text NOT NULL,
        applied_at timestamptz NOT NULL DEFAULT now()
    )
"""


class Migration(NamedTuple):
    """One numbered SQL file. `checksum` is the SHA-256 of its text, whatever ends its lines."""

    version: int
    name: str
    sql: str
    checksum: str


def migrate(url: str, folder: Path = MIGRATIONS) -> list[str]:
    """Bring the database to the newest version and return the names applied now.

    Each migration is one transaction under an advisory lock, so that several may try at once. Raises
    ConfigError for a wrong folder, for a file that was changed after it was applied, or for SQL that
    the server refuses; StorageUnavailable when the server cannot be reached.
    """
    migrations = read_migrations(folder)
    try:
        connection = psycopg2.connect(readable_dsn(url), connect_timeout=CONNECT_SECONDS)
    except psycopg2.Error as error:
        raise connect_failure(error) from None
    with closing(connection):
        return [each.name for each in migrations if _apply(connection, each)]


def read_migrations(folder: Path) -> list[Migration]:
    """Read the folder's files in the order of their numbers. Raises ConfigError for names that do not fit."""
    found: dict[int, Migration] = {}
    for path in sorted(folder.glob("*.sql")):
        if (match := _FILE_NAME.fullmatch(path.name)) is None:
            raise ConfigError(f"{path.name} is no migration: name it NNNN_what_it_does.sql")
        version, text = int(match["version"]), path.read_text(encoding="utf-8")
        if version in found:
            raise ConfigError(f"{path.stem} and {found[version].name} have the same number")
        found[version] = Migration(version, path.stem, text, hashlib.sha256(text.encode()).hexdigest())
    if not found:
        raise ConfigError(f"there are no migrations in {folder}")
    return list(found.values())


def _apply(connection: Connection, migration: Migration) -> bool:
    """Apply one migration unless it was; return whether it was applied now."""
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(
                "SET LOCAL statement_timeout = 0; SELECT pg_advisory_xact_lock(%s)", (ADVISORY_LOCK,)
            )
            cursor.execute(_CREATE_RECORD)
            cursor.execute("SELECT version, name, checksum FROM schema_migrations ORDER BY version")
            recorded = {version: (name, checksum) for version, name, checksum in cursor.fetchall()}
            if not _is_due(migration, recorded):
                return False
            cursor.execute(migration.sql)
            cursor.execute(
                "INSERT INTO schema_migrations (version, name, checksum) VALUES (%s, %s, %s)",
                (migration.version, migration.name, migration.checksum),
            )
    except psycopg2.Error as error:
        raise _failure(migration, error) from error
    log.info("migration_applied", name=migration.name)
    return True


def _is_due(migration: Migration, recorded: Mapping[int, tuple[str, str]]) -> bool:
    if migration.version in recorded:
        name, checksum = recorded[migration.version]
        if checksum != migration.checksum:
            raise ConfigError(
                f"migration {name} was changed after it was applied: restore the file as it was, "
                "and put the change into a new migration"
            )
        return False
    newest = max(recorded, default=0)
    if newest > migration.version:
        raise ConfigError(
            f"migration {migration.name} comes too late: {recorded[newest][0]} was applied before it; "
            "give it the next free number"
        )
    return True


def _failure(migration: Migration, error: psycopg2.Error) -> ConfigError | StorageUnavailable:
    failure = statement_failure(error)
    if isinstance(failure, StorageUnavailable):
        return failure
    return ConfigError(f"migration {migration.name} failed: {error.diag.message_primary or error}")
