"""`python main.py gateway`: the paper gateway, which executes signals against a ledger in PostgreSQL."""

from contextlib import ExitStack
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated

import typer
from pydantic import SecretStr
from rich.console import Console

from config import load_settings
from models.errors import ConfigError
from services.commands.database import embedded_database

DATA_FOLDER = Path("var/gateway")


def gateway(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Its port; 0 takes a free one.", min=0, max=65535)] = 3000,
    fee_bps: Annotated[str, typer.Option(help="Fee on the value of each fill, in basis points.")] = "0",
    slippage_bps: Annotated[str, typer.Option(help="Move of each fill against the trader.")] = "0",
    data_folder: Annotated[
        Path, typer.Option(help="Where the embedded PostgreSQL lives when DATABASE_URL is not set.")
    ] = DATA_FOLDER,
    fail_rate: Annotated[float, typer.Option(help="Fault: share of requests answered with 500.")] = 0.0,
    delay: Annotated[float, typer.Option(help="Fault: seconds that every request waits.")] = 0.0,
    drop_rate: Annotated[float, typer.Option(help="Fault: share executed whose reply is dropped.")] = 0.0,
    seed: Annotated[int | None, typer.Option(help="Makes the faults repeatable.")] = None,
) -> None:
    """Run the paper gateway until SIGTERM: the Gateway's interface with a real ledger, and no broker."""
    from services.db_client import Database, migrate
    from services.paper.app import create_app
    from services.paper.options import Faults, PaperGatewayOptions
    from services.paper.publisher import RedisPublisher
    from services.paper.server import run
    from services.telemetry.logs import configure_logging

    settings = load_settings()
    configure_logging(settings.log_level, settings.log_format)
    options = PaperGatewayOptions(
        token=_reveal(settings.gateway_token),
        hmac_secret=_reveal(settings.gateway_hmac_secret),
        fee_bps=_basis_points("--fee-bps", fee_bps),
        slippage_bps=_basis_points("--slippage-bps", slippage_bps),
        faults=Faults(fail_rate=fail_rate, delay_seconds=delay, drop_rate=drop_rate, seed=seed),
    )
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    with ExitStack() as stack:
        url = settings.database_url or embedded_database(stack, data_folder, console, "the ledger is")
        migrate(url)
        database = Database(url)
        stack.callback(database.close)
        publisher = RedisPublisher(settings.redis_url)
        stack.callback(publisher.close)
        run(
            create_app(options, database, publisher),
            host=host,
            port=port,
            on_ready=lambda address: console.print(f"paper gateway on {address}"),
        )


def _basis_points(option: str, text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise ConfigError(f"{option} is {text!r}; it must be a number of basis points, like 2.5") from None


def _reveal(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()
