"""The program of a host, from the moment after its fork to its end."""

import os
import random
import signal
import sys
from contextlib import suppress
from typing import NoReturn

from services.sandbox.ending import BROKEN, OUT_OF_MEMORY
from services.sandbox.filter import CHANNEL
from services.sandbox.host.calls import Caller
from services.sandbox.host.channel import Channel, Interruption
from services.sandbox.host.loading import load_strategy
from services.sandbox.host.reading import NotLoadable
from services.sandbox.host.seclusion import seclude
from services.sandbox.orders import Start
from services.sandbox.page import map_page
from services.sandbox.protocol import Batch, Load, Loaded, NotLoaded, NotSealed, Sealed
from services.sandbox.seal import seal

MOST_DESCRIPTORS = 256
STANDARD_ERROR = 2


def run_host(start: Start, channel: int, page: int, parent: int) -> NoReturn:
    """Become a sealed host: load what the worker sends and answer its events, until it goes."""
    code = BROKEN
    try:
        call_page = map_page(page)
        os.dup2(channel, CHANNEL)
        os.closerange(1 if start.sealed else STANDARD_ERROR + 1, MOST_DESCRIPTORS)
        _reseed()
        code = _serve(start, call_page, parent)
    except MemoryError:
        code = OUT_OF_MEMORY
    except OSError:
        code = 0  # the worker has gone
    finally:
        os._exit(code)  # nothing of the zygote's is to be flushed or closed here


def _serve(start: Start, page: memoryview, parent: int) -> int:
    interruption = Interruption()
    channel = Channel(interruption)
    signal.signal(signal.SIGUSR1, interruption.ask)
    caller = Caller(channel, interruption, page)
    try:
        layers = seal(start.memory_bytes, parent) if start.sealed else []
    except OSError as error:
        channel.say(NotSealed(reason=f"the host could not seal itself: {error}"))
        channel.flush()
        return BROKEN
    seclude(caller.log)
    channel.say(Sealed(layers=layers))
    channel.flush()
    load = channel.receive()
    if not isinstance(load, Load) or not _load(load, channel, caller, interruption):
        return 0
    while isinstance(batch := channel.receive(), Batch):
        caller.work_off(batch)
    return 0


def _load(load: Load, channel: Channel, caller: Caller, interruption: Interruption) -> bool:
    """Make the strategy and say so, or say why there is none."""
    interruption.allowed = True
    try:
        loaded = load_strategy(load)
    except NotLoadable as problem:
        interruption.allowed = False
        channel.say(NotLoaded(reason=problem.reason, line=problem.line, column=problem.column))
        channel.flush()
        return False
    interruption.allowed = False
    caller.take(loaded.strategy, load)
    channel.say(
        Loaded(
            form=loaded.form,
            name=type(loaded.strategy).__name__,
            warmup_bars=loaded.strategy.warmup_bars,
            deadline_ms=type(loaded.strategy).deadline_ms,
            watched_symbols=list(loaded.watched_symbols),
        )
    )
    channel.flush()
    return True


def _reseed() -> None:
    """Have every host draw its own random numbers, though all were forked from one process."""
    random.seed()
    if numpy := sys.modules.get("numpy"):
        with suppress(AttributeError):
            numpy.random.seed()
