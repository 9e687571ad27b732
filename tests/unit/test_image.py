"""The container image, as far as it can be proven without a container engine."""

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import packages_distributions

import pytest

from tests.architecture.source import PRODUCT, ROOT, read

EVERYTHING = (*PRODUCT, "migrations")
IMPORT_WITHOUT = """
import importlib, json, sys
absent, modules = set(json.loads(sys.argv[1])), sys.argv[2:]

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in absent:
            raise ModuleNotFoundError(f"{name} is not in the image", name=name)

sys.meta_path.insert(0, Absent())
for module in modules:
    importlib.import_module(module)
"""


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions: keyword and the rest, continuation lines joined."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    joined = re.sub(r"\\\n\s*", "", re.sub(r"(?m)^#.*\n", "", text))
    return [(line.split()[0], line.partition(" ")[2]) for line in joined.splitlines() if line.strip()]


def copied() -> list[str]:
    """What is copied out of the repository."""
    rests = [rest.split() for keyword, rest in instructions() if keyword == "COPY" and "--from" not in rest]
    return [place for *places, _ in rests for place in places]


def command_of(keyword: str) -> list[str]:
    """The command of CMD or HEALTHCHECK; it must be in exec form."""
    (rest,) = [rest for name, rest in instructions() if name == keyword]
    command = json.loads(rest[rest.index("[") :])
    return [str(part) for part in command]


def left_out() -> list[str]:
    """What an import statement would call the packages of the other locks."""
    locks = "".join(
        (ROOT / f"requirements-{part}.txt").read_text(encoding="utf-8") for part in ("demo", "dev")
    )
    absent = set(re.findall(r"(?m)^([a-z0-9-]+)==", locks))
    return [
        package
        for package, owners in packages_distributions().items()
        if {re.sub(r"[-_.]+", "-", owner).lower() for owner in owners} <= absent
    ]


def test_everything_that_the_image_copies_exists() -> None:
    assert [place for place in copied() if not (ROOT / place).exists()] == []


def test_the_image_holds_all_of_the_product() -> None:
    assert [place for place in EVERYTHING if place not in copied()] == []


def test_what_is_copied_is_let_into_the_build_and_nothing_else_is() -> None:
    rules = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in rules
    assert sorted(rule[1:] for rule in rules if rule.startswith("!")) == sorted(copied())


def test_the_base_image_is_one_version() -> None:
    (image,) = [rest.partition("=")[2] for keyword, rest in instructions() if keyword == "ARG"]
    assert re.fullmatch(r"python:3\.11\.\d+-slim-\w+(@sha256:[0-9a-f]{64})?", image)
    assert {rest.split()[0] for keyword, rest in instructions() if keyword == "FROM"} == {"${PYTHON_IMAGE}"}


def test_the_image_installs_locked_packages_of_the_runtime_alone() -> None:
    (install,) = [rest for keyword, rest in instructions() if keyword == "RUN" and "pip install" in rest]
    assert "--require-hashes" in install
    assert re.findall(r"requirements[\w-]*\.txt", install) == [
        "requirements.txt",
        "requirements-kafka.txt",
        "requirements-oms.txt",
    ]


def test_the_image_runs_as_an_ordinary_user() -> None:
    (user,) = [rest for keyword, rest in instructions() if keyword == "USER"]
    assert int(user.split(":")[0]) > 0


def test_the_image_listens_to_the_network_around_it() -> None:
    (environment,) = [rest for keyword, rest in instructions() if keyword == "ENV"]
    assert "HTTP_HOST=0.0.0.0" in environment


def test_the_command_of_the_image_works() -> None:
    program, *arguments = command_of("CMD")
    assert program == "python"
    helped = subprocess.run(  # noqa: S603 — our own program
        [sys.executable, *arguments, "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert helped.returncode == 0, helped.stderr


def test_every_module_can_be_imported_without_what_the_image_leaves_out() -> None:
    modules = [source.module for source in read(*PRODUCT)]
    done = subprocess.run(  # noqa: S603 — our own program
        [sys.executable, "-c", IMPORT_WITHOUT, json.dumps(left_out()), *modules],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False)])
def test_the_health_check_asks_the_worker(status: int, healthy: bool) -> None:  # noqa: FBT001 — a parameter
    with server_answering(status) as port:
        assert (health_check(port) == 0) is healthy


def test_the_health_check_fails_when_nothing_answers() -> None:
    with server_answering(200) as port:
        pass
    assert health_check(port) != 0


def health_check(port: int) -> int:
    program, *arguments = command_of("HEALTHCHECK")
    assert program == "python"
    done = subprocess.run(  # noqa: S603 — our own command
        [sys.executable, *arguments],
        env={"HEALTH_PORT": str(port), "http_proxy": "http://127.0.0.1:1"},
        capture_output=True,
        check=False,
        timeout=30,
    )
    return done.returncode


@contextmanager
def server_answering(status: int) -> Iterator[int]:
    class Health(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/health" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Health) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()
