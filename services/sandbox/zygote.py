"""The process that hosts are forked from: `python -I -S -B zygote.py START`.

START is JSON (`orders.Start`). It is run by a bare interpreter with an environment of its own, so that
nothing of the worker's is in it: no settings, no secrets, no connections but its standard input, on which
the worker's orders come. It ends with the worker, and its hosts end with it.
"""

import json
import sys


def main(start: str) -> None:
    """Serve the worker; in a forked host, run that."""
    sys.path[:] = [*json.loads(start)["paths"], *sys.path]
    from services.sandbox.nursery import serve  # noqa: PLC0415 — only now is it known where that is

    serve(start.encode())


if __name__ == "__main__":
    main(sys.argv[1])
