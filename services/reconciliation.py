"""Bringing the sessions that are held to those that should be: decided by a pure function, then done."""

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

import structlog
from msgspec import Struct
from msgspec.structs import replace

from models.errors import ConfigError, StorageError, StorageUnavailable
from models.session import SessionIdentity, SessionRecord, SessionState
from services.session_registry import SessionRegistry
from services.session_table import SessionRows, SessionTable
from services.strategy_manager import StrategyManager, runs_on

log = structlog.get_logger(__name__)

LEFT_BY_A_PERSON = {SessionState.HALTED, SessionState.QUARANTINED}
WAITING_FOR_TABLE = "waiting for the database to say whether the session still runs"


class Plan(Struct, frozen=True):
    """What brings a worker to where it should be.

    `start` is to be started; `hold` is known but must not run now, with the reason; `stop` and `forget` are
    keys of sessions that ended: held ones, and ones that are only still written down.
    """

    start: tuple[SessionIdentity, ...] = ()
    hold: tuple[SessionRecord, ...] = ()
    stop: tuple[str, ...] = ()
    forget: tuple[str, ...] = ()


def plan(
    held: Mapping[str, SessionRecord], registered: Mapping[str, SessionRecord], rows: SessionRows | None
) -> Plan:
    """Compare what is held, what the registry says, and what the table says; None when it cannot be asked.

    The table is the truth about sessions with a row: they run when it says so. A session without a row runs
    while the registry has it. HALTED and QUARANTINED are left by a person only, so such a session stays as it
    is; one that does not run and has an order of unknown outcome is HALTED. While the table cannot be asked
    nothing starts that it may have ended meanwhile, and nothing stops.
    """
    ended = rows.ended if rows is not None else frozenset()
    unknown = rows.unknown if rows is not None else {}
    wanted = {key: record for key, record in held.items() if record.state is SessionState.PENDING}
    wanted |= registered
    for identity in rows.running if rows is not None else ():
        known = registered.get(identity.key)
        if known is None:
            wanted[identity.key] = SessionRecord(identity=identity, state=SessionState.RUNNING)
    start, hold, forget = [], [], []
    for key, record in wanted.items():
        if key in ended:
            forget.append(key)
        elif key in held and held[key].state is not SessionState.PENDING:
            continue
        elif record.state in LEFT_BY_A_PERSON:
            hold.append(record)
        elif key in unknown:
            halted = SessionState.HALTED
            hold.append(SessionRecord(identity=record.identity, state=halted, reason=unknown[key]))
        elif rows is not None:
            start.append(record.identity)
        elif key not in held:
            waiting = SessionState.PENDING
            hold.append(SessionRecord(identity=record.identity, state=waiting, reason=WAITING_FOR_TABLE))
    return Plan(
        start=tuple(start),
        hold=tuple(hold),
        stop=tuple(key for key in held if key in ended),
        forget=tuple(key for key in forget if key not in held),
    )


class Leases(Protocol):
    """Which sessions are this worker's, among several workers."""

    def claim(self, keys: Iterable[str]) -> dict[str, str]:
        """Take sessions; return those that another worker has, with its name. Raises StorageUnavailable."""

    def __contains__(self, key: str) -> bool:
        """Whether a session is this worker's."""


class Reconciler:
    """Brings the sessions held to where the table and the registry say they should be.

    `reason` says why that is not known to be so, for /ready; None when it is.
    """

    def __init__(
        self, manager: StrategyManager, registry: SessionRegistry, table: SessionTable | None, leases: Leases
    ) -> None:
        self.reason: str | None = "not compared yet"
        self._manager = manager
        self._registry = registry
        self._table = table
        self._leases = leases

    def reconcile(self, beat: Callable[[], None]) -> None:
        """Compare and converge; what cannot be reached now is asked the next time. For the control thread.

        `beat` is called between two sessions, because a thousand of them take a while.
        """
        held = self._manager.records()
        won = [key for key, record in held.items() if _stands_by(record) and key in self._leases]
        held = {key: record for key, record in held.items() if key not in won}
        try:
            registered = self._registry.load()
        except StorageUnavailable as error:
            self.reason = str(error)
            return
        rows, reason = self._read_table({*held, *registered})
        if rows is not None:
            rows = replace(rows, unknown=self._manager.halts.found(rows.unknown))
        chosen = plan(held, registered, rows)
        if rows is not None:
            wanted = {each.key for each in chosen.start} | {each.identity.key for each in chosen.hold}
            ended = (key for key in won if key not in wanted)
            chosen = replace(chosen, stop=(*chosen.stop, *ended))
        try:
            self._converge(chosen, beat)
        except StorageUnavailable as error:
            self.reason = str(error)
            return
        mine = {key for key, record in held.items() if not _stands_by(record)}
        for key in (*chosen.forget, *(mine - registered.keys())):
            self._registry.changed(key)
        self.reason = reason

    def _converge(self, chosen: Plan, beat: Callable[[], None]) -> None:
        """Do it; what another worker has stands by. Raises StorageUnavailable when nothing was done yet."""
        identities = {each.key: each for each in chosen.start}
        identities |= {each.identity.key: each.identity for each in chosen.hold}
        others = self._leases.claim(identities)
        for key, owner in others.items():
            standby = SessionState.STANDBY
            record = SessionRecord(identity=identities[key], state=standby, reason=runs_on(owner))
            self._manager.hold(record)
        if identities or chosen.stop:
            log.info(
                "sessions_reconciled",
                start=len(chosen.start),
                hold=len(chosen.hold),
                stop=len(chosen.stop),
                standby=len(others),
            )
        for record in chosen.hold:
            if record.identity.key not in others:
                self._manager.hold(record)
        for identity in chosen.start:
            beat()
            if identity.key not in others:
                self._manager.adopt(identity)
        for key in chosen.stop:
            self._manager.stop_session(key)

    def _read_table(self, session_ids: set[str]) -> tuple[SessionRows | None, str | None]:
        if self._table is None:
            return SessionRows(), None
        try:
            return self._table.read(session_ids), None
        except (StorageError, ConfigError) as error:  # a schema that is not migrated is a ConfigError
            return None, str(error)


def _stands_by(record: SessionRecord) -> bool:
    return record.state is SessionState.STANDBY
