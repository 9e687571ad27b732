"""The embedded servers end with the process that started them, however it ends, and only with it."""

import json
import os
import signal
import sys

import pytest
import redis

from services.embedded import EmbeddedPostgres, EmbeddedValkey
from services.embedded.supervisor import process_table
from tests.integration.test_embedded_servers import private_folders, query
from tests.support import RunningProcess, eventually, running_process

# Starts both from a thread that ends at once, then says what runs, then does what the test wants.
STARTS_BOTH = """
import json, os, sys, threading
from services.embedded import EmbeddedPostgres, EmbeddedValkey

servers = [EmbeddedValkey(), EmbeddedPostgres()]
threads = [threading.Thread(target=server.start) for server in servers]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
pids, urls = [server.pid for server in servers], [server.url for server in servers]
print(json.dumps({"pids": pids, "urls": urls}), flush=True)
"""
THEN_WAITS = "threading.Event().wait()"
THEN_LEAVES = "sys.exit(0)"
THEN_PAUSES = """
for server in servers:
    server.pause()
print("paused", flush=True)
threading.Event().wait()
"""
THEN_FORKS_A_CHILD_THAT_LEAVES = """
if os.fork() == 0:
    sys.exit(0)
os.wait()
print("the child has left", flush=True)
threading.Event().wait()
"""
THEN_FORKS_A_CHILD_THAT_STAYS = """
child = os.fork()
if child:
    print(f"child {child}", flush=True)
threading.Event().wait()
"""
LESS_THAN_FORCE_WAITS = 4.0  # seconds; a server that does not end by itself is killed after 5


def started(process: RunningProcess) -> tuple[list[int], list[str]]:
    """Wait until the script has started both servers; their process ids and URLs."""
    facts = json.loads(process.said('{"pids"'))
    return facts["pids"], facts["urls"]


def alive(pid: int) -> bool:
    return pid in dict(process_table())


def supervisor_of(pid: int) -> int:
    return dict(process_table())[pid]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["SIGKILL", "SIGTERM"])
def test_the_servers_and_their_folders_go_when_their_parent_is_killed(number: signal.Signals) -> None:
    with running_process([sys.executable, "-c", STARTS_BOTH + THEN_WAITS]) as parent:
        pids, urls = started(parent)
        folders = private_folders(*urls)
        assert all(map(alive, pids))
        os.kill(parent.pid, number)
        parent.wait()
        eventually(lambda: not any(map(alive, pids)), LESS_THAN_FORCE_WAITS, "the servers end")
        eventually(lambda: not any(folder.exists() for folder in folders), message="the folders are removed")


def test_paused_servers_end_too_when_their_parent_is_killed() -> None:
    with running_process([sys.executable, "-c", STARTS_BOTH + THEN_PAUSES]) as parent:
        pids, _ = started(parent)
        parent.said("paused")
        parent.kill()
        eventually(lambda: not any(map(alive, pids)), seconds=20, message="the servers end")


def test_the_servers_end_when_their_parent_leaves_without_stopping_them() -> None:
    with running_process([sys.executable, "-c", STARTS_BOTH + THEN_LEAVES]) as parent:
        pids, _ = started(parent)
        assert parent.wait() == 0
        assert not any(map(alive, pids))


def test_a_key_pressed_in_the_terminal_of_the_parent_does_not_reach_the_servers(
    own_valkey: EmbeddedValkey, own_postgres: EmbeddedPostgres
) -> None:
    for server in (own_valkey, own_postgres):
        assert os.getsid(server.pid) != os.getsid(0)


def test_the_servers_outlive_the_thread_that_started_them() -> None:
    with running_process([sys.executable, "-c", STARTS_BOTH + THEN_WAITS]) as parent:
        _, (valkey_url, postgres_url) = started(parent)
        assert redis.Redis.from_url(valkey_url).ping()
        assert query(postgres_url, "SELECT 1") == 1


def test_the_servers_outlive_a_forked_child_of_their_parent() -> None:
    with running_process([sys.executable, "-c", STARTS_BOTH + THEN_FORKS_A_CHILD_THAT_LEAVES]) as parent:
        _, (valkey_url, postgres_url) = started(parent)
        parent.said("the child has left")
        assert redis.Redis.from_url(valkey_url).ping()
        assert query(postgres_url, "SELECT 1") == 1


def test_a_forked_child_does_not_keep_the_servers_of_a_dead_parent() -> None:
    with running_process([sys.executable, "-c", STARTS_BOTH + THEN_FORKS_A_CHILD_THAT_STAYS]) as parent:
        pids, _ = started(parent)
        child = int(parent.said("child ").split()[1])
        try:
            parent.kill()
            eventually(lambda: not any(map(alive, pids)), message="the servers end")
            assert alive(child)
        finally:
            os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize("server", [EmbeddedValkey(), EmbeddedPostgres()], ids=["valkey", "postgres"])
def test_a_server_whose_supervisor_is_asked_to_leave_stays(server: EmbeddedValkey | EmbeddedPostgres) -> None:
    with server:
        os.kill(supervisor_of(server.pid), signal.SIGTERM)
        server.pause()  # the supervisor still answers
        server.resume()
        assert alive(server.pid)


if sys.platform == "linux":  # elsewhere nothing tells a child that its parent was killed

    @pytest.mark.parametrize("server", [EmbeddedValkey(), EmbeddedPostgres()], ids=["valkey", "postgres"])
    def test_a_server_ends_when_its_supervisor_is_killed(server: EmbeddedValkey | EmbeddedPostgres) -> None:
        with server:
            pid = server.pid
            os.kill(supervisor_of(pid), signal.SIGKILL)
            eventually(lambda: not alive(pid), message="the server ends")
