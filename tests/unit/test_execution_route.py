"""Who executes signals by the settings, and that only those who want an OMS need its packages."""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from config import Settings
from models.errors import ConfigError, NotSent, Uncertain
from models.signal import SignalStatus
from services.execution_route import courier_options, make_route
from services.signals.delivery import Delivery, RetryPolicy
from services.signals.oms_client import OmsClient
from services.signals.outbox import OutboxEntry
from services.signals.outcome import Outcome
from services.signals.route import GatewayRoute
from tests.sample_signals import make_signal
from tests.support import REPOSITORY

WITHOUT_GRPC = """
import sys
sys.modules["grpc"] = None
from config import Settings
from models.errors import ConfigError
from services.commands.oms import oms
from services.execution_route import make_route
import services.worker
make_route(Settings())
try:
    make_route(Settings(execution_route="oms"))
except ConfigError as error:
    print(error)
"""


def test_the_gateway_is_the_route_unless_the_oms_is_chosen() -> None:
    assert isinstance(make_route(Settings()), GatewayRoute)
    route = make_route(Settings(execution_route="oms"))
    assert isinstance(route, OmsClient)
    route.close()


def test_each_route_is_delivered_to_by_its_own_settings() -> None:
    both = {"gateway_threads": 3, "gateway_idempotent": True, "oms_orders": 7, "oms_idempotent": False}
    gateway = courier_options(Settings.model_validate(both))
    assert (gateway.threads, gateway.idempotent, gateway.attempts) == (3, True, None)
    oms = courier_options(Settings.model_validate({**both, "execution_route": "oms"}))
    assert (oms.threads, oms.idempotent, oms.attempts) == (7, False, 3)
    assert (oms.first_retry, oms.longest_retry) == (1.0, 10.0)


def test_a_worker_without_the_packages_of_the_oms_runs_and_says_what_an_oms_needs() -> None:
    ended = subprocess.run(  # noqa: S603 — a program of this test
        [sys.executable, "-c", WITHOUT_GRPC], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert ended.stdout.strip() == (
        "EXECUTION_ROUTE is oms, which needs the package grpc: install what requirements-oms.txt lists"
    )


def test_an_authority_that_cannot_be_read_is_a_matter_of_configuration(tmp_path: Path) -> None:
    authority = tmp_path / "ca.pem"
    authority.touch()
    settings = Settings(execution_route="oms", oms_tls_ca=authority)
    authority.unlink()
    with pytest.raises(ConfigError, match="OMS_TLS_CA names a file that cannot be read"):
        make_route(settings)


def make_delivery(attempts: int) -> Delivery:
    entry = OutboxEntry(signal=make_signal(), received_at=0.0, expires_at=100.0, created_at=datetime.now(UTC))
    delivery = Delivery(entry)
    delivery.attempts = attempts
    return delivery


def test_a_signal_of_which_nothing_was_sent_is_tried_so_often_and_no_more() -> None:
    policy = RetryPolicy(idempotent=False, draw=lambda: 1.0, attempts=3)
    assert make_delivery(2).settle(NotSent("away"), 1.0, policy) is None
    ended = make_delivery(3).settle(NotSent("away"), 1.0, policy)
    assert isinstance(ended, Outcome)
    assert (ended.status, ended.report.reason) == (SignalStatus.EXPIRED, "not sent in 3 attempts: away")


def test_a_signal_that_may_have_been_sent_is_never_given_up_for_its_attempts() -> None:
    policy = RetryPolicy(idempotent=True, draw=lambda: 1.0, attempts=3)
    delivery = make_delivery(3)
    assert delivery.settle(Uncertain("lost"), 1.0, policy) is not None
    assert delivery.settle(NotSent("away"), 2.0, policy) is None
