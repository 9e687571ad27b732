"""Ways to hold the worker of a stage up at a step, for as long as a block takes."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.faults.databases import cursor_of
from tests.faults.gateway import Fault
from tests.faults.stage import Stage
from tests.gateway_stub import HANG, Answer, Received

END_WAITING_WRITERS = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE wait_event_type = 'Lock' AND datname = current_database()
"""


def executed_and_silent(stage: Stage, action: str = "") -> Fault:
    """Execute what is asked, or only one action, and leave whoever asked without an answer."""

    def fault(received: Received) -> Answer | None:
        if received.method == "GET" or action not in {"", received.json["action"]}:
            return None
        stage.gateway.execute(received)
        return HANG

    return fault


@contextmanager
def failing(stage: Stage, fault: Fault) -> Iterator[None]:
    """Have the gateway fail so for a while."""
    stage.gateway.fault = fault
    yield
    stage.gateway.fault = None


@contextmanager
def locked(stage: Stage, table: str) -> Iterator[None]:
    """Keep everybody from writing into a table; who waited for that finds its connection ended."""
    with cursor_of(stage.database_url) as cursor:
        cursor.execute(f"BEGIN; LOCK TABLE {table} IN EXCLUSIVE MODE")
        yield
        cursor.execute(END_WAITING_WRITERS)
        cursor.execute("COMMIT")
