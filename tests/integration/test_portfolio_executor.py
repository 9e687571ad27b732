"""The executor on a real database: what it writes, tells and does again after a restart."""

import json
from decimal import Decimal
from itertools import cycle

from models.risk import Approved, Reduced, Refused, Rule
from services.db_client import Database
from services.portfolio.execution_parts import Command
from services.portfolio.execution_table import EXECUTOR_LOCK
from tests.faults.databases import cursor_of
from tests.integration.durable_outbox import execute
from tests.integration.portfolio_stage import (
    Broker,
    Stage,
    events,
    execution,
    filled,
    orders,
    record_signals,
    running,
    table,
    take_approval,
)
from tests.sample_approvals import approval_message
from tests.support import eventually

SECONDS = 10


def bought(stage: Stage) -> None:
    """Let the contract's example buy 350 of each of its symbols at 100."""
    stage.approve()
    stage.see(AAPL=100, MSFT=100)
    eventually(lambda: [row["status"] for row in orders(stage.url)] == ["FILLED"] * 2)


def applied(stage: Stage, key: str, command: Command, words: str = "by a test") -> bool:
    """Give a command, and wait until it is written."""
    done = stage.executor.command(key, command, words)
    assert done is not None
    return done.result(SECONDS)


def waiting_for_a_lock(url: str) -> bool:
    """Whether somebody waits for one in this database."""
    with cursor_of(url) as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        return bool(cursor.fetchone()[0])


def kinds(url: str) -> list[str]:
    return [event["type"] for event in events(url) if event["type"] != "strategy.positions"]


def test_an_approval_becomes_orders_and_a_position(database_url: str) -> None:
    with running(database_url) as stage:
        bought(stage)
        row = execution(database_url)
        eventually(lambda: set(execution(database_url)["positions"]) == {"AAPL", "MSFT"})
        assert row["status"] == "active"
        assert [
            (each["symbol"], each["side"], each["quantity"], each["cycle"]) for each in orders(database_url)
        ] == [
            ("AAPL", "BUY", 350, 1),
            ("MSFT", "BUY", 350, 1),
        ]
        assert {each.signal_id for each in stage.broker.taken} == {
            str(each["order_id"]) for each in orders(database_url)
        }
        assert {each.session_key for each in stage.broker.taken} == {str(row["execution_id"])}
    started = next(event for event in events(database_url) if event["type"] == "strategy.execution.started")
    assert [
        (each["symbol"], each["side"], each["quantity"], each["price"], each["value"])
        for each in started["initial_orders"]
    ] == [
        ("AAPL", "BUY", 350, 100, 35000),
        ("MSFT", "BUY", 350, 100, 35000),
    ]


def test_nothing_happens_without_prices_and_then_it_is_an_error(database_url: str) -> None:
    with running(database_url, price_wait_seconds=0.3) as stage:
        stage.approve()
        eventually(lambda: execution(database_url)["status"] == "error")
        assert "no price of AAPL, MSFT" in execution(database_url)["reason"]
    assert orders(database_url) == []
    assert kinds(database_url) == ["strategy.execution.error"]


def test_after_a_restart_it_goes_on_where_it_was_and_orders_nothing_twice(database_url: str) -> None:
    with running(database_url) as stage:
        bought(stage)
    with running(database_url, Broker(), rebalance_seconds=0.0) as again:
        eventually(again.executor.executions)
        [execution_] = again.executor.executions()
        assert {symbol: each.quantity for symbol, each in execution_.ledger.holdings.items()} == {
            "AAPL": Decimal(350),
            "MSFT": Decimal(350),
        }
        again.see(AAPL=101, MSFT=100)
        assert again.gate.accounts == {execution_.key: 0}
        again.see(AAPL=140)
        eventually(lambda: len(orders(database_url)) == 4)
        assert [(each["side"], each["symbol"], each["cycle"]) for each in orders(database_url)[2:]] == [
            ("SELL", "AAPL", 2),
            ("BUY", "MSFT", 3),
        ]


def test_after_a_restart_positions_are_worth_what_they_were_and_not_what_they_cost(database_url: str) -> None:
    """Else the day's loss would be measured from this morning's market to prices of long ago."""
    with running(database_url, check_seconds=0.1) as stage:
        bought(stage)
        stage.see(AAPL=130, MSFT=104.5)
        eventually(lambda: execution(database_url)["positions"]["AAPL"]["price"] == 130)
        eventually(lambda: execution(database_url)["positions"]["MSFT"]["price"] == 104.5)
    with running(database_url) as again:
        ledger = next(iter(eventually(lambda: again.gate.ledgers).values()))
    prices = {symbol: each.last_price for symbol, each in ledger.holdings.items()}
    assert prices == {"AAPL": Decimal(130), "MSFT": Decimal("104.5")}


def test_orders_that_were_written_and_never_given_are_given_after_the_restart(database_url: str) -> None:
    lost = Broker(holds=True)
    with running(database_url, lost) as stage:
        stage.approve()
        stage.see(AAPL=100, MSFT=100)
        eventually(lambda: len(lost.taken) == 2)
    broker = Broker()
    with running(database_url, broker) as again:
        eventually(lambda: [row["status"] for row in orders(database_url)] == ["FILLED"] * 2)
        assert again.gate.accounts == {str(execution(database_url)["execution_id"]): 2}
    assert broker.taken == lost.taken  # the same bytes under the same ids


def test_orders_too_old_to_be_given_expire_and_are_made_up_for(database_url: str) -> None:
    with running(database_url, Broker(holds=True)) as stage:
        stage.approve()
        stage.see(AAPL=100, MSFT=100)
        eventually(lambda: len(stage.broker.taken) == 2)
    with running(database_url, Broker(), ttl=0.0, rebalance_seconds=0.0, retry_seconds=0.0) as again:
        eventually(lambda: [row["status"] for row in orders(database_url)] == ["CANCELLED"] * 2)
        assert again.broker.taken == []
    with running(database_url, Broker(), rebalance_seconds=0.0) as again:
        again.see(AAPL=100, MSFT=100)
        eventually(lambda: [row["status"] for row in orders(database_url)[2:]] == ["FILLED"] * 2)


def test_an_end_that_only_the_table_of_signals_knows_is_booked(database_url: str) -> None:
    with running(database_url, Broker(holds=True)) as stage:
        stage.approve()
        stage.see(AAPL=100, MSFT=100)
        eventually(lambda: len(stage.broker.taken) == 2)
    record_signals(database_url, stage.broker)
    with running(database_url, Broker()) as again:
        eventually(lambda: [row["status"] for row in orders(database_url)] == ["FILLED"] * 2)
        assert again.broker.taken == []


def test_only_one_of_two_workers_executes(database_url: str) -> None:
    with running(database_url) as first, running(database_url) as second:
        both = {first: second, second: first}

        def standby() -> Stage | None:
            return next((each for each in both if "another worker" in (each.executor.reason or "")), None)

        waiting = eventually(standby)
        leading = both[waiting]
        leading.approve()
        leading.see(AAPL=100, MSFT=100)
        eventually(lambda: len(orders(database_url)) == 2)
        assert leading.executor.stop(10)
        eventually(waiting.executor.executions, 15)
        waiting.see(AAPL=90, MSFT=100)
        eventually(lambda: [row["reason"] for row in orders(database_url)][2:] == ["stop_loss"])


def test_a_worker_that_another_one_took_over_from_measures_nothing_any_more(database_url: str) -> None:
    with running(database_url) as stage:
        bought(stage)
        assert stage.gate.accounts
        database = Database(database_url, size=1)

        def taken_over() -> bool:
            with database.transaction() as cursor:  # the one that has the lock is cut off
                cursor.execute(
                    """SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'
                       AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""
                )
                cursor.execute("SELECT pg_try_advisory_lock(%s)", (EXECUTOR_LOCK,))
                return cursor.fetchone() == (True,)

        eventually(taken_over)
        stage.executor.look_for_new()
        eventually(lambda: "another worker" in (stage.executor.reason or ""))
        assert (stage.gate.accounts, stage.executor.executions()) == ({}, [])
        database.close()
        eventually(stage.executor.executions)
        assert stage.gate.accounts


def test_what_the_tables_refuse_of_one_execution_does_not_hold_up_another(database_url: str) -> None:
    broker = Broker(answer=lambda signal: filled(signal, filled_price=1e-13))  # zero when booked
    with running(database_url, broker) as stage:
        stage.approve()
        stage.see(AAPL=100, MSFT=100)
        eventually(lambda: "not recorded" in str([each.reason for each in stage.executor.executions()]))
        broker.answer = filled
        limits = {"max_position_size": 0.5, "stop_loss_pct": 0.05}
        other = approval_message(entry_rules=None, risk_params=limits)
        take_approval(database_url, json.dumps({**other, "timestamp": "2026-01-29T10:00:00Z"}).encode())
        stage.executor.look_for_new()
        eventually(lambda: [row["status"] for row in orders(database_url)][2:] == ["FILLED"] * 2)
        assert stage.executor.reason is None


def test_a_lost_connection_costs_no_order(database_url: str) -> None:
    with running(database_url, Broker(holds=True)) as stage:
        stage.approve()
        stage.see(AAPL=100, MSFT=100)
        eventually(lambda: len(stage.broker.taken) == 2)
        execute(
            database_url,
            """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE datname = current_database() AND pid <> pg_backend_pid()""",
        )
        for signal in stage.broker.taken:
            stage.broker.fill(signal)
        eventually(lambda: [row["status"] for row in orders(database_url)] == ["FILLED"] * 2, 20)
        assert len(stage.broker.taken) == 2
        assert stage.gate.reserved == set()


def test_the_risk_desk_reduces_and_refuses_before_anything_is_written(database_url: str) -> None:
    with running(database_url) as stage:
        stage.gate.verdict = lambda order: (
            Reduced(
                quantity=Decimal("300.7"),
                rule=Rule.POSITION_SIZE,
                value=Decimal(35_000),
                limit=Decimal(30_000),
                detail="too much",
            )
            if order.symbol == "AAPL"
            else Refused(rule=Rule.STALE_PRICE, detail="no price")
        )
        stage.approve()
        stage.see(AAPL=100, MSFT=100)
        eventually(lambda: orders(database_url))
        assert [(row["symbol"], row["quantity"]) for row in orders(database_url)] == [("AAPL", 300)]


def test_what_is_refused_for_the_moment_is_tried_again_soon(database_url: str) -> None:
    with running(database_url, retry_seconds=0.0) as stage:
        stage.gate.verdict = lambda _: Refused(rule=Rule.STALE_PRICE, detail="no price")
        stage.approve()
        stage.see(AAPL=100, MSFT=100)
        eventually(lambda: len(stage.gate.reserved) == 2)
        stage.gate.verdict = lambda _: Approved()
        eventually(lambda: [row["status"] for row in orders(database_url)] == ["FILLED"] * 2)


def test_pause_resume_and_stop(database_url: str) -> None:
    with running(database_url, rebalance_seconds=0.0) as stage:
        bought(stage)
        key = str(execution(database_url)["execution_id"])
        assert stage.executor.command("unknown", "pause", "test") is None
        assert applied(stage, key, "resume") is False
        assert applied(stage, key, "pause", "over lunch") is True
        assert execution(database_url)["status"] == "paused"
        assert execution(database_url)["reason"] == "over lunch"
        stage.see(AAPL=140)
        assert applied(stage, key, "resume") is True
        eventually(lambda: len(orders(database_url)) == 4)
        assert applied(stage, key, "stop", "by a test") is True
        eventually(lambda: execution(database_url)["status"] == "stopped")
        assert execution(database_url)["positions"] == {}
        assert execution(database_url)["stopped_at"] is not None
        assert execution(database_url)["total_trades"] == 2
        assert stage.executor.command(key, "stop", "again") is None
        assert stage.feeds == {}
    assert kinds(database_url) == [
        "strategy.execution.started",
        "strategy.execution.paused",
        "strategy.execution.rebalanced",
        "strategy.execution.rebalanced",
        "strategy.execution.stopped",
    ]
    assert table(database_url, "position_snapshots", "snapshot_id")[-1]["positions"] == {}


def test_a_command_is_done_only_when_it_is_written(database_url: str) -> None:
    with running(database_url) as stage:
        bought(stage)
        key = str(execution(database_url)["execution_id"])
        with cursor_of(database_url) as cursor:
            cursor.execute("BEGIN; LOCK TABLE strategy_executions IN EXCLUSIVE MODE")
            done = stage.executor.command(key, "pause", "over lunch")
            assert done is not None
            eventually(lambda: waiting_for_a_lock(database_url))
            assert not done.done()
            cursor.execute("COMMIT")
        assert done.result(SECONDS) is True
        assert execution(database_url)["status"] == "paused"


def test_winding_down_closes_every_position(database_url: str) -> None:
    with running(database_url) as stage:
        assert stage.executor.wind_down(10)
        bought(stage)
        assert stage.executor.wind_down(10)
        assert execution(database_url)["status"] == "stopped"


def test_every_snapshot_balances(database_url: str) -> None:
    broker = Broker()
    broker.answer = lambda signal: filled(signal, filled_price=signal.price + 0.25, fee=1.5)
    with running(database_url, broker, check_seconds=0.01) as stage:
        bought(stage)
        prices = cycle((101, 103.37, 99.01))

        def enough() -> bool:
            stage.see(AAPL=next(prices), MSFT=99)
            return len(table(database_url, "position_snapshots", "snapshot_id")) > 5

        eventually(enough)
    for row in table(database_url, "position_snapshots", "snapshot_id"):
        market = sum(Decimal(str(each["value"])) for each in row["positions"].values())
        assert row["total_value"] == row["cash"] + market == 100_000 + row["total_pnl"]
