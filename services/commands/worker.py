"""`python main.py`: the worker itself."""

from config import load_settings
from services.stop_signal import StopSignal
from services.telemetry.logs import configure_logging

GRACE_SECONDS = 3.0


def run(stop: StopSignal) -> int:
    """Run the worker until it is asked to stop; return the exit code."""
    settings = load_settings()
    configure_logging(settings.log_level, settings.log_format)
    stop.end_within(settings.shutdown_seconds + GRACE_SECONDS)
    if stop.requested.is_set():
        return 0
    from services.worker import Worker

    return Worker(settings).run(stop)
