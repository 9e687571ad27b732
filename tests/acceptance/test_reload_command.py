"""`strategies reload` against a worker whose session runs stored code: what the command says in each case."""

from collections.abc import Iterator
from uuid import uuid4

import pytest

from services.db_client import Database
from tests.acceptance.conftest import StartWorker
from tests.integration.command_line import Ended, command
from tests.support import eventually

SOURCE = "def on_bar(bar):\n    send_signal('BUY', bar.close, 1)\n"
TOKEN = "open-sesame"  # noqa: S105 — of this test
INSERT = """
    INSERT INTO strategies (symbol, strategy_type, parameters, python_code, current_score, strategy_hash)
    VALUES ('AAPL', 'python', '{}', %s, 0, %s) RETURNING strategy_id::text
"""


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url, size=1)
    yield database
    database.close()


def change(database: Database, statement: str, *values: str) -> None:
    with database.transaction() as cursor:
        cursor.execute(statement, values)


def test_a_reload_tells_of_each_session_which_code_runs_and_why(
    start_worker: StartWorker, database_url: str, database: Database
) -> None:
    with database.transaction() as cursor:
        cursor.execute(INSERT, (SOURCE, uuid4().hex))
        row = str((cursor.fetchone() or ("",))[0])
    worker = start_worker(DATABASE_URL=database_url, CONTROL_TOKEN=TOKEN)
    worker.subscribe("AAPL", row.upper(), "s1")
    worker.subscribe("MSFT", row, "s2")

    def reloaded(source: str | None = None, token: str = TOKEN) -> Ended:
        if source is not None:
            change(database, "UPDATE strategies SET python_code = %s", source)
        settings = {"HEALTH_PORT": str(worker.port), "CONTROL_TOKEN": token}
        return command("strategies", "reload", row, "--json", **settings)

    same = reloaded()
    assert same.code == 0, same.output
    assert {each["key"]: (each["same"], each["reason"]) for each in same.json} == {
        "s1": (True, None),
        "s2": (True, None),
    }
    swapped = reloaded(f"{SOURCE}# version 2")
    assert swapped.code == 0, swapped.output
    assert [each["same"] for each in swapped.json] == [False, False]
    hashes = {each["codeHash"] for each in swapped.json}

    for source, said in (
        ("def on_bar(bar)\n", "did not take over: line 1, column 16: SyntaxError"),
        ("import requests\n", "did not take over: line 1, column 1: no module 'requests'"),
        (
            f"{SOURCE}def on_start():\n    1 / 0\n",
            "take over: line 4, column 5: on_start raised ZeroDivisionError",
        ),
        ("1 / 0\n", "did not take over: it answered none of the last bars when it was tried: line 1"),
    ):
        kept = reloaded(source)
        assert (kept.code, kept.output.count(said)) == (1, 4), kept.output  # as JSON, and as the error
    assert {each["sandbox"]["codeHash"] for each in worker.sessions().values()} == hashes

    assert reloaded(SOURCE).code == 0
    change(database, "UPDATE strategies SET python_code = NULL, strategy_type = 'mock'")
    assert "its row holds no Python any more: stop and start the session" in reloaded().output
    change(database, "DELETE FROM strategies")
    gone = reloaded()
    assert (gone.code, f"no strategy {row} in the catalogue" in gone.output) == (1, True), gone.output
    assert {each["state"] for each in worker.sessions().values()} == {"RUNNING"}

    worker.control("unsubscribe", "AAPL")
    worker.control("unsubscribe", "MSFT")
    eventually(lambda: worker.sessions() == {})
    nobody = reloaded()
    assert (nobody.code, f"no session of stored code runs strategy {row}" in nobody.output) == (1, True)
