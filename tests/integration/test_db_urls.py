"""A URL holds a password: no message may quote it, nor any part of it."""

import traceback

import pytest

from models.errors import ConfigError, StorageUnavailable
from services.db_client import Database
from services.embedded import EmbeddedPostgres


def everything_about(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:hunter2@[::1/x",
        "postgresql://me:hunter2@host/x?no_such_option=1",
        "postgresql://me:%zzhunter2@host/x",
        "hunter2",
    ],
)
def test_a_url_that_cannot_be_read_is_refused_without_being_quoted(url: str) -> None:
    with pytest.raises(ConfigError) as raised:
        Database(url)
    assert "hunter2" not in everything_about(raised.value)


@pytest.mark.parametrize("url", ["postgresql://me:hun/ter2@127.0.0.1:1/x", "postgresql://me:x@hunter2/y"])
def test_a_failed_connection_does_not_quote_the_url(url: str) -> None:
    database = Database(url)
    with pytest.raises(StorageUnavailable) as raised:
        database.ping()
    assert "ter2" not in everything_about(raised.value)


def test_a_wrong_password_is_said_without_showing_it(postgres: EmbeddedPostgres) -> None:
    database = Database(f"postgresql://postgres:hunter2@127.0.0.1:{postgres.port}/postgres")
    with pytest.raises(StorageUnavailable, match="password is refused") as raised:
        database.ping()
    assert "hunter2" not in everything_about(raised.value)
