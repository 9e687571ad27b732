"""Strategy Worker: `python main.py` runs it, `python main.py --help` lists everything else it can do."""

import gc
import sys

from services.stop_signal import StopSignal

# New objects until the collector looks for cycles among them. The usual 700 have it look a hundred times at
# what is imported, all of which stays.
YOUNG_OBJECTS = 10_000


def main() -> None:
    """Hear signals first, then import the rest: a SIGTERM in the first milliseconds is not lost."""
    stop = StopSignal()
    stop.install()
    gc.set_threshold(YOUNG_OBJECTS)
    from services.commands.app import run  # noqa: PLC0415 - see above

    code = run(sys.argv[1:], stop)
    gc.freeze()  # at its end the interpreter looks through everything once more, for nothing
    sys.exit(code)


if __name__ == "__main__":
    main()
