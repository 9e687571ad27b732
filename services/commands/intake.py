"""`python main.py intake`: discovered strategies from their stream into the catalogue."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from config import load_settings
from services.commands.output import print_json, print_line
from services.stop_signal import StopSignal

if TYPE_CHECKING:
    from services.intake.counters import IntakeCounters
    from services.intake.pace import Ending

# The levels of the earlier service, by its numbers.
VERBOSITIES = {"-3": "CRITICAL", "-2": "ERROR", "-1": "WARNING", "0": "INFO", "1": "DEBUG"}


def make_intake(stop: StopSignal) -> Callable[..., int]:
    """Return the verb; SIGTERM ends it in order."""

    def intake(
        until_idle: Annotated[
            float | None, typer.Option(min=0.1, help="End when there was nothing for so many seconds.")
        ] = None,
        max_seconds: Annotated[
            float | None, typer.Option(min=0.1, help="End after so many seconds in any case.")
        ] = None,
        as_json: Annotated[bool, typer.Option("--json", help="Print what was done as JSON.")] = False,
        kafka_bootstrap_servers: Annotated[
            str | None,
            typer.Option(
                "--kafka_bootstrap_servers", "--kafka-bootstrap-servers", help="Brokers; implies Kafka."
            ),
        ] = None,
        kafka_topic: Annotated[
            str | None, typer.Option("--kafka_topic", "--topic", help="KAFKA_TOPIC_STRATEGIES.")
        ] = None,
        kafka_group_id: Annotated[
            str | None, typer.Option("--kafka_group_id", "--group", help="KAFKA_GROUP_ID.")
        ] = None,
        postgres_host: Annotated[str | None, typer.Option("--postgres_host", help="POSTGRES_HOST.")] = None,
        postgres_port: Annotated[str | None, typer.Option("--postgres_port", help="POSTGRES_PORT.")] = None,
        postgres_database: Annotated[
            str | None, typer.Option("--postgres_database", "--postgres_db", help="POSTGRES_DB.")
        ] = None,
        postgres_user: Annotated[
            str | None, typer.Option("--postgres_user", "--postgres_username", help="POSTGRES_USER.")
        ] = None,
        postgres_password: Annotated[
            str | None, typer.Option("--postgres_password", help="POSTGRES_PASSWORD, better as a file.")
        ] = None,
        batch_size: Annotated[
            str | None, typer.Option("--batch_size", "--batch-size", help="BATCH_SIZE.")
        ] = None,
        batch_timeout_seconds: Annotated[
            str | None, typer.Option("--batch_timeout_seconds", "--batch-timeout-seconds", help="As named.")
        ] = None,
        max_retries: Annotated[
            str | None, typer.Option("--max_retries", "--max-retries", help="MAX_RETRIES.")
        ] = None,
        verbosity: Annotated[str | None, typer.Option(help="LOG_LEVEL, or -3 to 1.")] = None,
    ) -> int:
        """Take discovered strategies in until SIGTERM, or as a job with --until-idle and --max-seconds.

        As a job it opens no ports. Exit codes: 0 done or stopped, 1 messages are left because the stream or
        the database failed, 2 wrong use or configuration.
        """
        from services.intake.pace import Pace
        from services.intake.service import Intake
        from services.telemetry.logs import configure_logging

        given = {
            "INTAKE_TRANSPORT": kafka_bootstrap_servers and "kafka",
            "KAFKA_BOOTSTRAP_SERVERS": kafka_bootstrap_servers,
            "KAFKA_TOPIC_STRATEGIES": kafka_topic,
            "KAFKA_GROUP_ID": kafka_group_id,
            "POSTGRES_HOST": postgres_host,
            "POSTGRES_PORT": postgres_port,
            "POSTGRES_DB": postgres_database,
            "POSTGRES_USER": postgres_user,
            "POSTGRES_PASSWORD": postgres_password,
            "BATCH_SIZE": batch_size,
            "BATCH_TIMEOUT_SECONDS": batch_timeout_seconds,
            "MAX_RETRIES": max_retries,
            "LOG_LEVEL": verbosity and VERBOSITIES.get(verbosity, verbosity),
        }
        settings = load_settings(overrides={name: text for name, text in given.items() if text})
        configure_logging(settings.log_level, settings.log_format)
        pace = Pace(
            batch_size=settings.batch_size,
            batch_seconds=settings.batch_timeout_seconds,
            max_retries=settings.max_retries,
            until_idle=until_idle,
            max_seconds=max_seconds,
        )
        as_a_job = until_idle is not None or max_seconds is not None
        service = Intake(settings, pace, stop.requested)
        ending = service.run(serve=not as_a_job)
        _report(ending, service.consumer.counters, service.consumer.trouble, as_json=as_json)
        return 0 if ending.fine else 1

    return intake


def _report(ending: "Ending", counters: "IntakeCounters", trouble: str | None, *, as_json: bool) -> None:
    outcomes = {name: counters.outcomes[name] for name in ("inserted", "updated", "unchanged", "refused")}
    if as_json:
        print_json(
            {
                "ending": ending.value,
                "messages": counters.messages,
                **outcomes,
                "refusals": dict(counters.refusals),
                "retries": counters.retries,
                "lost": counters.lost,
                "trouble": trouble,
            }
        )
        return
    counted = ", ".join(f"{number} {name}" for name, number in outcomes.items())
    print_line(
        f"{ending.value}: {counters.messages} messages, {counted}" + (f"; {trouble}" if trouble else "")
    )
