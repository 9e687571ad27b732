"""What importing a module does, found by importing it in an interpreter of its own under watch."""

import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from tests.architecture.source import Finding

PROBE = Path(__file__).with_name("import_probe.py")


def try_imports(root: Path, modules: Iterable[str]) -> list[Finding]:
    """Import the modules found at root and report what they did besides defining things."""
    command = [sys.executable, str(PROBE), str(root), *sorted(modules)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)  # noqa: S603 — our own
    if done.returncode:
        return [Finding(str(root), 1, f"a module cannot be imported:\n{done.stderr}")]
    report = json.loads(done.stdout)
    found = [
        Finding(e["path"], e["line"], f"importing it {e['act']}: do that when called")
        for e in report["effects"]
    ]
    return found + [
        Finding(str(root), 1, f"importing leaves the thread {name} running") for name in report["threads"]
    ]
