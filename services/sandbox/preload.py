"""What a strategy may import: loaded before hosts are forked, because a sealed process reads no files."""

import codecs
import importlib
import locale
import sys
import time
import zoneinfo
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import strategies.registry
import strategies.sizing

_ = (strategies.registry, strategies.sizing)  # every strategy that there is, and what they are made of

STANDARD_LIBRARY = (
    "_strptime",
    "abc",
    "array",
    "base64",
    "bisect",
    "calendar",
    "cmath",
    "collections",
    "collections.abc",
    "contextlib",
    "copy",
    "csv",
    "dataclasses",
    "datetime",
    "decimal",
    "enum",
    "fractions",
    "functools",
    "hashlib",
    "heapq",
    "io",
    "itertools",
    "json",
    "linecache",
    "logging",
    "math",
    "numbers",
    "operator",
    "pprint",
    "queue",
    "random",
    "re",
    "statistics",
    "string",
    "struct",
    "textwrap",
    "time",
    "tokenize",
    "traceback",
    "tracemalloc",
    "types",
    "typing",
    "unicodedata",
    "uuid",
    "warnings",
    "weakref",
    "zlib",
    "zoneinfo",
)
# What large packages import only when it is first needed, which in a host is too late.
LATER = {
    "numpy": ("numpy.fft", "numpy.linalg", "numpy.random", "numpy.polynomial", "numpy.ma"),
    "pandas": (
        "pandas.api.indexers",
        "pandas.api.types",
        "pandas.io.formats.csvs",
        "pandas.io.formats.html",
        "pandas.io.formats.string",
        "pandas.tseries.frequencies",
        "pandas.tseries.holiday",
        "pandas.tseries.offsets",
    ),
}
# Starts threads when it is imported, and pandas does without it.
KEPT_OUT = ("pyarrow",)
ENCODINGS = ("ascii", "latin-1", "utf-8", "utf-16", "utf-32", "cp1252", "idna")
MARKET_ZONES = (
    "UTC",
    "America/New_York",
    "America/Chicago",
    "America/Toronto",
    "America/Sao_Paulo",
    "Europe/London",
    "Europe/Berlin",
    "Europe/Paris",
    "Europe/Amsterdam",
    "Europe/Zurich",
    "Europe/Stockholm",
    "Europe/Madrid",
    "Asia/Tokyo",
    "Asia/Hong_Kong",
    "Asia/Shanghai",
    "Asia/Singapore",
    "Asia/Seoul",
    "Asia/Kolkata",
    "Australia/Sydney",
    "Africa/Johannesburg",
)

zones: list[zoneinfo.ZoneInfo] = []
"""Kept, because zoneinfo itself forgets all but the last few."""


def preload(modules: Iterable[str]) -> str | None:
    """Import everything that hosts share; return what cannot be, in words for the operator."""
    for name in KEPT_OUT:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]  # importing it raises ImportError
    for name in STANDARD_LIBRARY:
        importlib.import_module(name)
    for name in modules:
        try:
            importlib.import_module(name)
            for later in LATER.get(name, ()):
                importlib.import_module(later)
        except Exception as error:  # noqa: BLE001 — whatever a package does when it is imported, the operator is told
            return f"SANDBOX_MODULES: {name} cannot be loaded ({type(error).__name__}: {error})"
    _use_once(set(modules))
    return None


def why_unforkable() -> str | None:
    """Return why forks of this process would be broken, None where they are not."""
    tasks = Path("/proc/self/task")
    if tasks.is_dir() and len(list(tasks.iterdir())) > 1:
        return "SANDBOX_MODULES: one of them started a thread; only a process with one can be forked"
    return None


def _use_once(modules: set[str]) -> None:
    """Have read what is read at first use: time zones, encodings, and what large packages put off."""
    time.tzset()
    time.localtime()
    locale.getpreferredencoding()
    for name in ENCODINGS:
        codecs.lookup(name)
    for name in MARKET_ZONES:
        with suppress(zoneinfo.ZoneInfoNotFoundError):
            zones.append(zoneinfo.ZoneInfo(name))
    if "numpy" in modules:
        _use_numpy(sys.modules["numpy"])
    if "pandas" in modules:
        _use_pandas(sys.modules["pandas"])


def _use_numpy(np: Any) -> None:
    square = np.eye(64) + 1.0
    np.linalg.solve(square @ square, np.ones(64))
    np.random.default_rng(1).normal(size=8)
    str(square)


def _use_pandas(pd: Any) -> None:
    times = pd.date_range("2026-01-01", periods=64, freq="min", tz="UTC")
    frame = pd.DataFrame({"close": [float(n) for n in range(64)], "side": ["a", "b"] * 32}, index=times)
    frame["close"].rolling(5).mean().ewm(span=3).mean().pct_change().describe()
    frame["close"].resample("5min").ohlc().tz_convert("America/New_York")
    frame.groupby("side").agg({"close": ["mean", "std"]})
    frame.merge(frame, left_index=True, right_index=True).sort_values("close_x").to_dict("records")
    in_python: Any = importlib.import_module("zoneinfo._zoneinfo")  # pandas computes with this form of them
    zones.extend([in_python.ZoneInfo(zone.key) for zone in zones])
    pd.concat([frame, frame]).drop_duplicates().pivot_table(values="close", columns="side")
    str(frame), frame.to_csv(), frame.to_json(), frame.to_html()
