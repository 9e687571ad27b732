"""`python main.py oms`: the reference OMS, which fills orders over gRPC and can be told to misbehave."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from config import load_settings
from models.errors import ConfigError

if TYPE_CHECKING:
    from services.oms.options import OmsServerOptions


class PriceSource(StrEnum):
    """Where the last price of a symbol is taken from."""

    ORDER = "order"
    REDIS = "redis"


def oms(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Its port; 0 takes a free one.", min=0, max=65535)] = 50051,
    prices: Annotated[
        PriceSource, typer.Option(help="Fill at the order's own price, or at the last one in Redis.")
    ] = PriceSource.ORDER,
    fill_parts: Annotated[int, typer.Option(help="Parts that each order is filled in.")] = 1,
    fill_seconds: Annotated[float, typer.Option(help="Time before each part, in seconds.")] = 0.0,
    fill_at_most: Annotated[
        int | None, typer.Option(help="Units filled of each order; the rest is cancelled.", min=0)
    ] = None,
    reject_over_quantity: Annotated[
        int | None, typer.Option(help="Reject orders of more units than this.", min=0)
    ] = None,
    symbols: Annotated[str, typer.Option(help="Reject all but these, with commas between.")] = "",
    streams: Annotated[int, typer.Option(help="Most streams at once; each holds a thread.", min=1)] = 64,
    remembered: Annotated[int, typer.Option(help="Ids that are known again.", min=1)] = 100_000,
    journal: Annotated[
        Path | None, typer.Option(help="File that keeps them over a restart; else they are forgotten.")
    ] = None,
    certificate: Annotated[
        Path | None, typer.Option(help="Certificate (PEM); with it and --key TLS is spoken.")
    ] = None,
    key: Annotated[Path | None, typer.Option(help="Key of the certificate (PEM).")] = None,
    drop_rate: Annotated[float, typer.Option(help="Fault: share whose stream ends once accepted.")] = 0.0,
    mute_rate: Annotated[float, typer.Option(help="Fault: share executed and never answered.")] = 0.0,
    repeat_rate: Annotated[float, typer.Option(help="Fault: share answered twice.")] = 0.0,
    seed: Annotated[int | None, typer.Option(help="Makes the faults repeatable.")] = None,
) -> None:
    """Run the reference OMS until SIGTERM: fills every order it takes, without a market or a ledger.

    It knows orders by their id for as long as it runs, with --journal also afterwards. Its clients need
    OMS_TOKEN when that is set.
    """
    from services.oms.options import Faults, OmsServerOptions, Rules
    from services.telemetry.logs import configure_logging

    settings = load_settings()
    configure_logging(settings.log_level, settings.log_format)
    rules = Rules(
        fill_parts=fill_parts,
        fill_seconds=fill_seconds,
        fill_at_most=fill_at_most,
        reject_over_quantity=reject_over_quantity,
        symbols=frozenset(symbol.strip() for symbol in symbols.split(",") if symbol.strip()),
    )
    options = OmsServerOptions(
        host=host,
        port=port,
        token=None if settings.oms_token is None else settings.oms_token.get_secret_value(),
        certificate=certificate,
        key=key,
        streams=streams,
        remembered=remembered,
        journal=journal,
        rules=rules,
        faults=Faults(drop_rate=drop_rate, mute_rate=mute_rate, repeat_rate=repeat_rate, seed=seed),
    )
    _serve(options, settings.redis_url if prices is PriceSource.REDIS else None)


def _serve(options: "OmsServerOptions", redis_url: str | None) -> None:
    try:
        from services.oms.prices import MarketPrices, OrderPrices
        from services.oms.server import OmsServer, serve
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"the reference OMS needs the package {error.name}: install what requirements-oms.txt lists"
        ) from error
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    prices = OrderPrices() if redis_url is None else MarketPrices(redis_url)
    serve(OmsServer(options, prices), lambda address: console.print(f"reference OMS on {address}"))
