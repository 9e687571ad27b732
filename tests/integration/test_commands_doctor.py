"""`doctor`: every check against the real thing, well and not, each with what to do."""

import socket
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest
from prometheus_client import Gauge

from config import Settings
from services.commands.checks import Finding, examine
from services.intake import kafka_browser
from tests.gateway_stub import Answer, GatewayStub
from tests.integration.command_line import command
from tests.integration.served_worker import serving
from tests.kafka_mock import MockKafka
from tests.oms_stub import serving_oms
from tests.support import free_port


@pytest.fixture
def gateway() -> Iterator[GatewayStub]:
    with GatewayStub() as stub:
        yield stub


@pytest.fixture
def well(redis_url: str, gateway: GatewayStub) -> dict[str, str]:
    """Settings with which nothing is wrong."""
    return {
        "REDIS_URL": redis_url,
        "GATEWAY_URL": gateway.url,
        "HEALTH_PORT": str(free_port()),
        "METRICS_PORT": str(free_port()),
    }


@pytest.mark.parametrize("answers", [True, False])
def test_kafka_is_looked_at_where_it_is_the_transport(
    well: dict[str, str], monkeypatch: pytest.MonkeyPatch, *, answers: bool
) -> None:
    monkeypatch.setattr(kafka_browser, "ANSWER_SECONDS", 5.0 if answers else 0.3)
    with MockKafka() as cluster:
        servers = cluster.servers if answers else f"127.0.0.1:{free_port()}"
        finding = found(well, "kafka", intake_transport="kafka", kafka_bootstrap_servers=servers)
    assert finding.ok == answers
    assert servers in finding.detail
    assert answers or "correct KAFKA_BOOTSTRAP_SERVERS" in finding.detail


def found(well: dict[str, str], check: str, **changed: object) -> Finding:
    """Return what the doctor says about one thing, some settings changed; what comes after is not tried."""
    settings = Settings.model_validate({name.lower(): value for name, value in well.items()} | changed)
    return next(each for each in examine(settings) if each.check.startswith(check))


def test_with_nothing_wrong_every_line_is_well_and_the_exit_code_0(
    well: dict[str, str], database_url: str
) -> None:
    ended = command("doctor", DATABASE_URL=database_url, **well)
    assert ended.code == 0, ended.output
    assert [line[0] for line in ended.output.splitlines()] == ["✓"] * 8


def test_one_thing_wrong_is_exit_code_1_and_one_line_of_json(well: dict[str, str]) -> None:
    ended = command("doctor", "--json", **well | {"GATEWAY_URL": f"http://127.0.0.1:{free_port()}"})
    assert ended.code == 1
    (wrong,) = [each for each in ended.json if not each["ok"]]
    assert wrong["check"] == "gateway"
    assert "connection_refused" in wrong["detail"]
    assert "correct GATEWAY_URL" in wrong["detail"]


def test_every_problem_of_the_configuration_is_a_line_and_no_secret_is_shown(well: dict[str, str]) -> None:
    ended = command(
        "doctor", **well | {"HEALTH_PORT": "many", "GATEWAY_TIMEOUT": "-1", "GATEWAY_TOKEN": "top secret"}
    )
    assert ended.code == 1
    assert [line[0] for line in ended.output.splitlines()] == ["✗"] * 3
    assert "top secret" not in ended.output


def test_secrets_are_shown_neither_well_nor_wrong(well: dict[str, str]) -> None:
    secrets = {
        "REDIS_URL": f"redis://:hush-redis@127.0.0.1:{free_port()}",
        "DATABASE_URL": f"postgresql://u:hush-postgres@127.0.0.1:{free_port()}/db",
        "GATEWAY_TOKEN": "hush-token",
        "GATEWAY_HMAC_SECRET": "hush-hmac",
    }
    assert "hush" not in command("doctor", **well | secrets).output
    password = well["REDIS_URL"].split(":")[2].split("@")[0]
    assert password not in command("doctor", **well).output


def test_redis_that_does_not_answer_is_wrong(well: dict[str, str]) -> None:
    finding = found(well, "redis", redis_url=f"redis://127.0.0.1:{free_port()}")
    assert not finding.ok
    assert "start it, or correct REDIS_URL" in finding.detail


def test_pending_migrations_are_named_with_the_command_that_applies_them(
    well: dict[str, str], empty_database_url: str
) -> None:
    finding = found(well, "database", database_url=empty_database_url)
    assert not finding.ok
    assert "0001_platform" in finding.detail
    assert "python main.py migrate" in finding.detail


def test_looking_at_the_database_changes_nothing_in_it(well: dict[str, str], empty_database_url: str) -> None:
    found(well, "database", database_url=empty_database_url)
    connection = psycopg2.connect(empty_database_url)
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'")
        assert cursor.fetchone() == (0,)
    connection.close()


def test_a_migration_that_was_changed_after_it_was_applied_is_wrong(
    well: dict[str, str], database_url: str
) -> None:
    connection = psycopg2.connect(database_url)
    with connection, connection.cursor() as cursor:
        cursor.execute("UPDATE schema_migrations SET checksum = 'other' WHERE version = 1")
    connection.close()
    finding = found(well, "database", database_url=database_url)
    assert not finding.ok
    assert "0001_platform changed after being applied" in finding.detail


def test_a_database_that_does_not_answer_is_wrong(well: dict[str, str]) -> None:
    finding = found(well, "database", database_url=f"postgresql://u@127.0.0.1:{free_port()}/db")
    assert not finding.ok
    assert "connection refused" in finding.detail


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (200, "✓ answers"),
        (404, "✓ answers"),
        (500, "✓ answers"),
        (401, "✗ GATEWAY_TOKEN"),
        (403, "✗ GATEWAY_HMAC_SECRET"),
        (503, "✗ start it"),
    ],
)
def test_a_gateway_is_judged_by_its_answer(
    well: dict[str, str], gateway: GatewayStub, status: int, verdict: str
) -> None:
    gateway.script(Answer(status))
    finding = found(well, "gateway")
    mark, words = verdict.split(" ", 1)
    assert finding.ok is (mark == "✓")
    assert words in finding.detail


def test_our_credentials_are_shown_to_the_gateway(well: dict[str, str], gateway: GatewayStub) -> None:
    assert found(well, "gateway", gateway_token="hush").ok  # noqa: S106 — no secret of anybody
    assert gateway.requests[-1].headers["authorization"] == "Bearer hush"
    assert gateway.requests[-1].method == "GET"


def test_a_worker_that_is_ready_is_well_on_both_ports(well: dict[str, str]) -> None:
    with serving() as served:
        Gauge("worker_sessions", "As the real one has it.", registry=served.worker.registry)
        health = found(well, "HEALTH_PORT", health_port=served.health_port)
        metrics = found(well, "METRICS_PORT", metrics_port=served.metrics_port)
    assert (health.ok, health.detail) == (True, "a worker is there, and ready")
    assert (metrics.ok, metrics.detail) == (True, "a worker's metrics are there")


def test_a_worker_that_is_not_ready_is_wrong_with_its_reasons(well: dict[str, str]) -> None:
    with serving() as served:
        served.worker.missing["gateway"] = "gateway_unreachable"
        finding = found(well, "HEALTH_PORT", health_port=served.health_port)
    assert not finding.ok
    assert "gateway: gateway_unreachable" in finding.detail


def test_a_worker_that_is_stuck_is_wrong(well: dict[str, str]) -> None:
    with serving() as served:
        served.worker.stuck = ("data-consumer",)
        finding = found(well, "HEALTH_PORT", health_port=served.health_port)
    assert not finding.ok
    assert "stuck" in finding.detail


@pytest.mark.parametrize("port", ["health_port", "metrics_port"])
def test_a_port_that_another_program_has_is_wrong(
    well: dict[str, str], gateway: GatewayStub, port: str
) -> None:
    finding = found(well, port.upper(), **{port: gateway.port})
    assert not finding.ok
    assert "another program has it" in finding.detail


@pytest.mark.parametrize("port", ["health_port", "metrics_port"])
def test_a_port_that_is_had_without_speaking_http_is_wrong_too(well: dict[str, str], port: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        mute.listen()
        finding = found(well, port.upper(), **{port: mute.getsockname()[1]})
    assert not finding.ok


def test_ports_that_are_switched_off_are_well(well: dict[str, str]) -> None:
    assert found(well, "HEALTH_PORT", health_port=0).ok
    assert found(well, "METRICS_PORT", metrics_port=0).ok


def test_a_file_of_strategies_that_does_not_load_is_wrong(well: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("1 +\n")
    finding = found(well, "strategies", strategies_path=tmp_path)
    assert not finding.ok
    assert "broken.py: line 1" in finding.detail


def test_a_default_strategy_that_is_not_there_is_wrong(well: dict[str, str]) -> None:
    finding = found(well, "strategies", default_strategy="mok")
    assert not finding.ok
    assert "did you mean 'mock'?" in finding.detail


def test_with_the_oms_as_the_route_the_oms_is_looked_at_and_no_gateway(well: dict[str, str]) -> None:
    route = {"execution_route": "oms", "gateway_url": "http://127.0.0.1:9"}
    with serving_oms() as address:
        finding = found(well, "oms", **route, oms_address=address)
        assert (finding.ok, finding.detail) == (True, f"{address} answers")
    away = found(well, "oms", **route, oms_address=address)
    assert not away.ok
    assert "start the OMS, or correct OMS_ADDRESS" in away.detail


def test_an_oms_that_wants_another_token_is_told_from_one_that_is_away(well: dict[str, str]) -> None:
    with serving_oms(token="another") as address:  # noqa: S106 — a test's
        finding = found(well, "oms", execution_route="oms", oms_address=address)
    assert (finding.ok, finding.detail) == (False, f"{address} refuses our credentials: correct OMS_TOKEN")
