"""A page that loads nothing from anywhere: its parts put together into one file."""

import importlib.util
import json
from pathlib import Path
from typing import Any

from models.errors import ConfigError

FOLDER = Path(__file__).parent


def render(page: Path, script: Path, data: dict[str, Any]) -> str:
    """Put style, plotly, our charts, the script of the page and its data into a page.

    Raises ConfigError when plotly is not installed, ValueError for a number that is none.
    """
    text = page.read_text(encoding="utf-8")
    # Data come last, because they are the one part that could hold the name of another.
    parts = {
        "/*STYLE*/": (FOLDER / "style.css").read_text(encoding="utf-8"),
        "/*PLOTLY*/": find_plotly().read_text(encoding="utf-8"),
        "/*CHARTS*/": (FOLDER / "charts.js").read_text(encoding="utf-8"),
        "/*PAGE*/": script.read_text(encoding="utf-8"),
        "/*DATA*/": json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"),
    }
    for mark, part in parts.items():
        before, _, after = text.partition(mark)
        text = before + part + after
    return text


def find_plotly() -> Path:
    """Return where plotly's script is. Raises ConfigError when it is not installed."""
    # The package itself is not imported: its script is all that is needed of it.
    spec = importlib.util.find_spec("plotly")
    for place in (spec.submodule_search_locations or []) if spec is not None else []:
        script = Path(place) / "package_data" / "plotly.min.js"
        if script.is_file():
            return script
    raise ConfigError("plotly is not installed: pip install -r requirements-report.txt")
