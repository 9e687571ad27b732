"""`strategies reload` before a worker that says what a test has it say."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from services.commands import reload as reload_command
from tests.integration.command_line import Ended, command
from tests.integration.served_worker import Served, serving
from tests.support import free_port

ROW = "8f2c1c1e-6a55-5d0b-9c35-0d2f6b0c9a11"


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving(metrics=False) as served:
        yield served


def session(key: str, *, reloads: int = 0, refused: str | None = None, **changed: Any) -> dict[str, Any]:
    sandbox = {"codeHash": "abc", "reloads": reloads, "reloadRefused": refused}
    shown = {"key": key, "strategyId": ROW, "state": "RUNNING", "reason": None, "sandbox": sandbox}
    return {**shown, **changed}


def reloaded(served: Served, *after: dict[str, Any]) -> Ended:
    """Reload s1 and s2, which the worker shows as `after` from then on."""
    worker = served.worker
    worker.rows = [session("s1", reloads=3), session("s2")]
    order: Callable[[str], list[str]] = worker.reload

    def reload(strategy_id: str) -> list[str]:
        keys = order(strategy_id)
        worker.rows = list(after)
        return keys

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker, "reload", reload)
        return asked(served)


def asked(served: Served, *words: str, **settings: str) -> Ended:
    given = {"HEALTH_PORT": str(served.health_port), "CONTROL_TOKEN": "open-sesame", **settings}
    return command("strategies", "reload", ROW, *words, **given)


def test_what_runs_after_a_reload_is_told_and_whether_it_is_what_ran_before(served: Served) -> None:
    other = session("s2", reloads=1)
    other["sandbox"]["codeHash"] = "def"
    ended = reloaded(served, session("s1", reloads=4, reason="of something else"), other)
    assert ended.code == 0, ended.output
    assert ended.output.splitlines() == [
        "session s1 runs code abc, the same as before",
        "session s2 runs code def",
    ]


def test_a_refusal_of_one_session_is_the_command_s_and_the_others_are_told(served: Served) -> None:
    refused = session("s2", reloads=1, refused="code abc did not take over: line 1: no")
    ended = reloaded(served, session("s1", reloads=4), refused)
    assert ended.code == 1
    assert "session s1 runs code abc" in ended.output
    assert "session s2: code abc did not take over: line 1: no" in " ".join(ended.output.split())


@pytest.mark.parametrize(
    ("after", "said"),
    [
        ([], "session s2: it ended meanwhile"),
        (
            [session("s2", state="QUARANTINED", reason="it looped")],
            "session s2: it is QUARANTINED: it looped",
        ),
    ],
)
def test_a_session_that_ends_meanwhile_is_not_waited_for(
    served: Served, after: list[dict[str, Any]], said: str
) -> None:
    ended = reloaded(served, session("s1", reloads=0), *after)  # s1 was stopped and started: it counts anew
    assert (ended.code, said in " ".join(ended.output.split())) == (1, True), ended.output


def test_a_worker_that_does_nothing_about_it_is_not_waited_for_for_ever(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reload_command, "PATIENCE_SECONDS", 0.0)
    ended = reloaded(served, session("s1", reloads=4), session("s2"))
    assert (ended.code, "session s2: no word of it for 0 s" in ended.output) == (1, True), ended.output


@pytest.mark.parametrize("as_json", [(), ("--json",)])
def test_a_wrong_token_says_so_in_words(served: Served, as_json: tuple[str, ...]) -> None:
    served.worker.rows = [session("s1")]
    ended = asked(served, *as_json, CONTROL_TOKEN="wrong")  # noqa: S106 — of this test
    assert (ended.code, "does not take this CONTROL_TOKEN" in ended.output) == (1, True), ended.output
    assert "{" not in ended.output
    assert "wrong" not in ended.output


def test_without_a_token_nothing_is_ordered(served: Served) -> None:
    served.worker.rows = [session("s1")]
    ended = command("strategies", "reload", ROW, HEALTH_PORT=str(served.health_port))
    assert (ended.code, "CONTROL_TOKEN is not set" in ended.output) == (2, True), ended.output


def test_a_strategy_that_nobody_runs_is_told_without_json(served: Served) -> None:
    served.worker.rows = []
    ended = asked(served)
    said = f"the worker refuses (HTTP 404): no session of stored code runs strategy {ROW} in this worker"
    assert (ended.code, said in " ".join(ended.output.split())) == (1, True), ended.output
    assert "{" not in ended.output


def test_a_worker_that_is_not_there_is_told_with_what_to_do(served: Served) -> None:
    ended = asked(served, HEALTH_PORT=str(free_port()))
    assert (ended.code, "no worker answers at" in ended.output) == (1, True), ended.output


def test_only_the_id_of_a_row_is_reloaded() -> None:
    assert command("strategies", "reload", "sma_cross").code == 2
