"""Tokens and signatures: the right one passes, everything near it does not."""

import hashlib
import hmac
from decimal import Decimal

import pytest

from models.errors import ConfigError
from services.paper.authentication import Authentication
from services.paper.options import Faults, PaperGatewayOptions
from services.paper.refusal import RequestRefused

NOW = 1_700_000_000.0
SIGNED = b"POST\n/internal/execute\n{}"


def signature(timestamp: str, secret: bytes = b"secret", signed: bytes = SIGNED) -> str:
    return hmac.new(secret, timestamp.encode() + b"\n" + signed, hashlib.sha256).hexdigest()


@pytest.fixture
def authentication() -> Authentication:
    return Authentication("tökén", "secret", clock=lambda: NOW)


def test_the_right_token_passes(authentication: Authentication) -> None:
    authentication.check_token("Bearer tökén")
    authentication.check_token("bearer  tökén ")


@pytest.mark.parametrize(
    "header", [None, "", "tökén", "Bearer", "Bearer token", "Basic tökén", "Bearer tökénn"]
)
def test_any_other_token_is_a_401(authentication: Authentication, header: str | None) -> None:
    with pytest.raises(RequestRefused) as raised:
        authentication.check_token(header)
    assert raised.value.status_code == 401
    assert "tökén" not in raised.value.message


@pytest.mark.parametrize("age", [0, 299, 300, -300])
def test_a_signature_holds_for_five_minutes(authentication: Authentication, age: int) -> None:
    timestamp = str(int(NOW) - age)
    authentication.check_signature(timestamp, signature(timestamp), SIGNED)


@pytest.mark.parametrize("timestamp", ["1699999699", "1700000301", "", "nan", "inf", "soon", "-1"])
def test_a_signature_of_another_time_is_stale(authentication: Authentication, timestamp: str) -> None:
    with pytest.raises(RequestRefused) as raised:
        authentication.check_signature(timestamp, signature(timestamp), SIGNED)
    assert (raised.value.status_code, raised.value.error) == (401, "stale_signature")


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        "",
        "é",
        signature("1700000000")[:-1],
        signature("1700000000", secret=b"other"),
        signature("1700000001"),
        signature("1700000000", signed=b"GET\n/internal/execute\n{}"),
        signature("1700000000", signed=b"POST\n/internal/execute\n{ }"),
    ],
)
def test_any_other_signature_is_a_401(authentication: Authentication, wrong: str | None) -> None:
    with pytest.raises(RequestRefused) as raised:
        authentication.check_signature("1700000000", wrong, SIGNED)
    assert (raised.value.status_code, raised.value.error) == (401, "bad_signature")


def test_what_is_not_configured_is_not_checked() -> None:
    authentication = Authentication(None, None)
    authentication.check_token(None)
    authentication.check_signature(None, None, SIGNED)


def test_the_options_do_not_show_their_secrets() -> None:
    options = PaperGatewayOptions(token="hunter2", hmac_secret="hunter2")  # noqa: S106
    assert "hunter2" not in repr(options)


@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf")])
def test_faults_out_of_range_are_a_wrong_configuration(value: float) -> None:
    with pytest.raises(ConfigError, match="fail rate"):
        Faults(fail_rate=value)
    with pytest.raises(ConfigError, match="drop rate"):
        Faults(drop_rate=value)
    with pytest.raises(ConfigError, match="delay"):
        Faults(delay_seconds=value)


@pytest.mark.parametrize("value", ["-1", "10000", "NaN", "Infinity"])
def test_costs_out_of_range_are_a_wrong_configuration(value: str) -> None:
    with pytest.raises(ConfigError, match="fee"):
        PaperGatewayOptions(fee_bps=Decimal(value))
    with pytest.raises(ConfigError, match="slippage"):
        PaperGatewayOptions(slippage_bps=Decimal(value))
