"""Migrations: applied once, in order, by however many."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from models.errors import ConfigError, StorageUnavailable
from services.db_client import Database, migrate
from services.db_migrations import MIGRATIONS, read_migrations
from tests.support import free_port

NAMES = [each.name for each in read_migrations(MIGRATIONS)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    copy = tmp_path / "migrations"
    shutil.copytree(MIGRATIONS, copy)
    return copy


def rows(url: str, query: str) -> list[tuple[object, ...]]:
    database = Database(url)
    try:
        with database.transaction() as cursor:
            cursor.execute(query)
            return list(cursor.fetchall())
    finally:
        database.close()


def test_an_empty_database_gets_every_migration_in_order(empty_database_url: str) -> None:
    assert migrate(empty_database_url) == NAMES
    recorded = rows(empty_database_url, "SELECT name FROM schema_migrations ORDER BY version")
    assert recorded == [(name,) for name in NAMES]
    assert NAMES[:2] == ["0001_platform", "0002_catalogue"]


def test_a_second_time_there_is_nothing_to_do(empty_database_url: str) -> None:
    migrate(empty_database_url)
    assert migrate(empty_database_url) == []


def test_of_many_at_the_same_time_each_migration_is_applied_by_one(empty_database_url: str) -> None:
    with ThreadPoolExecutor(6) as threads:
        applied = list(threads.map(migrate, [empty_database_url] * 6))
    assert sorted(name for names in applied for name in names) == NAMES


def test_a_migration_edited_after_it_was_applied_is_refused(empty_database_url: str, folder: Path) -> None:
    migrate(empty_database_url, folder)
    edited = folder / "0001_platform.sql"
    edited.write_text(edited.read_text() + "\n-- one more thing\n")
    with pytest.raises(ConfigError, match="0001_platform was changed after it was applied"):
        migrate(empty_database_url, folder)


def test_other_line_endings_are_no_edit(empty_database_url: str, folder: Path) -> None:
    migrate(empty_database_url, folder)
    for path in folder.glob("*.sql"):
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert migrate(empty_database_url, folder) == []


def test_a_migration_that_fails_leaves_nothing_behind(empty_database_url: str, folder: Path) -> None:
    broken = folder / "9998_broken.sql"
    broken.write_text("CREATE TABLE half (x integer); SELECT 1 / 0;")
    with pytest.raises(ConfigError, match="9998_broken failed: division by zero"):
        migrate(empty_database_url, folder)
    assert rows(empty_database_url, "SELECT to_regclass('half')") == [(None,)]
    broken.write_text("CREATE TABLE half (x integer);")
    assert migrate(empty_database_url, folder) == ["9998_broken"]


def test_a_migration_that_comes_too_late_is_refused(empty_database_url: str, folder: Path) -> None:
    (folder / "9999_last.sql").write_text("SELECT 1;")
    migrate(empty_database_url, folder)
    (folder / "9998_late.sql").write_text("SELECT 1;")
    with pytest.raises(ConfigError, match="9998_late comes too late"):
        migrate(empty_database_url, folder)


def test_a_database_newer_than_the_program_is_left_alone(empty_database_url: str, folder: Path) -> None:
    newer = folder / "9999_newer.sql"
    newer.write_text("SELECT 1;")
    migrate(empty_database_url, folder)
    newer.unlink()
    assert migrate(empty_database_url, folder) == []


def test_two_migrations_of_one_number_are_refused(folder: Path) -> None:
    (folder / "0001_again.sql").write_text("SELECT 1;")
    with pytest.raises(ConfigError, match="the same number"):
        read_migrations(folder)


def test_a_file_that_is_no_migration_is_refused(folder: Path) -> None:
    (folder / "notes.sql").write_text("SELECT 1;")
    with pytest.raises(ConfigError, match=r"notes\.sql is no migration"):
        read_migrations(folder)


def test_a_folder_without_migrations_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no migrations"):
        read_migrations(tmp_path)


def test_a_server_that_is_away_is_unavailable() -> None:
    with pytest.raises(StorageUnavailable, match="refused"):
        migrate(f"postgresql://me@127.0.0.1:{free_port()}/x")


def test_tables_that_the_platform_brought_along_are_left_as_they_are(empty_database_url: str) -> None:
    rows(
        empty_database_url,
        "CREATE TABLE users (user_id uuid PRIMARY KEY); CREATE TABLE sessions (session_id uuid PRIMARY KEY);"
        "CREATE TABLE positions (x integer); CREATE TABLE trades (x integer); SELECT 1",
    )
    assert migrate(empty_database_url) == NAMES
    columns = "SELECT column_name FROM information_schema.columns WHERE table_name = 'users'"
    assert rows(empty_database_url, columns) == [("user_id",)]
