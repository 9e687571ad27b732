"""Strategy Worker: `python main.py` runs it, `python main.py --help` lists everything else it can do."""

import sys

from services.stop_signal import StopSignal


def main() -> None:
    """Hear signals first, then import the rest: a SIGTERM in the first milliseconds is not lost."""
    stop = StopSignal()
    stop.install()
    from services.commands.app import run  # noqa: PLC0415 - see above

    sys.exit(run(sys.argv[1:], stop))


if __name__ == "__main__":
    main()
