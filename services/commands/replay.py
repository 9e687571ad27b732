"""`python main.py record` and `replay`: what flows over Redis, written down and published again."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from config import load_settings
from models.errors import StorageUnavailable
from models.settings import masked
from services.commands.output import AsJson, print_json, print_line, print_warning
from services.commands.progress import progress_bar
from services.stop_signal import StopSignal

if TYPE_CHECKING:
    from services.history.feed import Feed, Window
    from services.history.replay import Schedule

FASTEST = 1_000_000.0


def make_record(stop: StopSignal) -> Callable[..., None]:
    """Return the verb; SIGTERM ends it in order."""

    def record(
        folder: Annotated[Path, typer.Argument(help="Where the files go; made where it is not there.")],
        form: Annotated[
            Literal["csv", "parquet"],
            typer.Option("--format", help="Of finished files: gzip CSV, or Parquet (needs pyarrow)."),
        ] = "csv",
        max_seconds: Annotated[float | None, typer.Option(min=0.1, help="End after so many seconds.")] = None,
        rotate_mb: Annotated[int, typer.Option(min=1, help="Begin another file after so many MB.")] = 64,
        rotate_minutes: Annotated[float, typer.Option(min=0.1, help="And after so many minutes.")] = 60.0,
        as_json: AsJson = False,
    ) -> None:
        """Write down bars, trades and control events with the time at which each came, until SIGTERM.

        What came more than a second ago is on disk, whatever happens to the process.
        """
        from services.history.record import Recorder
        from services.history.recording import RecordingWriter
        from services.telemetry.logs import configure_logging

        settings = load_settings()
        configure_logging(settings.log_level, settings.log_format)
        size, seconds = rotate_mb * 1024 * 1024, rotate_minutes * 60
        writer = RecordingWriter(folder, form, rotate_bytes=size, rotate_seconds=seconds)
        recorder = Recorder(settings.redis_url, writer, stop.requested)
        recorder.run(max_seconds)
        if as_json:
            print_json({"messages": writer.written, "gaps": recorder.gaps, "folder": str(folder)})
        else:
            print_line(f"{writer.written} messages in {folder}, {recorder.gaps} gaps")

    return record


def read_speed(text: str) -> float | None:
    """Read `--speed`: a number of times, or max, which is None."""
    if text == "max":
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0.0 < speed <= FASTEST:
        raise typer.BadParameter(f"{text!r} is neither max nor a number above 0", param_hint="--speed")
    return speed


def replay(
    file: Annotated[
        Path | None,
        typer.Argument(help="A recording or a folder of them, or CSV or Parquet of bars or trades."),
    ] = None,
    data: Annotated[Path | None, typer.Option(help="The same, as `backtest` has it.")] = None,
    speed: Annotated[str, typer.Option(help="1 is as it was, 60 an hour in a minute, or max.")] = "1",
    start: Annotated[
        datetime | None, typer.Option("--from", help="Only what came from then on (UTC).")
    ] = None,
    end: Annotated[datetime | None, typer.Option("--to", help="Only what came before then (UTC).")] = None,
    script: Annotated[
        Path | None,
        typer.Option(help="Control events, too: of a recording, or JSON lines with the field at."),
    ] = None,
    longest_pause: Annotated[
        float | None, typer.Option(min=0.0, help="Let no pause last longer: nights are skipped.")
    ] = None,
    timeframe: Annotated[str | None, typer.Option(help="Of bars; by default what most keep.")] = None,
    as_json: AsJson = False,
) -> None:
    """Publish market data to REDIS_URL again, in its order, at a pace, and no faster than it is read.

    Whoever is subscribed there takes it for the market: no place for a worker that trades.
    """
    from math import inf

    from services.history.feed import Window, open_feed
    from services.history.replay import times

    source = file or data
    if source is None:
        raise typer.BadParameter("name what is to be replayed", param_hint="FILE")
    pace = read_speed(speed)
    window = Window(start, end)
    feed = open_feed(source, window, timeframe=timeframe)
    if feed.left_out:
        print_warning(f"{feed.left_out} rows are no bars and are left out; see `engine check`")
    schedule = None if pace is None else times(pace, inf if longest_pause is None else longest_pause)
    published, unheard = _publish(feed, script, window, schedule)
    if as_json:
        print_json({"kind": feed.kind, "published": published, "unheard": unheard})
        return
    print_line(f"{published} messages published")
    if unheard:
        print_warning(f"{unheard} of them nobody was subscribed to")


def _publish(
    feed: "Feed", script: Path | None, window: "Window", schedule: "Schedule | None"
) -> tuple[int, int]:
    from services.history.replay import Replay, Subscribers
    from services.history.session_script import Rehearsal, with_script
    from services.redis_client import make_client

    messages = feed.messages
    if script is not None:
        messages = with_script(messages, script, window)
    published = 0
    with closing(make_client(load_settings().redis_url)) as client, _told():
        replaying = Replay(client, messages, schedule, heed=Rehearsal(client).wait)
        with progress_bar("messages", feed.total) as advance:
            for count in replaying.run(Subscribers(client)):
                if advance is not None:
                    advance(count - published)
                published = count
    return published, replaying.unheard


@contextmanager
def _told() -> Iterator[None]:
    """Tell a failure of Redis as our own."""
    import redis

    try:
        yield
    except redis.RedisError as error:
        raise StorageUnavailable(f"Redis: {masked(str(error))}") from error
