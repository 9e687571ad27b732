"""The table `strategies`: filled in bulk by the intake, read by people and by the inspector.

A batch goes by COPY into a temporary table and from there, in one statement, to where it belongs. Beside
execute_values and jsonb_to_recordset that took the least time (benchmarks/intake.py measures it again).
"""

import io
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
import structlog
from msgspec import Struct

from models.discovered import DiscoveredStrategy
from models.errors import StorageConflict
from services.db_client import Cursor, Database

COLUMNS = (
    "strategy_hash, symbol, strategy_type, parameters, current_score, last_evaluated_at, discovery_symbol, "
    "discovery_start_time, discovery_end_time, metrics"
)
# JSON waits as text: as jsonb it would be written, and read again, in its larger form.
INCOMING = """
    CREATE TEMPORARY TABLE IF NOT EXISTS incoming_strategies (
        strategy_hash text, symbol text, strategy_type text, parameters text, current_score double precision,
        last_evaluated_at timestamptz, discovery_symbol text, discovery_start_time timestamptz,
        discovery_end_time timestamptz, metrics text
    ) ON COMMIT DELETE ROWS
"""
SELECTED = COLUMNS.replace("parameters", "parameters::jsonb").replace("metrics", "metrics::jsonb")
COPY = f"COPY incoming_strategies ({COLUMNS}) FROM STDIN"
# In the order of the hash, so that two consumers with the same strategies cannot lock each other out.
UPSERT = f"""
    INSERT INTO strategies ({COLUMNS})
    SELECT {SELECTED} FROM incoming_strategies ORDER BY strategy_hash
    ON CONFLICT (strategy_hash) DO UPDATE SET
        current_score = EXCLUDED.current_score,
        metrics = EXCLUDED.metrics,
        last_evaluated_at = EXCLUDED.last_evaluated_at,
        discovery_symbol = EXCLUDED.discovery_symbol,
        discovery_start_time = EXCLUDED.discovery_start_time,
        discovery_end_time = EXCLUDED.discovery_end_time
    WHERE COALESCE(strategies.last_evaluated_at, '-infinity') < EXCLUDED.last_evaluated_at
    RETURNING xmax = 0
"""  # noqa: S608 — names of columns, written above
SHOWN = (
    "strategy_id, name, symbol, strategy_type, parameters, current_score, strategy_hash, is_active, "
    "first_discovered_at, last_evaluated_at, discovery_symbol, discovery_start_time, discovery_end_time, "
    "metrics, python_code IS NOT NULL"
)
MOST = 1_000

log = structlog.get_logger(__name__)


class RefusedStrategy(Struct, frozen=True):
    """A strategy that the database does not take, and why."""

    strategy: DiscoveredStrategy
    reason: str


class Staged(Struct, frozen=True):
    """Strategies as they are written: of each its newest evaluation, with its line for COPY.

    `given` is how many there were before.
    """

    strategies: list[DiscoveredStrategy]
    lines: list[str]
    given: int

    @classmethod
    def of(cls, strategies: Sequence[DiscoveredStrategy]) -> "Staged":
        """Prepare strategies: what needs no database, so that it can be done while others are written."""
        newest = newest_of_each(strategies)
        return cls(newest, list(map(copy_line, newest)), len(strategies))

    def part(self, begin: int, end: int) -> "Staged":
        """Return some of them alone."""
        return Staged(self.strategies[begin:end], self.lines[begin:end], end - begin)


class BulkResult(Struct, frozen=True):
    """What became of a batch. `unchanged` were no newer than what was stored, or than one of the batch."""

    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    refused: tuple[RefusedStrategy, ...] = ()


class CatalogueRow(Struct, frozen=True):
    """One row of the catalogue, without its source code."""

    strategy_id: UUID
    name: str | None
    symbol: str
    strategy_type: str
    parameters: Any
    current_score: float
    strategy_hash: str
    is_active: bool
    first_discovered_at: datetime | None
    last_evaluated_at: datetime | None
    discovery_symbol: str | None
    discovery_start_time: datetime | None
    discovery_end_time: datetime | None
    metrics: Any
    has_code: bool


class StrategyRepository:
    """The catalogue. Every method raises StorageUnavailable, and ConfigError where there are no tables."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def bulk_insert_strategies(self, strategies: Sequence[DiscoveredStrategy]) -> BulkResult:
        """Insert what is new and update what is older; once more with the same changes nothing.

        A row that the database refuses is refused alone: the batch is halved until it stands by itself.
        """
        return self.write(Staged.of(strategies))

    def write(self, staged: Staged) -> BulkResult:
        """Do as `bulk_insert_strategies` does, with what was prepared."""
        refused: list[RefusedStrategy] = []
        inserted = updated = 0
        for fresh in self._written(staged, refused):
            inserted += fresh
            updated += not fresh
        unchanged = staged.given - inserted - updated - len(refused)
        return BulkResult(inserted, updated, unchanged, tuple(refused))

    def get_strategy(self, strategy_id: UUID) -> CatalogueRow | None:
        """Return one row, or None."""
        return next(iter(self._rows("WHERE strategy_id = %s", [str(strategy_id)])), None)

    def code_of(self, strategy_id: UUID) -> str | None:
        """Return the Python that a row holds; None where it holds none, or there is no such row."""
        with self._database.transaction() as cursor:
            cursor.execute("SELECT python_code FROM strategies WHERE strategy_id = %s", (str(strategy_id),))
            row = cursor.fetchone()
        return None if row is None else row[0]

    def get_strategies_by_type(self, strategy_type: str, limit: int = MOST) -> list[CatalogueRow]:
        """Return the active ones of a type, best first."""
        return self.find(strategy_type=strategy_type, limit=limit)

    def get_strategies_by_symbol(self, symbol: str, limit: int = MOST) -> list[CatalogueRow]:
        """Return the active ones of a symbol, best first."""
        return self.find(symbol=symbol, limit=limit)

    def get_top_strategies(self, limit: int = MOST) -> list[CatalogueRow]:
        """Return the active ones with the highest scores."""
        return self.find(limit=limit)

    def find(
        self,
        *,
        symbol: str | None = None,
        strategy_type: str | None = None,
        min_score: float | None = None,
        limit: int = MOST,
    ) -> list[CatalogueRow]:
        """Return active strategies, best first; what is None does not matter."""
        wanted = {
            "symbol = %s": symbol,
            "strategy_type = %s": strategy_type,
            "current_score >= %s": min_score,
        }
        given = {condition: value for condition, value in wanted.items() if value is not None}
        where = " AND ".join(["is_active", *given])
        order = f"WHERE {where} ORDER BY current_score DESC, strategy_id LIMIT %s"
        return self._rows(order, [*given.values(), limit])

    def _rows(self, rest: str, values: Sequence[object]) -> list[CatalogueRow]:
        with self._database.transaction() as cursor:
            cursor.execute(f"SELECT {SHOWN} FROM strategies {rest}", values)  # noqa: S608 — written here
            return [CatalogueRow(UUID(str(row[0])), *row[1:]) for row in cursor.fetchall()]

    def _written(self, staged: Staged, refused: list[RefusedStrategy]) -> Iterator[bool]:
        """Write them, by halves where they are refused; give for each written row whether it is new."""
        if not staged.lines:
            return
        try:
            with self._database.transaction() as cursor:
                fresh = _upsert(cursor, staged.lines)
        except StorageConflict as error:
            count = len(staged.lines)
            if count == 1:
                refused.append(RefusedStrategy(staged.strategies[0], str(error)))
                return
            yield from self._written(staged.part(0, count // 2), refused)
            yield from self._written(staged.part(count // 2, count), refused)
        else:
            yield from fresh


def newest_of_each(strategies: Iterable[DiscoveredStrategy]) -> list[DiscoveredStrategy]:
    """Return of each strategy its newest evaluation; of equally new ones the first."""
    newest: dict[str, DiscoveredStrategy] = {}
    for each in strategies:
        known = newest.get(each.strategy_hash)
        if known is None or each.evaluated_at > known.evaluated_at:
            newest[each.strategy_hash] = each
    return list(newest.values())


def _upsert(cursor: Cursor, lines: Iterable[str]) -> list[bool]:
    text = "".join(lines).encode()
    cursor.execute(INCOMING)
    # In one piece: between two pieces it would wait for the interpreter, which another thread may hold.
    cursor.copy_expert(COPY, io.BytesIO(text), len(text) + 1)
    cursor.execute(UPSERT)
    return [fresh for (fresh,) in cursor.fetchall()]


def copy_line(each: DiscoveredStrategy) -> str:
    r"""Return the row as PostgreSQL's COPY reads it: tabs between, \N for null, backslashes doubled.

    No text may hold a tab or the end of a line: in JSON both are escaped, names are checked on receipt.
    """
    return (
        f"{each.strategy_hash}\t{each.symbol}\t{each.strategy_type}\t{_json(each.parameters)}"
        f"\t{each.current_score!r}\t{each.evaluated_at.isoformat()}\t{each.discovery_symbol or NULL}"
        f"\t{_time(each.discovery_start_time)}\t{_time(each.discovery_end_time)}"
        f"\t{NULL if each.metrics is None else _json(each.metrics)}\n"
    )


NULL = r"\N"


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode().replace("\\", "\\\\")


def _time(time: datetime | None) -> str:
    return NULL if time is None else time.isoformat()
