"""The embedded servers are killed, paused and restarted, and data that are to be kept are kept."""

import os
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest
import redis

from services.embedded import EmbeddedPostgres, EmbeddedServerError, EmbeddedValkey
from tests.integration.test_embedded_servers import query
from tests.support import eventually


@pytest.fixture
def data_folder() -> Iterator[Path]:
    """A folder to be made, in a place that every user can reach (pytest's own are closed)."""
    with tempfile.TemporaryDirectory(prefix="data-folder-") as place:
        Path(place).chmod(0o755)
        yield Path(place) / "postgres"


def test_a_killed_valkey_restarts_with_the_same_url(own_valkey: EmbeddedValkey) -> None:
    url = own_valkey.url
    own_valkey.kill()
    with pytest.raises(redis.ConnectionError):
        redis.Redis.from_url(url).ping()
    own_valkey.restart()
    assert own_valkey.url == url
    assert redis.Redis.from_url(url).ping()


def test_a_running_valkey_restarts_with_the_same_url(own_valkey: EmbeddedValkey) -> None:
    url, pid = own_valkey.url, own_valkey.pid
    own_valkey.restart()
    assert own_valkey.url == url
    assert own_valkey.pid != pid
    assert redis.Redis.from_url(url).ping()


def test_a_killed_postgresql_restarts_with_its_url_and_its_data(own_postgres: EmbeddedPostgres) -> None:
    url = own_postgres.url
    query(url, "CREATE TABLE kept AS SELECT 42 AS answer")
    connections = [psycopg2.connect(url) for _ in range(5)]
    own_postgres.kill()
    with pytest.raises(psycopg2.OperationalError):
        psycopg2.connect(url)
    own_postgres.restart()
    assert own_postgres.url == url
    assert query(url, "SELECT answer FROM kept") == 42
    for connection in connections:
        connection.close()


def test_a_paused_valkey_does_not_answer_until_it_is_resumed(own_valkey: EmbeddedValkey) -> None:
    with redis.Redis.from_url(own_valkey.url, socket_timeout=0.2, retry=None) as client:
        assert client.ping()
        own_valkey.pause()
        with pytest.raises(redis.TimeoutError):
            client.ping()
        own_valkey.resume()
        assert eventually(client.ping)


def test_a_paused_postgresql_does_not_answer_on_open_connections_either(
    own_postgres: EmbeddedPostgres,
) -> None:
    connection = psycopg2.connect(own_postgres.url)
    answers: list[object] = []

    def ask() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            answers.append(cursor.fetchone())

    own_postgres.pause()
    asking = threading.Thread(target=ask)
    asking.start()
    asking.join(0.3)
    assert answers == []
    own_postgres.resume()
    asking.join(10)
    assert answers == [(1,)]
    connection.close()


@pytest.mark.parametrize("server", [EmbeddedValkey(), EmbeddedPostgres()], ids=["valkey", "postgres"])
def test_a_paused_server_can_be_stopped_without_force(server: EmbeddedValkey | EmbeddedPostgres) -> None:
    pid = server.start().pid
    server.pause()
    before = time.monotonic()
    server.stop()
    assert time.monotonic() - before < 4  # it would be killed after 5 s
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_data_folder_is_kept_for_the_next_run_and_written_safely(data_folder: Path) -> None:
    with EmbeddedPostgres(data_folder) as first:
        query(first.url, "CREATE TABLE kept AS SELECT 42 AS answer")
        assert query(first.url, "SHOW fsync") == "on"
    with EmbeddedPostgres(data_folder) as second:
        assert query(second.url, "SELECT answer FROM kept") == 42


def test_a_throw_away_postgresql_does_not_wait_for_the_disk(own_postgres: EmbeddedPostgres) -> None:
    assert query(own_postgres.url, "SHOW fsync") == "off"


def test_a_data_folder_in_use_is_refused_with_the_reason_the_server_gave(data_folder: Path) -> None:
    with EmbeddedPostgres(data_folder) as first:
        with pytest.raises(EmbeddedServerError, match=r"postmaster\.pid"):
            EmbeddedPostgres(data_folder).start()
        assert query(first.url, "SELECT 1") == 1


def test_a_data_folder_whose_making_was_interrupted_is_made_anew(data_folder: Path) -> None:
    with EmbeddedPostgres(data_folder):
        pass
    (data_folder / "cluster").rename(data_folder / "unfinished-cluster")
    with EmbeddedPostgres(data_folder) as postgres:
        assert query(postgres.url, "SELECT 1") == 1


def test_a_server_that_was_not_started_says_so() -> None:
    server = EmbeddedValkey()
    server.stop()
    for use in (lambda: server.url, server.kill, server.pause, server.restart):
        with pytest.raises(EmbeddedServerError, match="Valkey"):
            use()
