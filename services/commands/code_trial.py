"""What `strategies validate` and `put` find out about an author's Python, without running it themselves."""

import sys
from contextlib import closing
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from config import Settings
from models.errors import StrategyError
from services.commands.problems import problems_of

if TYPE_CHECKING:
    from services.sandbox.protocol import Load
    from services.sandbox.ward import Ward

STOP_SECONDS = 1.0


@dataclass(frozen=True)
class Trial:
    """What a source makes, and what is wrong with it; `untried` is why it was only read.

    `signals` are those that it sent while it was told of a made-up market.
    """

    code_hash: str | None = None
    form: str | None = None
    name: str | None = None
    warmup_bars: int | None = None
    watched_symbols: tuple[str, ...] = ()
    signals: int | None = None
    problems: tuple[str, ...] = ()
    untried: str | None = None

    def describe(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return asdict(self)


def try_code(settings: Settings, source: str, symbol: str, parameters: dict[str, Any]) -> Trial:
    """Run a source in a sealed process on a made-up market; only read it where no code can be sealed."""
    from services.sandbox.client import SandboxUnavailable
    from services.sandbox.protocol import Load
    from services.worker_parts import make_ward

    if settings.sandbox != "required":
        return read_code(settings, source, f"SANDBOX={settings.sandbox} seals no code")
    load = Load(
        source=source,
        session_key="validate",
        strategy_id="validate",
        symbol=symbol,
        session_id=None,
        parameters=parameters,
    )
    ward = make_ward(settings, None)
    try:
        return _try_in(ward, load, settings.sandbox_signals_per_event)
    except SandboxUnavailable as error:
        return read_code(settings, source, str(error))
    finally:
        ward.stop(STOP_SECONDS)


def read_code(settings: Settings, source: str, why: str = "--untried") -> Trial:
    """Tell what can be told without running anything."""
    from services.sandbox.host.loading import compile_source
    from services.sandbox.host.reading import NotLoadable
    from services.sandbox.link import explain_refusal
    from services.sandbox.protocol import NotLoaded

    code_hash = _hash_of(source)
    known = {*sys.stdlib_module_names, "strategies", "models", *settings.modules_of_sandbox()}

    def why_absent(name: str) -> str | None:
        return None if name.partition(".")[0] in known else f"no module {name!r} in a sealed process"

    try:
        form, _ = compile_source(source, why_absent)
    except NotLoadable as error:
        refused = NotLoaded(reason=error.reason, line=error.line, column=error.column)
        return Trial(code_hash, problems=problems_of(explain_refusal(refused)), untried=why)
    return Trial(code_hash, form, untried=why)


def _try_in(ward: "Ward", load: "Load", most_signals: int) -> Trial:
    from services.sandbox.rehearsal import Rehearsal

    try:
        with closing(ward.prepare(load)) as link:
            loaded, rehearsal = link.loaded, Rehearsal(link, most_signals)
            rehearsal.play()
        problems, signals, state = rehearsal.problems, rehearsal.signals, rehearsal.state
        if not problems and state not in {None, "{}"}:  # and once more, as after a restart
            with closing(ward.prepare(load)) as link:
                rehearsal = Rehearsal(link, most_signals)
                rehearsal.play(state)
            problems = rehearsal.problems
    except StrategyError as error:
        return Trial(_hash_of(load.source), problems=problems_of(error))
    return Trial(
        _hash_of(load.source),
        form=loaded.form,
        name=loaded.name,
        warmup_bars=loaded.warmup_bars,
        watched_symbols=tuple(loaded.watched_symbols),
        signals=signals,
        problems=tuple(problems),
    )


def _hash_of(source: str) -> str:
    return sha256(source.encode()).hexdigest()
