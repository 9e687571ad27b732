"""`executions list|show|stop|pause|resume`, through a shell, with a real database and a real HTTP server."""

from tests.integration.command_line import Ended, command
from tests.integration.portfolio_stage import execution, orders, running
from tests.integration.served_worker import serving
from tests.support import eventually


def executions(url: str, *words: str) -> Ended:
    return command("executions", *words, DATABASE_URL=url)


def test_list_and_show_tell_of_an_execution_and_its_orders(database_url: str) -> None:
    with running(database_url) as stage:
        stage.approve()
        stage.see(AAPL=100, MSFT=100)
        eventually(lambda: [row["status"] for row in orders(database_url)] == ["FILLED"] * 2)
        eventually(lambda: len(execution(database_url)["positions"]) == 2)
    [listed] = executions(database_url, "list", "--json").json
    assert (listed["name"], listed["status"]) == ("Tech momentum", "active")
    key = listed["execution_id"]
    shown = executions(database_url, "show", key, "--json").json
    assert [order["status"] for order in shown["orders"]] == ["FILLED", "FILLED"]
    assert (shown["total_orders"], shown["filled_orders"], shown["win_rate"]) == (2, 2, None)
    text = executions(database_url, "show", key).output
    assert "FILLED" in text
    assert "AAPL" in text


def test_what_is_not_there_is_said(database_url: str) -> None:
    assert executions(database_url, "list") == (0, "no executions\n")
    ended = executions(database_url, "show", "nothing")
    assert ended.code == 1
    assert "there is no execution nothing" in ended.output
    assert command("executions", "list").code == 2


def test_commands_go_to_the_worker_with_the_token() -> None:
    with serving(metrics=False) as served:
        served.worker.statuses["one"] = "paused"
        there = {"HEALTH_PORT": str(served.health_port), "CONTROL_TOKEN": "open-sesame"}
        for verb in ("stop", "pause", "resume"):
            assert command("executions", verb, "one", **there).code == 0
        assert served.worker.commanded == [("one", "stop"), ("one", "pause"), ("one", "resume")]
        refused = command("executions", "stop", "two", **there)
        assert (refused.code, "no execution two" in refused.output) == (1, True)
