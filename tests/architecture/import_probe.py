"""Run as a program with a folder and module names: imports them from there and prints what they did, as JSON.

Only what our own module bodies do is reported, not what a library does while it is imported. The line between
the two is the import machinery, whose frames stand between any two module bodies.
"""

import importlib
import json
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

ROOT = Path(sys.argv[1]).resolve()
ACTS = {
    "os.exec": "runs a program",
    "os.fork": "runs a program",
    "os.posix_spawn": "runs a program",
    "os.putenv": "changes the environment",
    "socket.__new__": "opens a socket",
    "socket.connect": "connects",
    "socket.getaddrinfo": "looks up a host",
    "subprocess.Popen": "runs a program",
}
OTHERS_SWITCHES = {
    "PYDANTIC_DISABLE_PLUGINS",  # pydantic reads it whenever a model is defined
    "TEMPORARILY_DISABLE_PROTOBUF_VERSION_CHECK",  # protobuf reads it whenever generated code is imported
}
LIBRARIES = {".venv", "site-packages"}
effects: list[dict[str, str | int]] = []


def act(event: str, arguments: tuple[object, ...]) -> None:
    """An audit hook: note the acts of our module bodies."""
    if event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
        note("writes a file")
    elif event in ACTS:
        note(ACTS[event])


def note(what: str) -> None:
    """Remember an act, with the place in our code that led to it, if it was our code."""
    for frame in frames(sys._getframe(2)):  # noqa: SLF001 — the documented way to walk one's own stack
        path = Path(frame.f_code.co_filename)
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return
        if ROOT in path.parents and path != Path(__file__) and not LIBRARIES & set(path.parts):
            effects.append({"path": path.relative_to(ROOT).as_posix(), "line": frame.f_lineno, "act": what})
            return


def frames(frame: FrameType | None) -> Iterator[FrameType]:
    """The frame and those that called it."""
    while frame is not None:
        yield frame
        frame = frame.f_back


def watch_environment() -> None:
    """Note every read of os.environ."""
    environment = type(os.environ)
    plain = environment.__getitem__

    def noted(self: "os._Environ[str]", key: str) -> str:
        if key not in OTHERS_SWITCHES:
            note(f"reads {key} from the environment")
        return plain(self, key)

    environment.__getitem__ = noted  # type: ignore[method-assign]


def watch_threads() -> None:
    """Note every start of a thread; Python 3.11 raises no audit event for it."""
    plain = threading.Thread.start

    def noted(self: threading.Thread) -> None:
        note("starts a thread")
        plain(self)

    threading.Thread.start = noted  # type: ignore[method-assign]


def main(modules: list[str]) -> None:
    """Import the modules one after the other and print what they did."""
    sys.path.insert(0, str(ROOT))
    watch_environment()
    watch_threads()
    sys.addaudithook(act)
    for module in modules:
        importlib.import_module(module)
    threads = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    sys.stdout.write(json.dumps({"effects": effects, "threads": threads}))


if __name__ == "__main__":
    main(sys.argv[2:])
