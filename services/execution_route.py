"""Who executes signals by the settings, the Gateway or the OMS, and how they are delivered there."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from pydantic import SecretStr

from config import Settings
from models.errors import ConfigError
from models.execution import PartialFill
from services.signals.courier import CourierOptions
from services.signals.gateway_client import GatewayClient, GatewayOptions
from services.signals.route import GatewayRoute, Route

if TYPE_CHECKING:
    from services.signals.oms_client import OmsClient

# An order of which nothing was sent is given to the OMS so often; seconds are the first and the longest wait.
OMS_ATTEMPTS = 3
OMS_RETRY_SECONDS = (1.0, 10.0)


def make_route(settings: Settings, filled: Callable[[PartialFill], None] = lambda _: None) -> Route:
    """Return where signals are executed. Raises ConfigError when what that needs is not there.

    `filled` is told what the OMS fills of an order that goes on; the Gateway tells of the end alone.
    """
    if settings.execution_route == "oms":
        return make_oms_client(settings, filled)
    return GatewayRoute(make_gateway_client(settings))


def courier_options(settings: Settings) -> CourierOptions:
    """Return how signals are delivered on that route."""
    if settings.execution_route == "gateway":
        return CourierOptions(
            threads=settings.gateway_threads,
            most_threads=settings.gateway_threads_max,
            idempotent=settings.gateway_idempotent,
        )
    first, longest = OMS_RETRY_SECONDS
    return CourierOptions(
        threads=settings.oms_orders,
        idempotent=settings.oms_idempotent,
        first_retry=first,
        longest_retry=longest,
        attempts=OMS_ATTEMPTS,
        whose="oms",
    )


def make_gateway_client(settings: Settings) -> GatewayClient:
    """Return what speaks to the Gateway of the settings."""
    options = GatewayOptions(
        url=settings.gateway_url,
        timeout=settings.gateway_timeout,
        token=_reveal(settings.gateway_token),
        hmac_secret=_reveal(settings.gateway_hmac_secret),
    )
    return GatewayClient(options)


def make_oms_client(
    settings: Settings, filled: Callable[[PartialFill], None] = lambda _: None
) -> "OmsClient":
    """Return what speaks to the OMS of the settings. Raises ConfigError when its packages are missing."""
    try:
        # An extra: a worker that speaks to a Gateway does without.
        from services.signals.oms_client import OmsClient, OmsOptions  # noqa: PLC0415
        from services.signals.oms_stream import StreamOptions  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"EXECUTION_ROUTE is oms, which needs the package {error.name}: "
            "install what requirements-oms.txt lists"
        ) from error
    stream = StreamOptions(
        address=settings.oms_address,
        token=_reveal(settings.oms_token),
        ca_file=settings.oms_tls_ca,
        reconnect=OMS_RETRY_SECONDS,
    )
    return OmsClient(
        OmsOptions(
            stream=stream,
            order_type=settings.oms_order_type,
            order_timeout=settings.order_timeout,
            idempotent=settings.oms_idempotent,
        ),
        filled,
    )


def _reveal(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()
